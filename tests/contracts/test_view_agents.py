"""A whole job of per-round with matched blocks, as agents play it; one of them copies each round's model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chaincode import cid
from chaincode import view as views
from chaincode.mtpp import View
from chaincode.records import TREASURY, Outcome, RoundState
from fl_client.agent import Agent
from fl_client.beacon import DevBeacon
from fl_client.committee import Aggregator
from fl_client.errors import BadInput, NotStored
from fl_client.incentives.perceptron import Perceptron
from fl_client.incentives.synthetic import FEATURES, HIDDEN, Synthetic
from fl_client.journal import Journal
from fl_client.participant import check_public_view
from fl_client.public_views import PublicViews
from fl_client.steps import Learner, Seat
from fl_client.store import DirectoryStore, Store
from fl_client.training import parameters
from fl_client.training.behaviour import Behaviour, Honest, Work
from fl_client.training.views import public_view
from tests import aggregation_faults as faults
from tests.attacks.replay import Replay
from tests.attacks.scenes import story
from tests.world import ManualClock, World

LABELS, ITEMS, MEMBERS, ROUNDS = 4, 300, 5, 3
ODD, COPIER = 1, 4  # places: whose machine differs, who copies
PATIENCE = 2000  # seconds of a window: nobody is late, however slow this machine is


class Machine(Perceptron):
    """One whose floats come out a little differently than others'."""

    def __init__(self, place: int) -> None:
        super().__init__(FEATURES, HIDDEN, LABELS)
        self._place = place

    def probabilities(self, weights: Any, x: np.ndarray) -> np.ndarray:
        exact = super().probabilities(weights, x)
        noise = np.random.default_rng(self._place).normal(0, 1e-4, exact.shape)
        return exact + (noise if self._place == ODD else 0)


class Copier:
    """Reports the labels of the round's global model, and contributes nothing: no data, no training."""

    def train(self, work: Work) -> Sequence[np.ndarray]:
        return work.weights

    def infer(self, work: Work, weights: Sequence[np.ndarray]) -> np.ndarray:
        return work.trainer.predict(work.weights, work.batch)


class Watching:
    """The world's clock, which only the test moves: who sleeps waits for that."""

    def __init__(self, clock: ManualClock) -> None:
        self.now = clock.now

    async def sleep(self, seconds: float) -> None:
        end = self.now() + seconds
        while self.now() < end:
            await asyncio.sleep(0.02)


@dataclass
class Federation:
    """The job's members as clients, on the embedded ledger and one store."""

    world: World
    seats: list[Seat]
    store: DirectoryStore
    states: list[RoundState] = field(default_factory=list)
    outcomes: list[dict[str, Outcome]] = field(default_factory=list)

    @classmethod
    async def ready(
        cls, directory: Path, *, first: bytes | None = None, roster: bool = True, **terms: Any
    ) -> Federation:
        """`first`: another view than the initial model's; without a roster whoever comes may take part."""
        problem, trainer = Synthetic(1, labels=LABELS, public_items=ITEMS, private_items=600), Machine(0)
        model = parameters.to_bytes(trainer.initial())
        view = first or public_view(trainer, trainer.initial(), problem.public(), LABELS)
        (directory / "store").mkdir()
        store = DirectoryStore(directory / "store")
        spec: dict[str, Any] = {
            "model": await store.put(model),
            "public_view": await store.put(view),
            "model_bytes": len(model) + 1024,
            "public_items": ITEMS,
            "tasks": 200,
            "scored_tasks": 160,
            "alphabet": LABELS,
            "rounds": ROUNDS,
            "mechanism": "per-round",
            "rule": "matched-blocks",
            "agree_view": True,
            "committee": 3,
        }
        spec |= dict.fromkeys(("commit_seconds", "reveal_seconds", "aggregate_seconds"), PATIENCE) | terms
        world = World()
        await world.found()
        made = world.spec(**spec)
        await world.mint(made.pool + MEMBERS * made.lock * 3)
        members = await world.members(MEMBERS, made.lock * 3)
        allowed = sorted(each.member_id for each in members) if roster else None
        await world.create(**spec, allow_list=allowed)
        job = await world.view.job("job")
        assert job is not None
        seats = []
        for place, ledger in enumerate(members):
            conduct: Behaviour = Copier() if place == COPIER else Honest()
            x, y = problem.private(place, MEMBERS)
            learner = Learner(problem, Machine(place), conduct, x, y, 1, 2, 60, place)  # type: ignore[arg-type]
            journal = Journal(directory / f"journal-{place}")
            beacons = DevBeacon(world.signer, Watching(world.clock))
            seats.append(Seat(ledger, store, beacons, journal, learner, job))
        return cls(world, seats, store)

    async def play(self, odd: Mapping[int, type[Aggregator]] | None = None) -> None:
        """Every member's agent runs to the job's end; `odd`: place -> how it takes part in step 9."""
        agents = [
            Agent(seat, (odd or {}).get(place, Aggregator)(seat), look=0.01, stagger=0.0)
            for place, seat in enumerate(self.seats)
        ]
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            ticking = group.create_task(self._tick())
            await asyncio.gather(*(agent.run() for agent in agents))
            ticking.cancel()
        for number in range(1, self.seats[0].job.spec.rounds + 1):
            self.states.append(await self.world.state(round=number))
            self.outcomes.append(await self.world.outcomes(round=number))
        held = await self.world.holdings()
        assert held.locks == held.escrows == 0

    async def _tick(self, idle: float = 0.1) -> None:
        """Time passes only while nobody acts for so many seconds."""
        watch = self.world.ledger(self.world.identities.issue("Org1MSP", "Watch"))
        while True:
            if not await watch.changed(idle):
                self.world.clock.time += 2

    def paid(self, place: int) -> list[int]:
        return [each[self.seats[place].me].payment for each in self.outcomes]


