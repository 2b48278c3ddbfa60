"""Time is the beacon: the two judgements a contract makes of it (docs/protocol.md, A round)."""

from __future__ import annotations

from chaincode import beacon as beacons
from chaincode.beacon import Beacon, BeaconInfo
from chaincode.contracts.settings import EndorserClock
from chaincode.shim.errors import Conflict, TooEarly, Unprocessable


def verified(info: BeaconInfo, beacon: Beacon) -> Beacon:
    """The beacon, if the consortium's key signed it; 422 otherwise."""
    try:
        beacons.verify(info, beacon)
    except beacons.BadBeacon as fault:
        raise Unprocessable(f"beacon {beacon.round}: {fault}", round=beacon.round) from fault
    return beacon


def fresh(info: BeaconInfo, freshness: int, clock: EndorserClock, beacon: Beacon) -> int:
    """The time of a beacon that is within F of the endorser's now; it proves "it is later than"."""
    time, now = info.time(verified(info, beacon).round), clock.now()
    if time < now - freshness:
        raise Conflict("the beacon is stale: bring a newer one", round=beacon.round)
    if time > now + freshness:
        raise TooEarly("the beacon lies in the future of this endorser's clock", round=beacon.round)
    return time


def fresh_of_either(
    first: BeaconInfo, second: BeaconInfo, freshness: int, clock: EndorserClock, beacon: Beacon
) -> int:
    """As `fresh`, by whichever chain signed it: where one may have died, the other still tells the time."""
    try:
        return fresh(first, freshness, clock, beacon)
    except Unprocessable:
        return fresh(second, freshness, clock, beacon)


def not_past(deadline: int, clock: EndorserClock, what: str) -> None:
    """Each endorser judges "it is not yet later than" by its own clock."""
    if clock.now() > deadline:
        raise Conflict(f"{what} is past its deadline", deadline=deadline)


def drawn(info: BeaconInfo, expected: int, beacon: Beacon) -> str:
    """The randomness (hex) of exactly the beacon that was fixed beforehand."""
    if beacon.round != expected:
        raise Unprocessable(f"the draw is bound to beacon {expected}", round=beacon.round, expected=expected)
    return verified(info, beacon).randomness.hex()
