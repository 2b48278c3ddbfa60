"""Chaincode servers of which Org3's has been modified to lie: it pays one member of each settlement more."""

from __future__ import annotations

from typing import Any

from chaincode import contracts
from chaincode.contracts.settings import EndorserClock, load
from chaincode.shim import Response, Stub

LIAR = "Org3MSP"


class Generous:
    """A stub that adds a thousand to the payment in every outcome."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stub, name)

    async def put(self, key: str, value: bytes) -> None:
        if key.startswith("outcome/"):
            value = value.replace(b'"payment":', b'"payment":1', 1)
        await self._stub.put(key, value)


class Lying(contracts.Consortium):
    """The contracts, but for the settlement."""

    async def invoke(self, stub: Stub) -> Response:
        lied: Any = Generous(stub)
        return await super().invoke(lied if stub.args[0] == b"Settlement:settle" else stub)


def create() -> contracts.Consortium:
    """Honest everywhere but at the liar's."""
    settings = load()
    honest = contracts.serve(settings)
    if settings.msp_id != LIAR:
        return honest
    return Lying(settings, EndorserClock(settings.beacon, settings.drand))
