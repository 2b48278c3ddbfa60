"""What a round without reports pays: to each qualified member that is entitled, its tranche out of the escrow.

Who is entitled (docs/protocol.md, "Tranches"): the members of the valid set that the round's committee decided,
also when the aggregate over it then failed. If no committee ever decided, whoever revealed, but for those who
kept silent on a committee: silence must not take from others, nor save an update from being looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from chaincode import scoring
from chaincode.contracts import keys, state
from chaincode.contracts.token import Postings
from chaincode.encoding import domain
from chaincode.records import Job, Outcome, RoundState
from chaincode.shim import Stub

UNSCORED = Outcome(score=0, norm=0, payment=0)


def entitled(current: RoundState, revealed: Iterable[str]) -> list[str]:
    """To whom a round that ends undecided pays, sorted."""
    silent = {*current.forfeited, *current.passed_over}
    return current.voted or sorted(set(revealed).difference(silent))


async def release(
    stub: Stub, job: Job, current: RoundState, postings: Postings, members: Collection[str]
) -> int:
    """Pay their tranches to those of `members` who qualified, and note it in their outcomes; returns the sum.

    Nothing in a round that takes reports: its settlement has paid. At most the round's pool in any other, since
    no tranche exceeds the best payment (job_terms).
    """
    if not members or scoring.reports_in(job.spec, current):
        return 0
    qualified = await state.under(stub, keys.outcome(job.id, current.qualification), Outcome)
    here = await state.under(stub, keys.outcome(job.id, current.round), Outcome)
    paid = scoring.release(
        job.spec,
        domain(stub.channel, stub.chaincode, job.id, current.round),
        bytes.fromhex(current.sampling_randomness),
        sorted(here or members),
        {member: outcome.score for member, outcome in qualified.items()},
        members,
    )
    for member, units in paid.items():
        await postings.pay(member, units, "tranche", job.id)
        outcome = msgspec.structs.replace(here.get(member, UNSCORED), payment=units)
        await state.write(stub, keys.outcome(job.id, current.round, member), outcome)
    return sum(paid.values())
