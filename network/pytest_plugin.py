"""A real Fabric network inside pytest.

In a ``conftest.py``::

    from network.pytest_plugin import network_fixture
    from network.topology import Chaincode

    fabric_network = network_fixture("fabric", chaincode=Chaincode(factory="assets:Assets"))

Tests that take ``fabric_network`` get a running ``Network``, one a session (and one a worker of
pytest-xdist), gone when the session ends in whatever way. With the environment variable
CANDOR_NETWORK set to the directory of a network that runs already, they get that one, and it stays.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from network.errors import NotRunning
from network.network import Network
from network.progress import silent
from network.topology import Topology, check, load

ATTACH = "CANDOR_NETWORK"
_Scope = Literal["session", "package", "module", "class", "function"]


def network_fixture(
    topology: Topology | str | Path = "fabric", *, scope: _Scope = "session", **changes: Any
) -> Callable[..., Iterator[Network]]:
    """A fixture of a running network: of a topology, a file or a profile, with fields changed."""

    @pytest.fixture(scope=scope)
    def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
        attached = os.environ.get(ATTACH)
        if attached:
            yield attach(attached)
            return
        started = Network.up(_changed(topology, changes), tmp_path_factory.mktemp("network"), progress=silent)
        try:
            yield started
        finally:
            started.down()

    return network


def attach(directory: str | Path) -> Network:
    """The network that runs in ``directory``; raises NotRunning."""
    network = Network.load(directory)
    if not network.running:
        raise NotRunning(f"the network in {directory} ({ATTACH}) is down", "Start it, or unset the variable")
    return network


def _changed(topology: Topology | str | Path, changes: dict[str, Any]) -> Topology:
    base = topology if isinstance(topology, Topology) else load(topology)
    made = msgspec.structs.replace(base, **changes)
    check(made)
    return made
