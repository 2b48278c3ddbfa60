"""Progress on standard error: a line a step; a spinner on a terminal while one takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_EVERY = 5.0  # seconds between passing lines when there is no terminal


class Progress(Protocol):
    """Told what happens; ``passing`` marks a line that the next one may replace."""

    def __call__(self, text: str, /, *, passing: bool = False) -> None:
        """Show ``text``."""


def silent(text: str, /, *, passing: bool = False) -> None:
    """Show nothing."""


class Console:
    """Progress for a person, each line with the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._last = 0.0
        self._status: object | None = None

    def __call__(self, text: str, /, *, passing: bool = False) -> None:
        """Print a line; a passing one becomes the spinner's text, or comes every five seconds."""
        now = time.monotonic() - self._began
        if passing and sys.stderr.isatty():
            self._spin(text)
        elif not passing or now - self._last >= _EVERY:
            self._last = now
            self.close()
            print(f"{now:7.1f} s  {text}", file=sys.stderr, flush=True)

    def _spin(self, text: str) -> None:
        from rich.console import Console as RichConsole
        from rich.status import Status

        if isinstance(self._status, Status):
            self._status.update(text)
        else:
            self._status = status = Status(text, console=RichConsole(stderr=True))
            status.start()

    def close(self) -> None:
        """Take the spinner away."""
        if self._status is not None:
            self._status.stop()  # type: ignore[attr-defined]
            self._status = None


@contextmanager
def console() -> Iterator[Console]:
    """A Console whose spinner is gone afterwards, whatever happens."""
    shown = Console()
    try:
        yield shown
    finally:
        shown.close()
