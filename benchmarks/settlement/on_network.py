"""The same settlement through a real peer: ``create`` is the factory of a chaincode that can put the round there."""

from __future__ import annotations

import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.settlement.sealed import BEACON, Sealed
from chaincode.contracts.settings import EndorserClock
from chaincode.contracts.settlement import Settlement
from chaincode.shim import Chaincode, Contract, Stub, transaction
from fl_client.connection import read_connection
from fl_client.ledger import open_ledger
from network.network import Network
from network.topology import Chaincode as Deployed
from network.topology import load

_SERVED = re.compile(r"Settlement:settle 200 ([0-9.]+) ms")
_AT_ONCE = 200  # records a transaction


class Seeding(Contract):
    """Writes what it is given: for this benchmark alone."""

    @transaction
    async def put(self, stub: Stub, records: dict[str, str]) -> None:
        """Records as they would lie in the state."""
        for key, value in records.items():
            await stub.put(key, value.encode())


def create() -> Chaincode:
    """For ``python -m chaincode.shim``."""
    return Chaincode([Seeding(), Settlement(EndorserClock(BEACON))])


@dataclass(frozen=True)
class Settled:
    """Seconds: the call at the peer's chaincode server, and from the client's call to the block."""

    endorsed: float
    committed: float


async def settle(made: Sealed) -> Settled:
    """Start a network of one organisation, seed it, settle."""
    deployed = Deployed(name="settlement", factory="benchmarks.settlement.on_network:create")
    topology = msgspec.structs.replace(load("fabric"), chaincode=deployed)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        network = Network.up(topology, Path(directory) / "network")
        try:
            return await _settle(network, made)
        finally:
            network.down()


async def _settle(network: Network, made: Sealed) -> Settled:
    connection = read_connection(network.connection_files["Org1MSP"])
    async with open_ledger(connection, connection.clients[0]) as ledger:
        records = [(key, value.decode()) for key, value in made.state.items()]
        for first in range(0, len(records), _AT_ONCE):
            await ledger.submit("Seeding:put", dict(records[first : first + _AT_ONCE]))
        began = time.perf_counter()
        await ledger.submit("Settlement:settle", *made.args, transient=made.transient)
        took = time.perf_counter() - began
    served = _SERVED.search(network.log("org1-chaincode").read_text())
    assert served is not None
    return Settled(float(served[1]) / 1000, took)