@story
async def test_a_copier_of_each_rounds_model_earns_exactly_nothing(tmp_path: Path):
    job = await Federation.ready(tmp_path)
    for seat in job.seats:
        await check_public_view(seat)
    await job.play()
    models = [state.model for state in job.states]
    assert len(set(models)) == ROUNDS, "each round has a model of its own to copy"
    copier = job.seats[COPIER].me
    assert [each[copier].score for each in job.outcomes] == [0] * ROUNDS
    assert all(sum(job.paid(place)) > 100 * ROUNDS for place in range(MEMBERS) if place != COPIER)
    for state, after in zip(job.states, job.states[1:], strict=False):
        assert after.view == state.next_view
        assert state.forfeited == [], "machines that differ in the last bits lose nothing"
        assert not await PublicViews(job.seats[ODD]).differs(state.result, await stored(job, state.next_view))
    assert job.states[-1].next_view == ""
    await the_agreed_view_is_combined_anew(job)
    again = Replay(job.world, {each.name: each.read_bytes() for each in (tmp_path / "store").iterdir()})
    await again.execute(job.world.network.blocks)
    assert again.state.digest() == job.world.network.state.digest()


async def the_agreed_view_is_combined_anew(job: Federation) -> None:
    """When nobody has kept it, from those of the committee."""
    seat, state = job.seats[2], job.states[1]
    seat.store = Forgetful(seat.store)
    found = await PublicViews(seat).find(state)
    assert found is not None
    assert cid.raw_cid(found) == state.view


class Forgetful(faults.Withholding):
    """Does not find the first content it is asked for."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, -1)
        self._asked = False

    async def get(self, cid: str, *, limit: int) -> bytes:
        if not self._asked:
            self._asked = True
            raise NotStored(cid)
        return await super().get(cid, limit=limit)


async def stored(job: Federation, name: str) -> View:
    return views.unpack(await job.store.get(name, limit=views.size(ITEMS)), ITEMS, LABELS)


@pytest.mark.parametrize("fault", [faults.LyingView, faults.HiddenView])
@story
async def test_a_member_that_lies_about_its_view_or_hides_it_pays_and_the_job_goes_on(
    tmp_path: Path, fault: Any
):
    job = await Federation.ready(tmp_path)
    await job.play({ODD: fault})
    liar = job.seats[ODD].me
    sat = [state for state in job.states[:-1] if liar in state.committee]
    assert all(state.aggregation_outcome == "majority" for state in job.states)
    assert [state.forfeited for state in sat] == [[liar]] * len(sat)
    bond = job.seats[ODD].job.spec.bond
    lines = await job.world.view.statement(TREASURY)
    assert sum(line.amount for line in lines if line.kind == "bond-lost") == bond * len(sat)
    copier = job.seats[COPIER].me
    assert [each[copier].score for each in job.outcomes] == [0] * ROUNDS


@story
async def test_a_client_takes_no_part_under_a_view_that_is_not_the_initial_models(tmp_path: Path):
    rng = np.random.default_rng(0)
    z = rng.integers(0, LABELS, ITEMS)
    wrong = views.pack(View(z, (z + 1) % LABELS, z), LABELS)
    job = await Federation.ready(tmp_path, first=wrong)
    with pytest.raises(BadInput, match="initial model's"):
        await check_public_view(job.seats[0])
