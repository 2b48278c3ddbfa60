"""One public view of a round's model, from those of the committee that decided it (docs/protocol.md, Aggregation).

Each member names its view when it reveals its aggregate. Once the aggregate is decided, those who answered with it
witness which of each other's views they hold: a view counts when more than half of the committee do, so that an
honest member can always bring it. One transaction brings all that count, and nothing else: it computes the agreed
view, judges who is far from it, and ends the round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Annotated

import msgspec

from chaincode import cid, committees, scoring
from chaincode.contracts import keys, state
from chaincode.contracts.aggregation.committee import acted, late, next_attempt, once
from chaincode.contracts.aggregation.ending import end
from chaincode.contracts.rounds import check_view
from chaincode.mechanisms import per_round
from chaincode.mtpp import View
from chaincode.records import Job, MemberId, RoundState, Witness
from chaincode.shim import Stub
from chaincode.shim.errors import Conflict, Invalid, Unprocessable

replace = msgspec.structs.replace
Members = Annotated[list[MemberId], msgspec.Meta(max_length=101)]  # as many as a committee may have
OWN, PREFIX = "view", "view/"


async def reveal(stub: Stub, job: Job, current: RoundState, member: str, name: str) -> None:
    """A member's own view, where the job agrees on one: the bytes are in the transient map, and sound."""
    if not scoring.agrees_view(job.spec, current):
        if name:
            raise Unprocessable("view: this round agrees on none, its CID must be empty")
        if stub.transient:
            raise Invalid("this round agrees on no view; none must come in the transient map")
        return
    await asyncio.to_thread(check_view, job, name, stub.transient.get(OWN))
    await state.write(stub, keys.view(job.id, current.round, current.attempt, member), name)


async def witness(stub: Stub, current: RoundState, member: str, missing: Collection[str]) -> None:
    """Whose views a member could not get."""
    unknown = sorted(set(missing).difference(current.voters))
    if unknown:
        raise Unprocessable("missing: names members without a view of this model", members=unknown[:5])
    key = keys.witness(current.job, current.round, current.attempt, member)
    await once(stub, key, "said which views it holds")
    await state.write(stub, key, Witness(missing=sorted(set(missing))))


async def agree(stub: Stub, job: Job, current: RoundState, now: int) -> RoundState:
    """The agreed view, if more than half of the committee are near it; the next committee otherwise.

    Who is far from it loses its bond, and so does whose view more than half of the committee could not get.
    """
    witnesses = await acted(stub, current, keys.witness, current.voters)
    late(current, now, complete=len(witnesses) == len(current.voters))
    missed = [await _missing(stub, current, member) for member in witnesses]
    counted = committees.valid(current.voters, missed, len(current.committee))
    _check_complete(counted, stub.transient)
    seen = {member: await _view(stub, job, current, member) for member in counted}
    hidden = [m for m in current.voters if 2 * sum(m in each for each in missed) > len(current.committee)]
    current = replace(current, forfeited=sorted({*current.forfeited, *hidden}))
    data, far = await asyncio.to_thread(per_round.combine, seen, job.spec.alphabet)
    if 2 * (len(seen) - len(far)) <= len(current.committee):  # nobody can say who is right
        return await next_attempt(stub, job, current, now)
    agreed = replace(
        current,
        forfeited=sorted({*current.forfeited, *far}),
        next_view=cid.raw_cid(data),
        aggregation_outcome="majority",
    )
    return await end(stub, job, agreed)


async def give_up(stub: Stub, job: Job, current: RoundState, now: int) -> RoundState:
    """Nobody has brought the views for a whole window past the deadline: the next committee."""
    until = current.deadline + job.spec.aggregate_seconds
    late(replace(current, deadline=until), now)
    return await next_attempt(stub, job, current, now)


def _check_complete(counted: Collection[str], transient: Mapping[str, bytes]) -> None:
    """Refuse (409: a witness may just have changed what counts) any other views than those that count."""
    given = {name.removeprefix(PREFIX) for name in transient}
    if given - set(counted):
        raise Conflict("a view is given that does not count (any more)")
    if set(counted) - given:
        raise Conflict("every view that counts must be given", missing=sorted(set(counted) - given)[:5])


async def _view(stub: Stub, job: Job, current: RoundState, member: str) -> View:
    """A member's view, once its bytes are what it had named."""
    key = keys.view(job.id, current.round, current.attempt, member)
    name = msgspec.json.decode(await stub.get(key) or b'""', type=str)
    return await asyncio.to_thread(check_view, job, name, stub.transient[PREFIX + member])


async def _missing(stub: Stub, current: RoundState, member: str) -> list[str]:
    key = keys.witness(current.job, current.round, current.attempt, member)
    return (await state.read(stub, key, Witness, "such witness")).missing
