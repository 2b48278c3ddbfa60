"""Arguments, names, transient keys, results and metadata of a call."""

from __future__ import annotations

import asyncio
import enum
import json
import logging
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from shim_helpers import call

import chaincode.shim as shim
from chaincode.shim import Chaincode, Contract, Response, Stub, query, transaction
from chaincode.shim.arguments import ARGUMENT_LIMIT
from chaincode.shim.errors import Forbidden, Refusal
from chaincode.shim.memory import WorldState


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(msgspec.Struct, forbid_unknown_fields=True):
    x: int
    y: Annotated[int, msgspec.Meta(ge=0)] = 0


class Tree(msgspec.Struct):
    children: list[Tree] = []


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=8)]

Digest = Annotated[bytes, msgspec.Meta(min_length=4, max_length=4)]


class Shapes(Contract):
    @transaction
    async def text(self, stub: Stub, value: str) -> str:
        return value

    @transaction
    async def raw(self, stub: Stub, value: bytes) -> bytes:
        return value

    @transaction
    async def digest(self, stub: Stub, value: Digest) -> Digest:
        return value

    @transaction
    async def number(self, stub: Stub, value: int) -> int:
        return value

    @query
    async def point(self, stub: Stub, value: Point) -> Point:
        return value

    @query
    async def tree(self, stub: Stub, value: Tree) -> None:
        return None

    @query
    async def anything(self, stub: Stub, value: Any) -> None:
        return None

    @query
    async def named(self, stub: Stub, name: Name, colour: Colour, side: Literal["left", "right"]) -> str:
        return f"{name}/{colour.value}/{side}"

    @query
    async def optional(self, stub: Stub, first: int, second: int = 2, third: str = "c") -> list[Any]:
        return [first, second, third]

    @transaction(transient=("beacon", "report/*"))
    async def secret(self, stub: Stub) -> int:
        return len(stub.transient)

    @query(name="ReadAll")
    async def read_all(self, stub: Stub) -> dict[str, int]:
        return {"b": 1, "a": 2}

    @query
    async def write(self, stub: Stub) -> None:
        await stub.put("k", b"v")

    @query
    async def own_cancellation(self, stub: Stub) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    @query
    async def own_timeout(self, stub: Stub) -> None:
        async with asyncio.timeout(0):
            await asyncio.sleep(1)

    @query
    async def odd_refusal(self, stub: Stub) -> None:
        raise Forbidden("no \ud800", thing=object())


CHAINCODE = Chaincode([Shapes()], title="shapes", version="1.2")


def invoke(*args: object, transient: dict[str, bytes] | None = None) -> Response:
    return asyncio.run(CHAINCODE.invoke(call(WorldState(), *args, transient=transient)))


