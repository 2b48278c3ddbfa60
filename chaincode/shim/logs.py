"""How the served chaincode logs: a line a record, as text or as JSON, at little cost.

A line a call is most of what the shim itself costs in a short call, so what no line shows (caller, thread,
process) is not looked up, a second's timestamp is made once, and lines are written some times a second.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Literal, TextIO

import msgspec

Format = Literal["text", "json"]

PAUSE = 0.1  # seconds that a line below WARNING may wait; one from there on takes all before it along


def configure(level: str, form: Format, stream: TextIO) -> None:
    """Log everything from ``level`` on to ``stream``, unless this process logs somewhere already."""
    root = logging.getLogger()
    if root.hasHandlers():
        return
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # the documented way to leave out the search for the caller
    root.setLevel(level.upper())
    root.addHandler(Lines(stream, form))


class Lines(logging.Handler):
    """Writes lines together: at once from WARNING on, otherwise ``PAUSE`` seconds later, and at exit."""

    def __init__(self, stream: TextIO, form: Format) -> None:
        super().__init__()
        self._stream, self._line = stream, _json if form == "json" else _text
        self._lines: list[str] = []
        self._some = threading.Event()
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self._line(record))
        if record.levelno >= logging.WARNING:
            self.flush()
        elif not self._some.is_set():
            self._some.set()

    def flush(self) -> None:
        """Write what is waiting; logging does so at exit."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            self._stream.write("".join(lines))
            self._stream.flush()
        finally:
            self.release()

    def _write(self) -> None:
        while self._some.wait():
            time.sleep(PAUSE)
            self._some.clear()
            self.flush()


class _Clock:
    """Times as text, a second's part of it made once."""

    def __init__(self) -> None:
        self._second, self._text = -1, ""

    def __call__(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._text}.{int(record.msecs):03}Z"


_time = _Clock()


def _text(record: logging.LogRecord) -> str:
    return f"{_time(record)} {record.levelname} {record.getMessage()}{_traceback(record)}\n"


def _json(record: logging.LogRecord) -> str:
    fields: dict[str, Any] = {"time": _time(record), "level": record.levelname.lower()}
    fields |= getattr(record, "fields", None) or {"message": record.getMessage() + _traceback(record)}
    return msgspec.json.encode(fields).decode() + "\n"


def _traceback(record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    return "\n" + logging.Formatter().formatException(record.exc_info)
