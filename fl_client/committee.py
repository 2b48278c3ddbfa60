"""Step 9 as a client lives it: vote on the updates, answer with the aggregate, watch what others post.

The contracts know the stages (chaincode.records.Stage); what is due is read from the chain at every look,
so a restarted client goes on. The salt of an answer is in the journal before its digest leaves.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable
from typing import Any, cast

from chaincode import cid, commitment
from chaincode.records import Reason, RoundState, Stage
from fl_client import aggregator
from fl_client.errors import BadInput, CandorError, NotStored, TooLarge
from fl_client.journal import Answer
from fl_client.named import resolve
from fl_client.steps import Seat, counted

log = logging.getLogger(__name__)


class Aggregator:
    """One client's part in aggregation; honest. Tests subclass it to lie, stay silent or copy."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self._done: set[tuple[int, int, Stage]] = set()
        self._latest: tuple[tuple[int, list[str]], bytes] | None = None

    async def act(self, state: RoundState) -> bool:
        """Do what is due of this client in the attempt's stage, if anything; whether something was."""
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
        """Say which updates are refused and why; keep the others for those who could not fetch them."""
        refused = await self.refuses(state)
        await self.seat.ledger.submit(
            "Aggregation:vote", self.seat.job.id, state.round, state.attempt, refused
        )
        held = {m: shown.update for m, shown in (await counted(self.seat, state)).items() if m not in refused}
        await asyncio.gather(*(self._pin(member, name) for member, name in held.items()))

    async def commit(self, state: RoundState) -> None:
        """Commit to the aggregate over the valid set. It goes to the store only when revealed: a pin can be copied."""
        seat = self.seat
        answer = seat.journal.find_answer(seat.job.id, state.round, state.attempt)
        if answer is None:
            model = cid.file_cid(await self.combined(state, state.valid))
            answer = Answer(model, secrets.token_bytes(commitment.SALT_BYTES))
            seat.journal.keep_answer(seat.job.id, state.round, state.attempt, answer)
        digest = commitment.answer_digest(
            seat.domain(state.round), state.attempt, seat.me, answer.model_cid, answer.salt
        )
        await seat.ledger.submit("Aggregation:commit", seat.job.id, state.round, state.attempt, digest.hex())

    async def reveal(self, state: RoundState) -> None:
        """Store the aggregate, and open the commit."""
        seat = self.seat
        answer = seat.journal.find_answer(seat.job.id, state.round, state.attempt)
        if answer is None:
            log.error("round %d: no answer was committed to that could be revealed", state.round)
            return
        await seat.store.put(await self.combined(state, state.valid))
        await seat.ledger.submit(
            "Aggregation:reveal", seat.job.id, state.round, state.attempt, answer.model_cid, answer.salt.hex()
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
        """Put up a bond against the post; without the money for it somebody else has to."""
        seat = self.seat
        try:
            credits = await seat.view.credits(seat.me, seat.job.spec.bond)
        except BadInput as fault:
            log.warning("round %d: cannot challenge the post: %s", state.round, fault)
            return
        beacon = await seat.beacons.latest()
        await seat.ledger.submit(
            "Aggregation:challenge", seat.job.id, state.round, state.attempt, credits, beacon
        )

    async def finalise(self, state: RoundState) -> None:
        """As anybody: move the stage on once all have acted or its window is over."""
        seat = self.seat
        beacon = await seat.beacons.latest()
        if seat.job.beacon.time(beacon.round) >= state.deadline or await self._complete(state):
            await seat.ledger.submit("Aggregation:finalise", seat.job.id, state.round, beacon)

    async def check(self, state: RoundState) -> bool:
        """Recompute what the round ended with; complain in the log when it differs."""
        if state.aggregation_outcome in ("", "kept"):  # void, or nobody decided
            return state.result == state.model
        honest = cid.file_cid(await self.combined(state, state.valid))
        if honest != state.result:
            log.error("round %d ended with %s, but its updates make %s", state.round, state.result, honest)
        return honest == state.result

    async def refuses(self, state: RoundState) -> dict[str, Reason]:
        """This client's verdict: member → why its update is not valid."""
        names = {member: shown.update for member, shown in (await counted(self.seat, state)).items()}
        until = self.seat.job.beacon.round_at(state.deadline - self.seat.job.spec.aggregate_seconds // 2)
        updates, refused = await self._fetch(names, until)
        known: list[dict[str, bytes]] = []
        if self.seat.job.spec.light_check:
            known = [await self._revealed(state.round - back, until) for back in (1, 2)]
        model = await self.seat.model(state.model)
        found = await asyncio.to_thread(aggregator.verdicts, model, updates, *known)
        for member, fault in found.items():
            if fault:
                refused[member] = fault.reason
                log.warning("round %d: the update of %s is refused: %s", state.round, member, fault)
        return refused

    async def combined(self, state: RoundState, valid: list[str]) -> bytes:
        """The aggregate over exactly these members' updates. NotStored: one of them cannot be had."""
        if self._latest is None or self._latest[0] != (state.round, valid):
            reveals = await counted(self.seat, state)
            updates, refused = await self._fetch({member: reveals[member].update for member in valid})
            if refused:
                raise NotStored(f"round {state.round}: {len(refused)} valid updates cannot be fetched yet")
            made = await asyncio.to_thread(
                aggregator.aggregate, await self.seat.model(state.model), updates, self.seat.job.spec.strategy
            )
            self._latest = (state.round, list(valid)), made
        return self._latest[1]

    async def _fetch(
        self, names: dict[str, str], until: int | None = None
    ) -> tuple[dict[str, bytes], dict[str, Reason]]:
        """Contents by member, and why the others have none. What has not come by beacon `until` is missing:
        who withholds an update must not make the committee miss its vote."""

        async def one(name: str) -> bytes | Reason:
            try:
                return await self.seat.store.get(name, limit=self.seat.job.spec.model_bytes)
            except TooLarge:
                return Reason.OVERSIZED
            except CandorError as fault:
                log.warning("cannot fetch the update %s: %s", name, fault)
                return Reason.MISSING

        tasks = {member: asyncio.create_task(one(names[member])) for member in sorted(names)}
        try:
            await self._all(tasks.values(), until)
            found = {m: task.result() if task.done() else Reason.MISSING for m, task in tasks.items()}
        finally:
            for task in tasks.values():
                task.cancel()
        updates = {member: data for member, data in found.items() if isinstance(data, bytes)}
        return updates, {member: data for member, data in found.items() if isinstance(data, Reason)}

    async def _all(self, tasks: Iterable[asyncio.Task[bytes | Reason]], until: int | None) -> None:
        """Wait for all tasks, or until a beacon exists; a beacon that stalls cuts nothing short."""
        everything = asyncio.gather(*tasks)
        if until is None:
            await everything
            return
        late = asyncio.create_task(self.seat.beacons.at(until))
        try:
            waiting: set[asyncio.Future[Any]] = {everything, late}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            late.cancel()
            if not everything.done():
                everything.cancel()

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
        return state.stage in (Stage.VOTE, Stage.COMMIT) and set(state.voters) <= acted

    async def _still_to(self, state: RoundState) -> bool:
        """Whether this client's vote, commit or reveal is due."""
        if self.seat.me not in state.voters:
            return False
        if self.seat.me in await self._acted(state):
            self._did(state)
            return False
        return True

    async def _acted(self, state: RoundState) -> set[str]:
        """Who has done what the stage is for."""
        done = await self.seat.view.progress(self.seat.job.id, state.round, state.attempt)
        match state.stage:
            case Stage.VOTE:
                return set(done.ballots)
            case Stage.COMMIT:
                return set(done.committed)
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


AGGREGATORS: dict[str, type] = {"honest": Aggregator}


def named(name: str) -> type[Aggregator]:
    """The aggregator called ``name`` (or ``module:Class``); BadInput if there is none."""
    return cast("type[Aggregator]", resolve(name, AGGREGATORS, "aggregator"))
