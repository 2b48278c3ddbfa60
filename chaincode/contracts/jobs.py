"""Jobs: the whole specification is checked and the whole pool escrowed before the first round."""

from __future__ import annotations

from typing import Annotated

import msgspec

from chaincode.contracts import job_terms, keys, state
from chaincode.contracts.token import Postings
from chaincode.records import Account, CreditIds, Job, JobSpec, Name, RoundState
from chaincode.shim import Contract, Stub, query, transaction
from chaincode.shim.errors import Conflict, NotFound

LastRound = Annotated[int, msgspec.Meta(ge=0, le=100_000)]  # 0: none was opened


class Jobs(Contract):
    """Creating, reading and cancelling jobs."""

    @transaction
    async def create(
        self, stub: Stub, job: Name, spec: JobSpec, account: Account, credits: CreditIds
    ) -> None:
        """Pin the specification and move the pool from the sponsor's `account` into escrow."""
        await state.authorise(stub, account)
        terms = await state.consortium(stub)
        if await state.exists(stub, keys.job(job)):
            raise Conflict(f"job {job!r} exists already")
        job_terms.check(spec, terms)
        await Postings(stub, job).spend(account, credits, spec.pool, "escrow", job)
        record = Job(id=job, sponsor=account, spec=spec, beacon=terms.beacon, freshness=terms.freshness)
        await state.write(stub, keys.job(job), record)
        await state.write(stub, keys.escrow(job), spec.pool)

    @transaction
    async def cancel(self, stub: Stub, job: Name, round: LastRound) -> None:
        """The sponsor stops the job; `round` is the last one opened (0: none), which still runs to its end."""
        record = await state.job(stub, job)
        await state.authorise(stub, record.sponsor)
        if await state.exists(stub, keys.cancelled(job)):
            raise Conflict(f"job {job!r} is cancelled already")
        if not await state.exists(stub, keys.escrow(job)):
            raise Conflict(f"job {job!r} is over")
        current = await state.round_state(stub, job, round) if round else None
        if await state.exists(stub, keys.state(job, round + 1)):
            raise Conflict(f"round {round + 1} is open", round=round + 1)
        await state.write(stub, keys.cancelled(job), 1)
        if current is None or current.phase.over:
            await return_escrow(stub, record, Postings(stub, job))

    @query
    async def get(self, stub: Stub, job: Name) -> Job:
        """A job as created."""
        return await state.job(stub, job)

    @query
    async def round(self, stub: Stub, job: Name) -> RoundState:
        """The round that was opened last; 404 before the first."""
        current = await last_round(stub, await state.job(stub, job))
        if current is None:
            raise NotFound(f"no round of job {job!r} is open yet")
        return current

    @query
    async def cancelled(self, stub: Stub, job: Name) -> bool:
        """Whether no further round can be opened because somebody ended the job."""
        await state.job(stub, job)
        return await state.exists(stub, keys.cancelled(job))

    @query
    async def escrow(self, stub: Stub, job: Name) -> int:
        """What is left of the pool."""
        await state.job(stub, job)
        return await state.number(stub, keys.escrow(job))

    @query(name="list")
    async def names(self, stub: Stub) -> list[str]:
        """The names of all jobs."""
        return [key.removeprefix("job/") async for key, _ in stub.prefix("job/")]


async def last_round(stub: Stub, job: Job) -> RoundState | None:
    """The newest round, found by halving: rounds are opened one after the other, so at most 17 reads."""
    opened, absent = 0, job.spec.rounds + 1
    while absent - opened > 1:
        middle = (opened + absent) // 2
        if await state.exists(stub, keys.state(job.id, middle)):
            opened = middle
        else:
            absent = middle
    return await state.round_state(stub, job.id, opened) if opened else None


async def return_escrow(stub: Stub, job: Job, postings: Postings, spent: int = 0) -> None:
    """Give the sponsor what is left in the escrow after `spent`, and close it."""
    left = await state.number(stub, keys.escrow(job.id)) - spent
    await postings.pay(job.sponsor, left, "escrow-returned", job.id)
    await stub.delete(keys.escrow(job.id))


async def end_round(
    stub: Stub, job: Job, ended: RoundState, postings: Postings, spent: int = 0, *, last: bool = False
) -> None:
    """A round's last write: its state, and the escrow, back to the sponsor when no round can follow."""
    await state.write(stub, keys.state(job.id, ended.round), ended)
    if last or ended.round >= job.spec.rounds or await state.exists(stub, keys.cancelled(job.id)):
        await return_escrow(stub, job, postings, spent)
    elif spent:
        await draw_escrow(stub, job, spent)


async def draw_escrow(stub: Stub, job: Job, spent: int) -> None:
    """Take a round's payments out of the escrow; the job's terms leave enough for every round."""
    await state.write(stub, keys.escrow(job.id), await state.number(stub, keys.escrow(job.id)) - spent)
