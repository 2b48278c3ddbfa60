"""Chaincode servers whose clock a test can move, under a development signer: hours pass in a moment.

Org3's has been modified, too: while there is a file with a lie it answers every question about a round with that.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from chaincode import contracts
from chaincode.beacon import DevSigner
from chaincode.contracts.settings import SETTINGS, EndorserClock, Settings
from chaincode.records import Registration
from chaincode.shim import Response, Stub

SIGNER = DevSigner(b"shifted", period=3, genesis_time=1_700_000_000)
LIAR = "Org3MSP"


class Shift:
    """How far the servers' clocks are ahead, and what the liar says: two files of one directory."""

    def __init__(self, directory: Path) -> None:
        self._seconds, self._lie = directory / "seconds", directory / "lie"

    def now(self) -> float:
        """Unix seconds, shifted."""
        return time.time() + (float(self._seconds.read_text()) if self._seconds.exists() else 0)

    def pass_by(self, seconds: float) -> None:
        """Let that much time pass."""
        scratch = self._seconds.with_suffix(".new")
        scratch.write_text(str(self.now() + seconds - time.time()))
        scratch.replace(self._seconds)

    def tell(self, lie: bytes) -> None:
        """From now on; b"" ends it."""
        self._lie.write_bytes(lie)

    @property
    def lie(self) -> bytes:
        return self._lie.read_bytes() if self._lie.exists() else b""


class Modified(contracts.Consortium):
    """The contracts, but for what it says of rounds."""

    shift: Shift

    async def invoke(self, stub: Stub) -> Response:
        if stub.args[0] == b"Rounds:get" and self.shift.lie:
            return Response(200, payload=self.shift.lie)
        return await super().invoke(stub)


def create() -> contracts.Consortium:
    """For ``python -m chaincode.shim``."""
    given = json.loads(Path(os.environ[SETTINGS]).read_text())
    shift = Shift(Path(given["shift"]))
    settings = Settings(
        msp_id=given["msp_id"],
        organisations=given["organisations"],
        beacon=SIGNER.info,
        freshness=given["freshness"],
        margin=given["margin"],
        registration=Registration(**given["registration"]),
        chaincode=given["chaincode"],
    )
    clock = EndorserClock(SIGNER.info, wall=shift.now)
    if settings.msp_id != LIAR:
        return contracts.serve(settings, clock)
    server = Modified(settings, clock)
    server.shift = shift
    return server
