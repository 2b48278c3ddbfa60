"""What the embedded ledger keeps of each block."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from chaincode.shim.worldstate import Verdict


class TransactionRecord(msgspec.Struct, frozen=True):
    """One ordered transaction. As in Fabric, its transient values are nowhere in it."""

    tx_id: str  # hex SHA-256 of nonce and creator, as in Fabric
    nonce: bytes
    creator: bytes  # serialised identity
    args: tuple[bytes, ...]
    signature: bytes  # the creator's, over `proposed`
    endorsers: tuple[str, ...]  # the organisations that agreed on what follows
    read_write_set: bytes
    payload: bytes  # what the contract returned
    event: tuple[str, bytes] | None
    code: Verdict


def proposed(channel: str, chaincode: str, tx_id: str, args: Sequence[bytes]) -> bytes:
    """What the creator of a transaction signs."""
    return msgspec.msgpack.encode(["candor/embedded/v1", channel, chaincode, tx_id, *args])


class BlockRecord(msgspec.Struct, frozen=True):
    """A block; ``previous`` is the hex SHA-256 of the one before, empty for block 0."""

    number: int
    previous: str
    transactions: tuple[TransactionRecord, ...]

    def to_bytes(self) -> bytes:
        """Canonical MessagePack: every text and value of the block is in it as it is."""
        return msgspec.msgpack.encode(self)

    def hash(self) -> str:
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @staticmethod
    def from_bytes(raw: bytes) -> BlockRecord:
        """The inverse of :meth:`to_bytes`."""
        return msgspec.msgpack.decode(raw, type=BlockRecord)
