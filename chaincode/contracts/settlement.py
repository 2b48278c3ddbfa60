"""Step 8: all scores and all payments of a round, in one transaction over keys nothing can write any more."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Collection, Mapping

import msgspec

from chaincode import report, scoring
from chaincode.beacon import Beacon
from chaincode.contracts import keys, state, time
from chaincode.contracts.jobs import draw_escrow, end_round
from chaincode.contracts.rounds import announce, check_report, check_view, in_phase
from chaincode.contracts.settings import EndorserClock
from chaincode.contracts.token import Postings
from chaincode.encoding import canonical, domain
from chaincode.mechanisms import Outcome as Settled
from chaincode.mtpp import NO_VIEW, View
from chaincode.records import (
    TREASURY,
    Job,
    Lock,
    MemberId,
    Name,
    Outcome,
    Phase,
    Reveal,
    RoundNumber,
    RoundState,
)
from chaincode.shim import Contract, Stub, query, transaction
from chaincode.shim.errors import Conflict, Invalid, NotFound, TooEarly, Unprocessable

replace = msgspec.structs.replace
PREFIX, VIEW = "report/", "view"
UNSCORED = Settled({}, 0, 0, 0)
KEPT = 8  # settlements whose scores a server remembers


class Settlement(Contract):
    """Scoring by peer prediction, paying, and what happens when a report has vanished."""

    def __init__(self, clock: EndorserClock) -> None:
        self._clock = clock
        self._scores: dict[bytes, asyncio.Task[dict[str, Settled]]] = {}  # newest last

    @transaction(transient=(PREFIX + "*", VIEW))
    async def settle(
        self, stub: Stub, job: Name, round: RoundNumber, sampling: Beacon, batch: Beacon | None = None
    ) -> RoundState:
        """Anyone, with the sampling beacon and every revealed report in the transient map (report/MEMBER).

        Where the rule needs the round's public view, it comes there too (view), and with it the beacon that drew
        the batch, which says on which items it is needed.

        In a round without reports nothing comes with it and nothing is scored: stakes return, who did not
        reveal is slashed, and the beacon draws the committee.
        """
        record, current = await in_phase(stub, job, round, Phase.SEALED)
        randomness = time.drawn(record.beacon, current.sampling_round, sampling)
        locks = await state.under(stub, keys.lock(job, round), Lock)
        reveals = await state.under(stub, keys.reveal(job, round), Reveal)
        counted = {m: shown for m, shown in reveals.items() if m not in current.set_aside}
        sampled = replace(current, sampling_randomness=randomness)
        _check_view(scoring.needs_view(record.spec, current), batch, stub.transient)
        if scoring.reports_in(record.spec, current):
            drawn = time.drawn(record.beacon, current.batch_round, batch) if batch else ""
            settled = await self._scored(stub, record, sampled, sorted(locks), counted, drawn)
        else:
            _check_complete((), (), stub.transient)
            settled = dict.fromkeys(counted, UNSCORED)
        if settled and scoring.qualifies(record.spec, current):
            sampled = replace(sampled, qualification=round)
        return await self._pay(stub, record, sampled, locks, settled)

    @transaction
    async def missing(self, stub: Stub, job: Name, round: RoundNumber, member: MemberId) -> None:
        """An organisation's admin: this revealed report cannot be had from the cluster."""
        msp_id = state.admin_of(stub)
        record, current = await in_phase(stub, job, round, Phase.SEALED)
        if not scoring.reports_in(record.spec, current):
            raise Unprocessable("this round takes no reports: none can be missing")
        if msp_id not in (await state.consortium(stub)).organisations:
            raise Unprocessable("not an organisation of the consortium", msp_id=msp_id)
        if not await state.exists(stub, keys.reveal(job, round, member)):
            raise NotFound("the member has not revealed in this round", member=member)
        key = keys.missing(job, round, member, msp_id)
        if await state.exists(stub, key):
            raise Conflict(f"{msp_id} has voted already")
        await state.write(stub, key, 1)

    @transaction
    async def close_missing(self, stub: Stub, job: Name, round: RoundNumber, beacon: Beacon) -> RoundState:
        """Anyone, with a fresh beacon W after the seal: set aside what more than half of the organisations miss."""
        record, current = await in_phase(stub, job, round, Phase.SEALED)
        now = time.fresh(record.beacon, record.freshness, self._clock, beacon)
        if now < current.sealed_at + record.spec.missing_seconds:
            raise TooEarly("reports may still turn up", until=current.sealed_at + record.spec.missing_seconds)
        organisations = (await state.consortium(stub)).organisations
        prefix, votes = keys.missing(job, round), Counter[str]()
        async for key, _ in stub.prefix(
            prefix
        ):  # a point read for each member and organisation would be a million
            member, _, msp_id = key.removeprefix(prefix).partition("/")
            votes[member] += msp_id in organisations
        gone = [member for member, count in votes.items() if 2 * count > len(organisations)]
        if not set(gone).difference(current.set_aside):
            raise Conflict("no report is missed by more than half of the organisations")
        entered = replace(current, set_aside=sorted({*gone, *current.set_aside}))
        await state.write(stub, keys.state(job, round), entered)
        announce(stub, entered)
        return entered

    @query
    async def outcomes(self, stub: Stub, job: Name, round: RoundNumber) -> dict[str, Outcome]:
        """Scores and payments of a settled round by member."""
        return await state.under(stub, keys.outcome(job, round), Outcome)

    async def _scored(
        self,
        stub: Stub,
        job: Job,
        current: RoundState,
        participants: list[str],
        counted: dict[str, Reveal],
        batch: str,
    ) -> dict[str, Settled]:
        """Every counted report and the view, each checked against its CID, and the scores of all.

        `batch`: the randomness (hex) that drew the batch; "" where no view is needed.
        """
        _check_complete(counted, current.set_aside, stub.transient)
        reports = await asyncio.to_thread(_unpacked, job, counted, stub.transient)
        view = (
            await asyncio.to_thread(check_view, job, current.view, stub.transient[VIEW]) if batch else NO_VIEW
        )
        base = domain(stub.channel, stub.chaincode, job.id, current.round)
        return await self._once(base, job, current, participants, counted, reports, batch, view)

    async def _once(
        self,
        base: bytes,
        job: Job,
        current: RoundState,
        participants: list[str],
        counted: Mapping[str, Reveal],
        reports: Mapping[str, report.Symbols],
        batch: str,
        view: View,
    ) -> dict[str, Settled]:
        """The scores, computed once for the same inputs however many call: the others wait for that result.

        The reports are no part of the key: they are checked, so the CIDs in `counted` say what they are. Nor is
        the view, which the state names by its CID, or the batch, whose beacon's round it names.
        """
        key = hashlib.sha256(base + canonical([job, current, participants, counted])).digest()
        task = self._scores.pop(key, None)
        if task is None:
            work = asyncio.to_thread(_score, base, job, current, participants, reports, batch, view)
            task = asyncio.create_task(work)
            task.add_done_callback(lambda done: self._drop_failed(key, done))
        self._scores[key] = task
        while len(self._scores) > KEPT:
            del self._scores[next(iter(self._scores))]
        return await asyncio.shield(task)

    def _drop_failed(self, key: bytes, task: asyncio.Task[dict[str, Settled]]) -> None:
        """A failure (out of memory) is nothing to remember; looking at it keeps asyncio from logging it."""
        if (task.cancelled() or task.exception()) and self._scores.get(key) is task:
            del self._scores[key]

    @staticmethod
    async def _pay(
        stub: Stub, job: Job, current: RoundState, locks: dict[str, Lock], settled: dict[str, Settled]
    ) -> RoundState:
        postings = Postings(stub, f"{job.id}/{current.round}")
        for member, lock in sorted(locks.items()):
            await _pay_member(stub, postings, job, current, member, lock, settled.get(member))
        spent = sum(max(0, each.payment) for each in settled.values())
        if not settled:  # nobody is left to aggregate
            final = replace(current, phase=Phase.FINAL, result=current.model, aggregation_outcome="kept")
            await end_round(stub, job, final, postings, spent)
            announce(stub, final)
            return final
        await draw_escrow(stub, job, spent)
        entered = replace(current, phase=Phase.SETTLED)
        await state.write(stub, keys.state(job.id, current.round), entered)
        announce(stub, entered)
        return entered


