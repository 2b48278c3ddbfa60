"""The token: credits written blind and spent by name, so that no payment conflicts with a transfer."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from chaincode.contracts import keys, state
from chaincode.records import (
    SPENDABLE,
    STATEMENT_PAGE,
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
from chaincode.shim import Contract, PeerError, Stub, query, transaction
from chaincode.shim.errors import Conflict, Invalid, Unprocessable
from chaincode.shim.keys import prefix_range

LIMIT = 2**63
Memo = Annotated[str, msgspec.Meta(max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)")]
LineId = Annotated[str, msgspec.Meta(pattern=r"^([0-9A-Za-z]{1,128}/[0-9]{1,9})?$(?!\n)")]
R = TypeVar("R", bound=Record)


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
        have = await self.covered(account, credits, amount)
        await self.consume(account, credits, have, amount, kind, other)

    async def covered(self, account: str, credits: list[str], amount: int) -> int:
        """What the named credits come to; refused as `spend` says. Reads alone."""
        if len(set(credits)) != len(credits):
            raise Invalid("credits: a credit is named twice")
        found = await self._stub.get_many([_named(account, name) for name in credits])
        have = 0
        for name, raw in zip(credits, found, strict=True):
            if raw is None:
                raise Conflict("no such credit, or it is spent", credit=name)
            have += msgspec.json.decode(raw, type=Credit).amount
        if have < amount:
            raise Unprocessable("credits: they do not cover the amount", have=have, need=amount)
        return have

    async def consume(
        self, account: str, credits: list[str], have: int, amount: int, kind: str, other: str
    ) -> None:
        """Delete credits that are `covered` by `have`, and write the change. Writes alone."""
        for name in credits:
            await self._stub.delete(_named(account, name))
        n = self._number()
        if have > amount:
            change = Credit(amount=have - amount)
            await state.write(self._stub, keys.credit(account, self._stub.tx_id, n), change)
        if amount:
            await self._note(account, n, -amount, kind, other)

    async def _note(self, account: str, n: int, amount: int, kind: str, other: str) -> None:
        line = Entry(amount=amount, kind=kind, other=other, memo=self._memo)
        await state.write(self._stub, keys.entry(account, self._stub.tx_id, n), line)


def _named(account: str, name: str) -> str:
    tx_id, _, n = name.partition("/")
    if not (tx_id.isalnum() and tx_id.isascii() and n.isdecimal() and n.isascii()):
        raise Invalid(f"credits: {name[:80]!r} is not one: expected TRANSACTION/NUMBER")
    return keys.credit(account, tx_id, n)


async def known_account(stub: Stub, account: str) -> str:
    """The account, if it can ever be somebody's: the treasury, an organisation or a member of one."""
    terms = await state.consortium(stub)
    if account != TREASURY and account.partition(":")[0] not in terms.organisations:
        raise Unprocessable("no organisation of the consortium has such an account", account=account)
    return account


class CreditLine(msgspec.Struct, frozen=True):
    """A spendable credit as a client names it."""

    id: str
    amount: int


class StatementLine(msgspec.Struct, frozen=True):
    """Who paid what (`amount` is signed, `other` the counterparty), why (`kind`, `memo`), and when.

    `time` is unix seconds as the paying client claimed, 0 where the peer keeps no history: it proves nothing, and
    is in no state.
    """

    id: str
    amount: int
    kind: str
    other: str
    memo: str
    time: int


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
    async def credits(self, stub: Stub, account: Account, after: LineId = "") -> list[CreditLine]:
        """The account's credits behind `after`, 500 at a time, by id."""
        found = await _page(stub, keys.credit(account), after, Credit, SPENDABLE)
        return [CreditLine(name, credit.amount) for name, credit in found]

    @query
    async def balance(self, stub: Stub, account: Account) -> int:
        """The sum of the account's credits."""
        return await _total(stub, keys.credit(account), Credit, "amount")

    @query
    async def statement(self, stub: Stub, account: Account, after: LineId = "") -> list[StatementLine]:
        """The account's statement behind the line `after`, 100 lines at a time, by transaction id."""
        found = await _page(stub, keys.entry(account), after, Entry, STATEMENT_PAGE)
        times = await _claimed(stub, [keys.entry(account) + name for name, _ in found])
        return [
            StatementLine(name, line.amount, line.kind, line.other, line.memo, time)
            for (name, line), time in zip(found, times, strict=True)
        ]

    @query
    async def supply(self, stub: Stub) -> int:
        """What has been minted."""
        return await state.number(stub, keys.SUPPLY)

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


async def _page(stub: Stub, prefix: str, after: str, kind: type[R], size: int) -> list[tuple[str, R]]:
    """At most `size` records under a prefix, from behind `after` on."""
    first, last = prefix_range(prefix)
    found: list[tuple[str, R]] = []
    async for key, raw in stub.range(first + after, last):
        if key != prefix + after:
            found.append((key[len(prefix) :], msgspec.json.decode(raw, type=kind)))
        if len(found) == size:
            break
    return found


async def _claimed(stub: Stub, written: list[str]) -> list[int]:
    """When the keys were written, by their writers' clocks; zeros where the peer keeps no history."""
    try:
        return [[each.timestamp async for each in stub.history(key)][0] for key in written]
    except PeerError:
        return [0] * len(written)


async def _total(stub: Stub, prefix: str, kind: type[Record], field: str) -> int:
    return sum([getattr(record, field) async for _, record in state.each(stub, prefix, kind)])
