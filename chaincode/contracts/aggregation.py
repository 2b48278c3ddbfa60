"""Who aggregates: a member drawn among those who revealed; its result makes the round final (step 9).

Rules version 1 draws one aggregator an attempt. Whoever misses the deadline loses its bond and the next
is drawn; after the job's attempts the previous model is kept, so the next round never waits longer.
"""

from __future__ import annotations

import msgspec

from chaincode import cid, draw
from chaincode.beacon import Beacon
from chaincode.contracts import keys, state, time
from chaincode.contracts.jobs import end_round
from chaincode.contracts.rounds import CidText, announce, in_phase
from chaincode.contracts.settings import EndorserClock
from chaincode.contracts.token import Postings
from chaincode.encoding import domain
from chaincode.records import TREASURY, Job, Lock, MemberId, Name, Phase, Reveal, RoundNumber, RoundState
from chaincode.shim import Contract, Stub, transaction
from chaincode.shim.errors import Forbidden, TooEarly, Unprocessable

replace = msgspec.structs.replace


class Aggregation(Contract):
    """Drawing the aggregator, taking its result, going on without it."""

    def __init__(self, clock: EndorserClock) -> None:
        self._clock = clock

    @transaction
    async def begin(self, stub: Stub, job: Name, round: RoundNumber, beacon: Beacon) -> RoundState:
        """Anyone, with a fresh beacon, once settled: draw the aggregator and open its window."""
        record, current = await in_phase(stub, job, round, Phase.SETTLED)
        now = time.fresh(record.beacon, record.freshness, self._clock, beacon)
        return await self._next(stub, record, current, now)

    @transaction
    async def reveal(
        self, stub: Stub, job: Name, round: RoundNumber, model: CidText, valid: list[MemberId]
    ) -> RoundState:
        """The drawn aggregator: the new model's CID, and whose updates it combines. Final."""
        member = await state.caller(stub)
        record, current = await in_phase(stub, job, round, Phase.AGGREGATE)
        if member.id != current.aggregator:
            raise Forbidden("another member was drawn to aggregate", aggregator=current.aggregator)
        time.not_past(current.deadline, self._clock, "the aggregation window")
        revealed = await eligible(stub, current)
        if valid != sorted(set(valid)) or not set(valid) <= set(revealed):
            raise Unprocessable("valid: must be a sorted list of members who revealed")
        try:
            cid.parse(model)
        except ValueError as fault:
            raise Unprocessable(f"model: {fault}") from fault
        return await self._end(stub, record, replace(current, result=model, valid=valid))

    @transaction
    async def finalise(self, stub: Stub, job: Name, round: RoundNumber, beacon: Beacon) -> RoundState:
        """Anyone, with a fresh beacon past the deadline: the next aggregator, or the previous model."""
        record, current = await in_phase(stub, job, round, Phase.AGGREGATE)
        now = time.fresh(record.beacon, record.freshness, self._clock, beacon)
        if now < current.deadline:
            raise TooEarly("the aggregation window is open", deadline=current.deadline)
        absent = sorted([*current.absent, current.aggregator])
        return await self._next(stub, record, replace(current, absent=absent), now)

    async def _next(self, stub: Stub, job: Job, current: RoundState, now: int) -> RoundState:
        """Draw among those who have not missed a deadline; with none left, or no attempt, keep the model."""
        attempt = current.attempt + 1
        candidates = [m for m in await eligible(stub, current) if m not in current.absent]
        if attempt > job.spec.attempts or not candidates:
            return await self._end(stub, job, replace(current, result=current.model))
        seed = draw.seed(
            f"committee/{attempt}",
            domain(stub.channel, stub.chaincode, current.job, current.round),
            bytes.fromhex(current.sampling_randomness),
        )
        drawn = draw.draw(seed, candidates, 1)[0]
        entered = replace(
            current,
            phase=Phase.AGGREGATE,
            attempt=attempt,
            aggregator=drawn,
            deadline=now + job.spec.aggregate_seconds,
        )
        await state.write(stub, keys.state(current.job, current.round), entered)
        announce(stub, entered)
        return entered

    @staticmethod
    async def _end(stub: Stub, job: Job, current: RoundState) -> RoundState:
        """Bonds go back, those of the absent to the treasury; the round is final."""
        postings = Postings(stub, f"{job.id}/{current.round}")
        locks = await state.under(stub, keys.lock(job.id, current.round), Lock)
        for member, lock in locks.items():
            await stub.delete(keys.lock(job.id, current.round, member))
            lost = member in current.absent
            account, kind = (TREASURY, "bond-lost") if lost else (member, "bond-returned")
            await postings.pay(account, lock.bond, kind, job.id)
        final = replace(current, phase=Phase.FINAL, deadline=0)
        await end_round(stub, job, final, postings)
        announce(stub, final)
        return final


async def eligible(stub: Stub, current: RoundState) -> list[str]:
    """Who may aggregate: the members who revealed and were not set aside, sorted. The keys are frozen."""
    revealed = await state.under(stub, keys.reveal(current.job, current.round), Reveal)
    return sorted(set(revealed).difference(current.set_aside))
