"""One child process of the keeper: started, watched, restarted, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from network.proc import Pid, die_with
from network.processes import ProcessSpec, Spawned, Status

log = logging.getLogger("keeper")

_INHERITED = ("PATH", "HOME", "TMPDIR")
_STEADY = 30.0  # seconds a process must run for its back-off to start over
_LONGEST = 5.0  # seconds, the longest back-off


class Child:
    """A process by its spec; ``changed`` is called whenever its pid changed."""

    def __init__(self, spec: ProcessSpec, changed: Callable[[], None]) -> None:
        self.spec, self._changed = spec, changed
        self.pid: Pid | None = None
        self.state = "stopped"
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._restarts = self._failures = 0
        self._last_exit: int | None = None
        self._started = 0.0

    def start(self) -> Spawned:
        """Start it; its output goes to the end of its log."""
        spec = self.spec
        for left in spec.unlink:
            Path(left).unlink(missing_ok=True)
        os.makedirs(spec.directory, exist_ok=True)
        os.makedirs(os.path.dirname(spec.log), exist_ok=True)
        with open(spec.log, "ab") as output:
            offset = output.seek(0, os.SEEK_END)
            self._process = _popen(spec, output.fileno())
        self._ended.clear()
        self.state, self._started = "running", time.monotonic()
        self.pid = Pid.of(self._process.pid)
        assert self.pid is not None  # it cannot be gone: only reap() releases its number
        self._changed()
        log.info("%s started, pid %d", spec.name, self.pid.number)
        return Spawned(self.pid, offset)

    def reap(self) -> None:
        """Notice its end; start it again later if it ended by itself and may."""
        if self._process is None or self._process.poll() is None:
            return
        self._last_exit, self._process, pid, self.pid = self._process.returncode, None, self.pid, None
        log.info("%s ended (%s)", self.spec.name, self._last_exit)
        if pid is not None:
            _kill_rest_of_group(pid.number)
        self._ended.set()
        if self.state == "running" and self.spec.restart:
            self.state = "waiting"
            self._timer = asyncio.get_running_loop().call_later(self._pause(), self._again)
        elif self.state == "running":
            self.state = "stopped"
        self._changed()

    def _pause(self) -> float:
        """Seconds until the next start: .2, .4, … 5."""
        steady = time.monotonic() - self._started > _STEADY
        self._failures = 1 if steady else self._failures + 1
        return min(_LONGEST, 0.1 * float(2**self._failures))

    def _again(self) -> None:
        self._restarts += 1
        try:
            self.start()
        except OSError:
            log.exception("%s could not be started again", self.spec.name)
            self._timer = asyncio.get_running_loop().call_later(self._pause(), self._again)

    async def stop(self, grace: float | None = None) -> None:
        """SIGTERM; SIGKILL to its group when it has not ended within the grace."""
        self.state = "stopped"
        if self._timer is not None:
            self._timer.cancel()
        if self._process is None:
            return
        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._ended.wait(), min(self.spec.grace, grace or self.spec.grace))
        except TimeoutError:
            log.info("%s did not end, killing it", self.spec.name)
            if self.pid is not None:
                self.pid.kill_group()
            await asyncio.wait_for(self._ended.wait(), 5)

    def signal(self, number: int) -> None:
        """Signal the process itself (not its group)."""
        if self._process is not None:
            self._process.send_signal(number)  # polls first: never hits a later process

    def status(self) -> Status:
        """What is known of it now."""
        pid = self.pid
        return Status(
            name=self.spec.name,
            state=self.state,
            pid=pid.number if pid else 0,
            restarts=self._restarts,
            last_exit=self._last_exit,
            memory=pid.memory if pid else 0,
            log=self.spec.log,
        )


def _popen(spec: ProcessSpec, output: int) -> subprocess.Popen[bytes]:
    """Fork and execute: own session, nothing inherited but three variables, mask 077."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    keeper = os.getpid()
    return subprocess.Popen(
        spec.argv,
        env={**inherited, **spec.env},
        cwd=spec.directory,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        umask=0o077,
        preexec_fn=lambda: die_with(keeper),  # noqa: PLW1509 - safe: the keeper has one thread
    )


def _kill_rest_of_group(group: int) -> None:
    """End what a dead child had started itself; its group exists only while members live."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
