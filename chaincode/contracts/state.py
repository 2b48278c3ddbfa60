"""Typed reading and writing of records, and who is calling."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec

from chaincode.contracts import keys
from chaincode.encoding import canonical
from chaincode.records import RULES_VERSION, TREASURY, Consortium, Job, Member, Record, RoundState
from chaincode.shim import Stub
from chaincode.shim.errors import Conflict, Forbidden, NotFound

R = TypeVar("R", bound=Record)


async def find(stub: Stub, key: str, kind: type[R]) -> R | None:
    """The record under `key`, or None."""
    raw = await stub.get(key)
    return None if raw is None else msgspec.json.decode(raw, type=kind)


async def read(stub: Stub, key: str, kind: type[R], what: str) -> R:
    """The record under `key`; 404 naming `what` otherwise."""
    record = await find(stub, key, kind)
    if record is None:
        raise NotFound(f"there is no {what}")
    return record


async def write(stub: Stub, key: str, record: Record | int | str) -> None:
    """Write a record as canonical JSON: honest endorsers write the same bytes."""
    await stub.put(key, canonical(record))


async def exists(stub: Stub, key: str) -> bool:
    """Whether there is anything under `key`."""
    return await stub.get(key) is not None


async def number(stub: Stub, key: str) -> int:
    """The integer under `key`, 0 when there is none."""
    raw = await stub.get(key)
    return 0 if raw is None else msgspec.json.decode(raw, type=int)


async def under(stub: Stub, prefix: str, kind: type[R]) -> dict[str, R]:
    """Every record under a prefix, by the rest of its key, in the ledger's order."""
    return {name: record async for name, record in each(stub, prefix, kind)}


async def each(stub: Stub, prefix: str, kind: type[R]) -> AsyncIterator[tuple[str, R]]:
    """The records under a prefix one by one."""
    async for key, raw in stub.prefix(prefix):
        yield key[len(prefix) :], msgspec.json.decode(raw, type=kind)


async def consortium(stub: Stub) -> Consortium:
    """The founded consortium; everything else is refused before it."""
    record = await find(stub, keys.CONSORTIUM, Consortium)
    if record is None:
        raise Conflict("the consortium is not founded yet: call Governance:init first")
    return record


async def job(stub: Stub, name: str) -> Job:
    """A job as created."""
    return await read(stub, keys.job(name), Job, f"job {name!r}")


async def governed(stub: Stub, name: str) -> Job:
    """A job whose rounds go by this server's rules; 409 where it was created under others."""
    record = await job(stub, name)
    if record.rules_version != RULES_VERSION:
        raise Conflict(
            f"job {name!r} runs under rules {record.rules_version}, this server has {RULES_VERSION}: "
            "until it has ended, its organisations must run the release that it was created under",
            rules=record.rules_version,
        )
    return record


async def round_state(stub: Stub, name: str, round: int) -> RoundState:
    """A round's state key."""
    return await read(stub, keys.state(name, round), RoundState, f"round {round} of job {name!r}")


async def acting(stub: Stub) -> Member:
    """The member whose acting key signed the proposal, whatever its status."""
    who = stub.creator
    member_id = await stub.get(keys.acting_key(who.msp_id, who.key_sha256))
    if member_id is None:
        raise Forbidden("the caller's key is not registered: call Registry:register first", msp_id=who.msp_id)
    member = await read(stub, keys.member(msgspec.json.decode(member_id, type=str)), Member, "such member")
    if member.key != who.key_sha256:
        raise Forbidden("the member has another key now", member=member.id)
    return member


async def caller(stub: Stub) -> Member:
    """The same, and it is active."""
    member = await acting(stub)
    if member.status != "active":
        raise Forbidden(f"the member is {member.status}", member=member.id)
    return member


async def admitted(stub: Stub, msp_id: str) -> Consortium:
    """The consortium, of which that must be an organisation now."""
    terms = await consortium(stub)
    if msp_id not in terms.organisations:
        raise Forbidden("not an organisation of the consortium", msp_id=msp_id)
    return terms


def admin_of(stub: Stub) -> str:
    """The organisation whose NodeOU admin signed the proposal."""
    if "admin" not in stub.creator.roles:
        raise Forbidden("only an organisation's admin may do this", msp_id=stub.creator.msp_id)
    return stub.creator.msp_id


async def authorise(stub: Stub, account: str) -> None:
    """The caller may spend from `account`: its member, or the admin of the organisation it names.

    Leaving, or the organisation's removal, takes nobody's money. Before it registers, a key spends what lies
    in the account it is going to have. The treasury pays by vote alone.
    """
    if account == TREASURY:
        raise Forbidden("the treasury pays by vote: propose spend-treasury", account=account)
    if ":" not in account:
        if admin_of(stub) != account:
            raise Forbidden("an organisation's account is its own admin's", account=account)
        return
    who = stub.creator
    member = await find(stub, keys.member(account), Member)
    owner = f"{member.msp_id}:{member.key}" if member else account
    if owner != f"{who.msp_id}:{who.key_sha256}":
        raise Forbidden("a member's account is its own", account=account)
    if member and member.status == "suspended":
        raise Forbidden("the member is suspended", member=member.id)
