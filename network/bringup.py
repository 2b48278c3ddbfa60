"""The steps from a plan to a running network. Fabric, drand and IPFS come up beside one another."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from network import channel, configuration, fabric, handover, lifecycle, ordering
from network.handover import Beacon
from network.identities import Identities
from network.plan import Plan
from network.steps import begin, each, until
from network.topology import Organisation

MADE = ("crypto", "channel", "nodes", "chaincode", "drand", "ipfs", "connections", "builder")


class Bringup:
    """One start of a network; ``seconds`` collects what each step took."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._identities = Identities(plan.directory, plan.topology)
        self._began = time.monotonic()
        self.seconds: dict[str, float] = {}

    def run(self) -> None:
        """Everything; returns when the chaincode answers in every organisation."""
        beacon = begin(self._start_beacon, self._plan)
        stores = begin(self._start_stores, self._plan)
        self._fabric()
        self._chaincodes(beacon.result())
        handover.write_connections(self._plan, self._identities, beacon.result(), stores.result())
        self.seconds["all"] = time.monotonic() - self._began

    def _fabric(self) -> None:
        if self._plan.fresh:
            with self._step("identities"):
                self._create()
        with self._step("orderers and peers"):
            self._start_nodes()
        if self._plan.fresh:
            with self._step("channel"):
                channel.join(self._plan, self._identities)
            with self._step("chaincode definition"):
                lifecycle.deploy(self._plan, self._identities)
        with self._step("orderers follow"):
            ordering.follow(self._plan, self._identities)

    def _create(self) -> None:
        """Keys, node configurations, the channel's first block."""
        self._identities.create(self._plan.programs.path("cryptogen"))
        configuration.write_all(self._plan, self._identities)
        channel.create(self._plan, self._identities)

    def _start_nodes(self) -> None:
        specs = [fabric.orderer(self._plan, index) for index in range(self._plan.topology.orderers.count)]
        specs += [fabric.peer(self._plan, org) for org in self._plan.topology.organisations]
        each(self._plan.keeper.spawn, specs)

    def _start_beacon(self, plan: Plan) -> Beacon:
        if plan.topology.drand is None:
            return Beacon()
        from network import drand

        with self._step("beacon"):
            nodes = drand.start(plan)
        return Beacon(nodes.info, nodes.urls)

    def _start_stores(self, plan: Plan) -> Mapping[str, Mapping[str, str]]:
        if not plan.topology.ipfs:
            return {}
        from network import ipfs

        with self._step("storage"):
            return ipfs.start(plan)

    def _chaincodes(self, beacon: Beacon) -> None:
        """A server an organisation, told of the beacon; ready when each peer reaches its own."""
        with self._step("chaincode servers"):
            handover.write_settings(self._plan, self._identities, beacon)
            each(self._start_chaincode, self._plan.topology.organisations)

    def _start_chaincode(self, org: Organisation) -> None:
        self._plan.keeper.spawn(fabric.chaincode(self._plan, self._identities, org))
        what = f"the peer of {org.msp_id} reaches its chaincode server"
        until(lambda: _no_complaint(lifecycle.answers(self._plan, org)), 30, what)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began
        self._plan.progress(f"{name}: {self.seconds[name]:.1f} s")


def discard(plan: Plan) -> None:
    """Remove what an earlier start that failed half way made; its logs stay."""
    for name in MADE:
        shutil.rmtree(plan.directory / name, ignore_errors=True)


def _no_complaint(complaint: str | None) -> bool:
    """For ``until``: raise what is still wrong."""
    if complaint is not None:
        raise ValueError(complaint)
    return True
