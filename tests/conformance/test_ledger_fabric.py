"""The ledger suite on a real Fabric network, and what only such a network can do to a client."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_suite import LedgerSuite, Site, fails, key, text

from fl_client.connection import read_connection
from fl_client.errors import BadInput
from fl_client.ledger import open_ledger
from fl_client.ledger.base import Ledger
from network import fabric
from network.binaries import Binaries
from network.network import Network
from network.plan import Plan
from network.ports import Ports
from network.progress import silent
from network.topology import Chaincode, Orderers, Organisation, Topology

__all__ = ["key"]

pytestmark = [pytest.mark.network, pytest.mark.timeout(180)]

TOPOLOGY = Topology(
    name="ledgers",
    organisations=[Organisation(msp_id=f"Org{i}MSP", domain=f"org{i}.test", clients=1) for i in (1, 2, 3)],
    chaincode=Chaincode(name="counter", factory="counter:create"),
    orderers=Orderers(count=3),
)


class FabricSite(Site):
    organisations = tuple(each.msp_id for each in TOPOLOGY.organisations)

    def __init__(self, network: Network) -> None:
        self.network, self.programs = network, Binaries()

    def ledger(self, organisation: str = "", role: str = "client") -> Ledger:
        connection = read_connection(self.network.connection_files[organisation or self.organisations[0]])
        return open_ledger(connection, connection.admin if role == "admin" else connection.clients[0])

    def stop(self, organisation: str) -> None:
        name = f"{self._organisation(organisation).name}-peer"
        self.network.keeper.kill(name)
        self.network.keeper.stop(name)  # or the keeper starts it again

    def start(self, organisation: str) -> None:
        self.network.keeper.spawn(fabric.peer(self._plan(), self._organisation(organisation)))

    def signal(self, name: str, number: signal.Signals) -> None:
        self.network.keeper.kill(name, number)

    def _organisation(self, msp_id: str) -> Organisation:
        return next(each for each in TOPOLOGY.organisations if each.msp_id == msp_id)

    def _plan(self) -> Plan:
        return Plan(
            topology=TOPOLOGY,
            directory=self.network.directory,
            runtime=self.network.keeper.runtime,
            keeper=self.network.keeper,
            programs=self.programs,
            ports=Ports(dict(self.network._state.ports)),
            progress=silent,
            python=sys.executable,
            fresh=False,
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FabricSite]:
    network = Network.up(TOPOLOGY, tmp_path_factory.mktemp("fabric") / "net")
    try:
        yield FabricSite(network)
    finally:
        network.down()


class TestFabricLedger(LedgerSuite):
    """Everything in LedgerSuite."""

    def test_transactions_survive_the_death_of_orderers(self, site: FabricSite, key: str) -> None:
        """One orderer after the other, the Raft leader among them: its accepted envelopes are lost."""

        async def check(ledger: Ledger) -> None:
            for index in range(TOPOLOGY.orderers.count):
                calls = [ledger.submit("Counter:put", f"{key}-{index}-{i}", "v") for i in range(20)]
                flying = asyncio.gather(*calls)
                await asyncio.sleep(0.1)
                await asyncio.to_thread(site.signal, f"orderer{index}", signal.SIGKILL)
                await flying
                await ledger.submit("Counter:put", f"{key}-{index}", "v")

        site.run(check)

    def test_a_frozen_orderer_delays_and_fails_nothing(self, site: FabricSite, key: str) -> None:
        """It takes envelopes and answers nothing; peers that get their blocks from it get none either."""

        async def check(ledger: Ledger) -> None:
            site.signal("orderer1", signal.SIGSTOP)
            try:
                calls = [ledger.submit("Counter:put", f"{key}-{i}", "v") for i in range(6)]
                flying = asyncio.gather(*calls)
                await asyncio.sleep(5)
            finally:
                site.signal("orderer1", signal.SIGCONT)
            await flying

        site.run(check)

    def test_the_blocks_peer_may_freeze_while_a_transaction_is_under_way(
        self, site: FabricSite, key: str
    ) -> None:
        """Its stream of blocks neither ends nor goes on: the other peers are asked for the outcome."""

        async def check(ledger: Ledger) -> None:
            site.signal("org1-peer", signal.SIGSTOP)
            try:
                began = time.monotonic()
                await ledger.submit("Counter:put", key, "v")
                assert text(await ledger.evaluate("Counter:get", key)) == "v"
                assert time.monotonic() - began < 20
            finally:
                site.signal("org1-peer", signal.SIGCONT)

        site.run(check)

    def test_a_killed_chaincode_server_is_passed_over(self, site: FabricSite, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            await asyncio.to_thread(site.signal, "org1-chaincode", signal.SIGKILL)
            for i in range(5):
                await ledger.submit("Counter:put", f"{key}-{i}", "v")
                assert text(await ledger.evaluate("Counter:get", f"{key}-{i}")) == "v"

        site.run(check)

    def test_without_a_tls_root_nothing_is_sent(self, site: FabricSite, tmp_path: Path) -> None:
        file = tmp_path / "connection.json"
        raw = json.loads(site.network.connection_files["Org1MSP"].read_text())
        raw["peers"][0]["tls_ca"] = ""
        file.write_text(json.dumps(raw))
        with pytest.raises(BadInput, match="file's name is empty"):
            read_connection(file)
        raw["peers"][0]["tls_ca"] = str(tmp_path / "missing.crt")
        file.write_text(json.dumps(raw))
        connection = read_connection(file)

        async def body() -> None:
            error = await fails(BadInput, open_ledger(connection, connection.admin).__aenter__())
            assert "missing.crt" in str(error)

        asyncio.run(body())
