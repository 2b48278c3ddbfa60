"""The contracts' queries, typed: what a client reads of the ledger, and how it pays."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from chaincode.proposals import Proposal
from chaincode.records import (
    SPENDABLE,
    STATEMENT_PAGE,
    Consortium,
    Holdings,
    Job,
    Member,
    Outcome,
    Progress,
    Reveal,
    RoundState,
)
from fl_client import wallet
from fl_client.errors import Disagreement, Refused
from fl_client.ledger.base import Ledger

T = TypeVar("T")


class CreditLine(msgspec.Struct, frozen=True):
    """A credit that can be spent."""

    id: str
    amount: int


class StatementLine(msgspec.Struct, frozen=True):
    """Who paid what (`amount` is signed), why and when (unix seconds, as the paying client claimed)."""

    id: str
    amount: int
    kind: str
    other: str
    memo: str
    time: int


L = TypeVar("L", CreditLine, StatementLine)


class View:
    """Typed reads through one ledger. Disagreement: a peer's answer is none that the contracts give."""

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
        return _decoded("Rounds:get", await self.ledger.agree("Rounds:get", job, round), RoundState)

    async def agreed_participants(self, job: str, round: int) -> list[str]:
        """The same, the same list from peers of more than half of the organisations."""
        raw = await self.ledger.agree("Rounds:participants", job, round)
        return _decoded("Rounds:participants", raw, list[str])

    async def reveals(self, job: str, round: int) -> dict[str, Reveal]:
        """Who has revealed what."""
        return await self._get(dict[str, Reveal], "Rounds:reveals", job, round)

    async def outcomes(self, job: str, round: int) -> dict[str, Outcome]:
        """A settled round's scores and payments."""
        return await self._get(dict[str, Outcome], "Settlement:outcomes", job, round)

    async def progress(self, job: str, round: int, attempt: int) -> Progress:
        """What the committee of an attempt to aggregate has done."""
        return await self._get(Progress, "Aggregation:progress", job, round, attempt)

    async def partials(self, job: str, round: int) -> dict[str, dict[str, str]]:
        """Organisation -> member -> the CID of what it says that organisation's updates combine to."""
        return await self._get(dict[str, dict[str, str]], "Aggregation:partials", job, round)

    async def balance(self, account: str) -> int:
        """What the account can spend."""
        return await self._get(int, "Token:balance", account)

    async def holdings(self) -> Holdings:
        """The supply, both sides."""
        return await self._get(Holdings, "Token:holdings")

    async def credits(self, account: str, amount: int) -> list[str]:
        """Credits that cover `amount`, ready to be spent; merges small ones first where it takes too many.

        Raises:
            BadInput: the account has too little.
        """
        return await wallet.cover(self, account, amount) if amount else []

    async def all_credits(self, account: str) -> list[CreditLine]:
        """Every credit of the account."""
        return await self._pages(CreditLine, "Token:credits", account, SPENDABLE)

    async def statement(self, account: str) -> list[StatementLine]:
        """Everything the account was paid and paid, oldest first by the paying clients' clocks."""
        lines = await self._pages(StatementLine, "Token:statement", account, STATEMENT_PAGE)
        return sorted(lines, key=lambda line: (line.time, line.id))

    async def proposals(self) -> dict[str, Proposal]:
        """Every governance proposal by name."""
        return await self._get(dict[str, Proposal], "Governance:list")

    async def me(self) -> Member | None:
        """The member this ledger's key acts for, None when there is none; after a rotation its id is of another key."""
        return await self._find(Member, "Registry:me")

    async def jobs(self) -> list[str]:
        """The names of all jobs."""
        return await self._get(list[str], "Jobs:list")

    async def escrow(self, job: str) -> int:
        """What is left of a job's pool; 0 once the job is over."""
        return await self._get(int, "Jobs:escrow", job)

    async def cancelled(self, job: str) -> bool:
        """Whether the job was cancelled or aborted."""
        return await self._get(bool, "Jobs:cancelled", job)

    async def last_round(self, job: str) -> RoundState | None:
        """The round that was opened last, None before the first."""
        return await self._find(RoundState, "Jobs:round", job)

    async def _pages(self, kind: type[L], transaction: str, account: str, size: int) -> list[L]:
        lines: list[L] = []
        while True:
            after = lines[-1].id if lines else ""
            page: list[L] = await self._get(list[kind], transaction, account, after)  # type: ignore[valid-type]
            lines.extend(page)
            if len(page) < size:
                return lines

    async def _get(self, kind: type[T], transaction: str, *args: Any) -> T:
        return _decoded(transaction, await self.ledger.evaluate(transaction, *args), kind)

    async def _find(self, kind: type[T], transaction: str, *args: Any) -> T | None:
        try:
            return await self._get(kind, transaction, *args)
        except Refused as refusal:
            if refusal.code == 404:
                return None
            raise


def _decoded(transaction: str, raw: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as fault:
        raise Disagreement(f"a peer's answer to {transaction} is none: {fault}") from fault
