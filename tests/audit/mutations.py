"""Every way to tamper with one place of honest evidence, and the class of discrepancy it must be found under.

Records: each field of each record that each transaction writes, one mutation a kind of place. The forger is the
strongest there is: all hashes (and on Fabric all signatures) are made right again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from chaincode.shim.memory import ReadWriteSet
from fl_client.audit import Class
from fl_client.ledger.embedded.records import BlockRecord, TransactionRecord
from tests.audit.forging import Forgery, replace

ANY = frozenset(Class)
_MONEY = {Class.PAYMENT, Class.SLASH, Class.MINT}  # which of them a statement's line is, its kind says
_RECORDS: dict[str, set[Class]] = {
    "consortium": {Class.GOVERNANCE},
    "proposal": {Class.GOVERNANCE},
    "supply": {Class.MINT},
    "allow": {Class.MEMBERSHIP},
    "member": {Class.MEMBERSHIP},
    "key": {Class.MEMBERSHIP},
    "credit": {Class.PAYMENT},
    "entry": _MONEY,
    "escrow": {Class.PAYMENT},
    "job": {Class.JOB},
    "cancelled": {Class.JOB},
    "slot": {Class.COMMIT},
    "lock": {Class.SLASH, Class.PARTICIPANT},
    "reveal": {Class.REPORT},
    "missing": {Class.REPORT},
    "ballot": {Class.AGGREGATE},
    "answer": {Class.AGGREGATE},
    "opened": {Class.AGGREGATE},
    "view": {Class.AGGREGATE},
    "witness": {Class.AGGREGATE},
    "partial": {Class.AGGREGATE},
    "outcome": {Class.SCORE},
    "round": {Class.PHASE},
}
_FIELDS: dict[tuple[str, str], set[Class]] = {
    ("outcome", "payment"): {Class.PAYMENT},
    ("outcome", "sharing"): {Class.PAYMENT},
    ("outcome", "slashed"): {Class.SLASH},
    ("lock", "digest"): {Class.COMMIT},
    **{
        ("round", field): {Class.DRAW}
        for field in (
            *("batch_round", "pairing_round", "pairing_randomness"),
            *("sampling_round", "sampling_randomness"),
        )
    },
    **{
        ("round", field): {Class.AGGREGATE}
        for field in (
            *("model", "attempt", "committee", "valid", "voted", "result", "post", "challenger"),
            *("forfeited", "passed_over", "aggregation_outcome", "view", "next_view"),
        )
    },
    ("round", "set_aside"): {Class.PARTICIPANT},
}
_WHOLE: dict[str, set[Class]] = {"outcome": {Class.PARTICIPANT}, "lock": {Class.PARTICIPANT, Class.SLASH}}


class Place(NamedTuple):
    """A transaction of the evidence."""

    block: int
    index: int

    def of(self, blocks: list[BlockRecord]) -> TransactionRecord:
        return blocks[self.block].transactions[self.index]


class Mutation(NamedTuple):
    """What is changed where: `change` gives the transaction as forged; one of `classes` must be named there."""

    what: str
    place: Place
    change: Callable[[TransactionRecord], TransactionRecord]
    classes: frozenset[Class]

    def apply(self, forgery: Forgery) -> TransactionRecord:
        """Make it, and every hash after it; returns the transaction as it is now."""
        blocks = forgery.blocks
        made = self.change(self.place.of(blocks))
        transactions = list(blocks[self.place.block].transactions)
        transactions[self.place.index] = made
        blocks[self.place.block] = replace(blocks[self.place.block], transactions=tuple(transactions))
        forgery.seal(blocks)
        return made


def mutations(blocks: list[BlockRecord], chance: random.Random) -> Iterator[Mutation]:
    """One of each kind: transaction's name and what of it is changed. Which instance, `chance` says."""
    found: dict[str, list[Mutation]] = {}
    for block in blocks:
        for index, record in enumerate(block.transactions):
            if record.code == "VALID":
                for each in _of(Place(block.number, index), record):
                    found.setdefault(each.what, []).append(each)
    for what in sorted(found):
        yield chance.choice(found[what])


