"""What every BeaconSource does. A test class inherits BeaconSuite and gives it a ``source``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from chaincode import beacon as beacons
from fl_client.beacon import BeaconSource

Open = Callable[[], BeaconSource]


def run(open_source: Open, check: Callable[[BeaconSource], Awaitable[Any]]) -> Any:
    """Run ``check`` on an entered source, in a loop of its own."""

    async def body() -> Any:
        async with asyncio.timeout(60), open_source() as source:
            return await check(source)

    return asyncio.run(body())


class BeaconSuite:
    """Inherit it, and define the fixture ``source``: what makes a BeaconSource."""

    def test_the_newest_round_is_the_clocks_and_verifies(self, source: Open) -> None:
        async def check(source: BeaconSource) -> None:
            beacon = await source.latest()
            beacons.verify(source.info, beacon)
            behind = source.info.round_at(int(source.clock.now())) - beacon.round
            assert 0 <= behind <= 1 + 1  # one in the making, one gone by since

        run(source, check)

    def test_an_old_round_is_there_at_once(self, source: Open) -> None:
        async def check(source: BeaconSource) -> None:
            beacon = await source.at(1)
            assert beacon.round == 1
            beacons.verify(source.info, beacon)
            assert await source.at(1) == beacon

        run(source, check)

    def test_a_round_to_come_is_waited_for(self, source: Open) -> None:
        async def check(source: BeaconSource) -> None:
            wanted = source.info.round_at(int(source.clock.now())) + 3
            beacon = await source.at(wanted)
            assert beacon.round == wanted
            assert source.clock.now() >= source.info.time(wanted)
            beacons.verify(source.info, beacon)

        run(source, check)

    def test_rounds_differ(self, source: Open) -> None:
        async def check(source: BeaconSource) -> None:
            first, second = await asyncio.gather(source.at(1), source.at(2))
            assert first.randomness != second.randomness

        run(source, check)
