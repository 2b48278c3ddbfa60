"""A store in a directory: one file a content, named by its CID. For tests, simulation and one host."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fl_client import durable
from fl_client.errors import NotStored, Unavailable

from .base import Store, canonical, checked, name, too_large


class DirectoryStore(Store):
    """Content in ``path``, which several organisations of one host may share; made when missing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def put(self, data: bytes) -> str:
        cid = await name(data)
        with self._disk_errors():
            await asyncio.to_thread(_keep, self._path / cid, data)
        return cid

    async def get(self, cid: str, *, limit: int) -> bytes:
        file = self._path / canonical(cid)
        with self._disk_errors(cid):
            if file.stat().st_size > limit:
                raise too_large(cid, limit)
            data = await asyncio.to_thread(file.read_bytes)
        return await checked(cid, data, limit)

    async def pin(self, cid: str) -> None:
        with self._disk_errors(cid):
            (self._path / canonical(cid)).stat()

    async def bring(self, cid: str, *, limit: int) -> None:
        with self._disk_errors(cid):
            if (self._path / canonical(cid)).stat().st_size > limit:
                raise too_large(cid, limit)

    @contextmanager
    def _disk_errors(self, cid: str = "") -> Iterator[None]:
        """The operating system's errors as ours."""
        try:
            yield
        except FileNotFoundError as error:
            raise NotStored(f"{self._path} does not hold {cid}") from error
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            remedy = "Free some space there" if full else "Check the directory and who may write to it"
            raise Unavailable(f"the store {self._path} failed: {error.strerror}", remedy) from error


def _keep(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        durable.write(file, data)