def _of(place: Place, record: TransactionRecord) -> Iterator[Mutation]:
    name = record.args[0].decode()
    own = msgspec.msgpack.decode(record.read_write_set, type=ReadWriteSet)
    for key, value in own.writes:
        kind = key.partition("/")[0]
        for what, changed in _values(value):
            classes = _FIELDS.get((kind, what.partition(".")[0]), _RECORDS[kind])
            if what in ("gone", "deleted", "there"):
                classes = _WHOLE.get(kind, _RECORDS[kind])
            yield Mutation(f"{name}: {kind} {what}", place, _writing(key, changed), frozenset(classes))
    for what, rwset in _reading(own):
        yield Mutation(f"{name}: {what}", place, _with(read_write_set=rwset.to_bytes()), ANY)
    result = frozenset({Class.RESULT})
    yield Mutation(f"{name}: answer", place, _with(payload=record.payload + b" "), result)
    yield Mutation(f"{name}: event gone or made up", place, _with(event=_other_event(record)), result)
    if record.event:
        event = (record.event[0], record.event[1] + b" ")
        yield Mutation(f"{name}: what the event says", place, _with(event=event), result)
    yield Mutation(f"{name}: flag", place, _with(code="MVCC_READ_CONFLICT"), frozenset({Class.VALIDITY}))
    yield Mutation(f"{name}: one endorser", place, _with(endorsers=record.endorsers[:1]), _ENDORSED)
    yield Mutation(f"{name}: one endorser twice", place, _with(endorsers=record.endorsers[:1] * 2), _ENDORSED)
    strangers = ("Org7MSP", "Org8MSP", "Org9MSP")
    yield Mutation(f"{name}: strangers endorse", place, _with(endorsers=strangers), _ENDORSED)


_ENDORSED = frozenset({Class.ENDORSEMENT})
_GONE = object()


def _other_event(record: TransactionRecord) -> tuple[str, bytes] | None:
    return None if record.event else ("round", b"{}")


def _with(**changes: Any) -> Callable[[TransactionRecord], TransactionRecord]:
    return lambda record: replace(record, **changes)


def _writing(key: str, value: object) -> Callable[[TransactionRecord], TransactionRecord]:
    def change(record: TransactionRecord) -> TransactionRecord:
        own = msgspec.msgpack.decode(record.read_write_set, type=ReadWriteSet)
        writes: dict[str, Any] = dict(own.writes)
        writes[key] = value
        kept = tuple((key, value) for key, value in sorted(writes.items()) if value is not _GONE)
        return replace(record, read_write_set=replace(own, writes=kept).to_bytes())

    return change


def _values(value: bytes | None) -> Iterator[tuple[str, object]]:
    """A value gone, deleted, and with each of its fields changed."""
    yield "gone", _GONE
    if value is None:
        yield "there", b'{"amount":1}'
        return
    yield "deleted", None
    decoded = json.loads(value)
    for path, changed in _changed(decoded):
        yield path or "value", msgspec.json.encode(changed, order="sorted")


def _changed(value: Any) -> Iterator[tuple[str, Any]]:
    """Every way to change one leaf: its path (the places of lists left out) and the whole as changed."""
    match value:
        case dict():
            for name, inner in value.items():
                for path, changed in _changed(inner):
                    yield f"{name}.{path}".rstrip("."), {**value, name: changed}
        case list():
            yield "+", [*value, value[0] if value else "Org1MSP:" + "0" * 64]
            for place, inner in enumerate(value):
                yield "-", value[:place] + value[place + 1 :]
                for _, changed in _changed(inner):
                    yield "", [*value[:place], changed, *value[place + 1 :]]
            if len(value) > 1:
                yield "reversed", value[::-1]
        case bool():
            yield "", not value
        case int():
            yield "", value + 1
            yield "less", value - 1
        case str():
            yield "", value[:-1] + ("0" if value[-1:] != "0" else "1")
        case None:
            yield "", "commit"


def _reading(own: ReadWriteSet) -> Iterator[tuple[str, ReadWriteSet]]:
    """A read, or its version, added, left out or changed; the same for ranges; writes in another order."""
    yield "a read too many", replace(own, reads=(*own.reads, ("zzz", None)))
    if own.reads:
        (key, version), rest = own.reads[-1], own.reads[:-1]
        yield "a read too few", replace(own, reads=rest)
        other = (version[0], version[1] + 1) if version else (1, 0)
        yield "a read of another version", replace(own, reads=(*rest, (key, other)))
    if own.ranges:
        read, others = own.ranges[0], own.ranges[1:]
        yield "a range too few", replace(own, ranges=others)
        for what, changed in (
            ("fewer results", replace(read, results=read.results[1:])),
            ("another end", replace(read, end=read.end + "x")),
            ("not exhausted", replace(read, exhausted=not read.exhausted)),
        ):
            yield f"a range with {what}", replace(own, ranges=(changed, *others))
    if len(own.writes) > 1:
        yield "writes in another order", replace(own, writes=own.writes[::-1])
        yield "a write twice", replace(own, writes=(*own.writes, own.writes[-1]))
