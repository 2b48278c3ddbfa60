"""What one organisation's chaincode server is configured with, and its clock.

Founding is endorsed only by servers whose settings equal the founder's arguments (docs/protocol.md, Governance).
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec

from chaincode.beacon import DEV_ID, BeaconInfo
from chaincode.records import MspId, Record, Registration, Seconds

log = logging.getLogger(__name__)

SETTINGS = "CANDOR_CHAINCODE_SETTINGS"
DEVELOPMENT = "beacon: a production server takes no development beacon, whose signer knows every draw"


class Settings(Record, frozen=True, kw_only=True):
    """A chaincode server's own configuration: one JSON file, named by $CANDOR_CHAINCODE_SETTINGS."""

    msp_id: MspId
    organisations: list[MspId]
    beacon: BeaconInfo
    freshness: Seconds
    margin: Seconds
    registration: Registration
    chaincode: str = "candor"
    drand: str = ""  # the organisation's own node, the second half of its clock
    production: bool = False  # this organisation endorses no development beacon

    def accepts(self, beacon: BeaconInfo) -> bool:
        """Whether the organisation would draw from these beacons: not in production if one signer knows them all."""
        return not (self.production and beacon.id == DEV_ID)


def load() -> Settings:
    """Read the settings file; any fault names the file and ends the process before it serves anything."""
    path = os.environ.get(SETTINGS)
    if not path:
        raise SystemExit(f"{SETTINGS} is not set: give the path of the server's settings file")
    try:
        settings = msgspec.json.decode(Path(path).read_bytes(), type=Settings)
    except (OSError, msgspec.DecodeError) as fault:
        raise SystemExit(f"{path}: {fault}; correct the chaincode server's settings") from fault
    if not settings.accepts(settings.beacon):
        raise SystemExit(
            f"{path}: {DEVELOPMENT}; name the beacon of the organisations' own nodes in `beacon`"
        )
    return settings


class EndorserClock:
    """The endorser's now: the later of its own clock and its own drand node's newest beacon.

    It decides whether this organisation endorses; it never enters a result, so clocks may differ.
    """

    def __init__(self, info: BeaconInfo, drand: str = "", wall: Callable[[], float] = time.time) -> None:
        self._info, self._drand, self._wall, self._newest = info, drand, wall, 0

    def now(self) -> float:
        """Unix seconds."""
        return max(self._wall(), self._newest)

    async def follow(self) -> None:
        """Keep the newest beacon's time, for as long as the server runs; an unreachable node changes nothing."""
        if not self._drand:
            return
        async with httpx.AsyncClient(base_url=self._drand, timeout=5) as client:
            while True:
                await self._look(client)
                await asyncio.sleep(self._info.period)

    async def _look(self, client: httpx.AsyncClient) -> None:
        try:
            answer = await client.get("/public/latest")
            self._newest = max(self._newest, self._info.time(int(answer.json()["round"])))
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as fault:
            log.warning("own drand node does not answer: %s", type(fault).__name__)
