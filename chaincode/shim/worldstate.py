"""A world state in memory, and Fabric's check of a transaction against it.

Keys are ordered by their UTF-8 bytes, as in Fabric's LevelDB. Python orders text by code point, which is
the same order, so plain comparison does.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from chaincode.shim.stub import Modification

Version = tuple[int, int]  # block and transaction that wrote a value
Writes = Iterable[tuple[str, bytes | None]]  # None deletes
Verdict = Literal["VALID", "MVCC_READ_CONFLICT", "PHANTOM_READ_CONFLICT"]


class Versioned(NamedTuple):
    """A value and the transaction that wrote it."""

    value: bytes
    version: Version


class RangeRead(msgspec.Struct, frozen=True):
    """What a transaction saw of a range. Not exhausted: up to ``end``, that key included."""

    start: str
    end: str
    exhausted: bool
    results: tuple[tuple[str, Version], ...]


class ReadWriteSet(msgspec.Struct, frozen=True):
    """What a transaction read, with versions, and what it would write; sorted, so that equal means equal."""

    reads: tuple[tuple[str, Version | None], ...] = ()
    ranges: tuple[RangeRead, ...] = ()
    writes: tuple[tuple[str, bytes | None], ...] = ()

    def to_bytes(self) -> bytes:
        """A canonical encoding: honest endorsers of one transaction produce the same bytes."""
        return msgspec.msgpack.encode(self)


class WorldState:
    """The committed keys of one chaincode on one channel."""

    def __init__(self) -> None:
        self._entries: dict[str, Versioned] = {}
        self._keys: list[str] = []
        self._history: dict[str, list[Modification]] = {}
        self._block, self._in_block = -1, set[str]()  # the last block and the keys written in it
        self._shared = False  # entries and keys are also a snapshot's: copy before the next write

    def get(self, key: str) -> Versioned | None:
        """The committed value and its version."""
        return self._entries.get(key)

    def items(self, start: str = "", end: str = "") -> Iterator[tuple[str, Versioned]]:
        """Keys in [start, end), in order; an empty end is open. Not to be held across ``apply``."""
        last = bisect_left(self._keys, end) if end else len(self._keys)
        for index in range(bisect_left(self._keys, start), last):
            key = self._keys[index]
            yield key, self._entries[key]

    def history(self, key: str) -> Sequence[Modification]:
        """Every value the key has had, newest first."""
        return tuple(reversed(self._history.get(key, ())))

    def snapshot(self) -> WorldState:
        """This state as it is now, untouched by later writes; costs nothing until one comes."""
        copy = WorldState()
        copy._entries, copy._keys, copy._history = self._entries, self._keys, self._history
        copy._block, copy._in_block = self._block, self._in_block
        copy._shared = self._shared = True
        return copy

    def apply(self, writes: Writes, version: Version, tx_id: str = "", timestamp: int = 0) -> None:
        """Commit a valid transaction's writes; as in Fabric, an empty value deletes."""
        if self._shared:
            self._entries, self._keys, self._shared = dict(self._entries), list(self._keys), False
            self._in_block = set(self._in_block)
        if version[0] != self._block:
            self._block, self._in_block = version[0], set()
        for key, value in writes:
            self._in_block.add(key)
            self._history.setdefault(key, []).append(Modification(tx_id, value or None, timestamp))
            if value:
                self._set(key, Versioned(value, version))
            else:
                self._remove(key)

    def written_in(self, block: int) -> Collection[str]:
        """The keys that transactions of this block, the last or the next, have written so far."""
        return self._in_block if block == self._block else ()

    def digest(self) -> str:
        """Hex SHA-256 over all keys and values in order, each with its length in front (8 bytes)."""
        hasher = hashlib.sha256()
        for key, entry in self.items():
            for part in (key.encode(), entry.value):
                hasher.update(len(part).to_bytes(8, "big") + part)
        return hasher.hexdigest()

    def _set(self, key: str, entry: Versioned) -> None:
        if key not in self._entries:
            insort(self._keys, key)
        self._entries[key] = entry

    def _remove(self, key: str) -> None:
        if self._entries.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]


def validate(state: WorldState, rwset: ReadWriteSet, block: int = -1) -> Verdict:
    """Fabric's commit check: every read has the version it had, every range the same keys and versions.

    With the number of the ``block`` that the transaction is in, a key read conflicts with any write before
    it in the same block: a peer takes the deletion of a key that was not there for a change, too.
    """
    written = state.written_in(block)
    for key, version in rwset.reads:
        if key in written or version_of(state.get(key)) != version:
            return "MVCC_READ_CONFLICT"
    if any(_seen_again(state, read) != read.results for read in rwset.ranges):
        return "PHANTOM_READ_CONFLICT"
    return "VALID"


def version_of(entry: Versioned | None) -> Version | None:
    """A read's version; None for a key that is not there."""
    return entry.version if entry else None


def _seen_again(state: WorldState, read: RangeRead) -> tuple[tuple[str, Version], ...]:
    found = [(key, entry.version) for key, entry in state.items(read.start, read.end)]
    last = state.get(read.end)
    if not read.exhausted and last:
        found.append((read.end, last.version))
    return tuple(found)