async def _pay_member(
    stub: Stub,
    postings: Postings,
    job: Job,
    current: RoundState,
    member: str,
    lock: Lock,
    settled: Settled | None,
) -> None:
    """Stake back and pay; a negative payment comes out of the stake; who did not reveal loses the whole lock."""
    key = keys.lock(job.id, current.round, member)
    if settled is None:
        await stub.delete(key)
        await postings.pay(TREASURY, lock.stake + lock.bond, "slash", member)
        outcome = Outcome(score=0, norm=0, payment=0, slashed=lock.stake + lock.bond)
    else:
        await _keep_bond(stub, key, lock)
        await postings.pay(member, lock.stake - max(0, -settled.payment), "stake-returned", job.id)
        await postings.pay(member, max(0, settled.payment), "payment", job.id)
        await postings.pay(TREASURY, max(0, -settled.payment), "negative-payment", member)
        outcome = Outcome(
            score=settled.score, norm=settled.norm, payment=settled.payment, sharing=len(settled.sharing)
        )
    await state.write(stub, keys.outcome(job.id, current.round, member), outcome)


async def _keep_bond(stub: Stub, key: str, lock: Lock) -> None:
    if lock.bond:
        await state.write(stub, key, replace(lock, stake=0))
    else:
        await stub.delete(key)


