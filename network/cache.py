"""The cache outside the repository: built programs, and Go's own when there is none on PATH."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_directory() -> Path:
    """$CANDOR_CACHE, or ``candor`` in the user's cache directory."""
    chosen = os.environ.get("CANDOR_CACHE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "candor"


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of ``target``: whoever comes second waits and finds the work done."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{target}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
