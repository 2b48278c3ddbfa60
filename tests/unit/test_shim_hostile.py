"""A peer that does what no peer does: the server answers what can be answered, counts right and keeps nothing."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress

import grpc
import pytest
from shim_peer import PATIENCE, FakePeer, dialled
from shim_served import Scene, page, play

from chaincode.shim.connection import Connection
from chaincode.shim.exchange import Exchange, message
from chaincode.shim.protos import shim

pytestmark = pytest.mark.usefixtures("kind_of_stream")
CALLS = 2_000
KINDS = (Connection, Exchange)


async def in_flight(at: Scene) -> int:
    """What the server's metrics say."""
    _, text = await page(at.server.health_port, "/metrics")
    (line,) = (line for line in text.splitlines() if line.startswith("chaincode_calls_in_flight "))
    return int(float(line.split()[1]))


async def becomes(at: Scene, count: int) -> None:
    """Wait until so many calls are in flight."""
    async with asyncio.timeout(PATIENCE):
        while await in_flight(at) != count:  # noqa: ASYNC110 - the metrics have no event
            await asyncio.sleep(0.01)


async def forgotten() -> None:
    """Wait until nobody holds a stream or a call any more but the scene's own peer's stream."""
    async with asyncio.timeout(PATIENCE):
        while [type(each) for each in gc.get_objects() if type(each) in KINDS] != [Connection]:
            await asyncio.sleep(0.05)
            gc.collect()


def test_thousands_of_calls_at_once_are_counted_answered_and_forgotten() -> None:
    async def act(at: Scene) -> None:
        answers = [await at.peer.start(f"tx{number}", "wait") for number in range(CALLS)]
        await becomes(at, CALLS)
        at.contract.gate.set()
        assert {(await answer).payload for answer in answers} == {b'"waited"'}
        assert await in_flight(at) == 0
        await forgotten()

    play(act)


def test_answers_of_other_calls_of_none_and_twice_confuse_no_call() -> None:
    async def act(at: Scene) -> None:
        at.peer.hold = True
        first = await at.peer.start("tx", "get", "a")
        other = await at.peer.start("tx2", "get", "a")
        await at.peer.held.get()
        await at.peer.held.get()
        for channel, tx_id in (
            ("candor", "nobody"),
            ("elsewhere", "tx"),
            ("", ""),
            ("candor", "tx2"),
            ("candor", "tx2"),
        ):
            await at.peer.send(message("RESPONSE", channel, tx_id, b"not for the first"))
        assert (await other).payload == b"not for the first"
        assert not first.done()
        await at.peer.send(message("RESPONSE", "candor", "tx", b"its own"))
        await at.peer.send(message("RESPONSE", "candor", "tx", b"once more"))
        assert (await first).payload == b"its own"

    play(act)


def test_a_malformed_answer_is_a_500_and_not_the_callers_fault() -> None:
    async def act(at: Scene) -> None:
        at.peer.hold = True
        for kind in ("RESPONSE", "ERROR"):
            listed = await at.peer.start(kind, "list", "p")
            await at.peer.held.get()
            await at.peer.send(message(kind, "candor", kind, b"\xff\xff\xff"))
            assert (await listed).status == 500
        at.peer.hold = False
        assert (await at.peer.invoke("tx", "get", "a")).status == 200

    play(act)


def test_pages_without_end_end_with_the_calls_deadline() -> None:
    async def act(at: Scene) -> None:
        at.peer.hold = True
        listed = await at.peer.start("tx", "list", "p")
        again = shim.QueryResponse(has_more=True, id="x").SerializeToString()
        while not listed.done():
            request = asyncio.create_task(at.peer.held.get())
            await asyncio.wait([request, listed], return_when=asyncio.FIRST_COMPLETED)
            request.cancel()
            await at.peer.send(message("RESPONSE", "candor", "tx", again))
        assert listed.result().status == 500

    play(act, deadline=0.5)


def test_calls_whose_stream_was_cut_stay_in_flight_until_they_end_and_then_nothing_is_left() -> None:
    async def act(at: Scene) -> None:
        for _ in range(3):
            async with dialled(at.server.port, at.authority) as second:
                await second.register()
                second.hold = True
                await second.start("asks", "get", "a")
                await second.start("waits", "wait")
                await second.held.get()
        await becomes(at, 3)  # who asked the peer has failed
        at.contract.gate.set()
        await becomes(at, 0)
        await forgotten()

    play(act)


def test_stopping_waits_for_calls_whose_stream_was_cut() -> None:
    ended = []

    async def act(at: Scene) -> None:
        async with dialled(at.server.port, at.authority) as second:
            await second.register()
            await second.start("waits", "wait")
            await becomes(at, 1)
        await becomes(at, 1)
        stopping = asyncio.create_task(at.server.__aexit__(None, None, None))
        await at.peer.ended
        ended.append(at.server.metrics)
        await stopping

    with suppress(grpc.aio.AioRpcError):
        play(act, grace=0.2)
    assert ended
    assert "chaincode_calls_in_flight 0.0" in ended[0].text().decode()


def test_what_is_said_to_a_peer_after_the_server_has_stopped_is_dropped() -> None:
    """grpcio ends the whole process for it."""

    async def act(at: Scene) -> None:
        (connection,) = at.server._connections
        await at.server.__aexit__(None, None, None)
        connection._stream.send(b"late")
        connection.close()

    with suppress(grpc.aio.AioRpcError):
        play(act)


def test_a_peer_that_does_not_read_keeps_nobody_else_waiting() -> None:
    async def act(at: Scene) -> None:
        credentials = grpc.ssl_channel_credentials(at.authority.pem, *at.authority.issue("peer1"))
        async with grpc.aio.secure_channel(f"localhost:{at.server.port}", credentials) as channel:
            deaf = FakePeer(channel.stream_stream("/protos.Chaincode/Connect")())
            for kind in ("REGISTERED", "READY"):
                await deaf.send(message(kind, "", "", b""))
            for number in range(20):
                await deaf.start(f"tx{number}", "long", 1 << 20)
            await deaf.start("last", "wait")
            await becomes(at, 1)  # all others have been answered, and nobody takes the answers
            assert (await at.peer.invoke("tx", "get", "a")).status == 200
        at.contract.gate.set()
        await becomes(at, 0)
        await forgotten()

    play(act)
