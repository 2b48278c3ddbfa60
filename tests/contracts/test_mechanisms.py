"""Whole jobs under `qualify-and-vest` and `per-round`: who is paid what and when, and that no token is lost."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest

from chaincode import cid, scoring
from chaincode.encoding import domain
from chaincode.mtpp import RULES
from chaincode.mtpp.payment import best_gain, worst_loss
from chaincode.proposals import AbortJob, VoidRound
from chaincode.records import TREASURY, JobSpec, Outcome, Phase, RoundState
from fl_client.errors import Refused
from fl_client.ledger.embedded import EmbeddedLedger
from tests.attacks.scenes import refused
from tests.world import ORGANISATIONS, Work, World

NEXT = cid.raw_cid(b"next model")
DG, TASKS, ALPHABET, PRICE = RULES["dasgupta-ghosh"], 60, 4, 1000
NORM = DG.norm(TASKS, ALPHABET)


def story(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def honest(count: int, right: float = 0.85, seed: int = 1) -> list[np.ndarray]:
    """Reports of so many clients who are right with that probability and otherwise guess."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, ALPHABET, TASKS)
    guesses = rng.integers(0, ALPHABET, (count, TASKS))
    return list(np.where(rng.random((count, TASKS)) < right, truth, guesses))


def contrary(report: np.ndarray) -> np.ndarray:
    """Never what an honest client says, and evenly so: a report with a negative score."""
    return (report + 1 + np.arange(TASKS) % (ALPHABET - 1)) % ALPHABET


@dataclass
class Job:
    """A job of three rounds by default, its members, and what each would report."""

    world: World
    members: list[EmbeddedLedger]
    spec: JobSpec
    reports: Sequence[np.ndarray]
    funds: dict[str, int] = field(default_factory=dict)

    @classmethod
    async def ready(cls, reports: Sequence[np.ndarray], **changes: Any) -> Job:
        world = World()
        await world.found()
        terms = {
            "mechanism": "qualify-and-vest",
            "public_items": TASKS,
            "tasks": TASKS,
            "scored_tasks": TASKS,
            "rounds": 3,
            "round_pool": 6 * best_gain(DG, TASKS, ALPHABET, PRICE),
            "stake": worst_loss(DG, TASKS, ALPHABET, PRICE),
            **changes,
        }
        made = world.spec(**terms)
        await world.mint(made.pool + len(reports) * made.lock * 3)
        members = await world.members(len(reports), made.lock * 3)
        job = cls(world, members, await world.create(**terms), reports)
        job.funds = {who.member_id: await world.balance(who.member_id) for who in members}
        return job

    @property
    def ids(self) -> list[str]:
        return [who.member_id for who in self.members]

    def works(self, who: Collection[EmbeddedLedger]) -> dict[EmbeddedLedger, Work]:
        reports = dict(zip(self.ids, self.reports, strict=True))
        return {each: self.world.work(self.spec, reports.get(each.member_id)) for each in who}

    async def settled(
        self,
        round: int,
        who: Sequence[EmbeddedLedger] | None = None,
        revealing: Sequence[EmbeddedLedger] | None = None,
    ) -> dict[EmbeddedLedger, Work]:
        """Open, commit by `who` (default all), reveal by `revealing` (default all of them), settle."""
        world, works = self.world, self.works(self.members if who is None else who)
        await world.open(round=round)
        for each, work in works.items():
            await world.commit(each, work, round=round)
        await world.close(round=round)
        await world.pair(round=round)
        shown = [each for each in works if revealing is None or each in revealing]
        for each in shown:
            await world.reveal(each, works[each], round=round)
        await world.seal(round=round)
        await world.settle({each.member_id: works[each] for each in shown}, round=round)
        return works

    async def aggregated(self, round: int, refusing: Collection[str] = ()) -> RoundState:
        """The one drawn names a model and refuses these."""
        state = await self.world.begin(round=round)
        drawn = self.who(state.aggregator)
        everybody = len(refusing) == len(await self.world.view.reveals("job", round))
        model = state.model if everybody else NEXT
        verdict = dict.fromkeys(refusing, "norm")
        await drawn.submit("Aggregation:aggregate", "job", round, state.attempt, model, verdict)
        return await self.final(round)

    async def late(self, round: int) -> RoundState:
        """The stage's window passes, and somebody moves on."""
        deadline = (await self.world.state(round=round)).deadline
        self.world.clock.time = max(self.world.clock.time, deadline) + self.world.terms.beacon.period
        await self.world.admin.submit("Aggregation:finalise", "job", round, self.world.beacon())
        return await self.world.state(round=round)

    async def voted(self, round: int, refusing: Mapping[str, Collection[str]]) -> RoundState:
        """A committee votes: voter -> whom it refuses; who is not in `refusing` keeps silent."""
        state = await self.world.state(round=round)
        for member, others in refusing.items():
            verdict = dict.fromkeys(others, "norm")
            await self.who(member).submit("Aggregation:vote", "job", round, state.attempt, verdict)
        return await self.late(round)

    async def play(self, rounds: Sequence[int]) -> None:
        """Rounds in which everybody does everything."""
        for number in rounds:
            await self.settled(number)
            await self.aggregated(number)

    async def final(self, round: int) -> RoundState:
        state = await self.world.state(round=round)
        assert state.phase is Phase.FINAL
        await self.world.holdings()
        return state

    async def over(self) -> None:
        """Nothing is locked or in escrow any more, and all money is somebody's."""
        held = await self.world.holdings()
        assert held.locks == held.escrows == 0

    def who(self, member: str) -> EmbeddedLedger:
        return next(each for each in self.members if each.member_id == member)

    async def gains(self) -> dict[str, int]:
        """What each member has earned so far."""
        return {member: await self.world.balance(member) - had for member, had in self.funds.items()}

    async def paid(self, round: int) -> dict[str, int]:
        """What a round paid, by its outcomes."""
        return {member: each.payment for member, each in (await self.world.outcomes(round=round)).items()}


