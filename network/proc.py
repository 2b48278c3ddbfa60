"""What /proc says of a process. A pid alone proves nothing: numbers are used again."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

import msgspec

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Pid(msgspec.Struct, frozen=True):
    """A process, named so that it cannot be mistaken for a later one with the same number."""

    number: int
    started: int  # clock ticks since the machine started

    @classmethod
    def of(cls, number: int) -> Pid | None:
        """The process that has this number now."""
        fields = _stat(number)
        return cls(number, int(fields[19])) if fields else None

    @property
    def alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        fields = _stat(self.number)
        return bool(fields) and int(fields[19]) == self.started and fields[0] not in "ZX"

    @property
    def memory(self) -> int:
        """Resident memory in bytes, 0 when it does not run."""
        fields = _stat(self.number)
        return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") if fields and self.alive else 0

    def send(self, number: int) -> None:
        """Send it a signal, if it is still the same process."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.number, number)

    def kill_group(self) -> None:
        """Kill the process group this process leads, if it is still the same process."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.number, signal.SIGKILL)


def die_with(parent: int) -> None:
    """In a child before it executes: have the kernel kill it when the thread that forked it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended between the fork and the line above
        os._exit(1)


def _stat(number: int) -> list[str]:
    """The fields of /proc/N/stat from the third (the state) on; empty when there is no such process."""
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except (OSError, ValueError):
        return []
