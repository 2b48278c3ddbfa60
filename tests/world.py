"""A consortium on the embedded ledger, for stories about contracts: time and beacons are in the test's hands."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from chaincode import cid, commitment, contracts, report, scoring
from chaincode.beacon import Beacon, BeaconInfo, DevSigner
from chaincode.contracts.settings import EndorserClock, Settings
from chaincode.encoding import domain
from chaincode.mtpp import RULES
from chaincode.mtpp.payment import best_gain, worst_loss
from chaincode.proposals import Mint
from chaincode.records import Consortium, Holdings, JobSpec, Outcome, Registration, RoundState
from fl_client.contracts import View
from fl_client.ledger.embedded import EmbeddedIdentities, EmbeddedIdentity, EmbeddedLedger, EmbeddedNetwork

ORGANISATIONS = ["Org1MSP", "Org2MSP", "Org3MSP"]
GENESIS = 1_800_000_000
MODEL, UPDATE, PUBLIC = (cid.raw_cid(text) for text in (b"model", b"update", b"public"))


class ManualClock:
    """Time stands still until the test moves it."""

    def __init__(self, start: float) -> None:
        self.time = start

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class Work:
    """What a member has committed to, and would reveal."""

    symbols: np.ndarray
    data: bytes
    report: str
    update: str = UPDATE
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    @property
    def unreported(self) -> Work:
        """The same for a round without reports: the update alone."""
        return Work(self.symbols, b"", "", self.update, self.salt)


class World:
    """Three organisations' contracts on one embedded ledger, with helpers that do what honest parties do."""

    def __init__(
        self,
        *,
        freshness: int = 5,
        margin: int = 1,
        registration: Registration | None = None,
        period: int = 3,
        production: Sequence[str] = (),
        beacon: BeaconInfo | None = None,
    ) -> None:
        self.clock = ManualClock(GENESIS + 1000)
        self.signer = DevSigner(b"world", period, GENESIS)
        self.terms = Consortium(
            organisations=list(ORGANISATIONS),
            beacon=beacon or self.signer.info,
            freshness=freshness,
            margin=margin,
            registration=registration or Registration(),
        )
        self.production = production  # the organisations that take no development beacon
        self.identities = EmbeddedIdentities()
        self.network = EmbeddedNetwork({m: self.server(m) for m in ORGANISATIONS}, batch=0.0)
        self.admins = {m: self.ledger(self.identities.issue(m, f"Admin@{m}", "admin")) for m in ORGANISATIONS}
        self.view = View(self.admin)

    # who

    @property
    def admin(self) -> EmbeddedLedger:
        """The first organisation's admin, who is the sponsor."""
        return self.admins[ORGANISATIONS[0]]

    def server(self, msp_id: str, clock: ManualClock | None = None) -> contracts.Consortium:
        """One organisation's chaincode."""
        terms = self.terms
        settings = Settings(
            msp_id=msp_id,
            organisations=terms.organisations,
            beacon=terms.beacon,
            freshness=terms.freshness,
            margin=terms.margin,
            registration=terms.registration,
            production=msp_id in self.production,
        )
        return contracts.serve(settings, EndorserClock(terms.beacon, wall=(clock or self.clock).now))

    def ledger(self, identity: EmbeddedIdentity) -> EmbeddedLedger:
        """The ledger as somebody sees it."""
        return EmbeddedLedger(self.network, identity)

    def client(self, msp_id: str, name: str) -> EmbeddedLedger:
        """A fresh client identity of an organisation."""
        return self.ledger(self.identities.issue(msp_id, name))

    # time

    def beacon(self, ahead: int = 0) -> Beacon:
        """The newest beacon of the clock's now, or one so many rounds ahead of it."""
        return self.signer.sign(self.signer.info.round_at(int(self.clock.now())) + ahead)

    def wait_for(self, round: int) -> Beacon:
        """Let time pass until that beacon round exists; returns it."""
        self.clock.time = max(self.clock.time, self.signer.info.time(round))
        return self.signer.sign(round)

    # the consortium

    async def found(self) -> None:
        """`Governance:init` as the first organisation's admin."""
        t = self.terms
        await self.admin.submit(
            "Governance:init", t.organisations, t.beacon, t.freshness, t.margin, t.registration
        )

    async def pass_vote(self, name: str, action: Any) -> None:
        """Propose by the first organisation, approve by the second: more than half of three."""
        await self.admin.submit("Governance:propose", name, action, self.beacon())
        await self.admins[ORGANISATIONS[1]].submit("Governance:approve", name, self.beacon())

    async def propose(self, name: str, action: Any) -> None:
        """The first organisation's proposal, with its own approval."""
        await self.admin.submit("Governance:propose", name, action, self.beacon())

    async def propose_as(self, msp_id: str, name: str, action: Any) -> None:
        """Another organisation's proposal."""
        await self.admins[msp_id].submit("Governance:propose", name, action, self.beacon())

    async def approve(self, name: str, msp_id: str = ORGANISATIONS[1]) -> None:
        """An organisation's vote for it, with a fresh beacon."""
        await self.admins[msp_id].submit("Governance:approve", name, self.beacon())

    async def mint(self, amount: int, account: str = ORGANISATIONS[0]) -> None:
        """New tokens by vote."""
        await self.pass_vote(f"mint-{secrets.token_hex(4)}", Mint(account=account, amount=amount))

    async def member(self, msp_id: str, name: str, funds: int = 0) -> EmbeddedLedger:
        """A client that its organisation allowed and that registered itself, with some money."""
        client = self.client(msp_id, name)
        await self.admins[msp_id].submit("Registry:allow", client.member_id.partition(":")[2])
        await client.submit("Registry:register", [])
        if funds:
            await self.pay(client.member_id, funds)
        return client

    async def members(self, count: int, funds: int = 0) -> list[EmbeddedLedger]:
        """So many members, dealt over the organisations."""
        return [await self.member(ORGANISATIONS[i % 3], f"client{i}", funds) for i in range(count)]

    async def pay(self, to: str, amount: int, account: str = ORGANISATIONS[0]) -> None:
        """A transfer out of the sponsor's account."""
        credits = await self.view.credits(account, amount)
        await self.admins[account].submit("Token:transfer", account, to, amount, credits)

    # jobs and rounds

    def spec(self, **changes: Any) -> JobSpec:
        """A sound job for six participants, small enough to be quick."""
        rule = RULES[changes.get("rule", "dasgupta-ghosh")]
        price, scored, alphabet = 1000, changes.get("scored_tasks", 12), changes.get("alphabet", 4)
        gap = (2 * self.terms.freshness + self.terms.margin) // self.terms.beacon.period + 1
        window = 4 * gap * self.terms.beacon.period
        defaults: dict[str, Any] = {
            "model": MODEL,
            "public_set": PUBLIC,
            "model_bytes": 1 << 16,
            "public_items": 24,
            "tasks": 16,
            "scored_tasks": scored,
            "alphabet": alphabet,
            "rounds": 2,
            "mechanism": "paper",
            "rule": rule.name,
            "price": price,
            "stake": worst_loss(rule, scored, alphabet, price),
            "bond": 50,
            "round_pool": 6 * best_gain(rule, scored, alphabet, price),
            "min_participants": 3,
            "max_participants": 6,
            "max_members_per_org": 4,
            "gap": gap,
            "commit_seconds": window,
            "reveal_seconds": window,
            "missing_seconds": window,
            "aggregate_seconds": window,
        }
        return JobSpec(**(defaults | changes))

    async def create(self, job: str = "job", **changes: Any) -> JobSpec:
        """A job with its pool, sponsored by the first organisation."""
        spec = self.spec(**changes)
        credits = await self.view.credits(ORGANISATIONS[0], spec.pool)
        await self.admin.submit("Jobs:create", job, spec, ORGANISATIONS[0], credits)
        return spec

    async def state(self, job: str = "job", round: int = 1) -> RoundState:
        """The round's state."""
        found = await self.view.round(job, round)
        assert found is not None
        return found

    async def open(self, job: str = "job", round: int = 1) -> None:
        """Open a round with a fresh beacon."""
        await self.admin.submit("Rounds:open", job, round, self.beacon())

    def work(self, spec: JobSpec, symbols: Any = None) -> Work:
        """A report: the given symbols, or random ones."""
        chosen = (
            np.random.default_rng(secrets.randbits(64)).integers(0, spec.alphabet, spec.tasks)
            if symbols is None
            else np.asarray(symbols)
        )
        data = report.pack(chosen, spec.alphabet)
        return Work(chosen, data, cid.raw_cid(data))

    def digest(self, ledger: EmbeddedLedger, work: Work, job: str = "job", round: int = 1) -> str:
        """What the member commits to."""
        base = domain(self.network.channel, self.network.chaincode, job, round)
        return commitment.digest(base, ledger.member_id, work.report, work.update, work.salt).hex()

    async def asked(self, work: Work, job: str, round: int) -> Work:
        """What of it the round asks for: without the report where it takes none."""
        record, state = await self.view.job(job), await self.view.round(job, round)
        if record is None or state is None or scoring.reports_in(record.spec, state):
            return work
        return work.unreported

    async def commit(self, who: EmbeddedLedger, work: Work, job: str = "job", round: int = 1) -> None:
        """Commit with the member's own credits."""
        record = await self.view.job(job)
        assert record is not None
        work = await self.asked(work, job, round)
        credits = await self.view.credits(who.member_id, record.spec.lock)
        await who.submit("Rounds:commit", job, round, self.digest(who, work, job, round), credits)

    async def close(self, job: str = "job", round: int = 1) -> None:
        """Let the commit window pass, then close."""
        self.clock.time = (
            max(self.clock.time, (await self.state(job, round)).deadline) + self.terms.beacon.period
        )
        await self.admin.submit("Rounds:close", job, round, self.beacon())

    async def pair(self, job: str = "job", round: int = 1) -> None:
        """Wait for the pairing beacon and bring it."""
        pairing = self.wait_for((await self.state(job, round)).pairing_round)
        await self.admin.submit("Rounds:pair", job, round, pairing, self.beacon())

    async def reveal(self, who: EmbeddedLedger, work: Work, job: str = "job", round: int = 1) -> None:
        """Open a commit."""
        work = await self.asked(work, job, round)
        await who.submit(
            "Rounds:reveal",
            job,
            round,
            work.report,
            work.update,
            work.salt.hex(),
            transient={"report": work.data} if work.report else {},
        )

    async def seal(self, job: str = "job", round: int = 1, *, late: bool = True) -> None:
        """Let the reveal window pass (unless not `late`), then seal."""
        if late:
            deadline = (await self.state(job, round)).deadline
            self.clock.time = max(self.clock.time, deadline) + self.terms.beacon.period
        await self.admin.submit("Rounds:seal", job, round, self.beacon())

    async def sealed(
        self,
        members: Sequence[EmbeddedLedger],
        works: Mapping[str, Work],
        *,
        revealing: Sequence[EmbeddedLedger] | None = None,
        round: int = 1,
        late: bool = True,
    ) -> None:
        """From the opening to the seal: all of them commit, some (default all) reveal."""
        await self.open(round=round)
        for who in members:
            await self.commit(who, works[who.member_id], round=round)
        await self.close(round=round)
        await self.pair(round=round)
        for who in members if revealing is None else revealing:
            await self.reveal(who, works[who.member_id], round=round)
        await self.seal(round=round, late=late)

    async def settle(
        self,
        works: Mapping[str, Work],
        job: str = "job",
        round: int = 1,
        who: EmbeddedLedger | None = None,
        view: bytes = b"",
    ) -> None:
        """Wait for the sampling beacon; bring it and the reports (by member), the view with its batch's beacon."""
        sampling = self.wait_for((await self.state(job, round)).sampling_round)
        asked = {member: await self.asked(work, job, round) for member, work in works.items()}
        transient = {f"report/{member}": work.data for member, work in asked.items() if work.report}
        beacons = [sampling]
        if view:
            beacons.append(self.signer.sign((await self.state(job, round)).batch_round))
            transient["view"] = view
        await (who or self.admin).submit("Settlement:settle", job, round, *beacons, transient=transient)

    async def outcomes(self, job: str = "job", round: int = 1) -> dict[str, Outcome]:
        """Scores and payments."""
        return await self.view.outcomes(job, round)

    async def begin(self, job: str = "job", round: int = 1) -> RoundState:
        """Open the aggregation."""
        await self.admin.submit("Aggregation:begin", job, round, self.beacon())
        return await self.state(job, round)

    # money

    async def holdings(self) -> Holdings:
        """Both sides of the supply; they must be equal."""
        found = await self.view.holdings()
        assert found.minted == found.held, found
        return found

    async def balance(self, account: str) -> int:
        """What an account can spend."""
        return await self.view.balance(account)


async def ready(
    count: int = 4, *, world: World | None = None, **spec: Any
) -> tuple[World, list[EmbeddedLedger], JobSpec]:
    """A founded consortium with funded members and one job."""
    world = world or World()
    await world.found()
    made = world.spec(**spec)
    await world.mint(made.pool * 2 + count * made.lock * 4)
    members = await world.members(count, made.lock * 3)
    return world, members, await world.create(**spec)


def decode(raw: bytes, kind: Any) -> Any:
    """A contract's answer."""
    return msgspec.json.decode(raw, type=kind)
