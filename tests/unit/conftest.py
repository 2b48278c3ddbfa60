"""What tests of several files share."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["direct", "queued"])
def kind_of_stream(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both kinds of stream of the shim; without its private operations grpcio gives the second."""
    if request.param == "queued":
        monkeypatch.setattr("chaincode.shim.stream.ReceiveMessageOperation", None)
    return str(request.param)
