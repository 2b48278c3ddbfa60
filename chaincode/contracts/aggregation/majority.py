"""The votes of a committee: which updates are valid, then the aggregate over exactly those (commit, reveal, count).

Where the job agrees on views, views.py goes on from there.
"""

from __future__ import annotations

import msgspec

from chaincode import committees, scoring
from chaincode.contracts import keys, state
from chaincode.contracts.aggregation.committee import acted, eligible, enter, late, next_attempt
from chaincode.contracts.aggregation.ending import end
from chaincode.records import Ballot, Job, RoundState, Stage
from chaincode.shim import Stub

replace = msgspec.structs.replace


async def count_ballots(stub: Stub, job: Job, current: RoundState, now: int) -> RoundState:
    """All have voted or the window is over: the valid set, and on to the answers.

    Without a single valid update the vote has failed: the next committee votes afresh, without those who
    missed this vote. Nobody loses anything by it.
    """
    cast = await acted(stub, current, keys.ballot, current.committee)
    late(current, now, complete=len(cast) == len(current.committee))
    refusals = [(await _ballot(stub, current, member)).refused for member in cast]
    valid = committees.valid(await eligible(stub, current), refusals, len(current.committee))
    if not valid:
        missed = sorted({*current.passed_over, *current.committee}.difference(cast))
        return await next_attempt(stub, job, replace(current, passed_over=missed), now)
    stage = Stage.POST if job.spec.aggregation == "optimistic" else Stage.COMMIT
    return await enter(stub, job, replace(current, valid=valid, voted=valid), stage, now)


async def close_answers(stub: Stub, job: Job, current: RoundState, now: int) -> RoundState:
    """All have committed or the window is over: on to the reveal, unless too few did to decide anything."""
    committed = await acted(stub, current, keys.answer, current.voters)
    late(current, now, complete=len(committed) == len(current.voters))
    present = len(committed) + bool(current.challenger)  # a challenged post is its poster's answer
    if 2 * present <= len(current.committee):
        return await _failed(stub, job, current, committed, now)
    return await enter(stub, job, current, Stage.REVEAL, now)


async def count_answers(stub: Stub, job: Job, current: RoundState, now: int) -> RoundState:
    """All who committed have revealed or the window is over: decided if more than half of the committee agree.

    Final then, or, where the job agrees on views, on to the witnesses of those of this model.
    """
    committed = await acted(stub, current, keys.answer, current.voters)
    answers = {member: await _answer(stub, current, member) for member in current.voters}
    late(current, now, complete=all(answers[member] for member in committed))
    given = {member: answer for member, answer in answers.items() if answer}
    counted = given | ({current.aggregator: current.post} if current.challenger else {})
    result = committees.majority(counted, len(current.committee))
    if result is None:
        return await _failed(stub, job, current, given, now)
    dissent = [member for member, answer in answers.items() if answer != result]
    forfeited = sorted({*current.forfeited, *dissent})
    decided = replace(current, forfeited=forfeited, result=result)
    if scoring.agrees_view(job.spec, current):
        return await enter(stub, job, decided, Stage.WITNESS, now)
    return await end(stub, job, replace(decided, aggregation_outcome="majority"))


async def _failed(
    stub: Stub, job: Job, current: RoundState, present: list[str] | dict[str, str], now: int
) -> RoundState:
    """No majority: who missed the deadline forfeits its bond; who answered differently is not judged."""
    absent = set(current.voters).difference(present)
    return await next_attempt(
        stub, job, replace(current, forfeited=sorted({*current.forfeited, *absent})), now
    )


async def _ballot(stub: Stub, current: RoundState, member: str) -> Ballot:
    key = keys.ballot(current.job, current.round, current.attempt, member)
    return await state.read(stub, key, Ballot, "such ballot")


async def _answer(stub: Stub, current: RoundState, member: str) -> str:
    """The CID a member has revealed, "" if none."""
    raw = await stub.get(keys.opened(current.job, current.round, current.attempt, member))
    return "" if raw is None else msgspec.json.decode(raw, type=str)
