"""Content addressed storage of reports, updates and models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from chaincode import cid as cids
from fl_client.errors import Corrupt, TooLarge


class Store(ABC):
    """Bytes by CID. Use as an async context manager. Every call has a time-out."""

    @abstractmethod
    async def put(self, data: bytes) -> str:
        """Keep ``data`` in the own organisation and announce it to the others; returns its CID.

        Raises: Unavailable.
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give back connections; calling it twice is harmless."""


def checked(cid: str, data: bytes, limit: int) -> bytes:
    """``data``, if it is short enough and ``cid`` is its name."""
    if len(data) > limit:
        raise TooLarge(f"{cid} has more than {limit} bytes")
    if cids.file_cid(data) != cid:
        raise Corrupt(f"the bytes served for {cid} do not hash to it", "Ask another organisation's store")
    return data
