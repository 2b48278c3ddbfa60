"""What no stub takes, by whichever method it comes: a peer's asks the peer nothing, the one in memory is no laxer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NoReturn

import pytest
from shim_helpers import call
from shim_peer import proposal

from chaincode.shim import Chaincode, Contract, PeerError, Stub, query
from chaincode.shim.errors import Invalid
from chaincode.shim.exchange import Exchange, message
from chaincode.shim.memory import WorldState
from chaincode.shim.peerstub import PeerStub

Use = Callable[[Stub], Coroutine[Any, Any, Any]]


def asked(request: Any) -> NoReturn:
    raise AssertionError(f"the peer was asked: {request}")


def served(*args: object) -> Stub:
    """The stub of a transaction that a peer has sent."""
    payload, signed = proposal(*args)
    request = message("TRANSACTION", "candor", "tx", payload)
    request.proposal.proposal_bytes = signed
    return PeerStub(request, Exchange(asked, "candor", "tx"))


def in_memory(*args: object) -> Stub:
    return call(WorldState(), *args)


async def every(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


def refusal(made: Callable[[], Stub], use: Use, *kinds: type[Exception]) -> None:
    with pytest.raises(kinds):
        asyncio.run(use(made()))


both = pytest.mark.parametrize("made", [served, in_memory])

BY_KEY: dict[str, Callable[[Stub, str], Coroutine[Any, Any, Any]]] = {
    "get": lambda stub, key: stub.get(key),
    "get_many": lambda stub, key: stub.get_many(["sound", key]),
    "put": lambda stub, key: stub.put(key, b"v"),
    "delete": lambda stub, key: stub.delete(key),
    "history": lambda stub, key: every(stub.history(key)),
    "get_private": lambda stub, key: stub.get_private("pair", key),
    "private_hash": lambda stub, key: stub.private_hash("pair", key),
    "put_private": lambda stub, key: stub.put_private("pair", key, b"v"),
    "delete_private": lambda stub, key: stub.delete_private("pair", key),
    "purge_private": lambda stub, key: stub.purge_private("pair", key),
    "validation_parameter": lambda stub, key: stub.validation_parameter(key),
    "set_validation_parameter": lambda stub, key: stub.set_validation_parameter(key, b"policy"),
}


@both
@pytest.mark.parametrize("method", BY_KEY)
@pytest.mark.parametrize("key", ["", "\0a", "\ud800"], ids=["empty", "NUL in front", "no UTF-8"])
def test_a_key_that_fabric_cannot_hold_is_refused_by_every_method(
    made: Callable[[], Stub], method: str, key: str
) -> None:
    refusal(made, lambda stub: BY_KEY[method](stub, key), Invalid)


@both
def test_an_empty_value_is_refused_because_fabric_would_delete(made: Callable[[], Stub]) -> None:
    refusal(made, lambda stub: stub.put("a", b""), Invalid)
    refusal(made, lambda stub: stub.put_private("pair", "a", b""), Invalid)


@both
@pytest.mark.parametrize(("start", "end"), [("\0a", ""), ("", "\0a"), ("\ud800", "")])
def test_no_range_reaches_composite_keys(made: Callable[[], Stub], start: str, end: str) -> None:
    refusal(made, lambda stub: every(stub.range(start, end)), Invalid)
    refusal(made, lambda stub: stub.page(start, end, 2), Invalid)
    refusal(made, lambda stub: every(stub.range_private("pair", start, end)), Invalid)


@both
@pytest.mark.parametrize("parts", [("",), ("a\0b",), ("a", "\0"), ("a", "\U0010ffff"), ("a", "\ud800")])
def test_the_parts_of_a_composite_key_cannot_be_confused(made: Callable[[], Stub], parts: tuple[str]) -> None:
    refusal(made, lambda stub: every(stub.composites(*parts)), Invalid)


COLLECTION: dict[str, Use] = {
    "get": lambda stub: stub.get_private("", "k"),
    "hash": lambda stub: stub.private_hash("", "k"),
    "put": lambda stub: stub.put_private("", "k", b"secret"),
    "delete": lambda stub: stub.delete_private("", "k"),
    "purge": lambda stub: stub.purge_private("", "k"),
    "range": lambda stub: every(stub.range_private("", "a", "b")),
}


@both
@pytest.mark.parametrize("method", COLLECTION)
def test_private_data_without_a_collection_would_be_public(made: Callable[[], Stub], method: str) -> None:
    refusal(made, COLLECTION[method], ValueError, PeerError)


READ_ONLY: dict[str, Use] = {
    "a page": lambda stub: stub.page("a", "b", 2),
    "a private range": lambda stub: every(stub.range_private("pair", "a", "b")),
}
WRITES: dict[str, Use] = {
    "put": lambda stub: stub.put("a", b"1"),
    "delete": lambda stub: stub.delete("a"),
    "put private": lambda stub: stub.put_private("pair", "a", b"1"),
    "delete private": lambda stub: stub.delete_private("pair", "a"),
    "purge private": lambda stub: stub.purge_private("pair", "a"),
    "policy": lambda stub: stub.set_validation_parameter("a", b"policy"),
}


@both
@pytest.mark.parametrize("query", READ_ONLY)
@pytest.mark.parametrize("write", WRITES)
def test_after_a_write_no_query_that_forbids_writes(made: Callable[[], Stub], write: str, query: str) -> None:
    async def use(stub: Stub) -> None:
        await WRITES[write](stub)
        await READ_ONLY[query](stub)

    refusal(made, use, PeerError)


class Nosy(Contract):
    """Its query writes, in the way it is told."""

    @query
    async def look(self, stub: Stub, how: str) -> None:
        if how == "event":
            stub.set_event("seen", b"1")
        else:
            await WRITES[how](stub)


@both
@pytest.mark.parametrize("how", [*WRITES, "event"])
def test_a_query_writes_nothing_in_whichever_way_it_tries(
    made: Callable[[str, str], Stub], how: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = asyncio.run(Chaincode([Nosy()]).invoke(made("look", how)))
    assert (response.status, response.message) == (500, "internal error")
    assert "Defect" in caplog.text


@both
def test_a_page_has_at_least_one_key_and_an_event_a_name(made: Callable[[], Stub]) -> None:
    refusal(made, lambda stub: stub.page("a", "b", 0), ValueError)
    with pytest.raises(ValueError, match="name"):
        made().set_event("", b"payload")
