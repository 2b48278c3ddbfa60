"""The contracts' queries, typed: what a client reads of the ledger, and how it pays."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from chaincode.records import Consortium, Holdings, Job, Member, Outcome, Reveal, RoundState
from fl_client.errors import BadInput, Refused
from fl_client.ledger.base import Ledger

T = TypeVar("T")


class _Credit(msgspec.Struct, frozen=True):
    id: str
    amount: int


class View:
    """Typed reads through one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    async def consortium(self) -> Consortium:
        """The founded consortium."""
        return await self._get(Consortium, "Governance:get")

    async def member(self, member: str) -> Member | None:
        """A member, None when there is none."""
        return await self._find(Member, "Registry:get", member)

    async def members(self) -> list[Member]:
        """All members."""
        return await self._get(list[Member], "Registry:list")

    async def job(self, job: str) -> Job | None:
        """A job as created, None when there is none (yet)."""
        return await self._find(Job, "Jobs:get", job)

    async def round(self, job: str, round: int) -> RoundState | None:
        """A round's state, None before it is opened."""
        return await self._find(RoundState, "Rounds:get", job, round)

    async def participants(self, job: str, round: int) -> list[str]:
        """Who has committed."""
        return await self._get(list[str], "Rounds:participants", job, round)

    async def agreed_round(self, job: str, round: int) -> RoundState:
        """A round's state, the same from peers of more than half of the organisations."""
        return msgspec.json.decode(await self.ledger.agree("Rounds:get", job, round), type=RoundState)

    async def agreed_participants(self, job: str, round: int) -> list[str]:
        """The same, the same list from peers of more than half of the organisations."""
        raw = await self.ledger.agree("Rounds:participants", job, round)
        return msgspec.json.decode(raw, type=list[str])

    async def reveals(self, job: str, round: int) -> dict[str, Reveal]:
        """Who has revealed what."""
        return await self._get(dict[str, Reveal], "Rounds:reveals", job, round)

    async def outcomes(self, job: str, round: int) -> dict[str, Outcome]:
        """A settled round's scores and payments."""
        return await self._get(dict[str, Outcome], "Settlement:outcomes", job, round)

    async def balance(self, account: str) -> int:
        """What the account can spend."""
        return await self._get(int, "Token:balance", account)

    async def holdings(self) -> Holdings:
        """The supply, both sides."""
        return await self._get(Holdings, "Token:holdings")

    async def credits(self, account: str, amount: int) -> list[str]:
        """Credits of the account that cover ``amount``, largest first; BadInput if it has too little."""
        if amount == 0:
            return []
        lines = await self._get(list[_Credit], "Token:credits", account)
        chosen, have = [], 0
        for line in sorted(lines, key=lambda line: (-line.amount, line.id)):
            if have >= amount:
                break
            chosen.append(line.id)
            have += line.amount
        if have < amount:
            raise BadInput(f"{account} has {have} and needs {amount}", "Transfer tokens to it first")
        return chosen

    async def _get(self, kind: type[T], transaction: str, *args: Any) -> T:
        return msgspec.json.decode(await self.ledger.evaluate(transaction, *args), type=kind)

    async def _find(self, kind: type[T], transaction: str, *args: Any) -> T | None:
        try:
            return await self._get(kind, transaction, *args)
        except Refused as refusal:
            if refusal.code == 404:
                return None
            raise
