"""The served chaincode and its streams, driven by a fake peer: from the first connection to the last answer."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import grpc
import pytest
from shim_helpers import CREATOR
from shim_peer import Authority, dialled, proposal
from shim_served import Assets, Scene, page, play

from chaincode.shim import Chaincode
from chaincode.shim.exchange import message
from chaincode.shim.server import Server
from chaincode.shim.stream import Receive, Stream, open_stream

pytestmark = pytest.mark.usefixtures("kind_of_stream")


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
        with pytest.raises(OSError, match=f"cannot listen on localhost:{at.server.port}: "):
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
