"""The demo's story, the same on every stage: found, mint, allow, fund, create the job, watch, count."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from chaincode.mechanisms import MECHANISMS
from chaincode.proposals import Mint
from chaincode.records import Phase, RoundState
from fl_client.contracts import View
from fl_client.demo.scenario import DECIMALS, Scenario
from fl_client.demo.stage import Stage
from fl_client.errors import CandorError, CommitTimeout, ReadConflict, Refused, Unavailable
from fl_client.participant import learner
from fl_client.results import Client, JobResult, Outcome, Round, Supply, money
from fl_client.steps import Learner
from fl_client.training import parameters
from fl_client.training.views import public_view

Progress = Callable[[str], None]
PATIENCE = 600.0  # seconds without any change of phase until the demo gives up: a busy machine trains slowly

PHASES = {
    Phase.COMMIT: "train, infer, commit",
    Phase.CLOSED: "wait for the pairing beacon",
    Phase.REVEAL: "reveal",
    Phase.SEALED: "wait for the sampling beacon, settle",
    Phase.SETTLED: "draw the committee",
    Phase.AGGREGATE: "aggregate",
}


@dataclass
class Play:
    """One performance."""

    stage: Stage
    scenario: Scenario
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    phases: dict[int, dict[str, float]] = field(default_factory=dict)

    @property
    def sponsor(self) -> str:
        """The first organisation pays for the job."""
        return self.stage.terms.organisations[0]

    @property
    def view(self) -> View:
        """Reads as the sponsor's admin."""
        return View(self.stage.admin(self.sponsor))

    async def run(self) -> JobResult:
        """From an empty ledger to the last payment."""
        building = asyncio.create_task(asyncio.to_thread(self._learner))
        with self._timed("found the consortium, mint by vote, admit the clients"):
            await self.found()
            await self.mint()
            await self.admit()
        with self._timed("clients start and register themselves"):
            await self.stage.start_clients(self.scenario)
            await self.registered()
        with self._timed("fund the clients, create the job"):
            await self.fund()
            await self.create_job(await building)
        for number in range(1, self.scenario.rounds + 1):
            await self.watch(number)
        await self.stage.clients_done()
        return await self.result(await building)

    async def found(self) -> None:
        """`Governance:init` on the terms every chaincode server is configured with."""
        terms = self.stage.terms
        self.progress(f"founding the consortium of {', '.join(terms.organisations)}")
        await self._patiently(
            self.sponsor,
            "Governance:init",
            terms.organisations,
            terms.beacon,
            terms.freshness,
            terms.margin,
            terms.registration,
        )

    async def mint(self) -> None:
        """The sponsor proposes, more than half approve."""
        scenario = self.scenario
        amount = scenario.clients * (scenario.funds + scenario.rounds * scenario.price)
        self.progress("minting the sponsor's tokens by vote")
        action = Mint(account=self.sponsor, amount=amount)
        proposal = f"mint-{scenario.job}"
        await self._patiently(self.sponsor, "Governance:propose", proposal, action, fresh=True)
        for voter in self.stage.terms.organisations[1 : len(self.stage.terms.organisations) // 2 + 1]:
            await self.stage.admin(voter).submit("Governance:approve", proposal)

    async def admit(self) -> None:
        """Pre-known mode: each organisation's admin allows its clients' keys."""
        self.progress(f"allowing {len(self.stage.players)} clients")
        await asyncio.gather(
            *(
                self.stage.admin(player.msp_id).submit("Registry:allow", player.key)
                for player in self.stage.players
            )
        )

    async def registered(self) -> None:
        """Wait until every client has registered itself."""
        self.progress("waiting for the clients to start and register")
        wanted = {player.member for player in self.stage.players}
        end = time.monotonic() + PATIENCE
        while not wanted <= {member.id for member in await self.view.members()}:
            self.stage.check_clients()
            if time.monotonic() > end:
                raise CandorError("not every client registered in time", "Look into the clients' logs")
            await self.view.ledger.changed(0.5)

    async def fund(self) -> None:
        """Give each client its stake out of the sponsor's account."""
        self.progress("giving each client its stake")
        for player in self.stage.players:
            credits = await self.view.credits(self.sponsor, self.scenario.funds)
            await self._patiently(
                self.sponsor,
                "Token:transfer",
                self.sponsor,
                player.member,
                self.scenario.funds,
                credits,
                "stake",
            )

    async def create_job(self, own: Learner) -> None:
        """Publish the initial model and the public set; escrow the whole pool."""
        self.progress("creating the job, its pool in escrow")
        model = parameters.to_bytes(own.trainer.initial())
        spec = self.scenario.spec(
            self.stage.pace,
            model=await self.stage.store.put(model),
            public_set=await self.stage.store.put(own.public_set()),
            model_bytes=len(model) + 1024,
            roster=[player.member for player in self.stage.players],
            public_view=await self._first_view(own) if self.scenario.agrees else "",
        )
        credits = await self.view.credits(self.sponsor, spec.pool)
        await self._patiently(self.sponsor, "Jobs:create", self.scenario.job, spec, self.sponsor, credits)

    async def _first_view(self, own: Learner) -> str:
        """What the initial model answers on the public items, in the store."""
        trainer, problem = own.trainer, own.problem
        view = await asyncio.to_thread(
            public_view, trainer, trainer.initial(), problem.public(), problem.alphabet
        )
        return await self.stage.store.put(view)

    async def watch(self, number: int) -> RoundState:
        """Follow one round; nobody here pushes it, its clients do."""
        seen, since, took = None, time.monotonic(), self.phases.setdefault(number, {})
        while True:
            state = await self.view.round(self.scenario.job, number)
            phase = state.phase if state else None
            if phase != seen:
                self._note(number, seen, phase, time.monotonic() - since, took)
                seen, since = phase, time.monotonic()
            if state and state.phase.over:
                return state
            self.stage.check_clients()
            if time.monotonic() - since > PATIENCE:
                raise CandorError(f"round {number} stays in phase {phase}", "Look into the clients' logs")
            await self.view.ledger.changed(0.25)

    def _note(
        self, number: int, old: Phase | None, new: Phase | None, took: float, phases: dict[str, float]
    ) -> None:
        if old:
            phases[PHASES[old]] = phases.get(PHASES[old], 0.0) + took
        if new:
            self.progress(f"round {number} of {self.scenario.rounds}: {PHASES.get(new, new.value)}")

    async def result(self, own: Learner) -> JobResult:
        """What everybody got, read from the chain; accuracy is measured here and paid for by nobody."""
        scenario, view = self.scenario, self.view
        rounds, models = [], []
        for number in range(1, scenario.rounds + 1):
            state = await view.round(scenario.job, number)
            assert state is not None
            models.append(state.result)
            rounds.append(Round(number, await self._outcomes(number), self.phases[number]))
        job = await view.job(scenario.job)
        assert job is not None
        holdings = await view.holdings()
        result = JobResult(
            job=scenario.job,
            mechanism=job.spec.mechanism,
            clients=[
                Client(
                    player.name,
                    player.member,
                    player.msp_id,
                    part.name,
                    part.behaviour if part.coalition else "",
                )
                for player, part in zip(self.stage.players, scenario.parts, strict=True)
            ],
            rounds=rounds,
            balances={player.member: await view.balance(player.member) for player in self.stage.players},
            accuracy=await self._accuracy(own, [job.spec.model, *models]),
            supply=Supply(holdings.minted, holdings.held),
            phases={**self.stage.seconds, **self.seconds},
            versions=self.stage.versions,
            settings={
                "seed": scenario.seed,
                "rounds": scenario.rounds,
                "clients": scenario.clients,
                "rule": job.spec.rule,
                "peers": job.spec.peers,
                "aggregation": scenario.aggregation,
            },
            decimals=DECIMALS,
        )
        return msgspec.structs.replace(result, notes=notes(result))

    async def _outcomes(self, number: int) -> dict[str, Outcome]:
        found = await self.view.outcomes(self.scenario.job, number)
        return {
            member: Outcome(
                each.score if each.norm else None, each.norm, each.payment - each.slashed, each.sharing
            )
            for member, each in found.items()
        }

    async def _accuracy(self, own: Learner, models: Iterable[str]) -> list[float]:
        limit = len(parameters.to_bytes(own.trainer.initial())) + 1024
        x, y = own.problem.held_out()
        found = {}
        for name in models:
            weights = parameters.from_bytes(
                await self.stage.store.get(name, limit=limit), own.trainer.initial()
            )
            found[name] = await asyncio.to_thread(own.trainer.accuracy, weights, x, y)
        return [found[name] for name in models]

    def _learner(self) -> Learner:
        return learner(msgspec.structs.replace(self.scenario.share(0), behaviour="honest"))

    async def _patiently(self, msp_id: str, transaction: str, *args: object, fresh: bool = False) -> None:
        """Submit, again while the refusal may pass: servers that have just come up answer one by one.

        `fresh`: with a beacon, a newer one each time, for on a busy machine one can be stale when it arrives.
        """
        end = time.monotonic() + 30
        while True:
            try:
                beacon = [await self.stage.beacons.latest()] if fresh else []
                await self.stage.admin(msp_id).submit(transaction, *args, *beacon)
                return
            except (Refused, ReadConflict, Unavailable, CommitTimeout) as fault:
                hopeless = isinstance(fault, Refused) and (fault.final or (fault.code == 409 and not fresh))
                if hopeless or time.monotonic() > end:
                    raise
                await asyncio.sleep(0.3)

    def _timed(self, what: str) -> Timed:
        return Timed(what, self.seconds)


def notes(result: JobResult) -> list[str]:
    """What the figures show, said plainly."""
    found = []
    mechanism = MECHANISMS[result.mechanism]
    if mechanism.local_only and not mechanism.vests:
        found.append(
            "scored by matched blocks, on a view of each round's model on which the committee agreed: who copies that "
            "model earns nothing, who trains on labels that others have revealed may (docs/incentives.md)"
        )
    elif not mechanism.vests:
        found.append(
            f"mechanism {result.mechanism} pays whoever copies the public model: from the third round on about as "
            "much as the honest, without any data (docs/mechanism.md)"
        )
    found += [] if mechanism.vests else _copied(result)
    if any(outcome.score is None for each in result.rounds for outcome in each.outcomes.values()):
        found.append(
            "scored once, before any public model existed; every later round paid the same again to those "
            "whose update was found valid"
        )
    return found


def _copied(result: JobResult) -> list[str]:
    """What the copier of the global model made of the last round, if there is one."""
    last = result.rounds[-1]
    copied, worked = (
        [last.outcomes[client.member].payment for client in result.clients if client.behaviour == kind]
        for kind in ("copy-global", "honest")
    )
    if not (copied and worked):
        return []
    means = (money(round(sum(pay) / len(pay)), result.decimals) for pay in (copied, worked))
    return [f"in round {last.number} who copied it earned {next(means)}, the honest {next(means)} on average"]


class Timed:
    """Adds how long its block took to a dictionary."""

    def __init__(self, what: str, seconds: dict[str, float]) -> None:
        self._what, self._seconds = what, seconds

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *error: object) -> None:
        self._seconds[self._what] = time.monotonic() - self._since
