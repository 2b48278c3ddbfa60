"""Tracebacks that quote no value."""

from __future__ import annotations

import traceback


def where(error: BaseException) -> str:
    """The types and places of an exception and its causes, without messages: those may quote a payload."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        parts.append(_one(current))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\ncaused by ".join(parts)


def _one(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-20:]  # a recursion's thousand frames help nobody
    places = "".join(f"\n  {frame.filename}:{frame.lineno} in {frame.name}: {frame.line}" for frame in frames)
    return f"{type(error).__name__}{places}"
