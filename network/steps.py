"""Small steps the parts share: on each at once, until it is so, one command, private files."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from pathlib import Path
from threading import Thread
from typing import TypeVar

from network.errors import CommandFailed, NetworkError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def each(action: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """``action`` on every item at once; the results in order, or the first error."""
    futures = [begin(action, item) for item in items]
    wait(futures, return_when=FIRST_EXCEPTION)
    for future in futures:
        if future.done():
            future.result()  # an error is told without waiting for the others
    return [future.result() for future in futures]


def begin(action: Callable[[_Item], _Result], item: _Item) -> Future[_Result]:
    """``action`` in a thread of its own, which the end of the program does not wait for.

    (It would for an executor's: after Ctrl-C, for everything that still waits for a node.)
    """
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            future.set_result(action(item))
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def until(condition: Callable[[], _Result | None], seconds: float, what: str) -> _Result:
    """The first true answer of ``condition``, asked for ``seconds`` at most.

    It may raise OSError or ValueError (of which HTTP and JSON errors are kinds) to say "not yet".
    Raises NetworkError with ``what`` was awaited and the last reason why not.
    """
    end, reason = time.monotonic() + seconds, "it is not so"
    while True:
        try:
            answer = condition()
            if answer:
                return answer
        except (OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
        if time.monotonic() > end:
            raise NetworkError(f"{what}: not within {seconds:g} s ({reason})", "Look into the nodes' logs")
        time.sleep(0.05)


def command(argv: Iterable[str | Path], *, env: Mapping[str, str] | None = None, seconds: float = 30) -> str:
    """Run a program that does one thing and ends; its output, or CommandFailed. No secrets in ``argv``."""
    words = [str(word) for word in argv]
    shown = " ".join([Path(words[0]).name, *words[1:3]])
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    try:
        done = subprocess.run(
            words,
            check=False,
            env={**inherited, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            umask=0o077,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"`{shown}` did not end within {seconds:g} s") from error
    if done.returncode:
        output = (done.stderr or done.stdout).strip()[-600:]
        raise CommandFailed(f"`{shown}` ended with status {done.returncode}: {output}")
    return done.stdout


def private_directory(path: Path) -> Path:
    """Make a directory only its owner can enter."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read, whole or not at all."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)
    os.replace(scratch, path)
