"""Step 9 on the embedded ledger: a settled round, and real agents that take it from there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chaincode import cid
from chaincode.records import RoundState
from fl_client import aggregator
from fl_client.agent import Agent
from fl_client.beacon import DevBeacon
from fl_client.committee import Aggregator
from fl_client.errors import NotStored
from fl_client.journal import Journal
from fl_client.steps import Seat
from fl_client.store.base import Store, too_large
from fl_client.training import parameters
from tests.contracts.panel import Panel
from tests.world import ManualClock

SHAPES = [(4, 3), (3,)]


def arrays(seed: int, scale: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(scale * rng.standard_normal(shape)).astype(np.float32) for shape in SHAPES]


MODEL = parameters.to_bytes(arrays(0))


class Shelf(Store):
    """One client's store: its own contents and everybody's; what it pins everybody can have."""

    def __init__(self, shared: dict[str, bytes]) -> None:
        self.shared, self.own = shared, dict[str, bytes]()
        self.fetched: list[str] = []  # CIDs, in order

    async def put(self, data: bytes) -> str:
        name = cid.file_cid(data)
        self.shared[name] = data
        return name

    async def get(self, cid: str, *, limit: int) -> bytes:
        self.fetched.append(cid)
        data = self.own.get(cid, self.shared.get(cid))
        if data is None:
            raise NotStored(f"nobody serves {cid}")
        if len(data) > limit:
            raise too_large(cid, limit)
        return data

    async def pin(self, cid: str) -> None:
        found = self.own.get(cid)
        if found is not None:
            self.shared.setdefault(cid, found)
        elif cid not in self.shared:
            raise NotStored(f"nobody serves {cid}")


class Patient(Shelf):
    """Waits for what nobody serves, as a network of stores does: much longer than any window."""

    async def get(self, cid: str, *, limit: int) -> bytes:
        while cid not in self.shared and cid not in self.own:
            await asyncio.sleep(0.05)
        return await super().get(cid, limit=limit)


class Watch:
    """A clock as agents have it: who sleeps by it moves nobody's time."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.now()

    async def sleep(self, seconds: float) -> None:
        until = self.now() + seconds
        while self.now() < until:  # noqa: ASYNC110  # it is the test that moves it
            await asyncio.sleep(0.01)


@dataclass
class Stage9:
    """A settled round whose members' agents take it from there."""

    panel: Panel
    updates: dict[str, bytes]
    directory: Path
    shared: dict[str, bytes] = field(default_factory=dict)
    shelf: type[Shelf] = Shelf
    source: type[DevBeacon] = DevBeacon
    shelves: dict[str, Shelf] = field(default_factory=dict)  # of each member, once they play

    @classmethod
    async def ready(
        cls,
        directory: Path,
        count: int = 5,
        *,
        special: Mapping[int, bytes] | None = None,
        hidden: tuple[int, ...] = (),
        **spec: Any,
    ) -> Stage9:
        """`special`: place -> its update; `hidden`: places whose update is in no store."""
        made = [
            (special or {}).get(place, parameters.to_bytes(arrays(place + 1, 0.1))) for place in range(count)
        ]
        panel = await Panel.settled(
            count,
            updates={place: cid.file_cid(data) for place, data in enumerate(made)},
            model=cid.file_cid(MODEL),
            model_bytes=1 << 12,
            **{"aggregate_seconds": 25, **spec},
        )
        stage = cls(panel, dict(zip(panel.members, made, strict=True)), directory)
        for data in [MODEL, *(made[place] for place in range(count) if place not in hidden)]:
            stage.shared[cid.file_cid(data)] = data
        return stage

    async def play(
        self, odd: Mapping[str, type[Aggregator]], own: Mapping[str, bytes] | None = None
    ) -> RoundState:
        """Every member's agent runs to the round's end; `odd`: member -> how it misbehaves."""
        panel, world = self.panel, self.panel.world
        job = await world.view.job("job")
        assert job is not None
        agents = []
        for member, ledger in panel.members.items():
            shelf = self.shelves[member] = self.shelf(self.shared)
            if own and member in own:
                shelf.own[cid.file_cid(own[member])] = own[member]
            journal = Journal(self.directory / member.replace(":", "-"))
            beacons = self.source(world.signer, Watch(world.clock))
            seat = Seat(ledger, shelf, beacons, journal, None, job)  # type: ignore[arg-type]
            agents.append(Agent(seat, odd.get(member, Aggregator)(seat), look=0.01, stagger=0.0))
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            ticking = group.create_task(self._tick())
            await asyncio.gather(*(agent.round(panel.round) for agent in agents))
            ticking.cancel()
        return await panel.ended()

    async def _tick(self) -> None:
        """Time passes only while nobody acts: who is awake is never late, however slow this machine is."""
        world = self.panel.world
        watch = world.ledger(world.identities.issue("Org1MSP", "Watch"))
        while True:
            if not await watch.changed(0.07):
                world.clock.time += 2

    def honest(self, but: tuple[int, ...] = ()) -> str:
        """The CID of the right model."""
        counted = {m: data for place, (m, data) in enumerate(self.updates.items()) if place not in but}
        return cid.file_cid(aggregator.aggregate(MODEL, counted, self.panel.spec.strategy))

    def member(self, place: int) -> str:
        return list(self.panel.members)[place]
