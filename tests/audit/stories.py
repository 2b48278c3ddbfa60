"""Honest jobs of every kind on the embedded ledger, with real models: each of them audits clean."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaincode.mtpp import RULES
from chaincode.mtpp.payment import best_gain, worst_loss
from chaincode.proposals import RemoveOrganisation, SpendTreasury, SuspendMember, VoidRound
from chaincode.records import TREASURY, JobSpec, RoundState, Stage
from fl_client import aggregator
from fl_client.audit import LiveEvidence
from fl_client.ledger.embedded import EmbeddedLedger
from fl_client.store import DirectoryStore
from tests.attacks.scenes import Scene, staked_world
from tests.attacks.test_interference import rotated
from tests.audit.honest import INITIAL, PUBLIC, update
from tests.contracts.panel import Panel, optimistic
from tests.contracts.test_mechanisms import ALPHABET, PRICE, TASKS, honest
from tests.world import ORGANISATIONS, Work, World, ready


@dataclass
class Play:
    """A job in progress: its members, the global model, and what everybody committed to in this round."""

    world: World
    members: list[EmbeddedLedger]
    spec: JobSpec
    store: DirectoryStore
    model: bytes = INITIAL
    number: int = 0
    works: dict[str, Work] = field(default_factory=dict)
    shown: list[EmbeddedLedger] = field(default_factory=list)

    @classmethod
    async def begun(
        cls, store: DirectoryStore, count: int = 4, *, world: World | None = None, **terms: Any
    ) -> Play:
        """A founded consortium with a job, before its first round."""
        terms = {"model": await store.put(INITIAL), "public_set": await store.put(PUBLIC)} | terms
        world, members, spec = await ready(count, world=world, **terms)
        return cls(world, members, spec, store)

    async def commits(self, reports: Sequence[Any] | None = None) -> None:
        """The next round, up to everybody's commit."""
        self.number += 1
        self.works = {}
        await self.world.open(round=self.number)
        for place, who in enumerate(self.members):
            chosen = [(i + (i % (4 + place) == 3)) % 4 for i in range(self.spec.tasks)]
            work = self.world.work(self.spec, chosen if reports is None else reports[place])
            work.update = await self.store.put(update(self.number, place))
            await self.store.put(work.data)
            self.works[who.member_id] = work
            await self.world.commit(who, work, round=self.number)

    async def reveals(self, but: Collection[int] = ()) -> None:
        """Closed, paired, and revealed by all but those at these places."""
        await self.world.close(round=self.number)
        await self.world.pair(round=self.number)
        self.shown = [who for place, who in enumerate(self.members) if place not in but]
        for who in self.shown:
            await self.world.reveal(who, self.works[who.member_id], round=self.number)

    async def settles(self) -> None:
        """Sealed and paid."""
        await self.world.seal(round=self.number)
        shown = {who.member_id: self.works[who.member_id] for who in self.shown}
        await self.world.settle(shown, round=self.number)

    async def decides(self) -> RoundState:
        """The committee, whichever it is, votes for every update and answers rightly."""
        panel = await self.panel()
        state = await panel.begin()
        name = await self.aggregate()
        if state.stage is Stage.SOLE:
            call = ("Aggregation:aggregate", "job", self.number, state.attempt, name, {})
            await panel.members[state.aggregator].submit(*call)
            return await panel.state()
        return await self.answers(panel, await panel.voted(), name)

    async def answers(self, panel: Panel, state: RoundState, name: str) -> RoundState:
        """After the vote: a post that nobody challenges, or everybody's answer."""
        if state.stage is Stage.POST:
            await panel.post(name)
            return await panel.move(late=True)
        return await panel.answer(dict.fromkeys(state.voters, name))

    async def aggregate(self) -> str:
        """The right model's CID; the next round begins with it."""
        updates = {who.member_id: update(self.number, self.members.index(who)) for who in self.shown}
        self.model = aggregator.aggregate(self.model, updates, self.spec.strategy)
        return await self.store.put(self.model)

    async def panel(self) -> Panel:
        return Panel(self.world, {who.member_id: who for who in self.members}, self.spec, self.number)

    async def begins(self) -> Panel:
        """Up to a committee that is drawn and has done nothing yet."""
        await self.commits()
        await self.reveals()
        await self.settles()
        panel = await self.panel()
        await panel.begin()
        return panel

    async def round(self, reports: Sequence[Any] | None = None, but: Collection[int] = ()) -> None:
        """A whole one."""
        await self.commits(reports)
        await self.reveals(but)
        await self.settles()
        await self.decides()

    def evidence(self) -> LiveEvidence:
        """What an auditor with read access has."""
        return LiveEvidence("job", self.world.admin, self.store)