@pytest.mark.parametrize(
    ("args", "payload"),
    [
        (("Shapes:text", "ünï\0"), '"ünï\\u0000"'.encode()),
        (("text", ""), b'""'),
        (("raw", b"\xff\x00"), b"\xff\x00"),
        (("raw", bytes(ARGUMENT_LIMIT + 1)), bytes(ARGUMENT_LIMIT + 1)),
        (("digest", b"\xff\x00\x01\x02"), b"\xff\x00\x01\x02"),
        (("number", b"-7"), b"-7"),
        (("number", b" 7 "), b"7"),
        (("point", b'{"y":2,"x":1}'), b'{"x":1,"y":2}'),
        (("named", "ab", "red", "left"), b'"ab/red/left"'),
        (("optional", 1), b'[1,2,"c"]'),
        (("optional", 1, 5, "z"), b'[1,5,"z"]'),
        (("ReadAll",), b'{"a":2,"b":1}'),
    ],
)
def test_well_formed_calls_are_answered(args: tuple[object, ...], payload: bytes) -> None:
    assert invoke(*args) == Response(200, "", payload)


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (("text", b"\xff"), "argument value: not valid UTF-8"),
        (("text",), "1 arguments expected, got 0"),
        (("text", "a", "b"), "1 arguments expected, got 2"),
        (("optional",), "1 to 3 arguments expected, got 0"),
        (("text", "x" * (ARGUMENT_LIMIT + 1)), "longer than"),
        (("digest", b"\xff"), "length >= 4"),
        (("digest", b"12345"), "length <= 4"),
        (("number", b"1.0"), "Expected `int`, got `float`"),
        (("number", b"1e3"), "Expected `int`, got `float`"),
        (("number", b"NaN"), "malformed"),
        (("number", b"Infinity"), "malformed"),
        (("number", b"true"), "Expected `int`, got `bool`"),
        (("number", b'"1"'), "Expected `int`, got `str`"),
        (("number", b"null"), "Expected `int`, got `null`"),
        (("number", b"1 1"), "trailing characters"),
        (("number", b"07"), "malformed"),
        (("number", b""), "truncated"),
        (("number", b"9" * 5000), "out of range"),
        (("number", b"1" * (ARGUMENT_LIMIT + 1)), "longer than"),
        (("number", b"\xef\xbb\xbf1"), "malformed"),
        (("point", b'{"x":1,"x":2}'), "names a key twice"),
        (("point", b'{"x":1,"\\u0078":2}'), "names a key twice"),
        (("anything", b'[{"a":[{"b":1,"b":1}]}]'), "names a key twice"),
        (("point", b'{"x":1,"z":2}'), "unknown field"),
        (("point", b'{"x":1,"y":-1}'), ">= 0"),
        (("point", b"{}"), "missing required field"),
        (("point", b'{"x":1'), "truncated"),
        (("tree", b'{"children":[' * 50_000), "nested too deeply"),
        (("anything", b"[" * 100_000), "nested too deeply"),
        (("anything", b'"\\ud800"'), "argument value"),
        (("named", "", "red", "left"), "length >= 1"),
        (("named", "ninechars", "red", "left"), "length <= 8"),
        (("named", "a", "green", "left"), "Invalid enum value"),
        (("named", "a", "red", "up"), "Invalid enum value"),
        ((b"\xff", "x"), "not valid UTF-8"),
    ],
)
def test_malformed_calls_are_400_and_say_what_is_wrong(args: tuple[object, ...], problem: str) -> None:
    response = invoke(*args)
    assert response.status == 400
    assert problem in json.loads(response.message)["message"]
    assert response.payload == b""


@pytest.mark.parametrize(
    "name", ["", "nothing", "Shapes:", "Shapes:nothing", "Other:text", "shapes:text", ":"]
)
def test_unknown_names_are_404(name: str) -> None:
    assert invoke(name, "x").status == 404


def test_a_call_without_arguments_is_400() -> None:
    assert invoke().status == 400


def test_only_declared_transient_keys_are_taken() -> None:
    assert invoke("secret", transient={"beacon": b"", "report/": b"", "report/1": b""}).payload == b"3"
    for key in ("report", "beacon/1", "", "Beacon", "*"):
        response = invoke("secret", transient={"beacon": b"", key: b"value"})
        assert response.status == 400
        assert "value" not in response.message
    assert invoke("text", "x", transient={"any": b""}).status == 400


@pytest.mark.parametrize("name", ["write", "own-cancellation", "own-timeout"])
def test_a_defect_is_an_internal_error_and_is_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert invoke(name) == Response(500, "internal error")
    assert f"Shapes:{name}" in caplog.text
    assert "test_shim_dispatch.py" in caplog.text


def test_a_refusal_with_unprintable_details_is_still_that_refusal() -> None:
    assert invoke("odd-refusal") == Response(403, '{"code":403,"details":{},"message":"no ?"}')


def test_a_refusals_details_are_bounded() -> None:
    refusal = Refusal(400, "m" * 10_000, details_of="x" * 10_000)
    assert len(refusal.to_json()) < 1000


def test_cancelling_a_call_cancels_it() -> None:
    class Slow(Contract):
        @query
        async def wait(self, stub: Stub) -> None:
            await asyncio.sleep(60)

    async def work() -> None:
        task = asyncio.create_task(Chaincode([Slow()]).invoke(call(WorldState(), "wait")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())


def test_a_call_past_its_deadline_is_a_500() -> None:
    class Slow(Contract):
        @query
        async def wait(self, stub: Stub) -> None:
            await asyncio.sleep(60)

    response = asyncio.run(Chaincode([Slow()], deadline=0.01).invoke(call(WorldState(), "wait")))
    assert response.status == 500
    assert response.message.startswith("deadline")


NAMES = [f"Shapes:{name}" for name in CHAINCODE.contracts["Shapes"]]
FUZZED = sorted(set(NAMES) - {"Shapes:write", "Shapes:own-cancellation", "Shapes:own-timeout"})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).map(lambda value: json.dumps(value).encode())
ARGUMENTS = st.lists(st.binary() | JSON | st.text(st.characters(codec="utf-8")).map(str.encode), max_size=4)


