"""Blocks as the audit reads them, whichever ledger they come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from chaincode.shim.memory import RangeRead, ReadWriteSet, Version, WorldState
from fl_client.audit.findings import Class, Finding

VALID = "VALID"


@dataclass(frozen=True)
class Transaction:
    """One ordered transaction. `rwsets` are by namespace; `code` is the recorded validation flag.

    `fault` is the flag that the block layer alone leads to ("" if it finds nothing wrong): forged,
    replayed or unendorsed transactions have one, whatever their recorded flag.
    """

    block: int
    index: int
    tx_id: str
    code: str
    channel: str = ""
    chaincode: str = ""
    creator: bytes = b""
    args: tuple[bytes, ...] = ()
    timestamp: int = 0
    rwsets: Mapping[str, ReadWriteSet] = field(default_factory=dict)
    status: int = 200
    message: str = ""
    payload: bytes = b""
    event: tuple[str, bytes] | None = None
    endorsers: tuple[str, ...] = ()
    fault: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def name(self) -> str:
        """The transaction's name on the wire."""
        return self.args[0].decode(errors="replace") if self.args else ""

    @property
    def version(self) -> Version:
        """The version of what it writes."""
        return self.block, self.index

    def finding(self, kind: Class, what: str, expected: str = "", found: str = "") -> Finding:
        """A finding about this transaction."""
        return Finding(kind, what, self.block, self.tx_id, expected, found)


@dataclass(frozen=True)
class Block:
    """One block, its own faults and what is to be known about it."""

    number: int
    hash: str
    transactions: Sequence[Transaction]
    findings: Sequence[Finding] = ()
    notes: Sequence[str] = ()


class Blocks(ABC):
    """Reads one ledger's blocks in their order, and checks what can be checked of them alone.

    A reader never raises for what it is given: what cannot be read is a finding.
    """

    kind: str
    checks: Sequence[str]  # what it verifies, in plain words

    @abstractmethod
    def read(self, raw: bytes) -> Block:
        """The next block."""

    def recorded(self, rwset: ReadWriteSet) -> ReadWriteSet:
        """A read/write set of ours in the form in which this ledger records it."""
        return rwset

    def recorded_range(self, read: RangeRead) -> RangeRead:
        """The same for one range."""
        return read


def verdict(blocks: Blocks, state: WorldState, rwset: ReadWriteSet, fresh: Container[str] = ()) -> str:
    """Fabric's commit check of a recorded read/write set against the state as replayed.

    `fresh`: the keys that the block's own transactions have written before; whoever claims to have read one
    of those, in whatever version, conflicts.
    """
    for key, version in rwset.reads:
        entry = state.get(key)
        if (entry.version if entry else None) != version or key in fresh:
            return "MVCC_READ_CONFLICT"
    for read in rwset.ranges:
        if any(key in fresh for key, _ in read.results):
            return "PHANTOM_READ_CONFLICT"
        if blocks.recorded_range(_seen_again(state, read)) != read:
            return "PHANTOM_READ_CONFLICT"
    return VALID


def _seen_again(state: WorldState, read: RangeRead) -> RangeRead:
    found = [(key, entry.version) for key, entry in state.items(read.start, read.end)]
    last = state.get(read.end)
    if not read.exhausted and last:
        found.append((read.end, last.version))
    return RangeRead(read.start, read.end, read.exhausted, tuple(found))