Story = Callable[[DirectoryStore], Awaitable[Play]]
STORIES: dict[str, Story] = {}
SEVEN = {"max_participants": 7, "round_pool": 10**5}


def told(story: Story) -> Story:
    STORIES[story.__name__] = story
    return story


def qualifying(**terms: Any) -> dict[str, Any]:
    """A job under qualify-and-vest that is large enough to find near-duplicates in."""
    rule = RULES["dasgupta-ghosh"]
    sizes = {"public_items": TASKS, "tasks": TASKS, "scored_tasks": TASKS, "mechanism": "qualify-and-vest"}
    pool = 6 * best_gain(rule, TASKS, ALPHABET, PRICE)
    return {**sizes, "round_pool": pool, "stake": worst_loss(rule, TASKS, ALPHABET, PRICE), **terms}


@told
async def a_majority_of_three_decides(store: DirectoryStore) -> Play:
    play = await Play.begun(store, 5, committee=3, rounds=1)
    await play.round(but=[4])
    return play


@told
async def a_dissenter_and_an_absentee_lose_their_bonds(store: DirectoryStore) -> Play:
    play = await Play.begun(store, 7, committee=5, rounds=1, **SEVEN)
    panel = await play.begins()
    name, state = await play.aggregate(), await panel.voted()
    first, second, *others = state.voters
    await panel.answer(
        {first: await store.put(b"wrong"), second: name} | dict.fromkeys(others, name), silent=[second]
    )
    return play


@told
async def a_silent_committee_is_replaced_by_the_next(store: DirectoryStore) -> Play:
    play = await Play.begun(store, 7, committee=3, rounds=1, **SEVEN)
    panel = await play.begins()
    await panel.move(late=True)
    await play.answers(panel, await panel.voted(), await play.aggregate())
    return play


@told
async def nobody_aggregates_and_the_model_is_kept(store: DirectoryStore) -> Play:
    play = await Play.begun(store, rounds=1, attempts=1)
    panel = await play.begins()
    await panel.move(late=True)
    return play


@told
async def a_post_that_nobody_challenges(store: DirectoryStore) -> Play:
    play = await Play.begun(store, 5, rounds=2, **optimistic())
    await play.round()
    await play.round()
    return play


@told
async def a_wrong_post_is_challenged(store: DirectoryStore) -> Play:
    play = await Play.begun(store, 5, rounds=1, **optimistic())
    panel = await play.begins()
    await panel.voted()
    state = await panel.post(await store.put(b"wrong"))
    challenger = next(member for member in panel.members if member not in state.committee)
    state = await panel.challenge(challenger)
    await panel.answer(dict.fromkeys(state.voters, await play.aggregate()))
    return play


@told
async def an_update_is_refused(store: DirectoryStore) -> Play:
    play = await Play.begun(store, 5, committee=3, rounds=1)
    await play.commits()
    await play.reveals()
    await play.settles()
    panel = await play.panel()
    state = await panel.begin()
    gone = play.shown.pop(next(i for i, w in enumerate(play.shown) if w.member_id not in state.committee))
    await panel.vote(state.committee, {gone.member_id: "missing"})
    await play.answers(panel, await panel.move(), await play.aggregate())
    return play


@told
async def two_layers(store: DirectoryStore) -> Play:
    play = await Play.begun(store, 5, committee=3, rounds=1, strategy="two-layer")
    await play.round()
    return play


@told
async def reports_in_every_round(store: DirectoryStore) -> Play:
    play = await Play.begun(store, mechanism="per-round", public_items=16, scored_tasks=16)
    await play.round()
    await play.round(but=[3])
    return play


@told
async def one_qualification_pays_in_every_round(store: DirectoryStore) -> Play:
    play = await Play.begun(store, 5, **qualifying(rounds=3))
    for _ in range(3):
        await play.round(honest(5))
    return play


@told
async def duplicates_share_one_pay(store: DirectoryStore) -> Play:
    play = await Play.begun(store, 5, **qualifying())
    reports = honest(5)
    reports[4] = reports[0]
    for _ in range(2):
        await play.round(reports)
    outcomes = await play.world.outcomes()
    assert [outcomes[who.member_id].sharing for who in play.members] == [2, 0, 0, 0, 2]
    return play


