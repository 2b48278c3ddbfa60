"""The in-process stub behaves as a peer does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shim_helpers import call

from chaincode.shim import Chaincode, Contract, PeerError, Refusal, Stub, composite_key, query, transaction
from chaincode.shim.errors import Conflict, Invalid
from chaincode.shim.memory import MemoryStub, Other, WorldState, endorse, validate


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def state_of(**values: str) -> WorldState:
    state = WorldState()
    state.apply([(key, value.encode()) for key, value in values.items()], (1, 0))
    return state


async def keys_of(items: Any) -> list[str]:
    return [key async for key, _ in items]


def test_a_read_sees_the_committed_value_and_never_the_transactions_own_write() -> None:
    stub = call(state_of(a="old"))

    async def work() -> None:
        await stub.put("a", b"new")
        await stub.delete("b")
        assert await stub.get("a") == b"old"
        assert await keys_of(stub.range("", "")) == ["a"]

    run(work())
    assert stub.read_write_set().writes == (("a", b"new"), ("b", None))


def test_a_transaction_keeps_seeing_the_state_it_began_with() -> None:
    state = state_of(a="1")
    stub = call(state)
    state.apply([("a", b"2"), ("b", b"2")], (2, 0))
    assert run(stub.get("a")) == b"1"
    assert run(keys_of(stub.range("", ""))) == ["a"]
    assert state.get("b") is not None


def test_a_read_of_a_key_written_since_is_an_mvcc_conflict() -> None:
    state = state_of(a="1")
    stub = call(state)
    run(stub.get("a"))
    assert validate(state, stub.read_write_set()) == "VALID"
    state.apply([("a", b"1")], (2, 0))  # the same value again is a new version
    assert validate(state, stub.read_write_set()) == "MVCC_READ_CONFLICT"


def test_a_read_of_a_missing_key_conflicts_with_its_creation() -> None:
    state = WorldState()
    stub = call(state)
    assert run(stub.get("a")) is None
    state.apply([("a", b"1")], (1, 0))
    assert validate(state, stub.read_write_set()) == "MVCC_READ_CONFLICT"


def test_a_read_conflicts_with_a_deletion_in_its_block_even_of_a_key_that_was_not_there() -> None:
    state = WorldState()
    stub = call(state)
    assert run(stub.get("a")) is None
    state.apply([("a", None)], (7, 0))
    assert validate(state, stub.read_write_set(), 7) == "MVCC_READ_CONFLICT"
    assert validate(state, stub.read_write_set(), 8) == "VALID"
    state.snapshot().apply([("b", None)], (8, 0))
    assert not state.written_in(8)


def test_a_range_read_twice_is_recorded_once_as_a_peer_does() -> None:
    stub = call(state_of(a="1"))
    run(keys_of(stub.prefix("a")))
    run(keys_of(stub.prefix("a")))
    run(keys_of(stub.prefix("b")))
    assert [seen.start for seen in stub.read_write_set().ranges] == ["a", "b"]


class Caller(Contract):
    @transaction
    async def both(self, stub: Stub, key: str) -> str:
        await stub.put(key, b"caller's")
        first = await stub.invoke_chaincode("other", [b"put", key.encode(), b"1"])
        again = await stub.invoke_chaincode("other", [b"get", key.encode()], stub.channel)
        away = await stub.invoke_chaincode("other", [b"put", key.encode(), b"2"], "elsewhere")
        no = await stub.invoke_chaincode("other", [b"refuse", key.encode()])
        return f"{first.status} {again.payload!r} {away.status} {no.status}"

    @transaction
    async def refuse(self, stub: Stub, key: str) -> None:
        await stub.put(key, b"never written")
        raise Conflict("not now")

    @transaction
    async def put(self, stub: Stub, key: str, value: bytes) -> None:
        await stub.put(key, value)

    @query
    async def get(self, stub: Stub, key: str) -> bytes | None:
        return await stub.get(key)

    @transaction
    async def again(self, stub: Stub) -> None:
        await stub.invoke_chaincode("other", [b"again"])


def test_another_chaincode_writes_to_its_own_keys_and_on_another_channel_to_none() -> None:
    other = Other(Chaincode([Caller()]), state_of(k="old"))
    stub = call(WorldState(), "both", "k", others={"other": other, "other/elsewhere": other})
    endorsement = run(endorse(Chaincode([Caller()]), stub))
    assert endorsement.payload == b"\"200 b'old' 200 409\""
    assert endorsement.read_write_set.writes == (("k", b"caller's"),)
    ((name, rwset),) = endorsement.called
    assert (name, rwset.writes, [key for key, _ in rwset.reads]) == ("other", (("k", b"1"),), ["k"])


def test_a_chaincode_that_is_being_called_cannot_be_called() -> None:
    other = Other(Chaincode([Caller()]), WorldState())
    endorsement = run(endorse(Chaincode([Caller()]), call(WorldState(), "again", others={"other": other})))
    assert endorsement.status == 200  # the refusal is what the first caller's call returned
    unknown = run(endorse(Chaincode([Caller()]), call(WorldState(), "again")))
    assert (unknown.status, unknown.message) == (
        500,
        "peer: there is no chaincode other that could be called",
    )


def test_blind_writes_never_conflict() -> None:
    state = state_of(a="1")
    stub = call(state)
    run(stub.put("a", b"2"))
    state.apply([("a", b"3")], (2, 0))
    assert validate(state, stub.read_write_set()) == "VALID"


@pytest.mark.parametrize(
    "writes", [[("a2", b"new")], [("a1", None)], [("a1", b"changed")]], ids=["added", "removed", "changed"]
)
def test_a_range_whose_keys_changed_is_a_phantom_conflict(writes: list[tuple[str, bytes | None]]) -> None:
    state = state_of(a1="x", b="y")
    stub = call(state)
    run(keys_of(stub.prefix("a")))
    state.apply([("b", b"unrelated")], (2, 0))
    assert validate(state, stub.read_write_set()) == "VALID"
    state.apply(writes, (3, 0))
    assert validate(state, stub.read_write_set()) == "PHANTOM_READ_CONFLICT"


def test_a_range_left_early_counts_the_peers_batch_as_read_and_no_more() -> None:
    state = WorldState()
    state.apply([(f"k{n:03}", b"v") for n in range(300)], (1, 0))
    stub = call(state)

    async def first() -> None:
        async for _ in stub.range("", ""):
            return

    run(first())
    (read,) = stub.read_write_set().ranges
    assert (len(read.results), read.end, read.exhausted) == (101, "k100", False)
    state.apply([("k1005", b"v"), ("k200", b"w")], (2, 0))
    assert validate(state, stub.read_write_set()) == "VALID"
    state.apply([("k100", b"w")], (3, 0))
    assert validate(state, stub.read_write_set()) == "PHANTOM_READ_CONFLICT"


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200, 201, 250])
def test_a_range_yields_every_key_whatever_the_batches(count: int) -> None:
    state = WorldState()
    state.apply([(f"k{n:03}", b"v") for n in range(count)], (1, 0))
    stub = call(state)
    assert run(keys_of(stub.range("", ""))) == [f"k{n:03}" for n in range(count)]
    assert stub.read_write_set().ranges[0].exhausted


@given(st.lists(st.text(st.characters(min_codepoint=1, codec="utf-8"), min_size=1), unique=True))
def test_keys_are_ordered_by_their_utf8_bytes(keys: list[str]) -> None:
    state = WorldState()
    state.apply([(key, b"v") for key in keys], (1, 0))
    assert run(keys_of(call(state).range("", ""))) == sorted(keys, key=str.encode)


def test_a_prefix_has_all_its_keys_and_no_others() -> None:
    state = state_of(**{"a": "1", "a/": "1", "a/1": "1", "a/\U0001f600": "1", "a0": "1", "b": "1"})
    assert run(keys_of(call(state).prefix("a/"))) == ["a/", "a/1", "a/\U0001f600"]
    assert len(run(keys_of(call(state).prefix("")))) == 6


def test_composite_keys_and_simple_ranges_do_not_see_each_other() -> None:
    state = state_of(simple="1", **{composite_key("colour", "red", "1"): "1", composite_key("colours"): "1"})
    assert run(keys_of(call(state).range("", ""))) == ["simple"]
    assert run(keys_of(call(state).composites("colour"))) == [composite_key("colour", "red", "1")]


def test_private_values_and_validation_parameters_are_out_of_reach_of_ranges() -> None:
    state = WorldState()
    stub = call(state)

    async def write() -> None:
        await stub.put_private("pair", "k", b"secret")
        await stub.set_validation_parameter("k", b"policy")

    async def read(stub: MemoryStub) -> None:
        assert await stub.get("k") is None
        assert await stub.get_private("pair", "k") == b"secret"
        assert await stub.validation_parameter("k") == b"policy"
        assert await stub.private_hash("pair", "k")
        assert await stub.private_hash("pair", "l") is None
        assert await keys_of(stub.range("", "")) == []
        assert await keys_of(stub.prefix("")) == []

    run(write())
    state.apply(stub.read_write_set().writes, (1, 0))
    run(read(call(state)))
    assert run(keys_of(call(state).range_private("pair", "", ""))) == ["k"]


def test_pages_continue_at_their_bookmark_and_forbid_writes() -> None:
    stub = call(state_of(a="1", b="2", c="3"))

    async def work() -> None:
        first = await stub.page("", "", 2)
        assert [key for key, _ in first.items] == ["a", "b"]
        assert first.bookmark == "c"
        second = await stub.page("", "", 2, first.bookmark)
        assert [key for key, _ in second.items] == ["c"]
        assert second.bookmark == ""
        with pytest.raises(PeerError):
            await stub.put("d", b"4")

    run(work())


def test_history_is_newest_first_and_knows_deletions() -> None:
    state = WorldState()
    state.apply([("a", b"1")], (1, 0), "tx1")
    state.apply([("a", None)], (2, 0), "tx2")

    async def values() -> list[tuple[str, bytes | None]]:
        return [(item.tx_id, item.value) async for item in call(state).history("a")]

    assert run(values()) == [("tx2", None), ("tx1", b"1")]


@pytest.mark.parametrize("key", ["", "\0a", "\0", "\0\0private\0c\0k", "\0\0a\0", "\ud800"])
def test_keys_that_fabric_cannot_hold_are_refused(key: str) -> None:
    stub = call(WorldState())
    for work in (stub.get(key), stub.put(key, b"v"), stub.delete(key)):
        with pytest.raises(Invalid):
            run(work)


@pytest.mark.parametrize(("start", "end"), [("\0", ""), ("", "\0a"), ("\0colour\0", "b"), ("\ud800", "")])
def test_ranges_that_would_reach_other_key_spaces_are_refused(start: str, end: str) -> None:
    with pytest.raises(Invalid):
        run(keys_of(call(WorldState()).range(start, end)))
    if start:
        with pytest.raises(Invalid):
            run(keys_of(call(WorldState()).prefix(start)))


def test_an_empty_value_is_refused_because_fabric_would_delete() -> None:
    with pytest.raises(Invalid):
        run(call(WorldState()).put("a", b""))


def test_the_digest_depends_on_content_and_not_on_the_way_there() -> None:
    one, other = state_of(a="1", b="2"), WorldState()
    other.apply([("b", b"x"), ("c", b"3")], (5, 1))
    other.apply([("a", b"1"), ("b", b"2"), ("c", None)], (9, 0))
    assert one.digest() == other.digest()
    assert one.digest() != state_of(a="12").digest() != state_of(a="1").digest()


class Counter(Contract):
    @transaction
    async def add(self, stub: Stub, key: str, step: int) -> int:
        total = int(await stub.get(key) or b"0") + step
        await stub.put(key, b"%d" % total)
        stub.set_event("added", b"%d" % step)
        if total < 0:
            raise Conflict("a counter is never negative", total=total)
        return total

    @query
    async def peek(self, stub: Stub, key: str) -> None:
        await stub.put(key, b"0")


def test_honest_endorsers_agree_on_the_bytes() -> None:
    chaincode = Chaincode([Counter()])
    one, other = (run(endorse(chaincode, call(state_of(n="2"), "add", "n", 3))) for _ in range(2))
    assert one.to_bytes() == other.to_bytes()
    assert one.payload == b"5"
    assert one.event == ("added", b"3")
    assert one.read_write_set.writes == (("n", b"5"),)


@pytest.mark.parametrize(("args", "status"), [(("add", "n", -9), 409), (("peek", "n"), 500)])
def test_a_refusal_and_a_writing_query_write_nothing(args: tuple[object, ...], status: int) -> None:
    endorsement = run(endorse(Chaincode([Counter()]), call(state_of(n="2"), *args)))
    assert endorsement.status == status
    assert endorsement.event is None
    assert endorsement.read_write_set.writes == () == endorsement.read_write_set.reads


def test_a_refusal_needs_a_code_of_a_refusal() -> None:
    with pytest.raises(ValueError, match="400-499"):
        Refusal(500, "no")
