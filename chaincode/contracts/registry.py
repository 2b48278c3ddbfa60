"""Who takes part: clients register themselves, on the terms their consortium chose."""

from __future__ import annotations

from typing import Annotated

import msgspec

from chaincode.contracts import keys, state
from chaincode.contracts.token import Postings
from chaincode.records import CreditIds, Hex32, Member, MemberId
from chaincode.shim import Contract, Stub, query, transaction
from chaincode.shim.errors import Conflict, Forbidden

EnrolmentId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9@._-]{0,127}$(?!\n)")]


class Registry(Contract):
    """The member registry."""

    @transaction
    async def allow(self, stub: Stub, key: Hex32) -> None:
        """The organisation's admin allows the key with this SHA-256 (of its SubjectPublicKeyInfo) to register."""
        await self._allow(stub, keys.allowed_key(await self._organisation(stub), key))

    @transaction
    async def allow_name(self, stub: Stub, name: EnrolmentId) -> None:
        """The organisation's admin allows whoever holds a certificate of this enrolment id to register."""
        await self._allow(stub, keys.allowed_name(await self._organisation(stub), name))

    @transaction
    async def register(self, stub: Stub, credits: CreditIds) -> Member:
        """The client registers itself; `credits` of its own pay the deposit, where there is one."""
        who, terms = stub.creator, await state.consortium(stub)
        if who.msp_id not in terms.organisations:
            raise Forbidden("not an organisation of the consortium", msp_id=who.msp_id)
        if "client" not in who.roles:
            raise Forbidden("only a client certificate may register", roles=sorted(who.roles))
        if await state.exists(stub, keys.acting_key(who.msp_id, who.key_sha256)):
            raise Conflict("this key is registered already")
        if terms.registration.pre_known:
            await self._check_allowed(stub)
        member_id = f"{who.msp_id}:{who.key_sha256}"
        if await state.exists(stub, keys.member(member_id)):
            raise Conflict("a member has this id already", member=member_id)
        deposit = terms.registration.deposit
        if deposit:
            await Postings(stub).spend(member_id, credits, deposit, "deposit", member_id)
        member = Member(
            id=member_id, msp_id=who.msp_id, key=who.key_sha256, name=who.common_name, deposit=deposit
        )
        await state.write(stub, keys.member(member_id), member)
        await state.write(stub, keys.acting_key(who.msp_id, who.key_sha256), member_id)
        return member

    @transaction
    async def leave(self, stub: Stub) -> None:
        """Give up membership; the deposit returns at once, what a running round has locked stays with it."""
        member = await state.caller(stub)
        await Postings(stub).pay(member.id, member.deposit, "deposit-returned", member.id)
        gone = msgspec.structs.replace(member, deposit=0, status="left")
        await state.write(stub, keys.member(member.id), gone)

    @query
    async def get(self, stub: Stub, member: MemberId) -> Member:
        """A member by id."""
        return await state.read(stub, keys.member(member), Member, f"member {member!r}")

    @query(name="list")
    async def members(self, stub: Stub) -> list[Member]:
        """Every member there has been."""
        return list((await state.under(stub, "member/", Member)).values())

    async def _organisation(self, stub: Stub) -> str:
        msp_id = state.admin_of(stub)
        if msp_id not in (await state.consortium(stub)).organisations:
            raise Forbidden("not an organisation of the consortium", msp_id=msp_id)
        return msp_id

    async def _allow(self, stub: Stub, key: str) -> None:
        if await state.exists(stub, key):
            raise Conflict("allowed already")
        await state.write(stub, key, 1)

    async def _check_allowed(self, stub: Stub) -> None:
        who = stub.creator
        if await state.exists(stub, keys.allowed_key(who.msp_id, who.key_sha256)):
            return
        if await state.exists(stub, keys.allowed_name(who.msp_id, who.common_name)):
            return
        raise Forbidden(
            "the organisation's admin has not allowed this key: call Registry:allow first", key=who.key_sha256
        )
