"""The settlement as a call in process."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.settlement.sealed import BEACON, ORGANISATIONS, Sealed
from chaincode.contracts.settings import EndorserClock
from chaincode.contracts.settlement import Settlement
from chaincode.shim import Chaincode, Identity
from chaincode.shim.memory import MemoryStub, WorldState

CALLER = Identity(ORGANISATIONS[0], b"", "0" * 64, frozenset({"client"}), "caller", 2**40)


def served() -> Chaincode:
    """One organisation's server."""
    return Chaincode([Settlement(EndorserClock(BEACON))])


def called(made: Sealed, transient: Mapping[str, bytes] | None = None) -> MemoryStub:
    """The call on the round's state, with its reports or others."""
    state = WorldState()
    state.apply(tuple(sorted(made.state.items())), (1, 0))
    return MemoryStub(
        state,
        channel="bench",
        tx_id="1",
        chaincode="candor",
        args=[b"Settlement:settle", *made.args],
        transient=made.transient if transient is None else transient,
        creator=CALLER,
    )
