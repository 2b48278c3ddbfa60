"""One client's way through a job: reads the round's state, does its own next step, pushes the rest.

Nothing is remembered between two looks but the journal on disk: a restarted agent reads the chain and
goes on. Whoever's turn it is by a hash of the step acts at once, the others a little later, so that
everyone may push and usually one does.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from chaincode.records import Phase, RoundState
from fl_client import steps
from fl_client.committee import Aggregator
from fl_client.errors import (
    BadBeacon,
    CandorError,
    CommitRejected,
    CommitTimeout,
    Corrupt,
    Disagreement,
    NotStored,
    ReadConflict,
    Refused,
    TooLarge,
    Unavailable,
)
from fl_client.steps import Seat

T = TypeVar("T")
log = logging.getLogger(__name__)
STORED = (NotStored, TooLarge, Corrupt)  # what others have put into the store, or not
LOST = (ReadConflict, CommitRejected, CommitTimeout)  # an endorser or an orderer that lies may be behind it
PASSING = (BadBeacon, Disagreement, Unavailable, *LOST, *STORED)
AHEAD = 30.0  # seconds after which a round is looked at anew while its beacon is waited for


class Agent:
    """Runs every round of one job for one client."""

    def __init__(
        self, seat: Seat, aggregator: Aggregator | None = None, *, look: float = 0.5, stagger: float = 1.5
    ) -> None:
        """``aggregator``: how it does step 9 (honestly if None); ``look``: seconds between two looks when no
        block comes; ``stagger``: between two agents' pushes."""
        self.seat, self._look, self._stagger = seat, look, stagger
        self._aggregator = aggregator or Aggregator(seat)
        self._seen: dict[str, float] = {}
        self._done: set[str] = set()

    async def run(self) -> None:
        """All rounds, from wherever the job stands; a job that was cancelled or aborted ends before the next."""
        for number in range(1, self.seat.job.spec.rounds + 1):
            if await self.round(number) is None:
                log.info("the job was ended before round %d", number)
                return

    async def round(self, number: int) -> RoundState | None:
        """One round to its end, from whatever phase it is in; None when it will never be opened."""
        while True:
            state = await self._state(number)
            if state and state.phase.over:
                await self._quietly(self._aggregator.check(state))
                log.info("round %d: %s", number, state.phase)
                return state
            try:
                await self._done_with(number, self._step(number, state), final=partial(self._joins, state))
            except Refused:
                if state is None and await self._asked(lambda: self.seat.view.cancelled(self.seat.job.id)):
                    return None
                raise
            await self.seat.ledger.changed(self._look)

    async def _state(self, number: int) -> RoundState | None:
        return await self._asked(lambda: self.seat.view.round(self.seat.job.id, number))

    async def _asked(self, query: Callable[[], Awaitable[T]]) -> T:
        """The answer, once somebody gives one."""
        while True:
            try:
                return await query()
            except PASSING as fault:
                log.warning("%s", fault)
                await asyncio.sleep(self._look)

    @staticmethod
    async def _done_with(number: int, step: Awaitable[object], *, final: Callable[[], bool] = bool) -> bool:
        """Whether a step was done, and was due; what may pass is tried again at the next look.

        A final refusal is the agent's end where `final`. After its commit it may have lost nothing yet but a step
        that it took on one peer's word: it looks again, and its next step may be its reveal.
        """
        try:
            return await step is not False
        except Refused as refusal:
            if refusal.final and final():
                raise
            log.log(logging.WARNING if refusal.final else logging.DEBUG, "round %d: %s", number, refusal)
        except PASSING as fault:
            log.info("round %d: %s", number, fault)
        return False

    async def _step(self, number: int, state: RoundState | None) -> None:
        """What the phase asks. Who cannot do its own part, a model that nobody has say, still moves the round on:
        otherwise a round in which nobody can would never end."""
        seat = self.seat
        if state is None:
            await self._push(number, None, lambda: steps.open(seat, number))
            return
        match state.phase:
            case Phase.COMMIT if await self._still_to(state, "commit"):
                if not await self._done_with(number, self._commit(state), final=lambda: True):
                    await self._push(number, state, lambda: steps.close(seat, state))
            case Phase.COMMIT:
                await self._push(number, state, lambda: steps.close(seat, state))
            case Phase.CLOSED:
                await self._beacon(state.pairing_round)
                await self._push(number, state, lambda: steps.pair(seat, state))
            case Phase.REVEAL if await self._still_to(state, "reveal"):
                await steps.reveal(seat, state)
                log.info("round %d: reveal done", number)
            case Phase.REVEAL:
                await self._push(number, state, lambda: steps.seal(seat, state))
            case Phase.SEALED:
                await self._beacon(state.sampling_round)
                await self._push(number, state, lambda: steps.settle(seat, state))
            case Phase.SETTLED:
                await self._push(number, state, lambda: steps.begin(seat, state))
            case Phase.AGGREGATE if not await self._done_with(number, self._aggregator.act(state)):
                await self._push(number, state, lambda: self._aggregator.finalise(state))

    def _joins(self, state: RoundState | None) -> bool:
        """Whether the client has nothing at stake in the round yet."""
        return state is None or (state.phase is Phase.COMMIT and _key(state, "commit") not in self._done)

    async def _commit(self, state: RoundState) -> None:
        """Take part in the round, unless its organisation's places are taken: then it is left to others."""
        try:
            await steps.commit(self.seat, state)
            log.info("round %d: commit done", state.round)
        except Refused as refusal:
            if refusal.code != 422:
                raise
            log.warning("round %d: it goes on without this client: %s", state.round, refusal)
            self._done.add(_key(state, "commit"))

    async def _beacon(self, round: int) -> None:
        """Wait for it, but not for ever: the peer that named it may have lied."""
        try:
            async with asyncio.timeout(AHEAD):
                await self.seat.beacons.at(round)
        except TimeoutError:
            raise Unavailable(f"beacon {round} does not exist yet") from None

    async def _still_to(self, state: RoundState, step: str) -> bool:
        """Whether the client's own commit or reveal is due: only the chain knows that it has been done."""
        if _key(state, step) in self._done:
            return False
        view, job, me = self.seat.view, self.seat.job, self.seat.me
        committed = me in await view.participants(job.id, state.round)
        if step == "commit":
            on_roster = job.spec.allow_list is None or me in job.spec.allow_list
            due = on_roster and not committed
        else:
            due = committed and me not in await view.reveals(job.id, state.round)
        if not due:
            self._done.add(_key(state, step))
        return due

    async def _push(self, number: int, state: RoundState | None, push: Callable[[], Awaitable[None]]) -> None:
        """Push when it is this agent's turn: its place in a hashed order times the stagger."""
        window = (state.phase, state.attempt, state.stage, state.deadline) if state else ("open",)
        key = f"{number}/{'/'.join(map(str, window))}"
        since = time.monotonic() - self._seen.setdefault(key, time.monotonic())
        if since >= self._place(key) * self._stagger:
            await push()

    def _place(self, key: str) -> int:
        """The agent's place among the roster for this step; without a roster a hashed place of eight."""

        def rank(member: str) -> bytes:
            return hashlib.sha256(f"{key}/{member}".encode()).digest()

        roster = self.seat.job.spec.allow_list
        if roster is None:
            return rank(self.seat.me)[0] % 8
        return sum(rank(member) < rank(self.seat.me) for member in roster)

    @staticmethod
    async def _quietly(check: Awaitable[object]) -> None:
        """A check that cannot be made is no reason to stop."""
        try:
            await check
        except CandorError as fault:
            log.warning("cannot check the aggregate: %s", fault)


def _key(state: RoundState, step: str) -> str:
    return f"{state.round}/{step}"
