"""Who takes part: clients register themselves, on the terms their consortium chose."""

from __future__ import annotations

from typing import Annotated

import msgspec

from chaincode import rotation
from chaincode.contracts import keys, state
from chaincode.contracts.token import Postings
from chaincode.encoding import canonical
from chaincode.records import CreditIds, Hex32, Member, MemberId
from chaincode.shim import Contract, Stub, query, transaction
from chaincode.shim.errors import Conflict, Forbidden, NotFound, Unprocessable

EnrolmentId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9@._-]{0,127}$(?!\n)")]

KeyBytes = Annotated[bytes, msgspec.Meta(max_length=1024)]
UNUSED = 1  # an `allow` nobody has registered by yet
replace = msgspec.structs.replace


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
    async def disallow(self, stub: Stub, key: Hex32) -> None:
        """Take back `allow`. Who has registered stays a member."""
        await self._disallow(stub, keys.allowed_key(await self._organisation(stub), key))

    @transaction
    async def disallow_name(self, stub: Stub, name: EnrolmentId) -> None:
        """Take back `allow-name`. Who has registered stays a member."""
        await self._disallow(stub, keys.allowed_name(await self._organisation(stub), name))

    @transaction
    async def register(self, stub: Stub, credits: CreditIds) -> Member:
        """The client registers itself; `credits` of its own pay the deposit, where there is one.

        Who has left comes back in the same way, as the same member under the key it left with.
        """
        who = stub.creator
        terms = await state.admitted(stub, who.msp_id)
        if "client" not in who.roles:
            raise Forbidden("only a client certificate may register", roles=sorted(who.roles))
        member = await self._returning(stub)
        if terms.registration.pre_known:
            await self._use_permission(stub, member.id)
        deposit = terms.registration.deposit
        if deposit:
            await Postings(stub).spend(member.id, credits, deposit, "deposit", member.id)
        member = replace(member, name=who.common_name, deposit=deposit, status="active")
        await state.write(stub, keys.member(member.id), member)
        await state.write(stub, keys.acting_key(who.msp_id, who.key_sha256), member.id)
        return member

    @transaction
    async def rotate(self, stub: Stub, key: KeyBytes, signature: KeyBytes) -> Member:
        """The acting key hands over to `key` (DER SubjectPublicKeyInfo), which has signed chaincode.rotation's message.

        Nothing else changes: locks, digests and money are the member's. A key that has acted once never acts again
        for anybody else, nor comes back.
        """
        member = await state.acting(stub)
        if member.status == "suspended":
            raise Forbidden("the member is suspended", member=member.id)
        new = rotation.key_id(key)
        if await state.exists(stub, keys.acting_key(member.msp_id, new)):
            raise Conflict("key: it is a member's, or was", key=new)
        signed = rotation.message(stub.channel, stub.chaincode, member.id, member.key, new, member.rotations)
        try:
            rotation.verify(key, signature, signed)
        except ValueError as fault:
            raise Unprocessable(str(fault)) from fault
        member = replace(member, key=new, rotations=member.rotations + 1)
        await state.write(stub, keys.member(member.id), member)
        await state.write(stub, keys.acting_key(member.msp_id, new), member.id)
        return member

    @transaction
    async def leave(self, stub: Stub) -> None:
        """Give up membership; the deposit returns at once, what a running round has locked stays with it."""
        member = await state.caller(stub)
        await Postings(stub).pay(member.id, member.deposit, "deposit-returned", member.id)
        await state.write(stub, keys.member(member.id), replace(member, deposit=0, status="left"))

    @query
    async def me(self, stub: Stub) -> Member:
        """The member whose acting key asks."""
        who = stub.creator
        name = await stub.get(keys.acting_key(who.msp_id, who.key_sha256))
        if name is None:
            raise NotFound("the caller's key is not registered", key=who.key_sha256)
        return await state.acting(stub)

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
        await state.admitted(stub, msp_id)
        return msp_id

    async def _allow(self, stub: Stub, key: str) -> None:
        if await state.exists(stub, key):
            raise Conflict("allowed already")
        await state.write(stub, key, UNUSED)

    async def _disallow(self, stub: Stub, key: str) -> None:
        if not await state.exists(stub, key):
            raise Conflict("not allowed, so there is nothing to take back")
        await stub.delete(key)

    async def _returning(self, stub: Stub) -> Member:
        """The member that comes back, or a new one named after its first key."""
        who = stub.creator
        member_id = f"{who.msp_id}:{who.key_sha256}"
        if await state.exists(stub, keys.acting_key(who.msp_id, who.key_sha256)):
            member = await state.acting(stub)
            if member.status != "left":
                raise Conflict(f"this key is registered already: the member is {member.status}")
            return member
        return Member(id=member_id, msp_id=who.msp_id, key=who.key_sha256, name=who.common_name, deposit=0)

    async def _use_permission(self, stub: Stub, member_id: str) -> None:
        """A permission is for one member: an enrolment id must not register key after key."""
        who = stub.creator
        for key in (
            keys.allowed_key(who.msp_id, who.key_sha256),
            keys.allowed_name(who.msp_id, who.common_name),
        ):
            used_by = await stub.get(key)
            if used_by in (canonical(UNUSED), canonical(member_id)):
                await state.write(stub, key, member_id)
                return
        raise Forbidden(
            "the organisation's admin has not allowed this key: call Registry:allow first", key=who.key_sha256
        )
