"""Step 9 as a client lives it: vote on the updates, answer with the aggregate, watch what others post.

The contracts know the stages (chaincode.records.Stage); what is due is read from the chain at every look,
so a restarted client goes on. The salt of an answer is in the journal before its digest leaves.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import cast

from chaincode import cid, commitment, scoring
from chaincode.records import Reason, RoundState, Stage
from fl_client import aggregator
from fl_client.errors import BadInput, CandorError, Disagreement, NotStored, Refused
from fl_client.inside import shares_work
from fl_client.journal import Answer
from fl_client.layers import Layers
from fl_client.named import resolve
from fl_client.public_views import PublicViews
from fl_client.steps import Seat, counted
from fl_client.waiting import fetched, finished, patience

log = logging.getLogger(__name__)


class Aggregator:
    """One client's part in aggregation; honest. Tests subclass it to lie, stay silent or copy."""

    def __init__(self, seat: Seat) -> None:
        self.seat, self.views = seat, PublicViews(seat)
        self._layers = Layers(seat) if shares_work(seat.job.spec) else None
        self._done: set[tuple[int, int, Stage]] = set()
        self._latest: tuple[tuple[int, list[str]], bytes] | None = None
        self._keeping: set[asyncio.Task[None]] = set()

    async def act(self, state: RoundState) -> bool:
        """Do what is due of this client in the attempt's stage, if anything; whether something was."""
        if self._layers:
            await self._layers.watch(state)
        if state.stage is None or (state.round, state.attempt, state.stage) in self._done:
            return False
        match state.stage:
            case Stage.SOLE if self._first(state):
                await self.sole(state)
            case Stage.POST if self._first(state):
                await self.post(state)
            case Stage.CHALLENGE if not self._first(state) and await self.disputes(state):
                await self.challenge(state)
            case Stage.VOTE if await self._still_to(state):
                await self.vote(state)
            case Stage.COMMIT if await self._still_to(state):
                await self.commit(state)
            case Stage.REVEAL if await self._still_to(state):
                await self.reveal(state)
            case Stage.WITNESS if await self._still_to(state):
                await self.views.witness(state)
            case _:
                return False
        self._did(state)
        return True

    async def sole(self, state: RoundState) -> None:
        """As a committee of one: verdicts and model in one transaction."""
        refused = await self.refuses(state)
        valid = sorted(set(await counted(self.seat, state)).difference(refused))
        model = await self.seat.store.put(await self.combined(state, valid)) if valid else state.model
        await self.seat.ledger.submit(
            "Aggregation:aggregate", self.seat.job.id, state.round, state.attempt, model, refused
        )

    async def vote(self, state: RoundState) -> None:
        """Say which updates are refused and why; keep the others for those who could not fetch them.

        Beside the rest: a slow cluster must not make this member late with its answer.
        """
        refused = await self.refuses(state)
        await self.seat.ledger.submit(
            "Aggregation:vote", self.seat.job.id, state.round, state.attempt, refused
        )
        if self._layers:  # what it has looked at, its organisation's node has
            return
        held = {m: shown.update for m, shown in (await counted(self.seat, state)).items() if m not in refused}
        for member, name in held.items():
            task = asyncio.create_task(self._pin(member, name))
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)

    async def commit(self, state: RoundState) -> None:
        """Commit to the aggregate over the valid set. It goes to the store only when revealed: a pin can be copied."""
        seat = self.seat
        answer = seat.journal.find_answer(seat.job.id, state.round, state.attempt)
        if answer is None:
            model = await self.combined(state, state.valid)
            view = await self.views.own(model) if scoring.agrees_view(seat.job.spec, state) else b""
            answer = Answer(cid.file_cid(model), secrets.token_bytes(commitment.SALT_BYTES), view)
            seat.journal.keep_answer(seat.job.id, state.round, state.attempt, answer)
        digest = commitment.answer_digest(
            seat.domain(state.round), state.attempt, seat.me, answer.model_cid, answer.salt, _named(answer)
        )
        await seat.ledger.submit("Aggregation:commit", seat.job.id, state.round, state.attempt, digest.hex())

    async def reveal(self, state: RoundState) -> None:
        """Store the aggregate and, where views are agreed on, the own view of it; open the commit."""
        seat = self.seat
        answer = seat.journal.find_answer(seat.job.id, state.round, state.attempt)
        if answer is None:
            log.error("round %d: no answer was committed to that could be revealed", state.round)
            return
        await seat.store.put(await self.combined(state, state.valid))
        if answer.view:
            await seat.store.put(answer.view)
        await seat.ledger.submit(
            "Aggregation:reveal",
            seat.job.id,
            state.round,
            state.attempt,
            answer.model_cid,
            answer.salt.hex(),
            _named(answer),
            transient={"view": answer.view} if answer.view else {},
        )

    async def post(self, state: RoundState) -> None:
        """Optimistic, as the first of the committee: store the aggregate and name it."""
        model = await self.seat.store.put(await self.combined(state, state.valid))
        beacon = await self.seat.beacons.latest()
        await self.seat.ledger.submit(
            "Aggregation:post", self.seat.job.id, state.round, state.attempt, model, beacon
        )

    async def disputes(self, state: RoundState) -> bool:
        """The watchtower: whether the post is wrong. What cannot be recomputed now may be at the next look."""
        try:
            own = cid.file_cid(await self.combined(state, state.valid))
        except CandorError as fault:
            log.warning("round %d: cannot check the post: %s", state.round, fault)
            return False
        if own == state.post:
            self._did(state)
            return False
        log.warning("round %d: %s posted %s, but it is %s", state.round, state.aggregator, state.post, own)
        return True

    async def challenge(self, state: RoundState) -> None:
        """Put up a bond against the post; who has no money for it, no part in the round, or is suspended leaves it
        to others."""
        seat = self.seat
        if seat.me not in await seat.view.outcomes(seat.job.id, state.round):
            return
        try:
            credits = await seat.view.credits(seat.me, seat.job.spec.bond)
            beacon = await seat.beacons.latest()
            call = ("Aggregation:challenge", seat.job.id, state.round, state.attempt, credits, beacon)
            await seat.ledger.submit(*call)
        except (BadInput, Refused) as fault:
            if isinstance(fault, Refused) and fault.code != 403:
                raise
            log.warning("round %d: cannot challenge the post: %s", state.round, fault)

    async def finalise(self, state: RoundState) -> None:
        """As anybody: move the stage on once all have acted or its window is over."""
        seat = self.seat
        beacon = await seat.beacons.latest()
        now = seat.job.beacon.time(beacon.round)
        if now < state.deadline and not await self._complete(state):
            return
        if state.stage is Stage.WITNESS and now < state.deadline + seat.job.spec.aggregate_seconds:
            await self.views.agree(state)
        else:
            await seat.ledger.submit("Aggregation:finalise", seat.job.id, state.round, beacon)

    async def check(self, state: RoundState) -> bool:
        """Recompute what the round ended with and keep it, since who decided may give it to nobody; complain in the
        log when it differs."""
        if state.aggregation_outcome in ("", "kept"):  # void, or nobody decided
            return state.result == state.model
        made = await self.combined(state, state.valid)
        honest = cid.file_cid(made)
        if honest == state.result:
            await self.seat.store.keep(made)
        else:
            log.error("round %d ended with %s, but its updates make %s", state.round, state.result, honest)
        return await self.views.check(state) and honest == state.result

    async def refuses(self, state: RoundState) -> dict[str, Reason]:
        """This client's verdict: member → why its update is not valid."""
        if self._layers:
            return await self._layers.refuses(state)
        names = {member: shown.update for member, shown in (await counted(self.seat, state)).items()}
        until = patience(self.seat, state)
        updates, refused = await self._fetch(names, until)
        known: list[dict[str, bytes]] = []
        if scoring.checks_lightly(self.seat.job.spec):
            known = [await self._revealed(state.round - back, until) for back in (1, 2)]
        model = await self.seat.model(state.model)
        found = await asyncio.to_thread(aggregator.verdicts, model, updates, *known)
        for member, fault in found.items():
            if fault:
                refused[member] = fault.reason
                log.warning("round %d: the update of %s is refused: %s", state.round, member, fault)
        return refused

    async def combined(self, state: RoundState, valid: list[str]) -> bytes:
        """The aggregate over exactly these members' updates.

        NotStored: one of them cannot be had. Disagreement: one is not valid, though most of the committee said so.
        """
        if self._latest is None or self._latest[0] != (state.round, valid):
            combine = self._layers.combined if self._layers else self._flat
            made = await combine(state, valid)
            self._latest = (state.round, list(valid)), made
        return self._latest[1]

    async def _flat(self, state: RoundState, valid: list[str]) -> bytes:
        """In one layer: from every update, all of them at hand."""
        reveals = await counted(self.seat, state)
        updates, refused = await self._fetch({member: reveals[member].update for member in valid})
        if refused:
            raise NotStored(f"round {state.round}: {len(refused)} valid updates cannot be fetched yet")
        model, strategy = await self.seat.model(state.model), self.seat.job.spec.strategy
        try:
            return await asyncio.to_thread(aggregator.aggregate, model, updates, strategy)
        except ValueError as fault:
            raise Disagreement(f"round {state.round}: the valid set cannot be combined: {fault}") from fault

    async def _fetch(
        self, names: dict[str, str], until: int | None = None
    ) -> tuple[dict[str, bytes], dict[str, Reason]]:
        """Contents by member, and why the others have none. What has not come by beacon `until` is missing:
        who withholds an update must not make the committee miss its vote."""
        tasks = {member: asyncio.create_task(fetched(self.seat, names[member])) for member in sorted(names)}
        try:
            await finished(self.seat, tasks.values(), until)
            found = {m: task.result() if task.done() else Reason.MISSING for m, task in tasks.items()}
        finally:
            for task in tasks.values():
                task.cancel()
        updates = {member: data for member, data in found.items() if isinstance(data, bytes)}
        return updates, {member: data for member, data in found.items() if isinstance(data, Reason)}

    async def _revealed(self, number: int, until: int) -> dict[str, bytes]:
        """The updates revealed in an earlier round, as far as they can be had; none before the first."""
        if number < 1:
            return {}
        shown = await self.seat.view.reveals(self.seat.job.id, number)
        return (await self._fetch({member: each.update for member, each in shown.items()}, until))[0]

    async def _complete(self, state: RoundState) -> bool:
        """Whether all have acted whom the stage waits for."""
        acted = await self._acted(state)
        if state.stage is Stage.REVEAL:
            done = await self.seat.view.progress(self.seat.job.id, state.round, state.attempt)
            return set(done.committed) <= acted
        return state.stage in (Stage.VOTE, Stage.COMMIT, Stage.WITNESS) and set(state.voters) <= acted

    async def _still_to(self, state: RoundState) -> bool:
        """Whether this client's vote, commit, reveal or witness is due; a commit that came too late stays shut."""
        if self.seat.me not in state.voters or not await self._may(state):
            return False
        if self.seat.me in await self._acted(state):
            self._did(state)
            return False
        return True

    async def _may(self, state: RoundState) -> bool:
        if state.stage is not Stage.REVEAL:
            return True
        done = await self.seat.view.progress(self.seat.job.id, state.round, state.attempt)
        return self.seat.me in done.committed

    async def _acted(self, state: RoundState) -> set[str]:
        """Who has done what the stage is for."""
        done = await self.seat.view.progress(self.seat.job.id, state.round, state.attempt)
        match state.stage:
            case Stage.VOTE:
                return set(done.ballots)
            case Stage.COMMIT:
                return set(done.committed)
            case Stage.WITNESS:
                return set(done.witnesses)
            case _:
                return set(done.answers)

    async def _pin(self, member: str, name: str) -> None:
        try:
            await self.seat.store.pin(name)
        except CandorError as fault:
            log.warning("cannot keep the update of %s: %s", member, fault)

    def _first(self, state: RoundState) -> bool:
        return state.aggregator == self.seat.me

    def _did(self, state: RoundState) -> None:
        self._done.add((state.round, state.attempt, cast(Stage, state.stage)))


def _named(answer: Answer) -> str:
    """The CID of its view; "" where none is agreed on."""
    return cid.raw_cid(answer.view) if answer.view else ""


AGGREGATORS: dict[str, type] = {"honest": Aggregator}


def named(name: str) -> type[Aggregator]:
    """The aggregator called ``name`` (or ``module:Class``); BadInput if there is none."""
    return cast("type[Aggregator]", resolve(name, AGGREGATORS, "aggregator"))
