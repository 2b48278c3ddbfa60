"""The steps from a plan to a running network. Fabric, drand and IPFS come up beside one another."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from network import channel, configuration, fabric, handover, lifecycle
from network.handover import Beacon
from network.identities import Identities
from network.plan import Plan
from network.steps import each, until
from network.topology import Organisation

_T = TypeVar("_T")
_MADE = ("crypto", "channel", "nodes", "chaincode", "drand", "ipfs", "connections", "builder")


class Bringup:
    """One start of a network; ``seconds`` collects what each step took."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._identities = Identities(plan.directory, plan.topology)
        self._began = time.monotonic()
        self.seconds: dict[str, float] = {}

    def run(self) -> None:
        """Everything; returns when the chaincode answers in every organisation."""
        pool = ThreadPoolExecutor(3)
        try:
            beacon = pool.submit(self._timed, "beacon", self._start_beacon)
            stores = pool.submit(self._timed, "storage", self._start_stores)
            self._fabric()
            self._chaincodes(_result(beacon))
            handover.write_connections(self._plan, self._identities, _result(beacon), _result(stores))
            self.seconds["all"] = time.monotonic() - self._began
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # the first error is told at once

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

    def _create(self) -> None:
        """Keys, node configurations, the channel's first block."""
        self._identities.create(self._plan.programs.path("cryptogen"))
        configuration.write_all(self._plan, self._identities)
        channel.create(self._plan, self._identities)

    def _start_nodes(self) -> None:
        specs = [fabric.orderer(self._plan, index) for index in range(self._plan.topology.orderers.count)]
        specs += [fabric.peer(self._plan, org) for org in self._plan.topology.organisations]
        each(self._plan.keeper.spawn, specs)

    def _start_beacon(self) -> Beacon:
        if self._plan.topology.drand is None:
            return Beacon()
        from network import drand

        nodes = drand.start(self._plan)
        return Beacon(nodes.info, nodes.urls)

    def _start_stores(self) -> Mapping[str, Mapping[str, str]]:
        if not self._plan.topology.ipfs:
            return {}
        from network import ipfs

        return ipfs.start(self._plan)

    def _chaincodes(self, beacon: Beacon) -> None:
        """A server an organisation, told of the beacon; ready when each peer reaches its own."""
        with self._step("chaincode servers"):
            handover.write_settings(self._plan, self._identities, beacon)
            each(self._start_chaincode, self._plan.topology.organisations)

    def _start_chaincode(self, org: Organisation) -> None:
        self._plan.keeper.spawn(fabric.chaincode(self._plan, self._identities, org))
        what = f"the peer of {org.msp_id} reaches its chaincode server"
        until(lambda: _no_complaint(lifecycle.answers(self._plan, org)), 30, what)

    def _timed(self, name: str, action: Callable[[], _T]) -> _T:
        with self._step(name):
            return action()

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began
        self._plan.progress(f"{name}: {self.seconds[name]:.1f} s")


def discard(plan: Plan) -> None:
    """Remove what an earlier start that failed half way made; its logs stay."""
    for name in _MADE:
        shutil.rmtree(plan.directory / name, ignore_errors=True)


def _result(future: Future[_T]) -> _T:
    """The future's result; unlike ``result()``, an interrupt gets through while it waits."""
    while not future.done():
        time.sleep(0.02)
    return future.result()


def _no_complaint(complaint: str | None) -> bool:
    """For ``until``: raise what is still wrong."""
    if complaint is not None:
        raise ValueError(complaint)
    return True