def a_tranche(outcome: Outcome) -> set[int]:
    """What a tranche of this score may come to: the dither decides between two neighbours."""
    exact = PRICE * outcome.score
    return {exact // NORM, -(-exact // NORM)}


@story
async def test_a_whole_job_pays_a_tranche_of_one_qualification_in_every_round() -> None:
    job = await Job.ready(honest(5))
    await job.play([1, 2, 3])
    first = await job.world.outcomes(round=1)
    assert all(each.norm == NORM and each.score > 0 for each in first.values())
    for number in (2, 3):
        later = await job.world.outcomes(round=number)
        assert set(later) == set(job.ids)
        for member, each in later.items():
            assert (each.score, each.norm, each.sharing) == (0, 0, 0)
            assert each.payment in a_tranche(first[member])
        assert sum(each.payment for each in later.values()) <= job.spec.round_pool
    totals = [await job.paid(number) for number in (1, 2, 3)]
    gains = await job.gains()
    assert gains == {member: sum(paid[member] for paid in totals) for member in job.ids}
    assert await job.world.balance(TREASURY) == 0
    assert [(await job.world.state(round=n)).qualification for n in (1, 2, 3)] == [1, 1, 1]
    await job.over()


@pytest.mark.parametrize("refused", [0, 1])
@story
async def test_every_tranche_recomputes_from_public_facts(refused: int) -> None:
    """Of who is in the valid set, out of the dithers of all who took part."""
    job = await Job.ready(honest(5))
    await job.play([1])
    await job.settled(2)
    await job.aggregated(2, refusing=sorted(job.ids)[:refused])  # the first dither is its
    state = await job.world.state(round=2)
    first = await job.world.outcomes(round=1)
    expected = scoring.release(
        job.spec,
        domain(job.world.network.channel, job.world.network.chaincode, "job", 2),
        bytes.fromhex(state.sampling_randomness),
        sorted(first),
        {member: each.score for member, each in first.items()},
        state.valid,
    )
    assert {member: units for member, units in (await job.paid(2)).items() if units} == expected


@story
async def test_a_round_without_reports_refuses_them_and_the_first_wants_them() -> None:
    job = await Job.ready(honest(4))
    world, (one, *_) = job.world, job.members
    works = job.works(job.members)
    blank = works[one].unreported
    await world.open()
    credits = await world.view.credits(one.member_id, job.spec.lock)
    await one.submit("Rounds:commit", "job", 1, world.digest(one, blank), credits)
    for who in job.members[1:]:
        await world.commit(who, works[who])
    await world.close()
    await world.pair()
    opened = ("job", 1, "", blank.update, blank.salt.hex())
    await refused(400, one.submit("Rounds:reveal", *opened))
    await refused(422, one.submit("Rounds:reveal", *opened, transient={"report": works[one].data}))
    for who in job.members[1:]:
        await world.reveal(who, works[who])
    await world.seal()
    await world.settle({who.member_id: works[who] for who in job.members[1:]})
    await job.aggregated(1)
    await world.open(round=2)
    work = works[one]
    credits = await world.view.credits(one.member_id, job.spec.lock)
    await one.submit("Rounds:commit", "job", 2, world.digest(one, work, round=2), credits)
    for who in job.members[1:]:
        await world.commit(who, works[who], round=2)
    await world.close(round=2)
    await world.pair(round=2)
    opened = ("job", 2, work.report, work.update, work.salt.hex())
    await refused(422, one.submit("Rounds:reveal", *opened, transient={"report": work.data}))
    two = job.members[1]
    opened = ("job", 2, "", works[two].update, works[two].salt.hex())
    await refused(400, two.submit("Rounds:reveal", *opened, transient={"report": work.data}))
    for who in job.members[1:]:
        await world.reveal(who, works[who], round=2)
    await world.seal(round=2)
    await refused(422, world.admin.submit("Settlement:missing", "job", 2, two.member_id))
    sampling = world.wait_for((await world.state(round=2)).sampling_round)
    given = {f"report/{two.member_id}": works[two].data}
    await refused(400, world.admin.submit("Settlement:settle", "job", 2, sampling, transient=given))
    await world.admin.submit("Settlement:settle", "job", 2, sampling)
    await job.aggregated(2)
    assert (await world.outcomes(round=2))[one.member_id].slashed == job.spec.lock
    assert one.member_id not in {m for m, units in (await job.paid(2)).items() if units}


@story
async def test_whom_the_committee_refuses_gets_no_tranche_and_the_sponsor_keeps_it() -> None:
    job = await Job.ready(honest(5), rounds=2)
    sponsor = await job.world.balance(ORGANISATIONS[0])
    await job.play([1])
    await job.settled(2)
    out = job.ids[2]
    await job.aggregated(2, refusing=[out])
    paid = await job.paid(2)
    assert paid[out] == 0
    assert all(paid[member] > 0 for member in job.ids if member != out)
    first = await job.paid(1)
    spent = sum(first.values()) + sum(paid.values())
    assert await job.world.balance(ORGANISATIONS[0]) == sponsor + job.spec.pool - spent
    await job.over()


@story
async def test_a_vote_of_three_decides_whose_tranche_is_released() -> None:
    job = await Job.ready(honest(5), rounds=2, committee=3)
    await job.settled(1)
    await no_decision(job, 1)
    await job.settled(2)
    state = await job.world.begin(round=2)
    out = job.ids[4]
    a, b, c = state.committee
    state = await job.voted(2, {a: [out], b: [out], c: []})
    assert state.voted == state.valid == sorted(set(job.ids) - {out})
    state = await no_decision(job, 2)
    assert state.aggregation_outcome == "kept"
    paid = await job.paid(2)
    assert paid[out] == 0
    assert all(paid[member] > 0 for member in job.ids if member != out), "the vote stands, the answers failed"
    await job.over()


async def no_decision(job: Job, round: int) -> RoundState:
    """From wherever the aggregation is: nobody acts any more until it is given up."""
    state = await job.world.state(round=round)
    if state.phase is Phase.SETTLED:
        await job.world.begin(round=round)
    while (state := await job.late(round)).phase is not Phase.FINAL:
        pass
    return state


@pytest.mark.parametrize(("committee", "attempts", "drawn"), [(1, 2, 2), (3, 1, 3)])
@story
async def test_a_silent_committee_takes_no_tranche_but_its_own(
    committee: int, attempts: int, drawn: int
) -> None:
    job = await Job.ready(honest(5), rounds=2, committee=committee, attempts=attempts)
    await job.settled(1)
    await no_decision(job, 1)
    await job.settled(2)
    state = await no_decision(job, 2)
    silent = {*state.forfeited, *state.passed_over}
    assert len(silent) == drawn
    paid = await job.paid(2)
    assert {member for member, units in paid.items() if units} == set(job.ids) - silent
    assert state.aggregation_outcome == "kept"
    await job.over()


@story
async def test_a_committee_of_one_that_refuses_everything_has_decided() -> None:
    job = await Job.ready(honest(4), rounds=2)
    await job.play([1])
    await job.settled(2)
    state = await job.aggregated(2, refusing=job.ids)
    assert state.aggregation_outcome == "kept"
    assert not any((await job.paid(2)).values())
    await job.over()


@story
async def test_a_negative_qualification_is_charged_once_for_all_rounds_and_earns_nothing_later() -> None:
    reports = honest(5)
    reports[4] = contrary(reports[0])
    job = await Job.ready(reports)
    await job.play([1, 2, 3])
    outcome = (await job.world.outcomes(round=1))[job.ids[4]]
    assert outcome.score < 0
    least = -worst_loss(DG, TASKS, ALPHABET, PRICE)
    assert outcome.payment in {max(least, (3 * PRICE * outcome.score + u) // NORM) for u in (0, NORM - 1)}
    assert [(await job.paid(n))[job.ids[4]] for n in (2, 3)] == [0, 0]
    assert (await job.gains())[job.ids[4]] == outcome.payment
    assert await job.world.balance(TREASURY) == -outcome.payment
    await job.over()


@story
async def test_who_joins_after_the_qualification_contributes_unpaid() -> None:
    job = await Job.ready(honest(5))
    await job.settled(1, job.members[:4])
    await job.aggregated(1)
    await job.play([2, 3])
    assert (await job.gains())[job.ids[4]] == 0
    assert job.ids[4] in (await job.world.state(round=3)).valid
    assert all(units > 0 for member, units in (await job.gains()).items() if member != job.ids[4])
    await job.over()


@story
async def test_who_misses_a_round_misses_its_tranche_alone() -> None:
    job = await Job.ready(honest(5))
    await job.play([1])
    await job.settled(2, job.members[1:])
    await job.aggregated(2)
    await job.play([3])
    absent = job.ids[0]
    assert absent not in await job.paid(2)
    assert (await job.paid(3))[absent] > 0
    await job.over()


@story
async def test_who_does_not_reveal_an_update_loses_lock_and_tranche() -> None:
    job = await Job.ready(honest(5), rounds=2)
    await job.play([1])
    await job.settled(2, revealing=job.members[1:])
    await job.aggregated(2)
    outcome = (await job.world.outcomes(round=2))[job.ids[0]]
    assert (outcome.payment, outcome.slashed) == (0, job.spec.lock)
    assert await job.world.balance(TREASURY) == job.spec.lock
    await job.over()


@story
async def test_the_first_round_that_settles_qualifies_when_an_earlier_one_was_void() -> None:
    reports = honest(5)
    reports[4] = contrary(reports[0])
    job = await Job.ready(reports, extensions=0)
    world = job.world
    await world.open()
    for who, work in job.works(job.members[:2]).items():
        await world.commit(who, work)
    await world.close()
    await world.pair()
    state = await world.state()
    assert (state.phase, state.qualification) == (Phase.VOID, 0)
    await job.play([2, 3])
    states = [await world.state(round=n) for n in (2, 3)]
    assert [each.qualification for each in states] == [2, 2]
    outcome = (await world.outcomes(round=2))[job.ids[4]]
    least = -worst_loss(DG, TASKS, ALPHABET, PRICE)
    assert outcome.payment in {max(least, (2 * PRICE * outcome.score + u) // NORM) for u in (0, NORM - 1)}, (
        "two rounds were left to be paid"
    )
    assert all(units > 0 for member, units in (await job.paid(3)).items() if member != job.ids[4])
    await job.over()


@story
async def test_a_round_in_which_nobody_reveals_qualifies_nobody() -> None:
    job = await Job.ready(honest(4), extensions=0)
    await job.settled(1, revealing=[])
    state = await job.final(1)
    assert (state.qualification, state.aggregation_outcome) == (0, "kept")
    await job.play([2, 3])
    assert (await job.world.state(round=3)).qualification == 2
    assert all(units > 0 for units in (await job.paid(3)).values())
    await job.over()


@story
async def test_cancelled_in_the_middle_the_running_round_still_pays_its_tranche() -> None:
    job = await Job.ready(honest(4))
    await job.play([1])
    await job.settled(2)
    await job.world.admin.submit("Jobs:cancel", "job", 2)
    await job.aggregated(2)
    assert all(units > 0 for units in (await job.paid(2)).values())
    with pytest.raises(Refused):
        await job.world.open(round=3)
    await job.over()


@pytest.mark.parametrize("when", [Phase.SEALED, Phase.AGGREGATE])
@pytest.mark.parametrize("action", [VoidRound(job="job", round=2), AbortJob(job="job")])
@story
async def test_a_round_without_reports_that_is_ended_by_vote_pays_its_tranches(
    action: Any, when: Phase
) -> None:
    job = await Job.ready(honest(4))
    await job.play([1])
    world = job.world
    if when is Phase.AGGREGATE:
        await job.settled(2)
        await world.begin(round=2)
    else:
        await world.open(round=2)
        works = job.works(job.members)
        for who, work in works.items():
            await world.commit(who, work, round=2)
        await world.close(round=2)
        await world.pair(round=2)
        for who, work in works.items():
            await world.reveal(who, work, round=2)
        await world.seal(round=2)
    world.clock.time += 100 * job.spec.grace
    before = await job.gains()
    await world.pass_vote("end", action)
    assert (await world.state(round=2)).phase is Phase.VOID
    first, after = await world.outcomes(round=1), await job.gains()
    held = job.spec.lock if when is Phase.SEALED else job.spec.bond
    for member in job.ids:
        assert after[member] - before[member] - held in a_tranche(first[member])
    await world.holdings()
    if isinstance(action, VoidRound):
        await job.play([3])
    await job.over()


@story
async def test_near_duplicates_share_one_pay_in_every_round() -> None:
    reports = honest(6, seed=3)
    reports[5] = reports[2].copy()
    job = await Job.ready(reports, rounds=2)
    await job.play([1, 2])
    first = await job.world.outcomes(round=1)
    pair = {job.ids[2], job.ids[5]}
    assert {member for member, each in first.items() if each.sharing} == pair
    assert {first[member].sharing for member in pair} == {2}
    gains = await job.gains()
    assert sum(gains[member] for member in pair) <= max(gains[member] for member in job.ids)
    assert all(gains[member] < gains[other] for member in pair for other in set(job.ids) - pair)
    await job.over()


@story
async def test_with_a_floor_even_clients_earn_about_half_and_an_idle_one_is_charged_once() -> None:
    idle = np.random.default_rng(5).integers(0, ALPHABET, TASKS)
    gains = []
    for mechanism in ("qualify-and-vest", "qualify-and-vest-floor"):
        job = await Job.ready([*honest(5), idle], rounds=2, mechanism=mechanism)
        await job.play([1, 2])
        gained = await job.gains()
        gains.append([gained.get(member, 0) for member in job.ids])
        await job.over()
    (*plain, lucky), (*floored, charged) = gains
    assert all(0.3 * one < other < 0.7 * one for one, other in zip(plain, floored, strict=True))
    assert -worst_loss(DG, TASKS, ALPHABET, PRICE) <= charged < min(0, lucky)


@story
async def test_an_organisations_members_share_one_pay_where_the_job_says_so() -> None:
    job = await Job.ready(honest(6), rounds=2, pay_by_organisation=True)
    await job.play([1, 2])
    first, gains = await job.world.outcomes(round=1), await job.gains()
    assert {each.sharing for each in first.values()} == {2}
    apart = await Job.ready(honest(6), rounds=2)
    await apart.play([1, 2])
    most = max((await apart.gains()).values())
    for msp_id in ORGANISATIONS:
        assert 0 < sum(units for member, units in gains.items() if member.startswith(msp_id)) <= most
    await job.over()


@story
async def test_the_best_possible_reports_of_a_full_round_stay_within_the_pool() -> None:
    """As much agreement as there is, by as many as may take part, with the smallest pool a job may have."""
    perfect = np.arange(TASKS) % 2
    best = best_gain(DG, TASKS, 2, PRICE)
    job = await Job.ready(
        [perfect] * 6, alphabet=2, round_pool=6 * best, stake=worst_loss(DG, TASKS, 2, PRICE)
    )
    await job.play([1, 2, 3])
    for number in (1, 2, 3):
        assert sum((await job.paid(number)).values()) <= job.spec.round_pool
    assert sum((await job.gains()).values()) == 3 * 6 * best
    await job.over()


@story
async def test_per_round_reports_and_pays_in_every_round() -> None:
    job = await Job.ready(honest(4), rounds=2, mechanism="per-round")
    await job.play([1, 2])
    for number in (1, 2):
        outcomes = await job.world.outcomes(round=number)
        assert all(each.norm == NORM and each.payment > 0 for each in outcomes.values())
        assert (await job.world.state(round=number)).qualification == 0
        assert all(shown.report for shown in (await job.world.view.reveals("job", number)).values())
    await job.over()


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("peers", {"mechanism": "qualify-and-vest", "peers": 4}),
        ("rule", {"mechanism": "qualify-and-vest", "rule": "conditional"}),
        ("public_view", {"mechanism": "per-round", "rule": "matched-blocks"}),
        ("pay_by_organisation", {"mechanism": "paper", "pay_by_organisation": True}),
    ],
)
@story
async def test_what_a_mechanism_cannot_work_with_is_refused_by_field(
    field: str, changes: dict[str, Any]
) -> None:
    world = World()
    await world.found()
    await world.mint(world.spec(**changes).pool)
    fault = await refused(422, world.create(**changes))
    assert fault.details["field"] == field


def test_a_job_that_names_no_mechanism_gets_the_default() -> None:
    defaults = {each.name: each.default for each in msgspec.structs.fields(JobSpec)}
    assert (defaults["mechanism"], defaults["rule"]) == ("qualify-and-vest", "dasgupta-ghosh")
