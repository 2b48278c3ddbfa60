"""The stage for real: Fabric, drand, IPFS, and a process of its own for every client."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Self

import msgspec

from chaincode.beacon import BeaconInfo
from chaincode.records import Consortium, Registration
from fl_client.beacon import open_beacon
from fl_client.connection import Connection, IdentityFiles, read_connection
from fl_client.demo.scenario import Pace, Scenario
from fl_client.demo.stage import Player, Stage
from fl_client.errors import CandorError
from fl_client.ledger import Ledger, open_ledger
from fl_client.store import open_store
from network.network import Network
from network.processes import ProcessSpec, Status, python_environment, tail
from network.progress import Progress
from network.topology import Topology
from network.topology import load as load_topology

WINDOW = 60  # seconds a window stays open: a reveal or an aggregation takes a fraction of one
CLIENT = "client-"


class NativeStage(Stage):
    """A network that this process has brought up, and its clients."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._connections = {
            msp_id: read_connection(path) for msp_id, path in network.connection_files.items()
        }
        self.terms = _terms(network.topology, self._sponsor)
        least = (2 * self.terms.freshness + self.terms.margin) // self.terms.beacon.period + 1
        self.pace = Pace(gap=least, window=WINDOW)
        self._stack = AsyncExitStack()
        self._admins: dict[str, Ledger] = {}
        self._clients: list[tuple[Connection, IdentityFiles]] = []
        self.seconds = {f"network: {step}": took for step, took in network.seconds.items()}
        self.versions = {
            "ledger": "Hyperledger Fabric, through fabric-sdk-py " + version("fabric-sdk-py"),
            "beacon": f"drand, {self.terms.beacon.scheme}",
            "training": "TensorFlow " + version("tensorflow"),
        }

    @property
    def _sponsor(self) -> Connection:
        return next(iter(self._connections.values()))

    async def __aenter__(self) -> Self:
        for msp_id, connection in self._connections.items():
            ledger = open_ledger(connection, connection.admin)
            self._admins[msp_id] = await self._stack.enter_async_context(ledger)
        self.store = await self._stack.enter_async_context(open_store(self._sponsor))
        self.beacons = await self._stack.enter_async_context(open_beacon(self._sponsor))
        return self

    async def __aexit__(self, *error: object) -> None:
        if error[0] is not None:  # at once: threads that still import TensorFlow hold the event loop's end up
            await asyncio.to_thread(self.network.down)
        await self._stack.aclose()

    def enrol(self, clients: int) -> None:
        """The demo's clients: the first of each organisation, then the second, and so on."""
        ranks = max(len(connection.clients) for connection in self._connections.values())
        everyone = [
            (connection, connection.clients[rank])
            for rank in range(ranks)
            for connection in self._connections.values()
            if rank < len(connection.clients)
        ]
        self._clients = everyone[:clients]
        self.players = [_player(connection, files) for connection, files in self._clients]

    def admin(self, msp_id: str) -> Ledger:
        return self._admins[msp_id]

    async def start_clients(self, scenario: Scenario) -> None:
        for place in range(len(self._clients)):
            await asyncio.to_thread(self.network.keeper.spawn, self._process(scenario, place))

    def check_clients(self) -> None:
        for status in self._statuses():
            if status.state == "stopped" and status.last_exit:
                last = "\n".join(tail(status.log))
                raise CandorError(
                    f"{status.name} ended with {status.last_exit}, its log {status.log} ends:\n{last}"
                )

    async def clients_done(self) -> None:
        while any(status.state != "stopped" for status in await asyncio.to_thread(self._statuses)):
            await asyncio.sleep(0.2)
        self.check_clients()

    def _statuses(self) -> list[Status]:
        return [each for name, each in self.network.status().items() if name.startswith(CLIENT)]

    def _process(self, scenario: Scenario, place: int) -> ProcessSpec:
        connection, files = self._clients[place]
        home = self.network.directory / "clients" / files.name
        arguments = {
            "--connection": self.network.connection_files[connection.organisation],
            "--identity": files.name,
            "--journal": home / "journal",
            "--job": scenario.job,
            "--share": msgspec.json.encode(
                scenario.share(place, self.network.directory / "coalitions")
            ).decode(),
        }
        return ProcessSpec(
            name=CLIENT + files.name,
            argv=[
                *(sys.executable, "-m", "fl_client.cli", "client", "run"),
                *(str(part) for pair in arguments.items() for part in pair),
            ],
            directory=str(home),
            log=str(self.network.directory / "logs" / f"{CLIENT}{files.name}.log"),
            env=python_environment(),
            restart=False,
            layer=9,
        )


def bring_up(scenario: Scenario, directory: Path, progress: Progress, *, tie: bool = True) -> NativeStage:
    """A fresh three-organisation network with identities for the scenario's clients.

    Synchronous, and before any event loop: an interrupt then ends it like any other program.
    """
    network = Network.up(_topology(scenario), directory, progress=progress, tie=tie)
    stage = NativeStage(network)
    stage.enrol(scenario.clients)
    return stage


def _topology(scenario: Scenario) -> Topology:
    profile = load_topology("three-orgs")
    each = -(-scenario.clients // len(profile.organisations))
    organisations = [
        msgspec.structs.replace(org, clients=max(each, org.clients)) for org in profile.organisations
    ]
    return msgspec.structs.replace(profile, organisations=organisations)


def _terms(topology: Topology, connection: Connection) -> Consortium:
    """What the chaincode servers were configured with: the topology's settings and the network's beacon."""
    settings = topology.chaincode.settings
    return Consortium(
        organisations=[org.msp_id for org in topology.organisations],
        beacon=msgspec.convert(connection.beacon, BeaconInfo),
        freshness=settings["freshness"],
        margin=settings["margin"],
        registration=msgspec.convert(settings["registration"], Registration),
    )


def _player(connection: Connection, files: IdentityFiles) -> Player:
    member = open_ledger(connection, files).member_id
    return Player(files.name, connection.organisation, member.partition(":")[2])
