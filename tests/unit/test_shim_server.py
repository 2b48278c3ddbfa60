"""The served chaincode, driven by a fake peer over mutual TLS."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from shim_helpers import CREATOR
from shim_peer import PATIENCE, Authority, FakePeer, dialled, proposal

from chaincode.shim import Chaincode, Contract, PeerError, Stub, composite_key, query, transaction
from chaincode.shim.errors import Conflict
from chaincode.shim.exchange import message
from chaincode.shim.protos import chaincodes
from chaincode.shim.server import Server
from chaincode.shim.stream import Receive, Stream, open_stream


@pytest.fixture(autouse=True, params=["direct", "queued"])
def kind_of_stream(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test here passes on both kinds of stream; without its private operations grpcio gives the second."""
    if request.param == "queued":
        monkeypatch.setattr("chaincode.shim.stream.ReceiveMessageOperation", None)
    return str(request.param)


class Assets(Contract):
    """What the tests call."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.outcomes: asyncio.Queue[str] = asyncio.Queue()

    @transaction
    async def put(self, stub: Stub, key: str, value: bytes) -> str:
        await stub.put(key, value)
        stub.set_event("put", key.encode())
        return stub.tx_id

    @query
    async def get(self, stub: Stub, key: str) -> bytes | None:
        return await stub.get(key)

    @query
    async def list(self, stub: Stub, prefix: str = "") -> list[str]:
        return [key async for key, _ in stub.prefix(prefix)]

    @query
    async def many(self, stub: Stub, keys: list[str]) -> list[bool]:
        return [value is not None for value in await stub.get_many(keys)]

    @query
    async def together(self, stub: Stub, keys: list[str]) -> list[str]:
        return [(value or b"").decode() for value in await asyncio.gather(*map(stub.get, keys))]

    @query
    async def who(self, stub: Stub) -> list[str]:
        creator = stub.creator
        return [creator.msp_id, creator.common_name, stub.chaincode, stub.channel, str(stub.timestamp)]

    @transaction
    async def fill(self, stub: Stub, keys: list[str], value: bytes) -> None:
        for number, key in enumerate(keys):
            await stub.put(key, value + b"%d" % number)

    @transaction
    async def refuse(self, stub: Stub) -> None:
        await stub.put("never", b"written")
        stub.set_event("never", b"sent")
        raise Conflict("not now", phase="reveal")

    @transaction
    async def crash(self, stub: Stub, secret: str) -> None:
        raise KeyError(secret)

    @transaction
    async def leave(self, stub: Stub) -> None:
        raise SystemExit(1)

    @query
    async def wait(self, stub: Stub) -> str:
        await self.gate.wait()
        return "waited"

    @query
    async def fail_softly(self, stub: Stub) -> None:
        try:
            await stub.get("a")
        except PeerError as error:
            self.outcomes.put_nowait(str(error))
            raise

    @query
    async def impatient(self, stub: Stub) -> bytes | None:
        try:
            return await asyncio.wait_for(stub.get("slow"), 0.01)
        except TimeoutError:
            return await stub.get("next")

    @query
    async def long(self, stub: Stub, size: int) -> bytes:
        return bytes(size)

    @transaction
    async def huge(self, stub: Stub) -> bytes:
        return bytes(60 << 20)

    @transaction
    async def rest(self, stub: Stub) -> dict[str, Any]:
        """Every other call of the stub."""
        await stub.put_private("pair", "k", b"secret")
        await stub.set_validation_parameter("k", b"policy")
        answer = await stub.invoke_chaincode("other", [b"do", b"it"], "channel2")
        found = {
            "private": str(await stub.get_private("pair", "k")),
            "hash": len(await stub.private_hash("pair", "k") or b""),
            "policy": str(await stub.validation_parameter("k")),
            "none": await stub.validation_parameter("unknown"),
            "history": [str(change) async for change in stub.history("p1")],
            "composites": [key async for key, _ in stub.composites("colour", "red")],
            "invoked": [answer.status, answer.payload.decode()],
        }
        await stub.purge_private("pair", "old")
        await stub.delete("p1")
        return found

    @query
    async def pages(self, stub: Stub) -> list[Any]:
        first = await stub.page("p", "q", 2)
        second = await stub.page("p", "q", 2, first.bookmark)
        return [[key for key, _ in first.items], first.bookmark, [key for key, _ in second.items]]

    @transaction
    async def forbidden(self, stub: Stub, order: list[str]) -> None:
        for step in order:
            await {"put": lambda: stub.put("a", b"1"), "page": lambda: stub.page("p", "q", 2)}[step]()


@dataclass
class Scene:
    """A served chaincode and one registered peer."""

    contract: Assets
    server: Server
    peer: FakePeer
    authority: Authority


@asynccontextmanager
async def scene(*, ready: bytes = b"", deadline: float = 25.0, grace: float = 5.0) -> AsyncIterator[Scene]:
    contract, authority = Assets(), Authority.new()
    server = Server(
        Chaincode([contract], deadline=deadline),
        "example:abc",
        address="localhost:0",
        tls=authority.server_tls(),
        health="127.0.0.1:0",
        grace=grace,
    )
    async with asyncio.timeout(PATIENCE), server, dialled(server.port, authority) as peer:
        assert await peer.register(ready) == "example:abc"
        yield Scene(contract, server, peer, authority)


def play(act: Callable[[Scene], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with scene(**options) as set_up:
            await act(set_up)

    asyncio.run(run())


def offer(writes: int) -> bytes:
    """READY of a peer that takes so many writes together."""
    offered = chaincodes.ChaincodeAdditionalParams(use_write_batch=bool(writes), max_size_write_batch=writes)
    return bytes(offered.SerializeToString())


async def page(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


def test_a_transaction_writes_answers_and_sends_its_event() -> None:
    async def act(at: Scene) -> None:
        response = await at.peer.invoke("tx1", "Assets:put", "a", b"\xff\x00")
        assert (response.status, response.payload) == (200, b'"tx1"')
        assert at.peer.state == {"a": b"\xff\x00"}
        assert at.peer.events == {"tx1": ("put", b"a")}
        assert (await at.peer.invoke("tx2", "get", "a")).payload == b"\xff\x00"
        assert (await at.peer.invoke("tx3", "get", "b")).payload == b""

    play(act)


def test_the_stub_knows_who_calls_what() -> None:
    async def act(at: Scene) -> None:
        response = await at.peer.invoke("tx", "who")
        expected = ["Org1MSP", "User1@org1.test", "example", "candor", "1700000000"]
        assert json.loads(response.payload) == expected

    play(act)


@pytest.mark.parametrize("writes", [0, 1000])
def test_every_other_request_of_the_stub_reaches_the_peer(writes: int) -> None:
    async def act(at: Scene) -> None:
        key = composite_key("colour", "red", "1")
        private = {"~pair|k": b"before", "~pair|old": b"1"}
        policies = {"k|VALIDATION_PARAMETER": b"before"}
        at.peer.state.update({"p1": b"1", "p2": b"2", key: b"x"} | private | policies)
        response = await at.peer.invoke("tx", "rest")
        found = json.loads(response.payload)
        assert found["private"] == "b'before'"
        assert (found["hash"], found["policy"], found["none"]) == (32, "b'before'", None)
        assert found["history"][0] == "Modification(tx_id='tx2', value=None, timestamp=0)"
        assert found["history"][1] == "Modification(tx_id='tx1', value=b'1', timestamp=7)"
        assert (found["composites"], found["invoked"]) == ([key], [200, "other/channel2 do it"])
        after = {"~pair|k": b"secret", "k|VALIDATION_PARAMETER": b"policy"}
        assert at.peer.state == {"p2": b"2", key: b"x"} | after
        assert at.peer.requests.count("WRITE_BATCH_STATE") == (1 if writes else 0)

    play(act, ready=offer(writes))


def test_pages_continue_at_their_bookmark() -> None:
    async def act(at: Scene) -> None:
        at.peer.state.update({"p1": b"1", "p2": b"2", "p3": b"3"})
        response = await at.peer.invoke("tx", "pages")
        assert json.loads(response.payload) == [["p1", "p2"], "p3", ["p3"]]

    play(act)


@pytest.mark.parametrize("order", [["put", "page"], ["page", "put"]], ids="-".join)
def test_a_paginated_query_and_a_write_do_not_go_together(order: list[str]) -> None:
    async def act(at: Scene) -> None:
        response = await at.peer.invoke("tx", "forbidden", order)
        assert (response.status, response.message[:5]) == (500, "peer:")
        assert at.peer.state == {}

    play(act)


def test_a_range_of_250_keys_comes_in_three_batches() -> None:
    async def act(at: Scene) -> None:
        at.peer.state.update({f"k{n:03}": b"v" for n in range(250)})
        response = await at.peer.invoke("tx", "list", "k")
        assert json.loads(response.payload) == sorted(at.peer.state)
        assert at.peer.requests == ["GET_STATE_BY_RANGE", "QUERY_STATE_NEXT", "QUERY_STATE_NEXT"]

    play(act)


def test_a_refusal_reaches_the_caller_as_json_and_without_an_event() -> None:
    async def act(at: Scene) -> None:
        response = await at.peer.invoke("tx", "refuse")
        assert response.status == 409
        assert response.message == '{"code":409,"details":{"phase":"reveal"},"message":"not now"}'
        assert at.peer.events == {}

    play(act)


@pytest.mark.parametrize("call", [("crash", "hunter2"), ("leave",)], ids=["KeyError", "SystemExit"])
def test_an_exception_is_a_500_at_once_and_its_log_quotes_nothing(
    call: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async def act(at: Scene) -> None:
        response = await at.peer.invoke("tx", *call)
        assert (response.status, response.message) == (500, "internal error")
        assert (await at.peer.invoke("tx2", "get", "a")).status == 200

    with caplog.at_level(logging.DEBUG, "chaincode.shim"):
        play(act)
    assert "test_shim_server.py" in caplog.text
    assert "hunter2" not in caplog.text


def test_two_transactions_of_one_stream_interleave() -> None:
    async def act(at: Scene) -> None:
        waiting = await at.peer.start("tx1", "wait")
        assert (await at.peer.invoke("tx2", "get", "a")).status == 200
        assert not waiting.done()
        at.contract.gate.set()
        assert (await waiting).payload == b'"waited"'

    play(act)


def test_a_hundred_concurrent_transactions_are_all_answered_right() -> None:
    async def act(at: Scene) -> None:
        calls = [at.peer.invoke(f"tx{n}", "put", f"k{n}", b"%d" % n) for n in range(100)]
        answers = await asyncio.gather(*calls)
        assert [json.loads(answer.payload) for answer in answers] == [f"tx{n}" for n in range(100)]
        assert at.peer.state == {f"k{n}": b"%d" % n for n in range(100)}

    play(act)


def test_requests_awaited_together_go_to_the_peer_one_by_one() -> None:
    async def act(at: Scene) -> None:
        at.peer.state.update(a=b"1", b=b"2")
        at.peer.hold = True
        answer = await at.peer.start("tx", "together", ["a", "b"])
        first = await at.peer.held.get()
        await asyncio.sleep(0.05)
        assert at.peer.held.empty()
        await at.peer.answer(first)
        await at.peer.answer(await at.peer.held.get())
        assert (await answer).payload == b'["1","2"]'

    play(act)


def test_the_peers_error_is_a_500_that_says_so() -> None:
    async def act(at: Scene) -> None:
        at.peer.failing = "GET_STATE failed"
        response = await at.peer.invoke("tx", "get", "a")
        assert (response.status, response.message) == (500, "peer: GET_STATE failed")

    play(act)


def test_a_late_answer_is_never_taken_for_the_next_requests() -> None:
    async def act(at: Scene) -> None:
        at.peer.hold = True
        response = await at.peer.invoke("tx", "impatient")
        assert response.status == 500
        assert "given up" in response.message

    play(act)


def test_a_call_past_its_deadline_is_answered() -> None:
    async def act(at: Scene) -> None:
        response = await at.peer.invoke("tx", "wait")
        assert response.status == 500
        assert response.message.startswith("deadline")
        at.peer.hold = True
        assert (await at.peer.invoke("tx2", "get", "a")).message.startswith("deadline")
        await at.peer.answer(await at.peer.held.get())  # too late, and harmless
        at.peer.hold = False
        assert (await at.peer.invoke("tx3", "get", "a")).status == 200

    play(act, deadline=0.1)


def test_the_end_of_the_stream_fails_what_is_pending() -> None:
    async def act(at: Scene) -> None:
        async with dialled(at.server.port, at.authority) as second:
            await second.register()
            second.hold = True
            await second.start("tx", "fail-softly")
            await second.held.get()
        assert await at.contract.outcomes.get() == "the peer's stream has ended"
        assert (await at.peer.invoke("tx2", "get", "a")).status == 200

    play(act)


def test_batch_reads_are_used_only_when_the_peer_offers_them() -> None:
    offer = chaincodes.ChaincodeAdditionalParams(use_get_multiple_keys=True, max_size_get_multiple_keys=2)

    async def old(at: Scene) -> None:
        at.peer.state["a"] = b"1"
        assert (await at.peer.invoke("tx", "many", ["a", "b", "c"])).payload == b"[true,false,false]"
        assert at.peer.requests == ["GET_STATE"] * 3

    async def new(at: Scene) -> None:
        at.peer.state["c"] = b"1"
        assert (await at.peer.invoke("tx", "many", ["a", "b", "c"])).payload == b"[false,false,true]"
        assert at.peer.requests == ["GET_STATE_MULTIPLE"] * 2

    play(old)
    play(old, ready=b"\xff\xff")
    play(new, ready=offer.SerializeToString())


@pytest.mark.parametrize(("writes", "requests"), [(0, ["PUT_STATE"] * 5), (2, ["WRITE_BATCH_STATE"] * 3)])
def test_writes_go_together_only_when_the_peer_offers_that(writes: int, requests: list[str]) -> None:
    async def act(at: Scene) -> None:
        keys = ["a", "b", "c", "a", "d"]
        assert (await at.peer.invoke("tx", "fill", keys, b"v")).status == 200
        assert at.peer.state == {"a": b"v3", "b": b"v1", "c": b"v2", "d": b"v4"}
        assert at.peer.requests == requests

    play(act, ready=offer(writes))


def test_long_values_go_in_several_batches() -> None:
    async def act(at: Scene) -> None:
        assert (await at.peer.invoke("tx", "fill", ["a", "b", "c"], bytes(9 << 20))).status == 200
        assert at.peer.requests == ["WRITE_BATCH_STATE"] * 3
        assert {key: len(value) for key, value in at.peer.state.items()} == dict.fromkeys(
            "abc", (9 << 20) + 1
        )

    play(act, ready=offer(1000))


@pytest.mark.parametrize("writes", [0, 1000])
def test_a_refused_transaction_sends_no_writes_and_one_whose_writes_fail_is_a_500(writes: int) -> None:
    async def act(at: Scene) -> None:
        assert (await at.peer.invoke("tx", "refuse")).status == 409
        assert at.peer.requests == []
        at.peer.failing = "no more writes"
        response = await at.peer.invoke("tx2", "put", "a", b"1")
        assert (response.status, response.message) == (500, "peer: no more writes")
        assert at.peer.events == {}

    play(act, ready=offer(writes))


def test_malformed_and_illegal_messages_leave_the_stream_alive(caplog: pytest.LogCaptureFixture) -> None:
    async def act(at: Scene) -> None:
        for raw in (b"", b"\xff\xff\xff", b"\x00" * 50):
            await at.peer.send(raw)
        for kind in ("REGISTERED", "READY", "REGISTER", "COMPLETED", "GET_STATE", "RESPONSE", "ERROR"):
            await at.peer.send(message(kind, "candor", "nobody", b"\xff"))
        broken = message("TRANSACTION", "candor", "tx1", b"\xff\xff")
        broken.proposal.proposal_bytes = proposal("get", "a")[1]
        assert (await (await at.peer.start_raw(broken))).status == 400
        bare = message("TRANSACTION", "candor", "tx2", proposal("get", "a")[0])
        assert (await (await at.peer.start_raw(bare))).status == 403
        assert (await at.peer.invoke("tx3", "get", "a", creator=CREATOR[:40])).status in (400, 403)
        assert (await at.peer.invoke("tx4", "get", "a")).status == 200

    with caplog.at_level(logging.WARNING, "chaincode.shim"):
        play(act)
    assert "illegal message REGISTERED in state ready" in caplog.text


def test_a_transaction_sent_twice_is_served_once(caplog: pytest.LogCaptureFixture) -> None:
    async def act(at: Scene) -> None:
        first = await at.peer.start("tx", "wait")
        again = await at.peer.start("tx", "wait")
        assert (await at.peer.invoke("tx2", "get", "a")).status == 200  # by now the server has read both
        at.contract.gate.set()
        assert (await again).status == 200
        assert not first.done()

    play(act)
    assert "illegal message TRANSACTION in state ready" in caplog.text


def test_a_second_server_on_the_port_does_not_start() -> None:
    async def act(at: Scene) -> None:
        second = Server(
            Chaincode([Assets()]),
            "example:abc",
            address=f"localhost:{at.server.port}",
            tls=at.authority.server_tls(),
        )
        with pytest.raises(RuntimeError, match=str(at.server.port)):
            await second.__aenter__()

    play(act)


def test_transactions_before_ready_are_illegal(caplog: pytest.LogCaptureFixture) -> None:
    async def act(at: Scene) -> None:
        async with dialled(at.server.port, at.authority) as early:
            answer = await early.start("tx", "get", "a")
            await early.register()
            assert (await early.invoke("tx2", "get", "a")).status == 200
            assert not answer.done()

    play(act)
    assert "illegal message TRANSACTION in state created" in caplog.text


def test_a_result_longer_than_a_message_is_a_500_and_not_the_end_of_the_stream() -> None:
    async def act(at: Scene) -> None:
        assert (await at.peer.invoke("tx", "huge")).status == 500
        assert (await at.peer.invoke("tx2", "get", "a")).status == 200

    play(act)


def test_long_results_of_many_calls_at_once_all_arrive() -> None:
    async def act(at: Scene) -> None:
        sizes = [1 << 20, 1, 300_000] * 10
        answers = await asyncio.gather(
            *(at.peer.invoke(f"tx{n}", "long", size) for n, size in enumerate(sizes))
        )
        assert [len(answer.payload) for answer in answers] == sizes

    play(act)


def test_this_grpcio_has_what_the_fast_kind_of_stream_needs(
    kind_of_stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def noted(context: Any, receive: Receive) -> Stream:
        made = open_stream(context, receive)
        opened.append(type(made).__name__.lower())
        return made

    async def act(at: Scene) -> None:
        assert opened == [kind_of_stream]

    monkeypatch.setattr("chaincode.shim.server.open_stream", noted)
    play(act)


async def taken(at: Scene) -> bool:
    """Whether the server takes one more stream just now."""
    async with dialled(at.server.port, at.authority) as another:
        hears = asyncio.create_task(another.other.get())
        await asyncio.wait([hears, another.ended], return_when=asyncio.FIRST_COMPLETED)
        return hears.done() or not hears.cancel()


def test_a_stream_too_many_is_refused_and_one_that_ends_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(at: Scene) -> None:
        async with dialled(at.server.port, at.authority) as second:
            await second.register()
            assert not await taken(at)
            assert (await second.invoke("tx", "get", "a")).status == 200
        for _ in range(3):
            while not await taken(at):
                await asyncio.sleep(0.01)

    monkeypatch.setattr("chaincode.shim.server.STREAMS", 2)  # the scene's own peer is the first
    play(act)


def test_keepalives_are_returned() -> None:
    async def act(at: Scene) -> None:
        await at.peer.send(message("KEEPALIVE", "", "", b""))
        assert (await at.peer.other.get()).type == message("KEEPALIVE", "", "", b"").type

    play(act)


@pytest.mark.parametrize("identity", ["none", "of another CA with the same name"])
def test_a_peer_without_this_cas_certificate_is_refused(identity: str) -> None:
    async def act(at: Scene) -> None:
        key, chain = (None, None) if identity == "none" else Authority.new().issue("peer0")
        credentials = grpc.ssl_channel_credentials(at.authority.pem, key, chain)
        async with grpc.aio.secure_channel(f"localhost:{at.server.port}", credentials) as channel:
            stream = channel.stream_stream("/protos.Chaincode/Connect")()
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stream.read()
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE

    play(act)


def test_stopping_answers_calls_in_flight_and_refuses_new_ones() -> None:
    async def act(at: Scene) -> None:
        waiting = await at.peer.start("tx1", "wait")
        await at.peer.invoke("tx0", "get", "a")
        stopping = asyncio.create_task(at.server._drain())
        await asyncio.sleep(0.05)
        assert (await page(at.server.health_port, "/healthz"))[0] == 503
        refused = await at.peer.invoke("tx2", "get", "a")
        assert (refused.status, "shutting down" in refused.message) == (500, True)
        at.contract.gate.set()
        assert (await waiting).status == 200
        await stopping

    play(act)


def test_calls_that_outlast_the_grace_period_are_answered_too() -> None:
    async def act(at: Scene) -> None:
        waiting = await at.peer.start("tx1", "wait")
        await at.peer.invoke("tx0", "get", "a")
        await at.server._drain()
        assert "shutting down" in (await waiting).message

    play(act, grace=0.05)


def test_health_and_metrics_tell_whether_a_peer_is_connected() -> None:
    async def act(at: Scene) -> None:
        port = at.server.health_port
        await at.peer.invoke("tx", "get", "a")
        await at.peer.invoke("tx2", "no-such-" + "x" * 50)
        status, body = await page(port, "/healthz")
        assert (status, json.loads(body)) == (200, {"status": "OK", "peers_connected": 1})
        _, metrics = await page(port, "/metrics")
        assert 'chaincode_calls_total{status="200",transaction="Assets:get"} 1.0' in metrics
        assert 'chaincode_calls_total{status="404",transaction="unknown"} 1.0' in metrics
        assert "chaincode_peers_connected 1.0" in metrics
        assert "chaincode_calls_in_flight 0.0" in metrics
        assert (await page(port, "/secret"))[0] == 404
        assert (await page(port, "/healthz", "POST"))[0] == 405

    play(act)


def test_the_health_endpoint_survives_clients_that_do_not_speak_http() -> None:
    async def act(at: Scene) -> None:
        port = at.server.health_port
        for raw in (b"\x00" * 9000, b"A" * 20000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 500, b"\r\n\r\n"):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(raw)
            writer.close()
        assert (await page(port, "/healthz"))[0] == 200

    play(act)


def test_one_line_a_call_is_logged_and_no_payload(caplog: pytest.LogCaptureFixture) -> None:
    async def act(at: Scene) -> None:
        await at.peer.invoke("0123456789abcdef", "put", "secretkey", b"secretvalue")
        await at.peer.invoke("fedcba9876543210", "secretname", "x")

    with caplog.at_level(logging.DEBUG, "chaincode.shim"):
        play(act)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("candor ")]
    assert [line.rsplit(" ", 2)[0] for line in lines] == [
        "candor 01234567 Assets:put 200",
        "candor fedcba98 unknown 404",
    ]
    assert "secret" not in caplog.text
