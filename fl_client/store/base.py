"""Content addressed storage of reports, updates and models."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from chaincode import cid as cids
from fl_client.errors import BadInput, Corrupt, TooLarge


class Store(ABC):
    """Bytes by CID. Use as an async context manager. Every call has a time-out."""

    @abstractmethod
    async def put(self, data: bytes) -> str:
        """Keep ``data`` in the own organisation and announce it to the others; returns its CID.

        Raises: Unavailable, BadInput (unusable credentials).
        """

    @abstractmethod
    async def get(self, cid: str, *, limit: int) -> bytes:
        """The bytes behind ``cid``, at most ``limit`` of them, checked against it.

        Raises: NotStored (nobody has it, or not in time), TooLarge, Corrupt, BadInput, Unavailable.
        """

    @abstractmethod
    async def pin(self, cid: str) -> None:
        """Keep content that another organisation put there.

        Raises: NotStored, BadInput, Unavailable.
        """

    async def keep(self, data: bytes) -> str:
        """Keep ``data`` in the own organisation alone; the others have it when they ask for it. Else as ``put``."""
        return await self.put(data)

    async def bring(self, cid: str, *, limit: int) -> None:
        """Have all of another organisation's content in the own one, at most ``limit`` bytes, and keep none here.

        Raises: as ``get``.
        """
        await self.get(cid, limit=limit)
        await self.pin(cid)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:  # noqa: B027  # not every store has something to close
        """Give back connections; calling it twice is harmless."""


def canonical(cid: str) -> str:
    """``cid``, if it is one we use: it may become part of a path or an address.

    Raises: BadInput.
    """
    try:
        cids.parse(cid)
    except ValueError as error:
        raise BadInput(f"not a CID: {error}") from error
    return cid


async def name(data: bytes) -> str:
    """The CID of ``data``, hashed beside the event loop."""
    return await asyncio.to_thread(cids.file_cid, data)


async def checked(cid: str, data: bytes, limit: int) -> bytes:
    """``data``, if it is at most ``limit`` bytes and ``cid`` is its name.

    Raises: TooLarge, Corrupt.
    """
    if len(data) > limit:
        raise too_large(cid, limit)
    if await name(data) != cid:
        raise corrupt(cid)
    return data


def corrupt(cid: str) -> Corrupt:
    return Corrupt(f"the bytes served for {cid} do not hash to it", "Ask another organisation's store")


def too_large(cid: str, limit: int) -> TooLarge:
    return TooLarge(f"the content {cid} has more than the {limit} bytes allowed")
