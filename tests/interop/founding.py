"""Candor's contracts without a beacon network beside them: a development signer's key stands in the settings."""

from __future__ import annotations

import json
import os
from pathlib import Path

from chaincode import contracts
from chaincode.beacon import DevSigner
from chaincode.contracts.settings import SETTINGS, Settings
from chaincode.records import Consortium, Registration

SIGNER = DevSigner(b"interop", period=3, genesis_time=1_700_000_000)


def terms(organisations: list[str]) -> Consortium:
    """What the servers are configured with, and the founder has to name."""
    return Consortium(
        organisations=organisations,
        beacon=SIGNER.info,
        freshness=60,
        margin=1,
        registration=Registration(),
    )


def create() -> contracts.Consortium:
    """For ``python -m chaincode.shim``."""
    given = json.loads(Path(os.environ[SETTINGS]).read_text())
    own = terms(given["organisations"])
    settings = Settings(
        msp_id=given["msp_id"],
        organisations=own.organisations,
        beacon=own.beacon,
        freshness=own.freshness,
        margin=own.margin,
        registration=own.registration,
        chaincode=given["chaincode"],
    )
    return contracts.serve(settings)
