"""A committee's verbs, for stories about aggregation: what its members, a challenger and anybody else do."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from chaincode import cid, commitment
from chaincode.encoding import domain
from chaincode.records import TREASURY, JobSpec, Phase, Progress, RoundState
from fl_client.ledger.embedded import EmbeddedLedger
from tests.world import Work, World, ready

RIGHT, WRONG, OTHER = (cid.raw_cid(text) for text in (b"right", b"wrong", b"other"))


@dataclass
class Panel:
    """One job's round, settled, and the money everyone had just before the aggregation began."""

    world: World
    members: dict[str, EmbeddedLedger]
    spec: JobSpec
    round: int = 1
    salts: dict[tuple[int, str], tuple[str, bytes]] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)
    view: bytes = b""  # what scores the round, where the rule needs a public view
    views: dict[str, bytes] = field(default_factory=dict)  # member -> its view of its aggregate

    @classmethod
    async def settled(
        cls, count: int = 5, *, updates: Mapping[int, str] | None = None, view: bytes = b"", **spec: Any
    ) -> Self:
        """Everybody has committed, revealed and been paid; `updates`: place -> CID of its update."""
        world, members, made = await ready(count, **({"committee": 3, "rounds": 1} | spec))
        panel = cls(world, {who.member_id: who for who in members}, made, view=view)
        await panel.play(updates or {})
        return panel

    async def play(self, updates: Mapping[int, str]) -> None:
        """A round up to its settlement."""
        world, works = self.world, dict[str, Work]()
        await world.open(round=self.round)
        for place, (member, who) in enumerate(self.members.items()):
            work = world.work(self.spec, [i % 3 for i in range(self.spec.tasks)])
            work.update = updates.get(place, work.update)
            works[member] = work
            await world.commit(who, work, round=self.round)
        await world.close(round=self.round)
        await world.pair(round=self.round)
        for member, who in self.members.items():
            await world.reveal(who, works[member], round=self.round)
        await world.seal(round=self.round, late=False)
        await world.settle(works, round=self.round, view=self.view)
        self.before = {account: await world.balance(account) for account in (*self.members, TREASURY)}

    @property
    def money(self) -> int:
        """The bond, which a challenge must match."""
        return self.spec.bond

    async def state(self) -> RoundState:
        return await self.world.state(round=self.round)

    async def progress(self, attempt: int = 1) -> Progress:
        return await self.world.view.progress("job", self.round, attempt)

    async def begin(self) -> RoundState:
        return await self.world.begin(round=self.round)

    async def vote(self, members: Iterable[str], refused: Mapping[str, str] | None = None) -> None:
        for member in members:
            attempt = (await self.state()).attempt
            call = ("Aggregation:vote", "job", self.round, attempt, dict(refused or {}))
            await self.members[member].submit(*call)

    async def commit(self, member: str, model: str) -> None:
        attempt = (await self.state()).attempt
        salt, name = secrets.token_bytes(32), self.named(member)
        self.salts[attempt, member] = (model, salt)
        base = domain(self.world.network.channel, self.world.network.chaincode, "job", self.round)
        digest = commitment.answer_digest(base, attempt, member, model, salt, name)
        await self.members[member].submit("Aggregation:commit", "job", self.round, attempt, digest.hex())

    async def reveal(self, member: str) -> None:
        attempt = (await self.state()).attempt
        model, salt = self.salts[attempt, member]
        call = ("Aggregation:reveal", "job", self.round, attempt, model, salt.hex(), self.named(member))
        beside = {"view": self.views[member]} if member in self.views else {}
        await self.members[member].submit(*call, transient=beside)

    def named(self, member: str) -> str:
        """The CID of its view; "" if it has none."""
        return cid.raw_cid(self.views[member]) if member in self.views else ""

    async def move(self, *, late: bool = False) -> RoundState:
        """`finalise` by somebody without a stake in it; `late`: once the window is over."""
        if late:
            deadline = (await self.state()).deadline
            self.world.clock.time = max(self.world.clock.time, deadline) + self.world.terms.beacon.period
        await self.world.admin.submit("Aggregation:finalise", "job", self.round, self.world.beacon())
        return await self.state()

    async def voted(self) -> RoundState:
        """The committee votes for every update."""
        await self.vote((await self.state()).committee)
        return await self.move()

    async def answer(self, answers: Mapping[str, str], *, silent: Iterable[str] = ()) -> RoundState:
        """Commit and reveal; who is missing from `answers` does neither, the `silent` do not reveal."""
        everybody = len(answers) == len((await self.state()).voters)
        for member, model in answers.items():
            await self.commit(member, model)
        await self.move(late=not everybody)
        if (await self.state()).stage != "reveal":
            return await self.state()
        for member in answers:
            if member not in set(silent):
                await self.reveal(member)
        return await self.move(late=bool(set(silent)))

    async def post(self, model: str) -> RoundState:
        state = await self.state()
        call = ("Aggregation:post", "job", self.round, state.attempt, model, self.world.beacon())
        await self.members[state.aggregator].submit(*call)
        return await self.state()

    async def challenge(self, member: str) -> RoundState:
        credits = await self.world.view.credits(member, self.money)
        attempt = (await self.state()).attempt
        call = ("Aggregation:challenge", "job", self.round, attempt, credits, self.world.beacon())
        await self.members[member].submit(*call)
        return await self.state()

    async def ended(self) -> RoundState:
        """The round, and with it the job, is over, and all money is somebody's."""
        state = await self.state()
        assert state.phase is Phase.FINAL
        assert state.stage is None
        held = await self.world.holdings()
        assert held.locks == held.escrows == 0
        return state

    async def gains(self) -> dict[str, int]:
        """By account, what the aggregation brought beyond the bond it had in its lock; zeros left out."""
        found = {}
        for account, before in self.before.items():
            expected = before + (0 if account == TREASURY else self.spec.bond)
            if change := await self.world.balance(account) - expected:
                found[account] = change
        return found


def optimistic(world_gap: int = 4, **spec: Any) -> dict[str, Any]:
    """A job whose committee posts; the default world's gap is 4 beacon rounds."""
    return {"aggregation": "optimistic", "committee": 3, "challenge_rounds": 2 * world_gap + 1, **spec}
