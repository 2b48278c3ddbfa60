"""How a round ends: bonds, challenges and tranches become credits, in the one transaction that makes it final."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from chaincode.contracts import keys, state, tranches
from chaincode.contracts.jobs import end_round
from chaincode.contracts.rounds import announce
from chaincode.contracts.token import Postings
from chaincode.records import TREASURY, Job, Lock, Phase, RoundState
from chaincode.shim import Stub

replace = msgspec.structs.replace


async def keep(stub: Stub, job: Job, current: RoundState, entitled: Collection[str]) -> RoundState:
    """Nobody has decided: the round ends with the model it began with, and says so."""
    kept = replace(current, result=current.model, valid=[], aggregation_outcome="kept")
    return await end(stub, job, kept, entitled)


async def end(
    stub: Stub, job: Job, current: RoundState, entitled: Collection[str] | None = None
) -> RoundState:
    """Final. Of every lock the bond and, for a challenger, its stake go to whom they are due.

    `entitled`: whose tranche the round releases, the valid set if omitted.
    """
    postings = Postings(stub, f"{job.id}/{current.round}")
    locks = await state.under(stub, keys.lock(job.id, current.round), Lock)
    for member, lock in sorted(locks.items()):
        await stub.delete(keys.lock(job.id, current.round, member))
        for amount, (account, kind) in (
            (lock.bond, _bond_of(current, member)),
            (lock.stake, _challenge_of(current, member)),
        ):
            await postings.pay(account, amount, kind, job.id if account == member else member)
    due = current.valid if entitled is None else entitled
    spent = await tranches.release(stub, job, current, postings, due)
    final = replace(current, phase=Phase.FINAL, stage=None, deadline=0)
    await end_round(stub, job, final, postings, spent)
    announce(stub, final)
    return final


async def refund_challenge(stub: Stub, job: Job, current: RoundState) -> None:
    """A challenge that the committee could not judge: its stake goes back before the next attempt."""
    if not current.challenger:
        return
    key = keys.lock(job.id, current.round, current.challenger)
    lock = await state.read(stub, key, Lock, "lock of the challenger")
    postings = Postings(stub, f"{job.id}/{current.round}")
    await postings.pay(current.challenger, lock.stake, "challenge-returned", current.challenger)
    if lock.bond:
        await state.write(stub, key, replace(lock, stake=0))
    else:
        await stub.delete(key)


def _bond_of(current: RoundState, member: str) -> tuple[str, str]:
    """Who gets a member's bond: itself; the challenger of its wrong post; the treasury for a lost one."""
    if _judged(current) and member == current.aggregator and current.post != current.result:
        return current.challenger, "bond-won"
    return (TREASURY, "bond-lost") if member in current.forfeited else (member, "bond-returned")


def _challenge_of(current: RoundState, member: str) -> tuple[str, str]:
    """Who gets a challenge's stake: the challenger, or the poster if its post was right after all."""
    if _judged(current) and member == current.challenger and current.post == current.result:
        return current.aggregator, "challenge-won"
    return member, "challenge-returned"


def _judged(current: RoundState) -> bool:
    """Whether a committee has decided between a post and its challenge."""
    return bool(current.challenger) and current.aggregation_outcome == "majority"
