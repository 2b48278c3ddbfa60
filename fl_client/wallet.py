"""Paying with credits: which ones cover an amount, and what to do when too many small ones would be needed.

A spend names its credits, at most 500 of them. The largest are taken first, so that dust somebody sends costs
nothing; where 500 do not suffice, the account pays the largest 500 to itself, which makes them one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chaincode.records import SPENDABLE
from fl_client import money
from fl_client.errors import BadInput, ReadConflict, Refused
from fl_client.ledger.base import Receipt

if TYPE_CHECKING:
    from fl_client.contracts import CreditLine, View

ATTEMPTS = 5


async def cover(view: View, account: str, amount: int) -> list[str]:
    """At most 500 credits of the account that cover `amount`, largest first; merges first where that takes more.

    Raises:
        BadInput: the account has too little.
    """
    while True:
        lines = sorted(await view.all_credits(account), key=lambda line: (-line.amount, line.id))
        chosen = pick(lines, amount)
        if chosen is None:
            have = sum(line.amount for line in lines)
            raise BadInput(
                f"{account} has {money.shown(have)} and needs {money.shown(amount)}",
                "Transfer tokens to it first",
            )
        if len(chosen) <= SPENDABLE:
            return [line.id for line in chosen]
        await merge(view, account, chosen[:SPENDABLE])


def pick(lines: Sequence[CreditLine], amount: int) -> list[CreditLine] | None:
    """The shortest beginning of `lines` that comes to `amount`; None when all of them do not."""
    chosen: list[CreditLine] = []
    have = 0
    for line in lines:
        if have >= amount:
            break
        chosen.append(line)
        have += line.amount
    return chosen if have >= amount else None


async def merge(view: View, account: str, lines: Sequence[CreditLine]) -> Receipt:
    """Make one credit of several: a transfer of their sum to the account itself."""
    total = sum(line.amount for line in lines)
    names = [line.id for line in lines]
    return await view.ledger.submit("Token:transfer", account, account, total, names, "merge")


async def transfer(view: View, account: str, to: str, amount: int, memo: str = "") -> Receipt:
    """Pay, with other credits when somebody who acts for the account has just spent the chosen ones.

    Raises:
        BadInput: the account has too little. Refused, and the ledger's other errors.
    """
    for attempt in range(ATTEMPTS):
        try:
            credits = await cover(view, account, amount)
            return await view.ledger.submit("Token:transfer", account, to, amount, credits, memo)
        except (ReadConflict, Refused) as fault:
            if attempt == ATTEMPTS - 1 or (isinstance(fault, Refused) and fault.code != 409):
                raise
        await asyncio.sleep(0.1 * attempt)
    raise AssertionError("unreachable")
