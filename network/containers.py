"""The network in containers: what differs from the native one is hosts, paths and who starts things.

Docker starts the nodes; the steps here run once each, in containers of our own image, and use the
same renderings and commands as ``network up``. All containers see their share of one volume at
``/network``. Driven by docker-compose.yaml, which :mod:`network.compose` writes.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from network import channel, configuration, drand, fabric, handover, ipfs, lifecycle
from network.errors import BadTopology, MissingProgram
from network.handover import Beacon
from network.identities import Identities, orderer_host
from network.ipfs import Pair
from network.plan import Plan, Programs
from network.ports import Ports
from network.processes import Keeper
from network.progress import Progress, silent
from network.steps import each, private_directory, write_private
from network.topology import Organisation, Topology

NETWORK = Path("/network")
USER = 1000  # of the Dockerfile's and of the IPFS images; Fabric's run as root
_SLOWEST_START = 15  # seconds from the beacon's proposal to round 1; containers cannot be started anew


class Hosts(Ports):
    """Every container has a name and all the ports it wants."""

    def __init__(self, topology: Topology) -> None:
        entries = list(_listeners(topology))
        super().__init__({name: port for name, _, port in entries})
        self._hosts = {name: host for name, host, _ in entries}

    def host(self, name: str) -> str:
        """The container's name in the network, which is also in its certificate."""
        return self._hosts[name]


def _listeners(topology: Topology) -> Iterator[tuple[str, str, int]]:
    """(name, host, port) of everything that listens."""
    for index in range(topology.orderers.count):
        for what, port in (("listen", 7050), ("operations", 9443), ("admin", 7053)):
            yield f"orderer{index}/{what}", orderer_host(topology, index), port
    for org in topology.organisations:
        for what, port in (("listen", 7051), ("operations", 9443), ("chaincode", 7052)):
            yield f"{org.name}/peer/{what}", org.peer_host, port
        for what, port in (("listen", 7053), ("health", 8080)):
            yield f"{org.name}/chaincode/{what}", chaincode_host(org), port
        for node, what, port in _STORAGE_AND_BEACON:
            yield f"{org.name}/{node}/{what}", f"{org.name}-{node}", port


_STORAGE_AND_BEACON = (
    ("kubo", "swarm", 4001),
    ("cluster", "swarm", 9096),
    ("cluster", "rest", 9094),
    ("drand", "private", 4444),
    ("drand", "public", 8080),
)


def chaincode_host(org: Organisation) -> str:
    """The name in the certificate of an organisation's chaincode server."""
    return f"chaincode-server.{org.domain}"


class Installed:
    """The programs of this container."""

    def path(self, name: str) -> str:
        """Where PATH has it."""
        found = shutil.which(name)
        if found is None:
            raise MissingProgram(f"{name} is not in this image", "Run this in the `setup` image")
        return found


class Named:
    """Programs of other containers, by name: their images have them on PATH."""

    def path(self, name: str) -> str:
        """The name itself."""
        return name


def plan_for(
    topology: Topology,
    programs: Programs | None = None,
    progress: Progress = silent,
    directory: Path = NETWORK,
) -> Plan:
    """The plan of the network in containers. It has no keeper: Docker is."""
    return Plan(
        topology=topology,
        directory=directory,
        runtime=directory,
        keeper=cast(Keeper, None),
        programs=programs or Named(),
        ports=Hosts(topology),
        progress=progress,
        python="python",
        fresh=True,
    )


def pairs(plan: Plan) -> list[Pair]:
    """The storage nodes; kubo's socket is in the directory only its own organisation has."""
    return [replace(pair, kubo_socket=str(pair.home / "kubo.sock")) for pair in ipfs.pairs(plan)]


def node(plan: Plan, org: Organisation) -> drand.Node:
    """An organisation's beacon node; its control socket is in its own directory."""
    folder = plan.directory / "drand" / org.name
    return replace(drand.node(plan, org), control=str(folder / "control.sock"))


