"""Child processes that never outlive their network.

A *keeper* process (network/keeper.py) owns every child: it restarts what crashes, and takes
everything down when it is told to, when it dies, or when the command it is tied to dies.
This module is the side that commands it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from network.errors import AlreadyRunning, NetworkError, NotRunning, StartFailed
from network.proc import Pid
from network.waits import AnyWait, FileExists, HttpOk, Listening, LogLine, PortOpen, UnixSocket

__all__ = [
    "FileExists",
    "HttpOk",
    "Keeper",
    "Listening",
    "LogLine",
    "PortOpen",
    "ProcessSpec",
    "Status",
    "UnixSocket",
]


class ProcessSpec(msgspec.Struct, kw_only=True):
    """A process to run. Secrets go into ``env`` or files of mode 600, never into ``argv``."""

    name: str  # unique in the network: org1-peer
    argv: list[str]
    directory: str  # its working directory; made when missing
    log: str  # its output is appended to this file
    env: dict[str, str] = {}  # all it gets, beside PATH, HOME and TMPDIR
    ready: list[AnyWait] = []
    deadline: float = 30.0  # seconds until it must be ready
    restart: bool = True  # start it again when it ends by itself
    layer: int = 0  # higher layers are taken down first
    grace: float = 1.5  # seconds from SIGTERM to SIGKILL
    unlink: list[str] = []  # removed before each start, such as a socket a kill left behind


class Status(msgspec.Struct):
    """What the keeper knows of one process."""

    name: str
    state: str  # "running", "waiting" (to be restarted) or "stopped"
    pid: int
    restarts: int
    last_exit: int | None  # exit status, negative for a signal; None before the first
    memory: int  # resident bytes
    log: str


class Record(msgspec.Struct):
    """``keeper.json``, as the keeper keeps it while it runs: enough to find and end its processes."""

    keeper: Pid
    runtime: str  # short private directory; the keeper's socket is in it
    children: dict[str, Pid] = {}

    @property
    def socket(self) -> str:
        """Where the keeper listens."""
        return os.path.join(self.runtime, "keeper.sock")


class Spawned(msgspec.Struct):
    """The keeper's answer to a spawn."""

    pid: Pid
    offset: int  # where this start's output begins in the log


class Restarted(msgspec.Struct):
    """The keeper's answer to a restart."""

    spec: ProcessSpec
    spawned: Spawned


RECORD = "keeper.json"