def _check_complete(
    counted: Collection[str], set_aside: Collection[str], transient: Mapping[str, bytes]
) -> None:
    """One report for every counted reveal; none too few and none too many.

    A vote may just have set one aside (409: look again); who has not revealed never counts (400).
    """
    given = {name.removeprefix(PREFIX) for name in transient if name != VIEW}
    if given.difference(counted, set_aside):
        raise Invalid("a report is given that does not count in this round")
    if given.difference(counted):
        raise Conflict("a report is given that has been set aside")
    if set(counted) - given:
        raise Conflict("every counted report must be given", missing=sorted(set(counted) - given)[:5])


def _check_view(needed: bool, batch: Beacon | None, transient: Mapping[str, bytes]) -> None:
    """The view and its batch's beacon come where the rule needs them, and nowhere else."""
    if needed and (batch is None or VIEW not in transient):
        missing = [name for name, given in (("batch", batch), (VIEW, transient.get(VIEW))) if given is None]
        raise Invalid("the job's rule needs the public view and the batch's beacon", missing=missing)
    if not needed and (batch is not None or VIEW in transient):
        raise Invalid("this round is settled without a public view: no view and no batch's beacon may come")


def _unpacked(
    job: Job, counted: Mapping[str, Reveal], transient: Mapping[str, bytes]
) -> dict[str, report.Symbols]:
    """Every report's symbols, once its bytes are what the reveal's CID names; refused otherwise."""
    return {
        member: check_report(job, shown.report, transient[PREFIX + member])
        for member, shown in counted.items()
    }


def _score(
    base: bytes,
    job: Job,
    current: RoundState,
    participants: list[str],
    reports: Mapping[str, report.Symbols],
    batch: str,
    view: View,
) -> dict[str, Settled]:
    """Everybody's outcome; without its n − 1 pair scores, which nobody here looks at and a server would keep."""
    if batch:
        view = view.at(scoring.batch(job.spec, base, bytes.fromhex(batch)))
    settled = scoring.settle(
        job.spec,
        base,
        bytes.fromhex(current.pairing_randomness),
        bytes.fromhex(current.sampling_randomness),
        participants,
        reports,
        round=current.round,
        view=view,
    )
    return {member: replace(each, scores={}) for member, each in settled.items()}
