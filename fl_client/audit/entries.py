"""An evidence file's entries, from the zip or from a directory it was unpacked into."""

from __future__ import annotations

import lzma
import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path

from fl_client.audit.evidence import LIMIT
from fl_client.errors import BadInput

MAKE_ONE = "Make one: candor export"
_RATIO, _FREE = 64, 2**28  # of what a zip may unpack to: so many times its size, beyond the first 256 MiB
_UNREADABLE = (
    *(KeyError, OSError, RuntimeError, NotImplementedError, ValueError, EOFError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)


class Entries(ABC):
    """Named pieces of bytes. Nothing is ever written anywhere by the names."""

    names: Counter[str]  # how often each comes

    @abstractmethod
    def read(self, name: str, limit: int = LIMIT) -> bytes | None:
        """An entry's bytes; None when there is none, or it cannot be read, or is larger."""


def as_text(path: Path) -> str:
    """A file's name as text, whatever bytes the file system has for it."""
    return os.fsencode(path.as_posix()).decode(errors="replace")


class ZipEntries(Entries):
    """A zip. Raises: BadInput when it is none, or would unpack to much more than it is."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
            size = path.stat().st_size
        except OSError as fault:
            raise BadInput(f"cannot read {path}: {fault.strerror}", MAKE_ONE) from fault
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as fault:
            raise BadInput(f"{path} is not an evidence file of candor export: {fault}", MAKE_ONE) from fault
        claimed = sum(each.file_size for each in self._zip.infolist())
        if claimed > _FREE + _RATIO * size:
            what = f"{path} has {size} bytes and claims to hold {claimed}"
            raise BadInput(what, "No evidence is packed so densely: do not trust where it comes from")
        self.names = Counter(self._zip.namelist())

    def read(self, name: str, limit: int = LIMIT) -> bytes | None:
        try:
            with self._zip.open(name) as file:
                data = file.read(limit + 1)
        except _UNREADABLE:
            return None
        return data if len(data) <= limit else None


class DirectoryEntries(Entries):
    """A directory and all below it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        files = (each for each in sorted(path.rglob("*")) if each.is_file())
        # a name that is no text is told with marks in it, and no file is read by it
        self.names = Counter(as_text(each.relative_to(path)) for each in files)

    def read(self, name: str, limit: int = LIMIT) -> bytes | None:
        try:
            if name not in self.names or (self._path / name).stat().st_size > limit:
                return None
            return (self._path / name).read_bytes()
        except OSError:
            return None
