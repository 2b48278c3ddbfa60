"""Building programs from the pinned modules under ``programs/``, once, into the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from hashlib import sha256
from importlib import resources
from pathlib import Path

from network import go
from network.cache import cache_directory, locked
from network.errors import BuildFailed
from network.proc import die_with
from network.progress import Progress
from network.suites import Suite

_PULSE = 1.0  # seconds between progress reports


def cached(suite: Suite) -> Path | None:
    """The directory of the suite's programs, when they were built before."""
    target = _target(suite)
    return target if target.is_dir() else None


def build(suite: Suite, progress: Progress) -> Path:
    """Build the suite unless another run just did; its directory. Raises BuildFailed."""
    target = _target(suite)
    with locked(target):
        if not target.is_dir():
            _remove_interrupted(suite, target.parent)
            scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=_scratch_prefix(suite)))
            try:
                _install(suite, scratch, progress)
                os.replace(scratch, target)  # whole or not at all
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return target


def _scratch_prefix(suite: Suite) -> str:
    return f".building-{suite.module}-"


def _remove_interrupted(suite: Suite, directory: Path) -> None:
    """Remove what killed builds of the suite left; nobody else builds it while the lock is held."""
    for left in directory.glob(f"{_scratch_prefix(suite)}*"):
        shutil.rmtree(left, ignore_errors=True)


def _source(suite: Suite) -> Path:
    """The wrapper module's directory."""
    with resources.as_file(resources.files("network").joinpath("programs", suite.module)) as path:
        return path


def _target(suite: Suite) -> Path:
    """Where its programs belong: named by what they are built from and how."""
    source, key = _source(suite), sha256()
    for part in (source.joinpath("go.mod").read_bytes(), source.joinpath("go.sum").read_bytes()):
        key.update(len(part).to_bytes(8, "big") + part)
    key.update("\0".join(suite.flags).encode())
    return cache_directory() / "programs" / f"{suite.module}-{key.hexdigest()[:16]}"


def _install(suite: Suite, target: Path, progress: Progress) -> None:
    """``go install`` of the module's tools into ``target``, with reports while it runs."""
    environment = {**go.environment(progress), "GOBIN": str(target)}
    command = ["go", "install", "-v", *suite.flags, "tool"]
    began = time.monotonic()
    output = _follow(command, _source(suite), environment, f"building {suite.title}", progress)
    missing = [name for name in suite.programs if not (target / name).exists()]
    if output is not None or missing:
        tail = "".join(f"\n    {line}" for line in (output or [])[-15:])
        raise BuildFailed(
            f"building {suite.title} failed{tail or f': no {missing} was made'}",
            "Check that Go's module proxy is reachable, a C compiler is installed and the disk is not full",
        )
    progress(f"built {suite.title} ({time.monotonic() - began:.0f} s)")


def _follow(
    command: list[str], directory: Path, environment: Mapping[str, str], what: str, progress: Progress
) -> list[str] | None:
    """Run it and report its phase every second; None when it succeeded, else its output's lines."""
    lines: list[str] = []
    own = os.getpid()
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: die_with(own),  # noqa: PLW1509 - a killed command leaves no build behind
    )
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)  # type: ignore[arg-type]
    reader.start()
    began = time.monotonic()
    try:
        while reader.is_alive():
            reader.join(_PULSE)
            progress(f"{what}: {_phase(lines)}, {time.monotonic() - began:.0f} s", passing=True)
    finally:
        if process.poll() is None and reader.is_alive():  # Ctrl-C: do not leave it compiling
            process.kill()
    return None if process.wait() == 0 else [line.rstrip() for line in lines]


def _phase(lines: list[str]) -> str:
    """What ``go install -v`` is at, from what it said so far."""
    compiled = sum(1 for line in list(lines) if not line.startswith("go: "))
    fetched = len(lines) - compiled
    return f"compiled {compiled} packages" if compiled else f"fetched {fetched} modules"
