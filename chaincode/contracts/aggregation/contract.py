"""The transactions of step 9.

A member's step names its attempt, and is accepted until somebody moves its stage on, never by an endorser's clock.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from chaincode import cid, commitment
from chaincode.beacon import Beacon
from chaincode.contracts import keys, state, time
from chaincode.contracts.aggregation import majority, partials, views
from chaincode.contracts.aggregation.committee import (
    check_refused,
    check_stage,
    eligible,
    enter,
    in_stage,
    late,
    next_attempt,
    once,
    seated,
    write,
)
from chaincode.contracts.aggregation.ending import end, keep
from chaincode.contracts.rounds import CidText, in_phase
from chaincode.contracts.settings import EndorserClock
from chaincode.contracts.token import Postings
from chaincode.encoding import domain
from chaincode.records import (
    Ballot,
    CreditIds,
    Hex32,
    Job,
    Lock,
    MemberId,
    MspId,
    Name,
    Phase,
    Progress,
    Reason,
    RoundNumber,
    RoundState,
    Stage,
    Witness,
)
from chaincode.shim import Contract, Stub, query, transaction
from chaincode.shim.errors import Forbidden, NotFound, Unprocessable

replace = msgspec.structs.replace
Attempt = Annotated[int, msgspec.Meta(ge=1, le=100)]


class Aggregation(Contract):
    """Drawing committees, taking their votes and answers, judging challenges, going on without the absent."""

    def __init__(self, clock: EndorserClock) -> None:
        self._clock = clock

    @transaction
    async def begin(self, stub: Stub, job: Name, round: RoundNumber, beacon: Beacon) -> RoundState:
        """Anyone, with a fresh beacon, once settled: draw the first committee and open its window."""
        record, current = await in_phase(stub, job, round, Phase.SETTLED)
        return await next_attempt(stub, record, current, self._fresh(record, beacon))

    @transaction
    async def aggregate(
        self,
        stub: Stub,
        job: Name,
        round: RoundNumber,
        attempt: Attempt,
        model: CidText,
        refused: dict[MemberId, Reason],
    ) -> RoundState:
        """A committee of one: which updates it refuses, and the CID of the model the others combine to. Final."""
        record, current = await in_stage(stub, job, round, attempt, Stage.SOLE)
        await seated(stub, current)
        revealed = await eligible(stub, current)
        check_refused(refused, revealed)
        _check_model(model)
        valid = [member for member in revealed if member not in refused]
        if not valid:
            if model != current.model:
                raise Unprocessable("without a valid update the model stays as it is", model=current.model)
            return await keep(stub, record, current, [])
        return await end(
            stub, record, replace(current, result=model, valid=valid, aggregation_outcome="sole")
        )

    @transaction
    async def vote(
        self, stub: Stub, job: Name, round: RoundNumber, attempt: Attempt, refused: dict[MemberId, Reason]
    ) -> None:
        """A committee member: the updates it does not hold or finds not valid, each with its reason."""
        _, current = await in_stage(stub, job, round, attempt, Stage.VOTE)
        key = keys.ballot(job, round, current.attempt, (await seated(stub, current)).id)
        await once(stub, key, "voted")
        check_refused(refused, await eligible(stub, current))
        await state.write(stub, key, Ballot(refused=refused))

    @transaction
    async def commit(
        self, stub: Stub, job: Name, round: RoundNumber, attempt: Attempt, digest: Hex32
    ) -> None:
        """A committee member: `commitment.answer_digest` of the model it has computed over the valid set."""
        _, current = await in_stage(stub, job, round, attempt, Stage.COMMIT)
        key = keys.answer(job, round, current.attempt, await _voter(stub, current))
        await once(stub, key, "committed")
        await state.write(stub, key, digest)

    @transaction(transient=(views.OWN,))
    async def reveal(
        self,
        stub: Stub,
        job: Name,
        round: RoundNumber,
        attempt: Attempt,
        model: CidText,
        salt: Hex32,
        view: CidText = "",
    ) -> None:
        """A committee member: open its own commit.

        Where the job agrees on views, its own view of that model belongs to it, its bytes in the transient map.
        """
        record, current = await in_stage(stub, job, round, attempt, Stage.REVEAL)
        member = await _voter(stub, current)
        raw = await stub.get(keys.answer(job, round, current.attempt, member))
        if raw is None:
            raise Forbidden("this member has not committed in this attempt")
        key = keys.opened(job, round, current.attempt, member)
        await once(stub, key, "revealed")
        _check_model(model)
        base = domain(stub.channel, stub.chaincode, job, round)
        digest = commitment.answer_digest(base, current.attempt, member, model, bytes.fromhex(salt), view)
        if digest.hex() != msgspec.json.decode(raw, type=str):
            raise Unprocessable("the commit's digest is of something else")
        await views.reveal(stub, record, current, member, view)
        await state.write(stub, key, model)

    @transaction
    async def witness(
        self, stub: Stub, job: Name, round: RoundNumber, attempt: Attempt, missing: views.Members
    ) -> None:
        """A committee member: whose views of the new model it could not get."""
        _, current = await in_stage(stub, job, round, attempt, Stage.WITNESS)
        await views.witness(stub, current, await _voter(stub, current), missing)

    @transaction(transient=(views.PREFIX + "*",))
    async def agree(self, stub: Stub, job: Name, round: RoundNumber, beacon: Beacon) -> RoundState:
        """Anyone, with a fresh beacon and every view that counts in the transient map (view/MEMBER).

        Past the deadline, or once all have said which views they hold. The agreed view's CID ends the round.
        """
        record, current = await in_phase(stub, job, round, Phase.AGGREGATE)
        check_stage(current, Stage.WITNESS)
        return await views.agree(stub, record, current, self._fresh(record, beacon))

    @transaction
    async def post(
        self, stub: Stub, job: Name, round: RoundNumber, attempt: Attempt, model: CidText, beacon: Beacon
    ) -> RoundState:
        """Optimistic, the first of the committee: the model; a fresh beacon opens the window to challenge it."""
        record, current = await in_stage(stub, job, round, attempt, Stage.POST)
        if (await seated(stub, current)).id != current.aggregator:
            raise Forbidden("another member of the committee posts", aggregator=current.aggregator)
        _check_model(model)
        now = self._fresh(record, beacon)
        until = now + record.spec.challenge_rounds * record.beacon.period
        return await write(stub, replace(current, stage=Stage.CHALLENGE, post=model, deadline=until))

    @transaction
    async def challenge(
        self, stub: Stub, job: Name, round: RoundNumber, attempt: Attempt, credits: CreditIds, beacon: Beacon
    ) -> RoundState:
        """Optimistic, any participant but the poster: put up a bond, and the committee decides by majority."""
        member = await state.caller(stub)
        record, current = await in_stage(stub, job, round, attempt, Stage.CHALLENGE)
        if member.id == current.aggregator:
            raise Forbidden("nobody can challenge its own post")
        if not await state.exists(stub, keys.outcome(job, round, member.id)):
            raise Forbidden("this member is not a participant of the round")
        now = self._fresh(record, beacon)
        postings = Postings(stub, f"{job}/{round}")
        await postings.spend(member.id, credits, record.spec.bond, "challenge", job)
        key = keys.lock(job, round, member.id)
        lock = await state.find(stub, key, Lock) or Lock(digest="", stake=0, bond=0)
        await state.write(stub, key, replace(lock, stake=record.spec.bond))
        return await enter(stub, record, replace(current, challenger=member.id), Stage.COMMIT, now)

    @transaction
    async def finalise(self, stub: Stub, job: Name, round: RoundNumber, beacon: Beacon) -> RoundState:
        """Anyone, with a fresh beacon, past the deadline or once all have acted: the next stage, attempt or end."""
        record, current = await in_phase(stub, job, round, Phase.AGGREGATE)
        now = self._fresh(record, beacon)
        match current.stage:
            case Stage.VOTE:
                return await majority.count_ballots(stub, record, current, now)
            case Stage.COMMIT:
                return await majority.close_answers(stub, record, current, now)
            case Stage.REVEAL:
                return await majority.count_answers(stub, record, current, now)
            case Stage.WITNESS:
                return await views.give_up(stub, record, current, now)
        late(current, now)
        if current.stage is Stage.CHALLENGE:
            unchallenged = replace(current, result=current.post, aggregation_outcome="optimistic")
            return await end(stub, record, unchallenged)
        absent = sorted([*current.forfeited, current.aggregator])
        return await next_attempt(stub, record, replace(current, forfeited=absent), now)

    @transaction
    async def partial(
        self, stub: Stub, job: Name, round: RoundNumber, organisation: MspId, inside: CidText
    ) -> None:
        """Two layers, whoever revealed: the CID of what an organisation's updates combine to. It decides nothing."""
        record, current = await in_phase(stub, job, round, Phase.AGGREGATE)
        await partials.say(stub, record, current, organisation, inside)

    @query
    async def partials(self, stub: Stub, job: Name, round: RoundNumber) -> dict[str, dict[str, str]]:
        """Organisation -> member -> the CID of what it says that organisation's updates combine to."""
        return await partials.said(stub, job, round)

    @query
    async def progress(self, stub: Stub, job: Name, round: RoundNumber, attempt: Attempt) -> Progress:
        """What the committee of an attempt has done."""
        current = await state.round_state(stub, job, round)
        if attempt > current.attempt:
            raise NotFound(f"round {round} has had {current.attempt} attempts to aggregate")
        return Progress(
            ballots=await state.under(stub, keys.ballot(job, round, attempt, ""), Ballot),
            committed=await _texts(stub, keys.answer(job, round, attempt, "")),
            answers=await _texts(stub, keys.opened(job, round, attempt, "")),
            views=await _texts(stub, keys.view(job, round, attempt, "")),
            witnesses=await state.under(stub, keys.witness(job, round, attempt, ""), Witness),
        )

    def _fresh(self, job: Job, beacon: Beacon) -> int:
        return time.fresh(job.beacon, job.freshness, self._clock, beacon)


async def _voter(stub: Stub, current: RoundState) -> str:
    """The caller, who must be one of those who answer, or whose answer was the model decided on."""
    member = await seated(stub, current)
    if member.id not in current.voters:
        raise Forbidden("the committee goes on without this member: its answer stands")
    return member.id


async def _texts(stub: Stub, prefix: str) -> dict[str, str]:
    return {
        key.removeprefix(prefix): msgspec.json.decode(raw, type=str) async for key, raw in stub.prefix(prefix)
    }


def _check_model(text: str) -> None:
    try:
        cid.parse(text)
    except ValueError as fault:
        raise Unprocessable(f"model: {fault}") from fault