@given(st.sampled_from(FUZZED) | st.text(st.characters(codec="utf-8")), ARGUMENTS)
@example("Shapes:tree", [b'{"children":[' * 50_000])
@example("org.hyperledger.fabric:GetMetadata", [b"x"])
def test_no_malformed_call_is_a_500(name: str, args: list[bytes]) -> None:
    response = invoke(name, *args)
    assert response.status < 500
    if response.status >= 400:
        assert json.loads(response.message)["code"] == response.status


@given(st.lists(st.binary(), max_size=4), st.dictionaries(st.text(), st.binary(), max_size=2))
def test_no_call_of_raw_bytes_is_a_500(args: list[bytes], transient: dict[str, bytes]) -> None:
    assert invoke(*args, transient=transient).status < 500


def test_metadata_describes_every_transaction_with_its_schemas() -> None:
    document = json.loads(invoke("org.hyperledger.fabric:GetMetadata").payload)
    contract = document["contracts"]["Shapes"]
    assert contract["info"] == {"title": "shapes", "version": "1.2"}
    described = {item["name"]: item for item in contract["transactions"]}
    assert set(described) == set(CHAINCODE.contracts["Shapes"])
    assert described["text"]["tag"] == ["SUBMIT", "submitTx"]
    assert described["ReadAll"]["tag"] == ["EVALUATE", "evaluateTx"]
    for name in ("raw", "digest"):
        assert described[name]["parameters"][0]["schema"] == {"type": "string", "format": "binary"}
        assert described[name]["returns"] == {"type": "string", "format": "binary"}
    assert described["point"]["parameters"][0]["schema"] == {"$ref": "#/components/schemas/Point"}
    assert described["number"]["returns"] == {"type": "integer"}
    assert "returns" not in described["tree"]
    assert document["components"]["schemas"]["Point"]["required"] == ["x"]
    assert document["components"]["schemas"]["Point"]["$id"] == "Point"
    assert described["point"]["parameters"][0]["required"] is True


def test_what_cannot_be_served_is_a_type_error_at_start_up() -> None:
    class NotAsync(Contract):
        @transaction  # type: ignore[type-var]
        def f(self, stub: Stub) -> None: ...

    class NotAnnotated(Contract):
        @transaction
        async def f(self, stub, value): ...  # type: ignore[no-untyped-def]

    class Variadic(Contract):
        @transaction
        async def f(self, stub: Stub, *values: str) -> None: ...

    class Twice(Contract):
        @transaction
        async def f(self, stub: Stub) -> None: ...
        @transaction(name="f")
        async def g(self, stub: Stub) -> None: ...

    for broken in (NotAsync, NotAnnotated, Variadic, Twice):
        with pytest.raises(TypeError):
            Chaincode([broken()])
    with pytest.raises(TypeError):
        Chaincode([Shapes(), Shapes()])


def test_background_tasks_run_while_running_and_start_again_after_a_crash(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("chaincode.shim.dispatch.RESTART_PAUSE", 0)
    ended = []

    async def work() -> None:
        again = asyncio.Event()

        async def watch() -> None:
            if not again.is_set():
                again.set()
                raise KeyError("secret")
            try:
                await asyncio.sleep(60)
            finally:
                ended.append(True)

        async with Chaincode([Shapes()], background=[watch]).running():
            await again.wait()
            await asyncio.sleep(0.01)

    with caplog.at_level(logging.ERROR):
        asyncio.run(work())
    assert ended == [True]
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text.replace('raise KeyError("secret")', "")


def test_the_public_names_are_these() -> None:
    assert sorted(shim.__all__) == shim.__all__
    for name in shim.__all__:
        assert getattr(shim, name)
    documented = {"Chaincode", "Contract", "Stub", "Identity", "Response", "transaction", "query", "Refusal"}
    assert documented <= set(shim.__all__)


@pytest.mark.parametrize("unit", [b'\\"', b'"', b"[", b'"[', b"\\", b'{"'])
def test_a_megabyte_of_brackets_and_quotes_is_refused_at_once(unit: bytes) -> None:
    raw = b'["' + b"[" * 200 + unit * (1_000_000 // len(unit))
    assert invoke("anything", raw).status == 400


def test_brackets_inside_strings_are_no_nesting() -> None:
    assert invoke("anything", json.dumps(["[{" * 500]).encode()).status == 200
