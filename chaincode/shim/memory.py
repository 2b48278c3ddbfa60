"""Transactions in process, with Fabric's read-set and write-set semantics: for tests and embedded ledgers.

Beside Fabric: every collection is held, private values lie in the state as they are, a key's validation
parameter is kept but not enforced, there is no CouchDB, and of other chaincodes only those one names.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from chaincode.shim.dispatch import Chaincode
from chaincode.shim.errors import PeerError
from chaincode.shim.identity import Identity
from chaincode.shim.keys import LAST, check_key, check_range, check_value
from chaincode.shim.stub import Modification, Page, Response, Stub
from chaincode.shim.worldstate import (
    RangeRead,
    ReadWriteSet,
    Verdict,
    Version,
    Versioned,
    WorldState,
    validate,
    version_of,
)

__all__ = [
    "Endorsement",
    "MemoryStub",
    "Other",
    "RangeRead",
    "ReadWriteSet",
    "Verdict",
    "Version",
    "Versioned",
    "WorldState",
    "endorse",
    "validate",
]

BATCH = 100  # the peer reads a range so many results at a time, and one more to know whether there is more


class Other(NamedTuple):
    """A chaincode that others may call, with its committed keys."""

    chaincode: Chaincode
    state: WorldState


class Endorsement(msgspec.Struct, frozen=True):
    """What an endorser would sign. A refused or failed call carries no writes and no event.

    ``called`` has the read/write set of every other chaincode of the channel that the call has called.
    """

    status: int
    message: str
    payload: bytes
    read_write_set: ReadWriteSet
    event: tuple[str, bytes] | None
    called: tuple[tuple[str, ReadWriteSet], ...] = ()

    def to_bytes(self) -> bytes:
        """A canonical encoding: equal on honest endorsers."""
        return msgspec.msgpack.encode(self)


class MemoryStub(Stub):
    """One transaction on a snapshot of ``state``, which it never changes: take ``read_write_set()``.

    ``others`` are the chaincodes it may call, by name, or by "NAME/CHANNEL" on another channel.
    """

    def __init__(
        self,
        state: WorldState,
        *,
        channel: str,
        tx_id: str,
        chaincode: str,
        args: Sequence[bytes],
        transient: Mapping[str, bytes],
        creator: Identity,
        timestamp: int = 0,
        others: Mapping[str, Other] | None = None,
    ) -> None:
        self.channel, self.tx_id, self.chaincode = channel, tx_id, chaincode
        self.args, self.transient = tuple(args), dict(transient)
        self.creator, self.timestamp = creator, timestamp
        self.event: tuple[str, bytes] | None = None
        self._state = state.snapshot()
        self._reads: dict[str, Version | None] = {}
        self._ranges: list[_Scan] = []
        self._writes: dict[str, bytes | None] = {}
        self._must_not_write = False
        self._others = dict(others or {})
        self._called: dict[str, MemoryStub] = {}

    def called(self) -> tuple[tuple[str, ReadWriteSet], ...]:
        """The read/write sets of the other chaincodes of this channel, by name."""
        own = {name: stub for name, stub in self._called.items() if "/" not in name}
        return tuple((name, own[name].read_write_set()) for name in sorted(own))

    def read_write_set(self) -> ReadWriteSet:
        """What this transaction has read and would write, so far."""
        ranges = [scan.seen() for scan in self._ranges]
        once = {(seen.start, seen.end, seen.exhausted): seen for seen in ranges}  # as a peer records them
        return ReadWriteSet(
            reads=tuple(sorted(self._reads.items(), key=lambda read: read[0])),
            ranges=tuple(once.values()),
            writes=tuple(sorted(self._writes.items(), key=lambda write: write[0])),
        )

    async def get(self, key: str) -> bytes | None:
        check_key(key)
        return self._read(key)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return [await self.get(key) for key in keys]

    async def put(self, key: str, value: bytes) -> None:
        check_key(key)
        check_value(value)
        self._write(key, bytes(value))

    async def delete(self, key: str) -> None:
        check_key(key)
        self._write(key, None)

    async def range(self, start: str, end: str) -> AsyncIterator[tuple[str, bytes]]:
        for item in self._scan(*check_range(start, end)):
            yield item

    async def _composites(self, start: str) -> AsyncIterator[tuple[str, bytes]]:
        for item in self._scan(start, start + LAST):
            yield item

    async def page(self, start: str, end: str, size: int, bookmark: str = "") -> Page:
        if size < 1:
            raise ValueError("a page has at least one key")
        self._begin_reading_only("a paginated query")
        first, last = check_range(bookmark or start, end)
        items: list[tuple[str, bytes]] = []
        for key, entry in self._state.items(first, last):
            if len(items) == size:
                return Page(items, key)
            items.append((key, entry.value))
        return Page(items, "")

    async def rich_query(self, query: str) -> AsyncIterator[tuple[str, bytes]]:
        raise PeerError("rich queries need CouchDB, which the in-process stub has not")
        yield  # what makes this an iterator

    async def history(self, key: str) -> AsyncIterator[Modification]:
        check_key(key)
        for modification in self._state.history(key):
            yield modification

    def set_event(self, name: str, payload: bytes) -> None:
        if not name:
            raise ValueError("an event needs a name")
        self.event = (name, bytes(payload))

    async def get_private(self, collection: str, key: str) -> bytes | None:
        check_key(key)
        return self._read(_private(collection, key))

    async def private_hash(self, collection: str, key: str) -> bytes | None:
        value = await self.get_private(collection, key)
        return hashlib.sha256(value).digest() if value else None

    async def put_private(self, collection: str, key: str, value: bytes) -> None:
        check_key(key)
        check_value(value)
        self._write(_private(collection, key), bytes(value))

    async def delete_private(self, collection: str, key: str) -> None:
        check_key(key)
        self._write(_private(collection, key), None)

    async def purge_private(self, collection: str, key: str) -> None:
        await self.delete_private(collection, key)

    async def range_private(self, collection: str, start: str, end: str) -> AsyncIterator[tuple[str, bytes]]:
        self._begin_reading_only("a range of private data")
        first, last = check_range(start, end)
        own = _private(collection, "")
        for key, entry in self._state.items(own + first, own + (last or LAST)):
            yield key.removeprefix(own), entry.value

    async def validation_parameter(self, key: str) -> bytes | None:
        check_key(key)
        return self._read(_parameter(key))

    async def set_validation_parameter(self, key: str, policy: bytes) -> None:
        check_key(key)
        self._write(_parameter(key), bytes(policy))

    async def invoke_chaincode(self, name: str, args: Sequence[bytes], channel: str = "") -> Response:
        target = f"{name}/{channel}" if channel not in ("", self.channel) else name
        if target not in self._others:
            raise PeerError(f"there is no chaincode {target} that could be called")
        stub = self._called[target] = self._callee(target, args, channel or self.channel)
        before = dict(stub._writes)
        response = await self._others[target].chaincode.invoke(stub)
        if not response.ok:
            stub._writes = before
        return response

    async def flush(self) -> None:
        """Nothing to do: whoever endorses takes the writes."""

    def _callee(self, target: str, args: Sequence[bytes], channel: str) -> MemoryStub:
        """The same transaction for another chaincode, whose calls share a read/write set."""
        if target in self._called:
            stub = copy.copy(self._called[target])
        else:
            stub = copy.copy(self)
            stub._state = self._others[target].state.snapshot()
            stub._reads, stub._ranges, stub._writes = {}, [], {}
            # Nobody is called while a call of it is going on; a call into another channel calls nobody.
            own = self._others.items() if channel == self.channel else ()
            stub._others = {name: other for name, other in own if name != target}
            stub._must_not_write = False
        stub.channel, stub.args, stub.event = channel, tuple(args), None
        return stub

    def _read(self, key: str) -> bytes | None:
        entry = self._state.get(key)
        self._reads[key] = version_of(entry)
        return entry.value if entry else None

    def _write(self, key: str, value: bytes | None) -> None:
        if self._must_not_write:
            raise PeerError("the transaction has made a query after which the peer takes no writes")
        self._writes[key] = value

    def _scan(self, start: str, end: str) -> _Scan:
        scan = _Scan(self._state, start, end)
        self._ranges.append(scan)
        return scan

    def _begin_reading_only(self, what: str) -> None:
        if self._writes:
            raise PeerError(f"the peer does not allow {what} after a write")
        self._must_not_write = True


class _Scan:
    """A range query in the peer's batches: reading one result counts its whole batch as read."""

    def __init__(self, state: WorldState, start: str, end: str) -> None:
        self._start, self._end, self._exhausted = start, end, False
        self._source = state.items(start, end)
        self._seen: list[tuple[str, Versioned]] = []
        self._given = 0
        self._fetch()

    def __iter__(self) -> _Scan:
        return self

    def __next__(self) -> tuple[str, bytes]:
        # The one result beyond the batch is handed out with the next.
        if self._given == len(self._seen) - 1 and not self._exhausted:
            self._fetch()
        if self._given == len(self._seen):
            raise StopIteration
        key, entry = self._seen[self._given]
        self._given += 1
        return key, entry.value

    def seen(self) -> RangeRead:
        """What goes into the read set."""
        end = self._end if self._exhausted else self._seen[-1][0]
        results = tuple((key, entry.version) for key, entry in self._seen)
        return RangeRead(self._start, end, self._exhausted, results)

    def _fetch(self) -> None:
        for _ in range(BATCH if self._seen else BATCH + 1):
            item = next(self._source, None)
            if item is None:
                self._exhausted = True
                return
            self._seen.append(item)


async def endorse(chaincode: Chaincode, stub: MemoryStub) -> Endorsement:
    """Run the stub's call as an endorsing peer does: what is refused reads and writes nothing."""
    response = await chaincode.invoke(stub)
    if not response.ok:
        return Endorsement(response.status, response.message, response.payload, ReadWriteSet(), None)
    made = stub.read_write_set(), stub.event, stub.called()
    return Endorsement(response.status, response.message, response.payload, *made)


# Keys that start with two NULs are neither simple nor composite: no contract can reach them.
def _private(collection: str, key: str) -> str:
    if not collection or "\0" in collection:
        raise PeerError("a collection's name must not be empty or contain NUL")
    return f"\0\0private\0{collection}\0{key}"


def _parameter(key: str) -> str:
    return f"\0\0parameter\0{key}"
