"""What the consortium can decide by vote: one function an action, found by its record's type.

Each function reads and checks (at the proposal, and again at the deciding vote) and returns what executing
it writes. None of them touches a round that has a commit but `void-round` and `abort-job` (hardship.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from chaincode.beacon import Beacon
from chaincode.contracts import keys, state, time
from chaincode.contracts.job_terms import MAX_SLOTS
from chaincode.contracts.settings import EndorserClock
from chaincode.contracts.token import LIMIT, Postings, known_account
from chaincode.encoding import canonical
from chaincode.proposals import (
    Action,
    AdmitOrganisation,
    Mint,
    Recover,
    ReinstateMember,
    RemoveOrganisation,
    SetBeacon,
    SetRegistration,
    SpendTreasury,
    SuspendMember,
)
from chaincode.records import TREASURY, Consortium, Job, Member
from chaincode.shim import Stub
from chaincode.shim.errors import Conflict, Invalid, Unprocessable

MAX_ORGANISATIONS = MAX_SLOTS  # a round has a place for each at least
replace = msgspec.structs.replace


@dataclass(frozen=True)
class Vote:
    """What a decision is made on; `beacon` is what the deciding transaction brought, if anything."""

    stub: Stub
    terms: Consortium
    clock: EndorserClock
    beacon: Beacon | None = None

    def now(self, job: Job) -> int:
        """The time of the beacon that was brought, which must be fresh; 400 when there is none.

        It may be of the job's chain or of the consortium's of today: the job's may have died.
        """
        if self.beacon is None:
            raise Invalid("beacon: the vote that decides this must bring a fresh one")
        return time.fresh_of_either(job.beacon, self.terms.beacon, job.freshness, self.clock, self.beacon)


@dataclass(frozen=True)
class Ready:
    """A checked action: `execute` writes it; `target` is what it replaces, pinned when it is proposed."""

    execute: Callable[[], Awaitable[None]]
    target: str = ""


Act = Callable[[Vote, Any], Awaitable[Ready]]
A = TypeVar("A", bound=Action)
ACTIONS: dict[type, Act] = {}


def act(kind: type[A]) -> Callable[[Callable[[Vote, A], Awaitable[Ready]]], Act]:
    """Register the function of one kind of action."""

    def register(function: Callable[[Vote, A], Awaitable[Ready]]) -> Act:
        ACTIONS[kind] = function
        return function

    return register


async def prepare(vote: Vote, action: Action) -> Ready:
    """Check the action against the state as it is now; a typed refusal when it cannot be executed."""
    return await ACTIONS[type(action)](vote, action)


@act(Mint)
async def mint(vote: Vote, action: Mint) -> Ready:
    """Create tokens; the supply stays below 2^63, so every sum of amounts does."""
    await known_account(vote.stub, action.account)

    async def execute() -> None:
        supply = await state.number(vote.stub, keys.SUPPLY) + action.amount
        if supply >= LIMIT:
            raise Unprocessable("amount: the supply would pass 2^63", supply=supply)
        await state.write(vote.stub, keys.SUPPLY, supply)
        await Postings(vote.stub).pay(action.account, action.amount, "mint", "")

    return Ready(execute)


@act(AdmitOrganisation)
async def admit_organisation(vote: Vote, action: AdmitOrganisation) -> Ready:
    """Widen the electorate."""
    admitted = vote.terms.organisations
    if action.msp_id == TREASURY:
        raise Unprocessable("msp_id: the treasury's name cannot be an organisation's")
    if action.msp_id in admitted:
        raise Conflict(f"{action.msp_id} is admitted already")
    if len(admitted) >= MAX_ORGANISATIONS:
        raise Unprocessable(f"msp_id: a consortium has at most {MAX_ORGANISATIONS} organisations")
    return _terms(vote, organisations=sorted([*admitted, action.msp_id]))


@act(RemoveOrganisation)
async def remove_organisation(vote: Vote, action: RemoveOrganisation) -> Ready:
    """Narrow the electorate; somebody must remain to vote."""
    if action.msp_id not in vote.terms.organisations:
        raise Conflict(f"{action.msp_id} is not an organisation of the consortium")
    left = [each for each in vote.terms.organisations if each != action.msp_id]
    if not left:
        raise Unprocessable("msp_id: the last organisation cannot be removed")
    return _terms(vote, organisations=left)


@act(SetRegistration)
async def set_registration(vote: Vote, action: SetRegistration) -> Ready:
    """New terms of registration; deposits already paid stay as they are."""
    if action.registration == vote.terms.registration:
        raise Conflict("these are the terms of registration already")
    target = canonical(vote.terms.registration).decode()
    return _terms(vote, target, registration=action.registration)


@act(SetBeacon)
async def set_beacon(vote: Vote, action: SetBeacon) -> Ready:
    """Another chain of beacons; running jobs keep the one they pin."""
    terms = vote.terms
    try:
        action.beacon.check()
    except ValueError as fault:
        raise Unprocessable(f"beacon.{fault}") from fault
    freshness, margin = action.freshness or terms.freshness, action.margin or terms.margin
    changed = replace(terms, beacon=action.beacon, freshness=freshness, margin=margin)
    if changed == terms:
        raise Conflict("this is the consortium's beacon already")
    target = f"{terms.beacon.chain_hash} {terms.freshness} {terms.margin}"
    return _terms(vote, target, beacon=action.beacon, freshness=freshness, margin=margin)


@act(SuspendMember)
async def suspend_member(vote: Vote, action: SuspendMember) -> Ready:
    """From active to suspended."""
    return await _status(vote, action.member, "active", "suspended")


@act(ReinstateMember)
async def reinstate_member(vote: Vote, action: ReinstateMember) -> Ready:
    """From suspended to active."""
    return await _status(vote, action.member, "suspended", "active")


@act(Recover)
async def recover(vote: Vote, action: Recover) -> Ready:
    """Another acting key; the old one acts for nobody any more."""
    member = await _member(vote, action.member)
    key = keys.acting_key(member.msp_id, action.key)
    if await state.exists(vote.stub, key):
        raise Conflict("key: it is a member's, or was", key=action.key)

    async def execute() -> None:
        changed = replace(member, key=action.key, rotations=member.rotations + 1)
        await state.write(vote.stub, keys.member(member.id), changed)
        await state.write(vote.stub, key, member.id)

    return Ready(execute, member.key)


@act(SpendTreasury)
async def spend_treasury(vote: Vote, action: SpendTreasury) -> Ready:
    """Pay out of the credits that the proposal names."""
    await known_account(vote.stub, action.to)
    have = await Postings(vote.stub).covered(TREASURY, action.credits, action.amount)

    async def execute() -> None:
        postings = Postings(vote.stub)
        await postings.consume(TREASURY, action.credits, have, action.amount, "treasury-spent", action.to)
        await postings.pay(action.to, action.amount, "treasury-spent", TREASURY)

    return Ready(execute)


async def _member(vote: Vote, member_id: str) -> Member:
    return await state.read(vote.stub, keys.member(member_id), Member, f"member {member_id!r}")


async def _status(vote: Vote, member_id: str, old: str, new: str) -> Ready:
    member = await _member(vote, member_id)
    if member.status != old:
        raise Conflict(f"the member is {member.status}, not {old}", status=member.status)

    async def execute() -> None:
        await state.write(vote.stub, keys.member(member_id), replace(member, status=new))

    return Ready(execute)


def _terms(vote: Vote, target: str = "", **changes: Any) -> Ready:
    async def execute() -> None:
        await state.write(vote.stub, keys.CONSORTIUM, replace(vote.terms, **changes))

    return Ready(execute, target)
