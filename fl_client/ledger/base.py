"""What a client needs of a ledger, whichever it is: Fabric or the one in process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from chaincode.encoding import canonical


class Receipt(NamedTuple):
    """A transaction that is in ``block``, valid; ``payload`` is what the contract returned."""

    tx_id: str
    block: int
    payload: bytes


class Event(NamedTuple):
    """A contract's event, from a valid transaction of ``block``."""

    block: int
    tx_id: str
    name: str
    payload: bytes


class Ledger(ABC):
    """One channel and chaincode, seen by one identity. Use as an async context manager.

    Arguments of transactions travel as :func:`encode_argument` says.
    Every error is one of :mod:`fl_client.errors`.
    """

    msp_id: str
    member_id: str  # f"{msp_id}:{hex SHA-256 of the certificate's public key}"
    channel: str
    chaincode: str
    organisations: Sequence[str]  # MSP ids of the channel's endorsing organisations

    @abstractmethod
    async def submit(
        self, transaction: str, *args: Any, transient: Mapping[str, bytes] | None = None
    ) -> Receipt:
        """Have the transaction endorsed by more than half of the organisations, and committed.

        Raises: Refused, Disagreement, Unavailable (nothing was ordered); ReadConflict,
        CommitRejected (ordered and invalid); CommitTimeout (unknown).
        """

    @abstractmethod
    async def evaluate(self, transaction: str, *args: Any) -> bytes:
        """The answer of one peer, the own organisation's first; nothing is written.

        Raises: Refused, Unavailable.
        """

    @abstractmethod
    async def agree(self, transaction: str, *args: Any) -> bytes:
        """The answer which peers of more than half of the organisations give, byte for byte.

        Raises: Refused, Disagreement, Unavailable.
        """

    @abstractmethod
    async def changed(self, timeout: float) -> bool:  # noqa: ASYNC109
        """Wait up to ``timeout`` seconds; True when a block came since the last call returned."""

    @abstractmethod
    def events(self, start: int | None = None) -> AsyncIterator[Event]:
        """The events of valid transactions, for ever, from block ``start`` (None: the next) on."""

    @abstractmethod
    async def height(self) -> int:
        """How many blocks there are; the newest has the number ``height() - 1``."""

    @abstractmethod
    async def block(self, number: int) -> bytes:
        """A whole block as this ledger stores it, for audits and for those who search it.

        Raises: NotStored when there is no such block yet, Unavailable.
        """

    async def blocks(self, start: int = 0) -> AsyncIterator[bytes]:
        """Every block from ``start`` to the newest of now."""
        for number in range(start, await self.height()):
            yield await self.block(number)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:  # noqa: B027  # not every ledger has something to close
        """Give back connections and tasks; calling it twice is harmless."""


def encode_argument(value: Any) -> bytes:
    """One argument on the wire: text as UTF-8, bytes raw, everything else as canonical JSON."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return canonical(value)


def majority(organisations: int) -> int:
    """More than half of so many organisations."""
    return organisations // 2 + 1
