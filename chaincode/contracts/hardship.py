"""Ending what has stalled, by vote: `void-round` and `abort-job` (docs/protocol.md, Governance).

A running round can be ended only by a deciding vote with a fresh beacon at least V past what its phase waits
for; V is the length of a whole round, `JobSpec.grace`. So a majority cannot take a running round from those
who committed to it, and a round that nobody can bring to an end does not keep their money.

Every lock and bond returns. Before the settlement whoever has revealed (and was not set aside) shares the
round's pool equally; what the division leaves stays in the escrow. After it the round has been paid for as the
job says, and only its aggregation is given up. A round without reports pays its tranches instead, as if no
committee had decided; before the sampling beacon, rounded down.
"""

from __future__ import annotations

import msgspec

from chaincode import scoring
from chaincode.contracts import keys, state, tranches
from chaincode.contracts.actions import Ready, Vote, act
from chaincode.contracts.jobs import end_round, last_round, return_escrow
from chaincode.contracts.rounds import announce
from chaincode.contracts.token import Postings
from chaincode.proposals import AbortJob, VoidRound
from chaincode.records import Job, Lock, Phase, Reveal, RoundState
from chaincode.shim import Stub
from chaincode.shim.errors import Conflict, TooEarly


@act(VoidRound)
async def void_round(vote: Vote, action: VoidRound) -> Ready:
    """End a running round; the job goes on with the next."""
    job = await state.job(vote.stub, action.job)
    current = await state.round_state(vote.stub, action.job, action.round)
    if current.phase.over:
        raise Conflict(f"round {action.round} is over", phase=current.phase)

    async def execute() -> None:
        _check_stalled(vote, job, current)
        await _void(vote.stub, job, current)

    return Ready(execute)


@act(AbortJob)
async def abort_job(vote: Vote, action: AbortJob) -> Ready:
    """End the job, its running round included; at once when no round is running."""
    job = await state.job(vote.stub, action.job)
    if not await state.exists(vote.stub, keys.escrow(job.id)):
        raise Conflict(f"job {job.id!r} is over")
    current = await last_round(vote.stub, job)

    async def execute() -> None:
        await state.write(vote.stub, keys.cancelled(job.id), 1)
        if current is None or current.phase.over:
            await return_escrow(vote.stub, job, Postings(vote.stub, job.id))
        else:
            _check_stalled(vote, job, current)
            await _void(vote.stub, job, current, last=True)

    return Ready(execute)


def due(job: Job, current: RoundState) -> int:
    """When the phase should have ended: its window's deadline, or the time of the beacon it waits for."""
    match current.phase:
        case Phase.CLOSED:
            return job.beacon.time(current.pairing_round)
        case Phase.SEALED:  # the window in which missing reports are voted on outlasts the sampling beacon
            return current.sealed_at + job.spec.missing_seconds
        case _:
            return current.deadline or job.beacon.time(current.sampling_round)


def _check_stalled(vote: Vote, job: Job, current: RoundState) -> None:
    earliest = due(job, current) + job.spec.grace
    if vote.now(job) < earliest:
        raise TooEarly(
            f"the round may still go on: phase {current.phase} can be ended from {earliest} on",
            phase=current.phase,
            earliest=earliest,
        )


async def _void(stub: Stub, job: Job, current: RoundState, *, last: bool = False) -> None:
    postings = Postings(stub, f"{job.id}/{current.round}")
    for member, lock in (await state.under(stub, keys.lock(job.id, current.round), Lock)).items():
        await stub.delete(keys.lock(job.id, current.round, member))
        await postings.pay(member, lock.stake + lock.bond, "lock-returned", job.id)
    spent = await _due(stub, job, current, postings)
    ended = msgspec.structs.replace(current, phase=Phase.VOID, stage=None, deadline=0, result=current.model)
    await end_round(stub, job, ended, postings, spent, last=last)
    announce(stub, ended)


async def _due(stub: Stub, job: Job, current: RoundState, postings: Postings) -> int:
    """Pay those who revealed what the round still owes them; returns what it took."""
    if scoring.reports_in(job.spec, current) and current.sampling_randomness:
        return 0
    revealed = await state.under(stub, keys.reveal(job.id, current.round), Reveal)
    sharing = sorted(set(revealed).difference(current.set_aside))
    if not scoring.reports_in(job.spec, current):
        due = tranches.entitled(current, sharing)
        return await tranches.release(stub, job, current, postings, due)
    share = job.spec.round_pool // len(sharing) if sharing else 0
    for member in sharing:
        await postings.pay(member, share, "hardship", job.id)
    return share * len(sharing)