@dataclass(frozen=True)
class Setup:
    """What is done once. Each step does nothing when it was done before."""

    plan: Plan

    @property
    def identities(self) -> Identities:
        """Keys and certificates."""
        return Identities(self.plan.directory, self.plan.topology)

    def run(self, step: str) -> None:
        """A step by its name: ``create``, ``channel`` or ``beacon``."""
        steps: Mapping[str, Callable[[], None]] = {
            "create": self._create,
            "channel": self._channel,
            "beacon": self._beacon,
        }
        done = self.plan.directory / f".{step}.done"
        if done.exists():
            self.plan.progress(f"{step}: done before")
            return
        steps[step]()
        self._hand_over()
        done.touch()
        self.plan.progress(f"{step}: done")

    def _create(self) -> None:
        """Before any node runs: keys, certificates, configurations, the channel's first block."""
        plan = self.plan
        self.identities.create(plan.programs.path("cryptogen"))
        configuration.write_all(plan, self.identities)
        channel.create(plan, self.identities)
        for org in plan.topology.organisations:
            lifecycle.write_package(plan, self.identities, org)
        if plan.topology.ipfs:
            self._create_storage()
        if plan.topology.drand is not None:
            each(lambda org: node(plan, org).generate_key(), plan.topology.organisations)
        private_directory(plan.directory / "connections")
        self._withdraw_authorities()

    def _create_storage(self) -> None:
        ours = pairs(self.plan)
        private_directory(self.plan.directory / "ipfs")
        ipfs.prepare(self.plan, ours)
        for pair in ours:
            secrets = ipfs.cluster_secrets(self.plan, pair)
            lines = "".join(f"{name}={value}\n" for name, value in secrets.items())
            write_private(cluster_environment(pair), lines)

    def _withdraw_authorities(self) -> None:
        """Move the CAs' keys to where no other container looks: their directories are mounted."""
        for key in self.identities.root.glob("*Organizations/*/*ca/priv_sk"):
            kept = self.plan.directory / "authorities" / key.parent.parent.name
            private_directory(kept)
            key.rename(kept / f"{key.parent.name}.key")

    def _channel(self) -> None:
        """With orderers and peers running: everybody joins, the chaincode is agreed on."""
        channel.join(self.plan, self.identities)
        lifecycle.deploy(self.plan, self.identities)

    def _beacon(self) -> None:
        """With the drand nodes running: the distributed key; then what chaincode and clients need."""
        plan = self.plan
        beacon = self._generate() if plan.topology.drand is not None else Beacon()
        stores = {pair.org.msp_id: ipfs.store(pair) for pair in pairs(plan)} if plan.topology.ipfs else {}
        handover.write_settings(plan, self.identities, beacon)
        handover.write_connections(plan, self.identities, beacon, stores)

    def _generate(self) -> Beacon:
        plan = self.plan
        assert plan.topology.drand is not None
        nodes = {org.msp_id: node(plan, org) for org in plan.topology.organisations}
        drand.generate_group(
            list(nodes.values()),
            str(plan.directory / "drand" / "proposal.toml"),
            threshold=plan.topology.drand_threshold,
            period=plan.topology.drand.period,
            delay=max(_SLOWEST_START, plan.topology.drand.genesis_delay),
        )
        info = drand.chain_info(list(nodes.values()), 60)
        write_private(plan.directory / "drand" / "beacon.json", json.dumps(info, indent=1))
        return Beacon(info, {msp_id: f"http://{one.public}" for msp_id, one in nodes.items()})

    def _hand_over(self) -> None:
        """Give what our own and the IPFS containers use to the user they run as."""
        for name in ("chaincode", "connections", "ipfs", "crypto", "drand"):
            for path in [self.plan.directory / name, *(self.plan.directory / name).rglob("*")]:
                if path.exists():
                    os.chown(path, USER, USER)


def cluster_environment(pair: Pair) -> Path:
    """The file the cluster's container reads its secrets from."""
    return pair.home / "cluster.env"


def serve_chaincode(plan: Plan, name: str) -> None:
    """Become the chaincode server of the organisation of that name; does not return."""
    found = [org for org in plan.topology.organisations if org.name == name]
    if not found:
        raise BadTopology(f"there is no organisation {name}", "Use the first label of its domain")
    spec = fabric.chaincode(plan, Identities(plan.directory, plan.topology), found[0])
    os.execvpe(sys.executable, [sys.executable, *spec.argv[1:]], {**os.environ, **spec.env})  # noqa: S606
