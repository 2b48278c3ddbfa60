"""The consortium's randomness and clock, as anyone can check it."""

from __future__ import annotations

from chaincode.beacon import Beacon as BeaconRecord
from chaincode.beacon import BeaconInfo
from chaincode.contracts import state, time
from chaincode.shim import Contract, Stub, query


class Beacon(Contract):
    """What the consortium founded on, and whether a beacon is of it."""

    @query
    async def info(self, stub: Stub) -> BeaconInfo:
        """The chain of beacons the consortium uses."""
        return (await state.consortium(stub)).beacon

    @query
    async def verify(self, stub: Stub, beacon: BeaconRecord) -> str:
        """The beacon's randomness (hex), if it verifies; 422 otherwise."""
        terms = await state.consortium(stub)
        return time.verified(terms.beacon, beacon).randomness.hex()
