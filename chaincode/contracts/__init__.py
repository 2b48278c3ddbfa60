"""What the consortium agrees on: one file a concept. `create` is the factory the chaincode server runs."""

from __future__ import annotations

from chaincode.contracts.aggregation import Aggregation
from chaincode.contracts.beacon import Beacon
from chaincode.contracts.governance import Governance
from chaincode.contracts.jobs import Jobs
from chaincode.contracts.registry import Registry
from chaincode.contracts.rounds import Rounds
from chaincode.contracts.settings import EndorserClock, Settings, load
from chaincode.contracts.settlement import Settlement
from chaincode.contracts.token import Token
from chaincode.shim import Chaincode, Response, Stub
from chaincode.shim.errors import Forbidden

__all__ = ["Consortium", "create", "serve"]


class Consortium(Chaincode):
    """All contracts of one organisation's server."""

    def __init__(self, settings: Settings, clock: EndorserClock) -> None:
        contracts = [
            Governance(settings, clock),
            Registry(),
            Token(),
            Jobs(),
            Rounds(clock),
            Settlement(clock),
            Aggregation(clock),
            Beacon(),
        ]
        super().__init__(contracts, background=[clock.follow])
        self._name = settings.chaincode

    async def invoke(self, stub: Stub) -> Response:
        """Refuse a call whose signed proposal names another chaincode: its digests would be of another domain."""
        if stub.chaincode != self._name:
            refusal = Forbidden(f"the proposal must name {self._name!r} itself", named=stub.chaincode)
            return Response(refusal.code, refusal.to_json())
        return await super().invoke(stub)


def serve(settings: Settings, clock: EndorserClock | None = None) -> Consortium:
    """The contracts under given settings; the clock is the host's unless one is passed in."""
    return Consortium(settings, clock or EndorserClock(settings.beacon, settings.drand))


def create() -> Consortium:
    """For `python -m chaincode.shim chaincode.contracts:create`: settings from the environment."""
    return serve(load())
