"""Step 9 on a real network, one job a fault, all jobs at once: the right model becomes final, and the faulty pay.

Clients are real agents on Fabric, IPFS and drand; what they would have trained is drawn.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from chaincode import cid, report
from chaincode.records import TREASURY, Job, RoundState
from fl_client import aggregator, steps
from fl_client.agent import Agent
from fl_client.beacon import open_beacon
from fl_client.committee import Aggregator
from fl_client.connection import read_connection
from fl_client.contracts import View
from fl_client.demo.native import NativeStage, bring_up
from fl_client.demo.scenario import ALPHABET, Scenario
from fl_client.demo.story import Play
from fl_client.journal import Journal, Prepared
from fl_client.ledger import Ledger, open_ledger
from fl_client.steps import Seat
from fl_client.store import Store, open_store
from fl_client.training import parameters
from network.progress import silent
from tests import aggregation_faults as faults

pytestmark = [pytest.mark.network, pytest.mark.timeout(420)]
SHAPES = [(20, 10), (10,)]
WINDOW = 20  # seconds
MODEL = parameters.to_bytes([np.zeros(shape, np.float32) for shape in SHAPES])
NOBODY: Any = None  # no learner: there is nothing to train
BAD = {1: "not-finite", 2: "norm", 3: "missing"}


class Withholding(Store):
    """Passes one content off as stored, and keeps it back."""

    def __init__(self, store: Store, hidden: bytes) -> None:
        self._store, self._hidden = store, hidden

    async def put(self, data: bytes) -> str:
        return "" if data == self._hidden else await self._store.put(data)

    async def get(self, cid: str, *, limit: int) -> bytes:
        return await self._store.get(cid, limit=limit)

    async def pin(self, cid: str) -> None:
        await self._store.pin(cid)


def update(job: str, place: int, bad: str | None) -> bytes:
    """A client's update, drawn from the job and its place; `bad`: what is wrong with it."""
    rng = np.random.default_rng([*job.encode(), place])
    scale = 100 if bad == "norm" else 1
    data = parameters.to_bytes([(scale * rng.standard_normal(shape)).astype(np.float32) for shape in SHAPES])
    return data[:-4] + np.float32(np.nan).tobytes() if bad == "not-finite" else data


@dataclass
class Story:
    """One job: its terms, and what goes wrong in the first attempt."""

    terms: dict[str, Any]
    fault: type[Aggregator] = Aggregator
    places: tuple[int, ...] = ()
    bad: bool = False  # some updates are not valid
    state: RoundState | None = None
    gains: dict[str, int] = field(default_factory=dict)
    right: bool = False
    reasons: list[dict[str, str]] = field(default_factory=list)


MAJORITY = {"aggregation": "majority", "committee": 3, "attempts": 3}
OPTIMISTIC = {**MAJORITY, "aggregation": "optimistic"}


def stories() -> dict[str, Story]:
    return {
        "lying": Story(MAJORITY, faults.Lying, (1,)),
        "copying": Story(MAJORITY, faults.Copying, (1,)),
        "offline": Story(MAJORITY, faults.Silent, (1, 2)),
        "posted": Story(OPTIMISTIC),
        "lying-poster": Story(OPTIMISTIC, faults.Lying, (0,)),
        "silent-poster": Story(OPTIMISTIC, faults.Mute, (0,)),
        "griefing": Story(OPTIMISTIC, faults.Griefing, (2,)),
        "bad-updates": Story({**MAJORITY, "light_check": True}, bad=True),
    }


