"""What a transaction sees of the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chaincode.shim.identity import Identity
from chaincode.shim.keys import composite_key, prefix_range

ERROR_THRESHOLD = 400  # from this status on a peer endorses nothing


@dataclass(frozen=True, slots=True)
class Response:
    """What a call of a chaincode returns; a ``status`` of 400 or more means that nothing is written."""

    status: int
    message: str = ""
    payload: bytes = b""

    @property
    def ok(self) -> bool:
        return self.status < ERROR_THRESHOLD


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a range; ``bookmark`` continues it and is empty after the last one."""

    items: Sequence[tuple[str, bytes]]
    bookmark: str


@dataclass(frozen=True, slots=True)
class Modification:
    """One value a key has had; None where it was deleted."""

    tx_id: str
    value: bytes | None
    timestamp: int  # unix seconds, as the client claimed


class Stub(Protocol):
    """One transaction's view. Reads see committed state only: never this transaction's own writes.

    Keys are non-empty text, values non-empty bytes (400 otherwise); keys are ordered by their UTF-8
    bytes. Calls of one transaction are answered one after the other, also when awaited together.
    """

    channel: str
    tx_id: str
    chaincode: str  # the name in the signed proposal: what the client meant to call
    args: Sequence[bytes]
    transient: Mapping[str, bytes]
    creator: Identity
    timestamp: int  # unix seconds, chosen by the client: proves nothing

    async def get(self, key: str) -> bytes | None:
        """The committed value, or None."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The committed values in the order of ``keys``; one request where the peer can do that."""

    async def put(self, key: str, value: bytes) -> None:
        """Set ``key`` when the transaction commits."""

    async def delete(self, key: str) -> None:
        """Remove ``key`` when the transaction commits."""

    def range(self, start: str, end: str) -> AsyncIterator[tuple[str, bytes]]:
        """Simple keys in [start, end), in order; an empty bound is open. Checked for phantoms at commit."""

    def prefix(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
        """Every simple key that starts with ``prefix``."""
        return self.range(*prefix_range(prefix))

    def composites(self, object_type: str, *attributes: str) -> AsyncIterator[tuple[str, bytes]]:
        """Every composite key that starts with this type and these attributes."""
        return self._composites(composite_key(object_type, *attributes))

    def _composites(self, start: str) -> AsyncIterator[tuple[str, bytes]]: ...

    async def page(self, start: str, end: str, size: int, bookmark: str = "") -> Page:
        """At most ``size`` keys of a range; the transaction may not write, and phantoms go unnoticed."""

    def rich_query(self, query: str) -> AsyncIterator[tuple[str, bytes]]:
        """A CouchDB query, where the peer has CouchDB; not re-executed at commit."""

    def history(self, key: str) -> AsyncIterator[Modification]:
        """The key's values, newest first; not checked at commit."""

    def set_event(self, name: str, payload: bytes) -> None:
        """The transaction's one event; a second call replaces the first."""

    async def get_private(self, collection: str, key: str) -> bytes | None:
        """The value in a private data collection this peer belongs to."""

    async def private_hash(self, collection: str, key: str) -> bytes | None:
        """SHA-256 of the private value; every peer of the channel has it."""

    async def put_private(self, collection: str, key: str, value: bytes) -> None:
        """Set a private value; take it from the transient map, or it is in the block."""

    async def delete_private(self, collection: str, key: str) -> None:
        """Remove a private value."""

    async def purge_private(self, collection: str, key: str) -> None:
        """Remove a private value and its history from the peers."""

    def range_private(self, collection: str, start: str, end: str) -> AsyncIterator[tuple[str, bytes]]:
        """A range of a private collection; the transaction may not write."""

    async def validation_parameter(self, key: str) -> bytes | None:
        """The key's own endorsement policy (serialized SignaturePolicyEnvelope), if it has one."""

    async def set_validation_parameter(self, key: str, policy: bytes) -> None:
        """Give the key an endorsement policy of its own."""

    async def invoke_chaincode(self, name: str, args: Sequence[bytes], channel: str = "") -> Response:
        """Call another chaincode on the same peer; another channel's writes are discarded."""

    async def flush(self) -> None:
        """Send the writes, which are held until then. The shim does it when the transaction has succeeded."""
