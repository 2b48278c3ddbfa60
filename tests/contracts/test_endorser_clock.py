"""An endorser's now: the later of its own clock and its own drand node's newest beacon."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from chaincode.beacon import DevSigner
from chaincode.contracts.settings import EndorserClock

INFO = DevSigner(b"clock", period=1, genesis_time=1_800_000_000).info
WALL = INFO.time(100)


class Node:
    """What a drand node says of its newest beacon, over HTTP."""

    def __init__(self) -> None:
        self.says, self.asked = b"{}", 0
        node = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert self.path == "/public/latest"
                self.send_response(200)
                self.end_headers()
                self.wfile.write(node.says)
                node.asked += 1

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def node() -> Iterator[Node]:
    started = Node()
    yield started
    started.stop()


async def followed(clock: EndorserClock, node: Node, *said: bytes) -> list[float]:
    """The clock's now after it has heard each of these."""
    following, found = asyncio.create_task(clock.follow()), []
    for each in said:
        node.says, before, end = each, node.asked, time.monotonic() + 20
        while node.asked < before + 2:  # the one on its way may still have the last word
            assert time.monotonic() < end, "the node is not asked"
            await asyncio.sleep(0.02)
        found.append(clock.now())
    following.cancel()
    return found


def test_the_nodes_newest_beacon_moves_a_clock_that_is_behind_and_never_back(node):
    clock = EndorserClock(INFO, node.url, wall=lambda: WALL)
    said = b'{"round":400}', b'{"round":300}'
    assert asyncio.run(followed(clock, node, *said)) == [INFO.time(400)] * 2


def test_a_clock_that_is_ahead_of_its_node_stays(node):
    clock = EndorserClock(INFO, node.url, wall=lambda: WALL)
    assert asyncio.run(followed(clock, node, b'{"round":99}')) == [WALL]


@pytest.mark.parametrize("said", [b"not JSON", b"[]", b"{}"])
def test_what_a_node_in_trouble_says_changes_nothing(node, said):
    clock = EndorserClock(INFO, node.url, wall=lambda: WALL)
    assert asyncio.run(followed(clock, node, said)) == [WALL]


def test_a_node_that_is_away_changes_nothing_and_is_asked_again(node, caplog):
    clock = EndorserClock(INFO, "http://127.0.0.1:9", wall=lambda: WALL)

    async def story() -> None:
        following = asyncio.create_task(clock.follow())
        end = time.monotonic() + 20
        while caplog.text.count("does not answer") < 2:
            assert time.monotonic() < end
            await asyncio.sleep(0.02)
        following.cancel()

    asyncio.run(story())
    assert clock.now() == WALL


def test_without_a_node_there_is_nothing_to_follow():
    asyncio.run(asyncio.wait_for(EndorserClock(INFO).follow(), 5))