@dataclass
class Cast:
    """The network's clients, each with its own ledger and store."""

    stage: NativeStage
    play: Play
    directory: Path
    ledgers: list[Ledger] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    beacons: Any = None
    view: Any = None

    async def enter(self, stack: AsyncExitStack) -> None:
        for connection, files in self.stage._clients:
            self.ledgers.append(await stack.enter_async_context(open_ledger(connection, files)))
            self.stores.append(await stack.enter_async_context(open_store(connection)))
        first = next(iter(self.stage.network.connection_files.values()))
        self.beacons = await stack.enter_async_context(open_beacon(read_connection(first)))
        self.view = View(self.stage.admin(self.play.sponsor))

    async def found(self, jobs: int) -> None:
        """A consortium whose members can take part in all jobs at once."""
        await self.play.found()
        await self.play.mint()
        await self.play.admit()
        await asyncio.gather(*(steps.register(ledger) for ledger in self.ledgers))
        admin, sponsor = self.stage.admin(self.play.sponsor), self.play.sponsor
        for player in self.stage.players:
            for _ in range(jobs):
                credits = await self.view.credits(sponsor, self.play.scenario.funds)
                await admin.submit(
                    "Token:transfer", sponsor, player.member, self.play.scenario.funds, credits, "stake"
                )

    async def create(self, name: str, story: Story) -> None:
        pace = self.stage.pace
        spec = self.play.scenario.spec(
            pace,
            model=await self.stage.store.put(MODEL),
            public_set=await self.stage.store.put(b"public"),
            model_bytes=2 * len(MODEL),
            roster=[player.member for player in self.stage.players],
        )
        optimistic = story.terms["aggregation"] == "optimistic"
        spec = msgspec.structs.replace(
            spec,
            rounds=1,
            aggregate_seconds=WINDOW,
            challenge_rounds=WINDOW if optimistic else 0,
            **story.terms,
        )
        sponsor = self.play.sponsor
        credits = await self.view.credits(sponsor, spec.pool)
        await self.stage.admin(sponsor).submit("Jobs:create", name, spec, sponsor, credits)

    async def run(self, name: str, story: Story) -> None:
        job = await self.view.job(name)
        agents = [self._agent(name, job, story, place) for place in range(len(self.ledgers))]
        await asyncio.gather(*(agent.run() for agent in agents))
        await self._look_back(name, story)

    def _agent(self, name: str, job: Job, story: Story, place: int) -> Agent:
        """Its work is in the journal already, as after a crash, so that there is nothing to train."""
        bad = BAD.get(place) if story.bad else None
        own, symbols = (
            update(name, place, bad),
            np.random.default_rng(place).integers(0, ALPHABET, job.spec.tasks),
        )
        packed = report.pack(symbols, ALPHABET)
        journal = Journal(self.directory / "journals" / f"{name}-{place}")
        journal.keep(
            name,
            1,
            Prepared(packed, own, cid.raw_cid(packed), cid.file_cid(own), secrets.token_bytes(32)),
        )
        store = Withholding(self.stores[place], own) if bad == "missing" else self.stores[place]
        seat = Seat(self.ledgers[place], store, self.beacons, journal, NOBODY, job)
        return Agent(seat, faults.Turncoat(seat, story.fault, story.places), stagger=0.5)

    async def _look_back(self, name: str, story: Story) -> None:
        """The state, the money by the statements' memo, and the model recomputed from outside."""
        state = await self.view.round(name, 1)
        assert state is not None
        reveals = await self.view.reveals(name, 1)
        limit = 2 * len(MODEL)
        updates = {m: await self.stage.store.get(reveals[m].update, limit=limit) for m in state.valid}
        result = await self.stage.store.get(state.result, limit=limit)
        story.right = result == aggregator.aggregate(MODEL, updates)
        progress = await self.view.progress(name, 1, state.attempt)
        story.reasons = [dict(ballot.refused) for ballot in progress.ballots.values()]
        bond = self.play.scenario.bond
        for account in [*(player.member for player in self.stage.players), TREASURY]:
            lines = [line for line in await self.view.statement(account) if line.memo == f"{name}/1"]
            kinds = ("bond-", "challenge")
            change = sum(line.amount for line in lines if line.kind.startswith(kinds))
            change -= bond if account != TREASURY else 0
            if change:
                story.gains[account] = change
        story.state = state


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Story]]:
    directory = tmp_path_factory.mktemp("aggregation")
    told = stories()
    scenario = Scenario(clients=6, rounds=1, price=1000, mechanism="paper")
    stage = bring_up(scenario, directory / "network", silent)
    try:
        asyncio.run(_play(stage, scenario, directory, told))
        yield told
    finally:
        stage.network.down()


async def _play(stage: NativeStage, scenario: Scenario, directory: Path, told: dict[str, Story]) -> None:
    async with stage, AsyncExitStack() as stack:
        cast = Cast(stage, Play(stage, replace(scenario, rounds=10_000), print), directory)
        await cast.enter(stack)
        await cast.found(len(told))
        for name, story in told.items():
            await cast.create(name, story)
        await asyncio.gather(*(cast.run(name, story) for name, story in told.items()))
        held = await cast.view.holdings()
        assert held.minted == held.held
        assert held.locks == held.escrows == 0


BOND = Scenario().bond


@pytest.mark.parametrize("name", list(stories()))
def test_the_right_model_becomes_final(played: dict[str, Story], name: str) -> None:
    state = played[name].state
    assert state is not None
    assert played[name].right
    assert state.aggregation_outcome == ("optimistic" if name in ("posted", "silent-poster") else "majority")
    assert len(state.valid) == (3 if name == "bad-updates" else 6)


@pytest.mark.parametrize("name", ["lying", "copying", "silent-poster"])
def test_the_faulty_member_loses_its_bond_to_the_treasury(played: dict[str, Story], name: str) -> None:
    (lost,) = set(played[name].gains) - {TREASURY}
    assert played[name].gains == {lost: -BOND, TREASURY: BOND}


@pytest.mark.parametrize("name", ["offline", "posted", "bad-updates"])
def test_nobody_pays_for_a_missed_vote_or_a_refused_update(played: dict[str, Story], name: str) -> None:
    assert played[name].gains == {}


def test_a_committee_that_missed_its_vote_was_replaced(played: dict[str, Story]) -> None:
    state = played["offline"].state
    assert state is not None
    assert state.attempt == 2
    assert len(state.passed_over) == 2


def test_a_lying_posters_bond_goes_to_the_challenger(played: dict[str, Story]) -> None:
    state, gains = played["lying-poster"].state, played["lying-poster"].gains
    assert state is not None
    assert gains == {state.aggregator: -BOND, state.challenger: BOND}


def test_a_griefing_challengers_stake_goes_to_the_poster(played: dict[str, Story]) -> None:
    state, gains = played["griefing"].state, played["griefing"].gains
    assert state is not None
    assert gains == {state.challenger: -BOND, state.aggregator: BOND}


def test_bad_updates_are_refused_by_all_with_the_same_reasons(played: dict[str, Story]) -> None:
    reasons = played["bad-updates"].reasons
    assert len(reasons) == 3
    assert reasons[0] == reasons[1] == reasons[2]
    assert sorted(reasons[0].values()) == sorted(BAD.values())
