"""Time in an audit: what the chain itself proves, and nothing else.

An endorser judged "now" by its own clock, which leaves no trace. What is certain: a beacon of time t cannot
have existed before t (fewer organisations than the threshold collude), and whoever read a block had already
seen the beacons in it. So an endorser whose answer read block b lived at T or later, T being the newest beacon
up to b; its clock, right within F, showed T - F or later. A step that was only open before that is refused;
every other is given the benefit of the doubt.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import msgspec

from chaincode import beacon as beacons
from chaincode.beacon import Beacon, BeaconInfo
from chaincode.contracts.settings import EndorserClock
from chaincode.shim.memory import ReadWriteSet


class Since(float):
    """A time of which only a lower bound is known: it may be later than anything, and proves no "not yet"."""

    def __add__(self, other: float) -> Since:
        return Since(float(self) + other)

    def __sub__(self, other: float) -> Since:
        return Since(float(self) - other)

    def __lt__(self, other: object) -> bool:
        return False

    __le__ = __lt__


class AuditClock(EndorserClock):
    """The clock with which transactions are run again: `at` sets the least time it may have shown."""

    def __init__(self, info: BeaconInfo) -> None:
        super().__init__(info, wall=lambda: 0.0)
        self._least = Since(0)

    def at(self, least: float) -> None:
        """From here on it shows `least` or later."""
        self._least = Since(least)

    def now(self) -> float:
        return self._least


class Beacons:
    """Every beacon the chain has seen and whether it is real; what each block proves of the time."""

    def __init__(self) -> None:
        self._blocks, self._floors = [0], [0]  # block numbers, and the time proved by each and all before it

    def floor(self, rwset: ReadWriteSet) -> int:
        """The time proved by the newest block that a transaction has read from."""
        versions = [version for _, version in rwset.reads if version]
        versions += [version for read in rwset.ranges for _, version in read.results]
        newest = max((block for block, _ in versions), default=0)
        return self._floors[self._place(newest)]

    def saw(self, block: int, infos: Iterable[BeaconInfo], found: Iterable[Beacon]) -> None:
        """A valid transaction of the block carried these."""
        if block > self._blocks[-1]:
            self._blocks.append(block)
            self._floors.append(self._floors[-1])
        place = self._place(block)
        for each in found:
            for info in infos:
                if genuine(info, each):
                    self._floors[place] = max(self._floors[place], info.time(each.round))

    def _place(self, block: int) -> int:
        """Of the newest block up to that one. A forged number may be any, and is not counted up to."""
        return max(0, bisect_right(self._blocks, block) - 1)


def carried(args: Iterable[bytes]) -> list[Beacon]:
    """The beacons among a transaction's arguments."""
    found = []
    for raw in args:
        if raw[:1] == b"{":
            try:
                found.append(msgspec.json.decode(raw, type=Beacon))
            except (ValueError, RecursionError):
                continue
    return found


def genuine(info: BeaconInfo, beacon: Beacon) -> bool:
    """Whether that chain's key signed it."""
    try:
        beacons.verify(info, beacon)
    except ValueError:
        return False
    return True
