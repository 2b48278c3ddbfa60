"""Drawing committees, and what their members have done: shared by both ways to aggregate."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from chaincode import committees, draw, scoring
from chaincode.contracts import keys, state, tranches
from chaincode.contracts.aggregation.ending import keep, refund_challenge
from chaincode.contracts.job_terms import VIEWERS
from chaincode.contracts.rounds import announce, in_phase
from chaincode.encoding import domain
from chaincode.records import Job, Member, Phase, Reveal, RoundState, Stage
from chaincode.scoring import organisation
from chaincode.shim import Stub
from chaincode.shim.errors import Conflict, Forbidden, TooEarly, Unprocessable

replace = msgspec.structs.replace
Key = Callable[[str, int, int, str], str]


async def eligible(stub: Stub, current: RoundState) -> list[str]:
    """Who may aggregate, and whose updates may count: who revealed and was not set aside, sorted; frozen keys."""
    revealed = await state.under(stub, keys.reveal(current.job, current.round), Reveal)
    return sorted(set(revealed).difference(current.set_aside))


async def next_attempt(stub: Stub, job: Job, current: RoundState, now: int) -> RoundState:
    """The next committee, or the previous model when the attempts or the candidates are used up.

    Never a smaller committee than the revealers allow: whoever keeps others away cannot decide in their place.
    Nor one too small to agree on a view of the model: a model without a view would be paid for copying.
    """
    revealed = await eligible(stub, current)
    out = {*current.forfeited, *current.passed_over}
    candidates = [member for member in revealed if member not in out]
    attempt, size = current.attempt + 1, job.spec.committee
    least = max(
        committees.seats(size, len(revealed)), VIEWERS if scoring.agrees_view(job.spec, current) else 0
    )
    if attempt > job.spec.attempts or len(candidates) < least:
        return await keep(stub, job, current, tranches.entitled(current, revealed))
    await refund_challenge(stub, job, current)
    base = domain(stub.channel, stub.chaincode, current.job, current.round)
    seed = draw.seed(f"committee/{attempt}", base, bytes.fromhex(current.sampling_randomness))
    drawn = list(draw.committee(seed, candidates, size, organisation))
    return await enter(
        stub,
        job,
        replace(current, attempt=attempt, committee=drawn, valid=[], post="", challenger="", result=""),
        Stage.VOTE if len(drawn) > 1 else Stage.SOLE,
        now,
    )


async def enter(stub: Stub, job: Job, current: RoundState, stage: Stage, now: int) -> RoundState:
    """Open a stage's window of aggregate_seconds."""
    return await write(
        stub,
        replace(current, phase=Phase.AGGREGATE, stage=stage, deadline=now + job.spec.aggregate_seconds),
    )


async def write(stub: Stub, entered: RoundState) -> RoundState:
    """The round's state, and the event of its change."""
    await state.write(stub, keys.state(entered.job, entered.round), entered)
    announce(stub, entered)
    return entered


async def in_stage(stub: Stub, job: str, round: int, attempt: int, stage: Stage) -> tuple[Job, RoundState]:
    """The job and the round's state, which must be in that stage of that attempt: 425 before it, 409 after it.

    A call names its attempt: one that took long must not count in the next, before another committee.
    """
    record, current = await in_phase(stub, job, round, Phase.AGGREGATE)
    if current.attempt != attempt:
        raise Conflict(
            f"the aggregation is in attempt {current.attempt}, not {attempt}", attempt=current.attempt
        )
    check_stage(current, stage)
    return record, current


def check_stage(current: RoundState, stage: Stage) -> None:
    """Refuse another stage: 425 before it, 409 after it."""
    if current.stage is not stage:
        order = list(Stage)
        kind = TooEarly if current.stage and order.index(current.stage) < order.index(stage) else Conflict
        raise kind(f"the aggregation is in stage {current.stage}, not {stage}", stage=current.stage)


async def seated(stub: Stub, current: RoundState) -> Member:
    """The caller, who must be of this attempt's committee; suspended or gone since, it still owes its answer."""
    member = await state.acting(stub)
    if member.id not in current.committee:
        raise Forbidden("others were drawn to aggregate", committee=current.committee)
    return member


async def acted(stub: Stub, current: RoundState, key: Key, members: Iterable[str]) -> list[str]:
    """Those of `members` who have written their key of this attempt: point reads."""
    return [
        member
        for member in members
        if await state.exists(stub, key(current.job, current.round, current.attempt, member))
    ]


async def once(stub: Stub, key: str, what: str) -> None:
    """Refuse (409) a second try: the first stands."""
    if await state.exists(stub, key):
        raise Conflict(f"this member has {what} already in this attempt; the first stands")


def late(current: RoundState, now: int, complete: bool = False) -> None:
    """Refuse (425) to move on before the deadline, unless everybody has acted."""
    if now < current.deadline and not complete:
        raise TooEarly(f"the window to {current.stage} is open", deadline=current.deadline)


def check_refused(refused: Iterable[str], revealed: Iterable[str]) -> None:
    """Refuse (422) a verdict on somebody whose update is not before the committee."""
    unknown = sorted(set(refused).difference(revealed))
    if unknown:
        raise Unprocessable("refused: names members without an update in this round", members=unknown[:5])
