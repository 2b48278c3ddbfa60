"""Random interleavings of everything anybody can do, honest or not; the invariants hold after each step.

CANDOR_STATEFUL_EXAMPLES and CANDOR_STATEFUL_STEPS make the search larger.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from collections.abc import Awaitable
from contextlib import ExitStack
from typing import Any
from unittest import mock

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chaincode import cid, commitment, scoring
from chaincode import view as views
from chaincode.encoding import domain
from chaincode.mechanisms.per_round import combine
from chaincode.mtpp import View
from chaincode.proposals import (
    AbortJob,
    Mint,
    ReinstateMember,
    RemoveOrganisation,
    SpendTreasury,
    SuspendMember,
    VoidRound,
)
from chaincode.records import TREASURY, Holdings, Phase, RoundState, Stage
from fl_client import contracts
from fl_client.errors import BadInput, CandorError, Refused
from fl_client.ledger.embedded import EmbeddedIdentities, EmbeddedIdentity
from fl_client.public_views import counted
from tests.attacks.declared import DECLARED, writes
from tests.attacks.scenes import Hoarded, hoard
from tests.attacks.test_interference import proof
from tests.world import ORGANISATIONS, World

EXAMPLES = int(os.environ.get("CANDOR_STATEFUL_EXAMPLES", "60"))
STEPS = int(os.environ.get("CANDOR_STATEFUL_STEPS", "40"))
# paper, a committee of one; qualify-and-vest, a committee of three, optimistic; per-round that agrees on views
JOBS = ("solo", "board", "viewed")
MEMBERS = 5
NEXT = cid.raw_cid(b"next")
VIEWS = [
    views.pack(View(*((np.arange(24) + label) % 4 for label in each)), 4) for each in ((0, 1, 0), (2, 3, 0))
]

LEGAL: dict[Phase | None, set[Phase]] = {
    None: {Phase.COMMIT},
    Phase.COMMIT: {Phase.CLOSED, Phase.VOID},
    Phase.CLOSED: {Phase.COMMIT, Phase.REVEAL, Phase.VOID},
    Phase.REVEAL: {Phase.SEALED, Phase.VOID},
    Phase.SEALED: {Phase.SETTLED, Phase.FINAL, Phase.VOID},
    Phase.SETTLED: {Phase.AGGREGATE, Phase.FINAL, Phase.VOID},
    Phase.AGGREGATE: {Phase.FINAL, Phase.VOID},
    Phase.FINAL: set(),
    Phase.VOID: set(),
}

PHASE_CHANGES = (
    "Rounds:open",
    "Rounds:close",
    "Rounds:seal",
    "Settlement:close-missing",
    "Aggregation:begin",
    "Aggregation:finalise",
)

SEEDED = {  # hypothesis seeds `random` anew for every example
    "token_bytes": lambda count=32: random.randbytes(count),  # noqa: S311
    "token_hex": lambda count=32: random.randbytes(count).hex(),  # noqa: S311
    "randbits": random.getrandbits,
}

jobs = st.sampled_from(JOBS)
members = st.integers(0, MEMBERS - 1)
organisations = st.sampled_from(ORGANISATIONS)


class Repeatable(EmbeddedIdentities):
    """The same keys in every example, so that a failing one fails again."""

    def issue(self, msp_id: str, name: str, role: str = "client", **options: Any) -> EmbeddedIdentity:
        key = ec.derive_private_key(random.getrandbits(250) + 1, ec.SECP256R1())
        return super().issue(msp_id, name, role, **{"key": key} | options)


class Channel(RuleBasedStateMachine):
    """Three jobs, five members, three organisations; refusals are fine, defects are not."""

    @initialize(solo=st.integers(0, 12), board=st.integers(0, 22), viewed=st.integers(0, 24))
    def found(self, solo: int, board: int, viewed: int) -> None:
        """A founded consortium with members and three jobs, each so many honest steps into its first rounds."""
        self.patches = ExitStack()
        for name in ("token_bytes", "token_hex", "randbits"):
            self.patches.enter_context(mock.patch.object(secrets, name, SEEDED[name]))
        self.loop = asyncio.new_event_loop()
        self.run(self._found())
        for job, moves in (("solo", solo), ("board", board), ("viewed", viewed)):
            for _ in range(moves):
                self.advance(job, MEMBERS, 0)
                self.rounds_only_move_legally_and_what_is_fixed_stays_fixed()

    async def _found(self) -> None:
        self.world = world = World()
        world.identities = Repeatable()
        issue = world.identities.issue
        world.admins = {m: world.ledger(issue(m, f"Admin@{m}", "admin")) for m in ORGANISATIONS}
        world.view = contracts.View(world.admin)
        await world.found()
        await world.mint(200_000)
        self.specs = {
            "solo": world.spec(extensions=1),
            "board": world.spec(
                committee=3,
                aggregation="optimistic",
                challenge_rounds=20,
                min_participants=2,
                mechanism="qualify-and-vest",
            ),
            "viewed": world.spec(
                committee=3,
                mechanism="per-round",
                rule="matched-blocks",
                agree_view=True,
                public_view=cid.raw_cid(VIEWS[0]),
            ),
        }
        self.contents = {cid.raw_cid(data): data for data in VIEWS}
        self.members = await world.members(MEMBERS, 5000)
        for job, spec in self.specs.items():
            credits = await world.view.credits("Org1MSP", spec.pool)
            await world.admin.submit("Jobs:create", job, spec, "Org1MSP", credits)
        self.works: dict[tuple[str, int, str], Any] = {}
        self.seen: dict[tuple[str, int], RoundState] = {}
        self.fixed: dict[tuple[str, int], list[str]] = {}
        self.salts: dict[tuple[str, int, int, str], tuple[str, ...]] = {}
        self.hoarded: list[Hoarded] = []
        self.checked = len(world.network.blocks)

    def teardown(self) -> None:
        """From wherever it is, honest members alone bring every round to an end (invariant 7)."""
        if not hasattr(self, "loop"):
            return
        try:
            self.run(self._drive_to_the_end())
        finally:
            self.run(self.loop.shutdown_default_executor())
            self.loop.close()
            self.patches.close()

    def run(self, work: Awaitable[Any]) -> Any:
        """Run on this example's own loop."""
        return self.loop.run_until_complete(work)

    def attempt(self, work: Awaitable[Any]) -> None:
        """Do it, or be refused; a defect is neither."""
        try:
            self.run(work)
        except Refused as refusal:
            if refusal.code >= 500:
                raise
        except (CandorError, LookupError):
            pass

    async def current(self, job: str) -> RoundState | None:
        """The round that was opened last."""
        second = await self.world.view.round(job, 2)
        return second or await self.world.view.round(job, 1)

    def work(self, job: str, round: int, member: str) -> Any:
        """What a member reports in a round."""
        return self.works.setdefault((job, round, member), self.world.work(self.specs[job]))

    # time

    @rule(seconds=st.sampled_from([1, 3, 10, 60, 100, 300]))
    def wait(self, seconds: int) -> None:
        self.world.clock.time += seconds

    @rule(job=jobs)
    def wait_for_the_deadline(self, job: str) -> None:
        state = self.run(self.current(job))
        if state:
            self.world.clock.time = max(self.world.clock.time, state.deadline + 1)

    # what honest parties do

    @rule(job=jobs, pusher=members)
    def push(self, job: str, pusher: int) -> None:
        self.attempt(self._push(job, self.members[pusher]))

    @rule(job=jobs, count=st.integers(0, MEMBERS), pusher=members)
    def advance(self, job: str, count: int, pusher: int) -> None:
        """So many members do what the phase asks of them, its time passes, and somebody ends it."""
        state = self.run(self.current(job))
        for who in self.members[:count] if state else ():
            if state.phase is Phase.COMMIT:
                self.attempt(self._commit(job, who))
            elif state.phase is Phase.REVEAL:
                self.attempt(self._reveal(job, who, who.member_id))
            elif state.phase is Phase.AGGREGATE and state.stage is not Stage.CHALLENGE:
                self.attempt(self._aggregate(job, who, honest=True))
        self.wait_for_the_deadline(job)
        self.attempt(self._push(job, self.members[pusher]))

    @rule(job=jobs, pusher=members)
    def everybody_advances(self, job: str, pusher: int) -> None:
        self.advance(job, MEMBERS, pusher)

    async def _push(self, job: str, who: Any) -> None:
        world, state = self.world, await self.current(job)
        if state is None or state.phase.over:
            await who.submit("Rounds:open", job, state.round + 1 if state else 1, world.beacon())
            return
        at = (job, state.round)
        match state.phase:
            case Phase.COMMIT:
                await who.submit("Rounds:close", *at, world.beacon())
            case Phase.CLOSED:
                pairing = world.wait_for(state.pairing_round)
                await who.submit("Rounds:pair", *at, pairing, world.beacon())
            case Phase.REVEAL:
                await who.submit("Rounds:seal", *at, world.beacon())
            case Phase.SEALED:
                await self._settle(who, state)
            case Phase.SETTLED:
                await who.submit("Aggregation:begin", *at, world.beacon())
            case Phase.AGGREGATE if state.stage is Stage.WITNESS:
                await self._agree(who, state)
            case Phase.AGGREGATE:
                await who.submit("Aggregation:finalise", *at, world.beacon())

    async def _agree(self, who: Any, state: RoundState) -> None:
        """Bring the views that count, and keep what they make: a later settlement needs it."""
        done = await self.world.view.progress(state.job, state.round, state.attempt)
        missing = [each.missing for each in done.witnesses.values()]
        names = counted(state, done.answers, done.views, missing)
        seen = {member: self.contents[name] for member, name in names.items()}
        made, _ = combine({m: views.unpack(data, 24, 4) for m, data in seen.items()}, 4)
        self.contents[cid.raw_cid(made)] = made
        brought = {f"view/{member}": data for member, data in seen.items()}
        beacon = self.world.beacon()
        await who.submit("Aggregation:agree", state.job, state.round, beacon, transient=brought)

    async def _settle(self, who: Any, state: RoundState) -> None:
        at = (state.job, state.round)
        reveals = await self.world.view.reveals(*at)
        reports = {
            f"report/{member}": self.work(*at, member).data
            for member, shown in reveals.items()
            if shown.report and member not in state.set_aside
        }
        beacons = [self.world.wait_for(state.sampling_round)]
        if state.view:
            reports["view"] = self.contents[state.view]
            beacons.append(self.world.signer.sign(state.batch_round))
        await who.submit("Settlement:settle", *at, *beacons, transient=reports)

    @rule(job=jobs, count=st.integers(1, MEMBERS))
    def commit(self, job: str, count: int) -> None:
        for who in self.members[:count]:
            self.attempt(self._commit(job, who))

    async def _commit(self, job: str, who: Any) -> None:
        state = await self._round(job)
        await self.world.commit(who, self.work(job, state.round, who.member_id), job, state.round)

    async def _round(self, job: str) -> RoundState:
        state = await self.current(job)
        if state is None:
            raise LookupError(job)
        return state

    @rule(job=jobs, count=st.integers(1, MEMBERS))
    def reveal(self, job: str, count: int) -> None:
        for who in self.members[:count]:
            self.attempt(self._reveal(job, who, who.member_id))

    async def _reveal(self, job: str, who: Any, whose: str) -> None:
        state = await self._round(job)
        await self.world.reveal(who, self.work(job, state.round, whose), job, state.round)

    @rule(job=jobs, place=members, honest=st.booleans())
    def aggregate(self, job: str, place: int, honest: bool) -> None:
        self.attempt(self._aggregate(job, self.members[place], honest))

    async def _aggregate(self, job: str, who: Any, honest: bool) -> None:
        state = await self._round(job)
        at, world = (job, state.round, state.attempt), self.world
        model = NEXT if honest else cid.raw_cid(secrets.token_bytes(8))
        key = (job, state.round, state.attempt, who.member_id)
        match state.stage:
            case Stage.SOLE:
                await who.submit("Aggregation:aggregate", *at, model, {})
            case Stage.VOTE:
                await who.submit("Aggregation:vote", *at, {})
            case Stage.POST:
                await who.submit("Aggregation:post", *at, model, world.beacon())
            case Stage.CHALLENGE:
                bond = self.specs[job].bond
                credits = await world.view.credits(who.member_id, bond)
                await who.submit("Aggregation:challenge", *at, credits, world.beacon())
            case Stage.COMMIT:
                base = domain(world.network.channel, world.network.chaincode, job, state.round)
                salt = secrets.token_bytes(32)
                agrees = scoring.agrees_view(self.specs[job], state)
                name = cid.raw_cid(random.choice(VIEWS)) if agrees else ""  # noqa: S311
                digest = commitment.answer_digest(base, state.attempt, who.member_id, model, salt, name)
                await who.submit("Aggregation:commit", *at, digest.hex())
                self.salts[key] = (model, salt.hex(), name)
            case Stage.REVEAL:
                beside = {"view": self.contents[name]} if (name := self.salts[key][2]) else {}
                await who.submit("Aggregation:reveal", *at, *self.salts[key], transient=beside)
            case Stage.WITNESS:
                await who.submit("Aggregation:witness", *at, [] if honest else [state.voters[0]])

    # what others do

    @rule(job=jobs, thief=members, victim=members)
    def copy_a_commit(self, job: str, thief: int, victim: int) -> None:
        self.attempt(self._copy(job, self.members[thief], self.members[victim]))

    async def _copy(self, job: str, thief: Any, victim: Any) -> None:
        state = await self._round(job)
        work = self.work(job, state.round, victim.member_id)
        credits = await self.world.view.credits(thief.member_id, self.specs[job].lock)
        digest = self.world.digest(victim, work, job, state.round)
        await thief.submit("Rounds:commit", job, state.round, digest, credits)

    @rule(job=jobs, thief=members, victim=members)
    def reveal_anothers(self, job: str, thief: int, victim: int) -> None:
        if thief != victim:
            self.attempt(self._reveal(job, self.members[thief], self.members[victim].member_id))

    @rule(job=jobs, round=st.integers(1, 3), ahead=st.integers(-3, 30), name=st.sampled_from(PHASE_CHANGES))
    def push_out_of_order(self, job: str, round: int, ahead: int, name: str) -> None:
        self.attempt(self.members[0].submit(name, job, round, self.world.beacon(ahead)))

    @rule(job=jobs, lacking=members)
    def settle_without_one(self, job: str, lacking: int) -> None:
        self.attempt(self._settle_without(job, self.members[lacking].member_id))

    async def _settle_without(self, job: str, lacking: str) -> None:
        state = await self._round(job)
        reveals = await self.world.view.reveals(job, state.round)
        reports = {
            f"report/{member}": self.work(job, state.round, member).data
            for member, shown in reveals.items()
            if shown.report and member != lacking
        }
        sampling = self.world.signer.sign(max(1, state.sampling_round))
        await self.members[0].submit("Settlement:settle", job, state.round, sampling, transient=reports)

    @rule(job=jobs, who=members, org=organisations)
    def vote_missing(self, job: str, who: int, org: str) -> None:
        member = self.members[who].member_id
        self.attempt(self.world.admins[org].submit("Settlement:missing", job, 1, member))

    @rule(job=jobs, round=st.integers(-1, 2))
    def cancel(self, job: str, round: int) -> None:
        self.attempt(self.world.admin.submit("Jobs:cancel", job, round))

    @rule(giver=members, taker=members, amount=st.sampled_from([1, 7, 500, 4000, 10**6]))
    def transfer(self, giver: int, taker: int, amount: int) -> None:
        self.attempt(self._transfer(self.members[giver], self.members[taker].member_id, amount))

    async def _transfer(self, giver: Any, to: str, amount: int) -> None:
        credits = await self.world.view.credits(giver.member_id, min(amount, 4000))
        await giver.submit("Token:transfer", giver.member_id, to, amount, credits)

    @rule(who=members, what=st.sampled_from(["leave", "register", "rotate"]))
    def membership(self, who: int, what: str) -> None:
        self.attempt(self._membership(who, what))

    async def _membership(self, place: int, what: str) -> None:
        who = self.members[place]
        if what != "rotate":
            await who.submit(f"Registry:{what}", *([[]] if what == "register" else []))
            return
        record = msgspec.json.decode(await who.evaluate("Registry:me"))
        identity = self.world.identities.issue(who.msp_id, f"rotated-{secrets.token_hex(4)}")
        old, counter = record["key"], record["rotations"]
        await who.submit("Registry:rotate", *proof(self, who, identity, old=old, counter=counter))
        ledger = self.world.ledger(identity)
        ledger.member_id = who.member_id
        self.members[place] = ledger

    @rule(
        action=st.sampled_from(["suspend", "reinstate", "remove", "mint", "spend", "void", "abort"]),
        who=members,
        job=jobs,
    )
    def govern(self, action: str, who: int, job: str) -> None:
        self.attempt(self._govern(action, self.members[who].member_id, job))

    async def _govern(self, action: str, member: str, job: str) -> None:
        name = f"p-{secrets.token_hex(4)}"
        made: Any
        match action:
            case "suspend":
                made = SuspendMember(member=member)
            case "reinstate":
                made = ReinstateMember(member=member)
            case "remove":
                made = RemoveOrganisation(msp_id=ORGANISATIONS[2])
            case "mint":
                made = Mint(account=member, amount=100)
            case "spend":
                credits = await self.world.view.credits(TREASURY, 1)
                made = SpendTreasury(to=member, amount=1, credits=credits)
            case "void":
                made = VoidRound(job=job, round=(await self._round(job)).round)
            case _:
                made = AbortJob(job=job)
        await self.world.pass_vote(name, made)

    @rule(
        job=jobs, who=members, name=st.sampled_from(["Rounds:close", "Rounds:seal", "Aggregation:finalise"])
    )
    def keep_one_back(self, job: str, who: int, name: str) -> None:
        self.attempt(self._keep_back(job, self.members[who], name))

    async def _keep_back(self, job: str, who: Any, name: str) -> None:
        state = await self._round(job)
        self.hoarded.append(await hoard(who, name, job, state.round, self.world.beacon()))

    @rule()
    def send_what_was_kept_back(self) -> None:
        if self.hoarded:
            self.run(self.hoarded.pop().send())

    # what must hold

    @invariant()
    def nothing_is_created_lost_or_negative(self) -> None:
        state = self.world.network.state
        held = msgspec.json.decode(self.run(self.members[0].evaluate("Token:holdings")), type=Holdings)
        assert held.minted == held.held, held
        for kind, fields in (("credit", ["amount"]), ("lock", ["stake", "bond"]), ("member", ["deposit"])):
            for key, entry in state.items(f"{kind}/", f"{kind}0"):
                record = msgspec.json.decode(entry.value)
                assert all(record[field] >= 0 for field in fields), (key, record)
                assert kind != "credit" or record["amount"] > 0
        for key, entry in state.items("escrow/", "escrow0"):
            assert msgspec.json.decode(entry.value) >= 0, key

    @invariant()
    def rounds_only_move_legally_and_what_is_fixed_stays_fixed(self) -> None:
        for key, entry in list(self.world.network.state.items("round/", "round0")):
            now = msgspec.json.decode(entry.value, type=RoundState)
            at = (now.job, now.round)
            before = self.seen.get(at)
            if before and before.phase is not now.phase or before is None:
                assert now.phase in LEGAL[before.phase if before else None], (key, before, now)
            if before and now.round > 1:
                assert self.seen[(now.job, now.round - 1)].phase.over
            if before and before.phase.over:
                assert before == now
            if before and before.sampling_randomness:
                assert before.sampling_randomness == now.sampling_randomness
            self.seen[at] = now
            self._check_fixed(at, now)

    def _check_fixed(self, at: tuple[str, int], now: RoundState) -> None:
        if now.phase in (Phase.CLOSED, Phase.REVEAL, Phase.SEALED):
            names = self.run(self.world.view.participants(*at))
            before = self.fixed.get(at)
            if now.phase is Phase.CLOSED and (before is None or not now.pairing_randomness):
                self.fixed[at] = names
            else:
                assert before is not None
                assert set(names) <= set(before)
                assert len(names) == min(len(before), self.specs[at[0]].max_participants)

    @invariant()
    def nobody_writes_outside_its_prefixes(self) -> None:
        for block in self.world.network.blocks[self.checked :]:
            for record in block.transactions:
                declared = DECLARED[record.args[0].decode().partition(":")[0]]
                for key in writes(record.read_write_set):
                    assert key.startswith(declared), (record.args[0], key)
        self.checked = len(self.world.network.blocks)

    # and where it must be able to go

    async def _drive_to_the_end(self) -> None:
        for job in JOBS:
            for _ in range(60):
                state = await self.current(job)
                if state is None or state.phase.over:
                    break
                self.world.clock.time = max(self.world.clock.time + 3, state.deadline + 1)
                try:
                    await self._push(job, self.world.admin)
                except BadInput:
                    raise AssertionError("an honest step was impossible") from None
            assert state is None or state.phase.over, state
            if state is not None:
                locks = self.world.network.state.items(f"lock/{job}/", f"lock/{job}0")
                assert not list(locks), state
        await self.world.holdings()


Channel.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestAnyInterleaving = Channel.TestCase
