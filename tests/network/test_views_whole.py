"""Per-round with matched blocks on a real network: the committee agrees on a view of each new model.

Six real agents on Fabric, IPFS and drand; one reports the labels of each round's global model, and a member of each
round's first committee lies about its view.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from step_nine import WINDOW, Cast

from chaincode import view as views
from chaincode.mechanisms.per_round import combine
from chaincode.records import TREASURY, Job, JobSpec, Outcome, Progress, RoundState
from fl_client.agent import Agent
from fl_client.audit import LiveEvidence, Report, audit
from fl_client.demo.native import bring_up
from fl_client.demo.scenario import Scenario
from fl_client.demo.story import Play
from fl_client.incentives.perceptron import Perceptron
from fl_client.incentives.synthetic import FEATURES, HIDDEN, Synthetic
from fl_client.journal import Journal
from fl_client.participant import check_public_view
from fl_client.steps import Learner, Seat
from fl_client.training import parameters
from fl_client.training.behaviour import Behaviour, Honest
from fl_client.training.views import public_view
from network.progress import silent
from tests import aggregation_faults as faults
from tests.contracts.test_view_agents import Copier

pytestmark = [pytest.mark.network, pytest.mark.timeout(900)]
NAME, ROUNDS, MEMBERS, COPIER = "views", 2, 6, 5
LABELS, ITEMS = 4, 400
SIZE = views.size(ITEMS)


@dataclass
class Played:
    """The job when it was over."""

    members: list[str]
    states: list[RoundState] = field(default_factory=list)
    outcomes: list[dict[str, Outcome]] = field(default_factory=list)
    progress: Progress | None = None
    contents: dict[str, bytes] = field(default_factory=dict)
    lost: int = 0
    report: Report | None = None


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    directory = tmp_path_factory.mktemp("views")
    scenario = Scenario(clients=MEMBERS, rounds=ROUNDS, price=1000, mechanism="per-round")
    stage = bring_up(scenario, directory / "network", silent)
    try:
        yield asyncio.run(_play(stage, scenario, directory))
    finally:
        stage.network.down()


async def _play(stage, scenario: Scenario, directory: Path) -> Played:
    async with stage, AsyncExitStack() as stack:
        cast = Cast(stage, Play(stage, scenario, print), directory)
        await cast.enter(stack)
        await cast.found(1)
        await create(cast)
        job = await cast.view.job(NAME)
        seats = [seat(cast, job, place) for place in range(MEMBERS)]
        await asyncio.gather(*map(check_public_view, seats))
        agents = [Agent(each, faults.Turncoat(each, faults.LyingView, (1,)), stagger=0.5) for each in seats]
        await asyncio.gather(*(agent.run() for agent in agents))
        return await look_back(cast, seats)


async def create(cast: Cast) -> None:
    problem, trainer = Synthetic(1, labels=LABELS, public_items=ITEMS, private_items=900), machine()
    model = parameters.to_bytes(trainer.initial())
    view = public_view(trainer, trainer.initial(), problem.public(), LABELS)
    spec: JobSpec = cast.play.scenario.spec(
        cast.stage.pace,
        model=await cast.stage.store.put(model),
        public_set=await cast.stage.store.put(b"public"),
        model_bytes=2 * len(model),
        roster=[player.member for player in cast.stage.players],
        public_view=await cast.stage.store.put(view),
    )
    spec = msgspec.structs.replace(
        spec,
        public_items=ITEMS,
        tasks=300,
        scored_tasks=240,
        alphabet=LABELS,
        aggregate_seconds=WINDOW,
    )
    sponsor = cast.play.sponsor
    credits = await cast.view.credits(sponsor, spec.pool)
    await cast.stage.admin(sponsor).submit("Jobs:create", NAME, spec, sponsor, credits)


def machine() -> Perceptron:
    return Perceptron(FEATURES, HIDDEN, LABELS)


def seat(cast: Cast, job: Job, place: int) -> Seat:
    problem = Synthetic(1, labels=LABELS, public_items=ITEMS, private_items=900)
    conduct: Behaviour = Copier() if place == COPIER else Honest()
    x, y = problem.private(place, MEMBERS)
    learner = Learner(problem, machine(), conduct, x, y, 1, 2, 100, place)  # type: ignore[arg-type]
    journal = Journal(cast.directory / f"journal-{place}")
    return Seat(cast.ledgers[place], cast.stores[place], cast.beacons, journal, learner, job)


async def look_back(cast: Cast, seats: list[Seat]) -> Played:
    found = Played([each.me for each in seats])
    for number in range(1, ROUNDS + 1):
        found.states.append(await cast.view.round(NAME, number))
        found.outcomes.append(await cast.view.outcomes(NAME, number))
    found.progress = await cast.view.progress(NAME, 1, found.states[0].attempt)
    store = seats[3].store
    for name in {*found.progress.views.values(), found.states[0].next_view}:
        found.contents[name] = await store.get(name, limit=SIZE)
    lines = await cast.view.statement(TREASURY)
    found.lost = sum(line.amount for line in lines if line.kind == "bond-lost")
    found.report = await audit(LiveEvidence(NAME, seats[0].ledger, store))
    held = await cast.view.holdings()
    assert held.minted == held.held
    assert held.locks == held.escrows == 0
    return found


def test_a_copier_of_each_rounds_model_earns_exactly_nothing_and_the_honest_are_paid(played: Played) -> None:
    assert len({state.model for state in played.states} | {played.states[-1].result}) == ROUNDS + 1
    for outcomes in played.outcomes:
        paid = [outcomes[member].payment for member in played.members]
        assert (outcomes[played.members[COPIER]].score, paid[COPIER]) == (0, 0)
        assert all(each > 100 for each in paid[:COPIER])


def test_the_agreed_view_is_what_the_committees_views_combine_to_and_scores_the_next_round(
    played: Played,
) -> None:
    first, second = played.states
    assert (first.aggregation_outcome, second.view, second.next_view) == ("majority", first.next_view, "")
    assert played.progress is not None
    seen = {
        member: views.unpack(played.contents[name], ITEMS, LABELS)
        for member, name in played.progress.views.items()
    }
    data, far = combine(seen, LABELS)
    assert data == played.contents[first.next_view]
    assert far == [first.committee[1]]


def test_who_lied_about_its_view_lost_its_bond_and_nobody_else_did(played: Played) -> None:
    assert [state.forfeited for state in played.states] == [[played.states[0].committee[1]], []]
    assert played.lost == Scenario().bond


def test_the_live_audit_of_the_job_finds_nothing(played: Played) -> None:
    assert played.report is not None
    assert played.report.findings == []
    assert played.report.executed == played.report.transactions or played.report.executed > 0
    combined = [line for line in played.report.lines if "of the committee's combine to" in line.text]
    assert [line.ok for line in combined] == [True]