class Keeper:
    """Commands for the keeper of ``directory``; safe to use from several threads."""

    def __init__(self, directory: Path, record: Record, tie: socket.socket | None = None) -> None:
        self.directory, self._record, self._tie = directory, record, tie

    @property
    def runtime(self) -> Path:
        """A short private directory for sockets; it goes away with the keeper."""
        return Path(self._record.runtime)

    @property
    def pid(self) -> Pid:
        """The keeper's own process."""
        return self._record.keeper

    @classmethod
    def start(cls, directory: Path, *, tie: bool = True, python: str = sys.executable) -> Keeper:
        """Start the keeper of ``directory``; raises AlreadyRunning.

        With ``tie`` it takes everything down as soon as this process ends, in whatever way,
        until ``detach``.
        """
        directory.mkdir(parents=True, exist_ok=True)
        if cls.find(directory) is not None:
            raise AlreadyRunning(f"the network in {directory} is already up", "Use it, or take it down first")
        clean(directory)
        runtime = _runtime_directory()
        keeper = cls(directory, *_launch(directory, runtime, python))
        if not tie:
            keeper.detach()
        return keeper

    @classmethod
    def find(cls, directory: Path) -> Keeper | None:
        """The running keeper of ``directory``, if there is one."""
        record = read_record(directory)
        return cls(directory, record) if record and record.keeper.alive else None

    @classmethod
    def load(cls, directory: Path) -> Keeper:
        """The running keeper of ``directory``; raises NotRunning."""
        keeper = cls.find(directory)
        if keeper is None:
            raise NotRunning(f"no network runs in {directory}", "Start it with `candor network up`")
        return keeper

    def spawn(self, spec: ProcessSpec) -> Status:
        """Start a process and wait until it is ready; raises StartFailed with the end of its log."""
        spawned = self._call("spawn", Spawned, spec=msgspec.to_builtins(spec))
        self._await(spec, spawned)
        return self.status()[spec.name]

    def restart(self, name: str) -> Status:
        """Stop it if it runs, start it as it was started before, and wait until it is ready."""
        again = self._call("restart", Restarted, name=name)
        self._await(again.spec, again.spawned)
        return self.status()[name]

    def stop(self, name: str) -> None:
        """SIGTERM, then SIGKILL; it stays stopped until it is spawned or restarted."""
        self._call("stop", type(None), name=name)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Signal a process, as a fault would: the keeper restarts it if it may."""
        self._call("kill", type(None), name=name, signal=int(number))

    def status(self) -> dict[str, Status]:
        """Every process, in the order of its first start."""
        return {status.name: status for status in self._call("status", list[Status])}

    def detach(self) -> None:
        """Let the keeper and its processes outlive this process."""
        if self._tie is not None:
            self._tie.sendall(b"detach\n")
            self._tie.close()
            self._tie = None

    def down(self) -> None:
        """Stop everything, the keeper too; quiet when it is gone already."""
        if self._record.keeper.alive:
            with contextlib.suppress(NotRunning):
                self._call("down", type(None))
            _until(lambda: not self._record.keeper.alive, 10)
        clean(self.directory)
        if self._tie is not None:
            self._tie.close()
            self._tie = None

    def _await(self, spec: ProcessSpec, spawned: Spawned) -> None:
        """Ask the waits in turn, racing the process's end and the deadline."""
        end = time.monotonic() + spec.deadline
        for wait in spec.ready:
            while not wait.met(spec.log, spawned.offset):
                if not spawned.pid.alive:
                    raise StartFailed(spec.name, "ended while starting", Path(spec.log), tail(spec.log))
                if time.monotonic() > end:
                    reason = f"was not ready within {spec.deadline:g} s ({wait})"
                    raise StartFailed(spec.name, reason, Path(spec.log), tail(spec.log))
                time.sleep(0.03)

    def _call(self, operation: str, answer: Any, **arguments: Any) -> Any:
        """One request over a connection of its own."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(30)
                connection.connect(self._record.socket)
                connection.sendall(msgspec.json.encode({"op": operation, **arguments}) + b"\n")
                line = connection.makefile("rb").readline()
        except OSError as error:
            raise NotRunning(f"the keeper of {self.directory} does not answer ({error})") from error
        if not line:
            raise NotRunning(f"the keeper of {self.directory} ended while it was asked to {operation}")
        reply = msgspec.json.decode(line)
        if "error" in reply:
            raise NetworkError(reply["error"])
        return msgspec.convert(reply["result"], answer)


def _runtime_directory() -> str:
    """A new directory of mode 700 with a short name: paths of sockets end at 108 bytes."""
    parent = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="candor-", dir=parent if len(parent) <= 50 else "/tmp")  # noqa: S108


def _launch(directory: Path, runtime: str, python: str) -> tuple[Record, socket.socket]:
    """Start the keeper process; its record, and the connection whose end means our end."""
    ours, theirs = socket.socketpair()
    log = directory / "keeper.log"
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        process = subprocess.Popen(
            [python, "-m", "network.keeper", str(directory), runtime, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is for the command; the tie tells the keeper
            env={**os.environ, "PYTHONPATH": _importable()},
        )
    theirs.close()
    if not _until(lambda: _is_keeper(directory, process.pid), 15, lambda: process.poll() is not None):
        process.kill()
        shutil.rmtree(runtime, ignore_errors=True)
        raise StartFailed("keeper", "did not start", log, tail(log))
    record = read_record(directory)
    assert record is not None
    return record, ours


def _importable() -> str:
    """A PYTHONPATH with which the keeper imports this very package, installed or not."""
    root = str(Path(__file__).resolve().parent.parent)
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))


def python_environment() -> dict[str, str]:
    """For a process of ours: it imports whatever this one can, and what lies in the working directory, which an
    installed command does not look in; its output is not held back in a buffer."""
    here = str(Path.cwd())
    path = dict.fromkeys([*(entry or here for entry in sys.path), here])
    return {"PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def _is_keeper(directory: Path, pid: int) -> bool:
    record = read_record(directory)
    return record is not None and record.keeper.number == pid


def _until(met: Callable[[], bool], seconds: float, hopeless: Callable[[], bool] = lambda: False) -> bool:
    """Ask until ``met``; False when time is over, or as soon as it is hopeless."""
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end or hopeless():
            return False
        time.sleep(0.02)
    return True


def read_record(directory: Path) -> Record | None:
    """What the last keeper of ``directory`` wrote, unless it went down in order."""
    try:
        return msgspec.json.decode((directory / RECORD).read_bytes(), type=Record)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        remedy = "End what still runs, and remove the file"
        raise NotRunning(f"{directory / RECORD} is damaged: {error}", remedy) from error


def clean(directory: Path) -> None:
    """Remove what a keeper that was killed left behind; nothing while one runs."""
    record = read_record(directory)
    if record is None or record.keeper.alive:
        return
    for child in record.children.values():  # normally dead with their keeper: see keeper.py
        child.kill_group()
    shutil.rmtree(record.runtime, ignore_errors=True)
    (directory / RECORD).unlink(missing_ok=True)


def tail(log: str | Path, lines: int = 15) -> list[str]:
    """The last lines of a log file."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 16384))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []
