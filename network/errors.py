"""The errors of the network, one class a circumstance.

NetworkError
├── BadTopology      the topology file cannot be used
├── MissingProgram   a program was not found and cannot be built
├── BuildFailed      a program's build ended with an error
├── CommandFailed    a program that should do one thing and end, ended with an error
├── StartFailed      a process ended, or did not become ready, while the network came up
├── PortTaken        something else listens where this network must
├── AlreadyRunning   the directory's network is up
└── NotRunning       the directory's network is down, or there is none
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class NetworkError(Exception):
    """What happened, to what, and what to do about it; ``exit_code`` is the command line's."""

    exit_code = 1

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}. {remedy}" if remedy else what)
        self.what, self.remedy = what, remedy


class BadTopology(NetworkError):
    """A field of the topology file is missing, unknown, or has a value that cannot work."""

    exit_code = 2


class MissingProgram(NetworkError):
    """A program the network needs is nowhere, and cannot be built here."""

    exit_code = 8


class BuildFailed(NetworkError):
    """Building a program ended with an error; the message carries the end of its output."""

    exit_code = 8


class CommandFailed(NetworkError):
    """A one-shot program (a join, an install, an approval) ended with an error."""

    exit_code = 9


class StartFailed(NetworkError):
    """A process of the network did not start; ``log`` is its file, ``tail`` the log's last lines."""

    exit_code = 9

    def __init__(self, name: str, reason: str, log: Path, tail: Sequence[str]) -> None:
        lines = "".join(f"\n    {line}" for line in tail) or "\n    (nothing was logged)"
        super().__init__(f"{name} {reason}", f"The end of its log, {log}:{lines}")
        self.name, self.reason, self.log, self.tail = name, reason, log, list(tail)


class PortTaken(NetworkError):
    """A port that is part of the channel's configuration is used by something else."""

    exit_code = 9


class AlreadyRunning(NetworkError):
    """The network in this directory is up."""

    exit_code = 10


class NotRunning(NetworkError):
    """The network in this directory is down, or the directory holds none."""

    exit_code = 10
