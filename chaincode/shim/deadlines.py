"""One time limit for all calls, without a timer for each.

Calls have the same limit, so they run into it in the order in which they began: one timer, for the oldest
that still goes on, is enough. A timer of its own is a tenth of what a short call costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Deadlines:
    """Time limits of ``seconds`` each, in one event loop at a time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None  # the one in which the timer is set
        self._running: dict[asyncio.Timeout, float] = {}  # oldest first, with the loop's time of their end

    @contextmanager
    def limit(self) -> Iterator[asyncio.Timeout]:
        """A time-out to enter inside this block; it begins now."""
        loop = asyncio.get_running_loop()
        timeout = asyncio.timeout(None)
        self._running[timeout] = loop.time() + self.seconds
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(self.seconds, self._look, loop)
        try:
            yield timeout
        finally:
            del self._running[timeout]

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what is over its time, and look again when the next one will be."""
        now = loop.time()
        for timeout, end in self._running.items():
            if end > now:
                loop.call_at(end, self._look, loop)
                return
            if not timeout.expired():  # a call may take its time to end
                timeout.reschedule(now)
        self._loop = None