@told
async def an_organisation_shares_one_pay(store: DirectoryStore) -> Play:
    play = await Play.begun(store, 6, **qualifying(pay_by_organisation=True))
    for _ in range(2):
        await play.round(honest(6))
    assert {each.sharing for each in (await play.world.outcomes()).values()} == {2}
    return play


@told
async def too_few_commits_make_a_round_void(store: DirectoryStore) -> Play:
    play = await Play.begun(store, 5, extensions=0, rounds=3)
    everybody, play.members = play.members, play.members[:2]
    await play.commits()
    await play.world.close()
    await play.world.pair()
    play.members = everybody
    await play.round()
    return play


@told
async def a_stalled_round_is_ended_by_vote(store: DirectoryStore) -> Play:
    play = await Play.begun(store, rounds=3)
    await play.commits()
    await play.reveals(but=[0])
    deadline = (await play.world.state()).deadline
    play.world.clock.time = deadline + play.spec.grace + play.world.terms.beacon.period
    await play.world.pass_vote("end", VoidRound(job="job", round=1))
    await play.round()
    return play


@told
async def a_job_is_cancelled(store: DirectoryStore) -> Play:
    play = await Play.begun(store, rounds=3)
    await play.commits()
    await play.world.admin.submit("Jobs:cancel", "job", 1)
    await play.reveals()
    await play.settles()
    await play.decides()
    return play


@told
async def hardship_is_made_good_by_vote(store: DirectoryStore) -> Play:
    play = await Play.begun(store)
    await play.round(but=[3])
    world, slashed = play.world, play.members[3].member_id
    lost = (await world.outcomes())[slashed].slashed
    credits = await world.view.credits(TREASURY, lost)
    await world.pass_vote("hardship", SpendTreasury(to=slashed, amount=lost, credits=credits))
    await play.round()
    return play


@told
async def a_key_is_rotated_in_the_middle_of_a_round(store: DirectoryStore) -> Play:
    play = await Play.begun(store, rounds=1)
    await play.commits()
    at = Scene(play.world, play.members, play.spec)
    await rotated(at, 0)
    await play.reveals()
    await play.settles()
    await play.decides()
    return play


@told
async def an_organisation_is_removed_while_a_round_runs(store: DirectoryStore) -> Play:
    play = await Play.begun(store)
    await play.commits()
    await play.world.pass_vote("out", RemoveOrganisation(msp_id="Org3MSP"))
    await play.reveals()
    await play.settles()
    await play.decides()
    play.members = [who for who in play.members if who.msp_id != "Org3MSP"]
    await play.round()
    return play


@told
async def deposits_a_suspension_and_a_leave(store: DirectoryStore) -> Play:
    world = staked_world()
    await world.found()
    terms: dict[str, Any] = {"model": await store.put(INITIAL), "public_set": await store.put(PUBLIC)}
    spec = world.spec(**terms)
    await world.mint(spec.pool * 2 + 10**5)
    members = []
    for place in range(5):
        who = world.client(ORGANISATIONS[place % 3], f"client{place}")
        await world.pay(who.member_id, spec.lock * 3 + 100)
        await who.submit("Registry:register", await world.view.credits(who.member_id, 100))
        members.append(who)
    play = Play(world, members, await world.create(**terms), store)
    await play.commits()
    await world.pass_vote("suspend", SuspendMember(member=members[1].member_id))
    await play.reveals()
    await play.settles()
    await play.decides()
    play.members = [members[0], *members[2:]]
    await play.round()
    await members[0].submit("Registry:leave")
    return play


@told
async def everybody_acts_at_once_and_most_must_try_again(store: DirectoryStore) -> Play:
    play = await Play.begun(store, 5, rounds=1)
    await play.commits()

    async def race(step: Callable[[], Awaitable[None]]) -> None:
        done = await asyncio.gather(*(step() for _ in range(3)), return_exceptions=True)
        assert done.count(None) == 1, "one of them comes first"

    works = {who.member_id: play.works[who.member_id] for who in play.members}
    await race(lambda: play.world.close(round=1))
    await race(lambda: play.world.pair(round=1))
    play.shown = list(play.members)
    await asyncio.gather(*(play.world.reveal(who, works[who.member_id], round=1) for who in play.members))
    await race(lambda: play.world.seal(round=1))
    await race(lambda: play.world.settle(works, round=1))
    await play.decides()
    codes = [tx.code for block in play.world.network.blocks for tx in block.transactions]
    assert codes.count("MVCC_READ_CONFLICT") >= 4
    return play
