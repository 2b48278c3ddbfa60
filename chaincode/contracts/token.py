"""The token: credits written blind and spent by name, so that no payment conflicts with a transfer."""

from __future__ import annotations

from typing import Annotated

import msgspec

from chaincode.contracts import keys, state
from chaincode.records import (
    TREASURY,
    Account,
    Credit,
    CreditIds,
    Entry,
    Holdings,
    Lock,
    Member,
    Positive,
    Record,
)
from chaincode.shim import Contract, Stub, query, transaction
from chaincode.shim.errors import Conflict, Invalid, Unprocessable

PAGE = 500
LIMIT = 2**63
Memo = Annotated[str, msgspec.Meta(max_length=128)]


class Postings:
    """One transaction's payments: numbers its credits and entries, and never reads what it writes."""

    def __init__(self, stub: Stub, memo: str = "") -> None:
        self._stub, self._memo, self._next = stub, memo, 0

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    async def pay(self, account: str, amount: int, kind: str, other: str) -> None:
        """A new credit for `account`; nothing for 0."""
        if amount == 0:
            return
        n = self._number()
        await state.write(self._stub, keys.credit(account, self._stub.tx_id, n), Credit(amount=amount))
        await self._note(account, n, amount, kind, other)

    async def spend(self, account: str, credits: list[str], amount: int, kind: str, other: str) -> None:
        """Consume the named credits for `amount`; what is over comes back as change.

        Refuses (nothing written) unknown or spent credits (409), repeated ones (400), too little (422).
        """
        if len(set(credits)) != len(credits):
            raise Invalid("a credit is named twice")
        have = 0
        for name in credits:
            have += (await self._consume(account, name)).amount
        if have < amount:
            raise Unprocessable("the credits do not cover the amount", have=have, need=amount)
        n = self._number()
        if have > amount:
            change = Credit(amount=have - amount)
            await state.write(self._stub, keys.credit(account, self._stub.tx_id, n), change)
        if amount:
            await self._note(account, n, -amount, kind, other)

    async def _consume(self, account: str, name: str) -> Credit:
        tx_id, _, n = name.partition("/")
        if not (tx_id.isalnum() and tx_id.isascii() and n.isdecimal() and n.isascii()):
            raise Invalid(f"{name[:80]!r} is not a credit: expected TRANSACTION/NUMBER")
        key = keys.credit(account, tx_id, n)
        credit = await state.find(self._stub, key, Credit)
        if credit is None:
            raise Conflict("no such credit, or it is spent", credit=name)
        await self._stub.delete(key)
        return credit

    async def _note(self, account: str, n: int, amount: int, kind: str, other: str) -> None:
        line = Entry(amount=amount, kind=kind, other=other, memo=self._memo)
        await state.write(self._stub, keys.entry(account, self._stub.tx_id, n), line)


async def known_account(stub: Stub, account: str) -> str:
    """The account, if it can ever be somebody's: the treasury, an organisation or a member of one."""
    if account != TREASURY and account.partition(":")[0] not in (await state.consortium(stub)).organisations:
        raise Unprocessable("no organisation of the consortium has such an account", account=account)
    return account


class CreditLine(msgspec.Struct, frozen=True):
    """A spendable credit as a client names it."""

    id: str
    amount: int


class Token(Contract):
    """Transfers and statements."""

    @transaction
    async def transfer(
        self, stub: Stub, account: Account, to: Account, amount: Positive, credits: CreditIds, memo: Memo = ""
    ) -> None:
        """Move `amount` from the caller's `account` to `to`, out of the named credits."""
        await state.authorise(stub, account)
        await known_account(stub, to)
        postings = Postings(stub, memo)
        await postings.spend(account, credits, amount, "transfer", to)
        await postings.pay(to, amount, "transfer", account)

    @query
    async def credits(self, stub: Stub, account: Account) -> list[CreditLine]:
        """The account's first 500 credits; enough to pay with or to merge."""
        lines: list[CreditLine] = []
        async for name, credit in state.each(stub, keys.credit(account), Credit):
            lines.append(CreditLine(name, credit.amount))
            if len(lines) == PAGE:
                break
        return lines

    @query
    async def balance(self, stub: Stub, account: Account) -> int:
        """The sum of the account's credits."""
        return await _total(stub, keys.credit(account), Credit, "amount")

    @query
    async def statement(self, stub: Stub, account: Account, after: str = "") -> list[tuple[str, Entry]]:
        """A page of the account's entries (TRANSACTION/NUMBER, entry), those behind `after`."""
        lines: list[tuple[str, Entry]] = []
        async for name, entry in state.each(stub, keys.entry(account), Entry):
            if name > after:
                lines.append((name, entry))
            if len(lines) == PAGE:
                break
        return lines

    @query
    async def holdings(self, stub: Stub) -> Holdings:
        """What was minted, and where it is: both sides are equal after every transaction."""
        return Holdings(
            minted=await state.number(stub, keys.SUPPLY),
            credits=await _total(stub, "credit/", Credit, "amount"),
            deposits=await _total(stub, "member/", Member, "deposit"),
            locks=await _total(stub, "lock/", Lock, "stake") + await _total(stub, "lock/", Lock, "bond"),
            escrows=sum([msgspec.json.decode(raw, type=int) async for _, raw in stub.prefix("escrow/")]),
        )


async def _total(stub: Stub, prefix: str, kind: type[Record], field: str) -> int:
    return sum([getattr(record, field) async for _, record in state.each(stub, prefix, kind)])
