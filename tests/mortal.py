"""A client's process that ends, once each, directly before and directly after everything it does to the world."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

import msgspec

from chaincode import cid
from chaincode.records import Phase, RoundState, Stage
from fl_client.agent import Agent
from fl_client.journal import Answer, Journal, Prepared
from fl_client.ledger.base import Event, Ledger, Receipt
from fl_client.steps import Seat
from fl_client.store.base import Store

Guard = Callable[[bytes], Awaitable[None]]


class Killed(BaseException):
    """As a process ends: nothing in it can catch that."""


class Life:
    """One run of the process, from its start to its end; `died` remembers across lives where it has ended before."""

    def __init__(self, died: set[str]) -> None:
        self._died, self._task, self._over = died, asyncio.current_task(), False
        self.now = "at the start"  # what the process is about, as it saw the round last

    async def does(self, what: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """The work, unless the process ends before it, or after."""
        await self._at(f"before {what}")
        done = await work()
        await self._at(f"after {what}")
        return done

    def writes(self, what: str, work: Callable[[], None]) -> None:
        """The same of what blocks."""
        for when, then in (("before", work), ("after", lambda: None)):
            if self._ends(f"{when} {what}"):
                raise Killed
            then()

    async def _at(self, place: str) -> None:
        if self._over or self._ends(place):
            await self._end()

    def _ends(self, place: str) -> bool:
        named = f"{place} in {self.now}"
        if named in self._died:
            return False
        self._died.add(named)
        self._over = True
        return True

    async def _end(self) -> NoReturn:
        assert self._task is not None
        self._task.cancel()
        while True:  # whatever is left of the process does nothing any more
            await asyncio.Event().wait()


class MortalLedger(Ledger):
    """Whatever leaves the client by it is looked at by `guard` first."""

    def __init__(self, ledger: Ledger, life: Life, guard: Guard) -> None:
        self._ledger, self._life, self._guard = ledger, life, guard
        self.msp_id, self.member_id = ledger.msp_id, ledger.member_id
        self.channel, self.chaincode = ledger.channel, ledger.chaincode
        self.organisations = ledger.organisations

    async def submit(
        self, transaction: str, *args: Any, transient: Mapping[str, bytes] | None = None
    ) -> Receipt:
        await self._guard(repr((args, transient)).encode())

        def work() -> Awaitable[Receipt]:
            return self._ledger.submit(transaction, *args, transient=transient)

        receipt: Receipt = await self._life.does(transaction, work)
        return receipt

    async def evaluate(self, transaction: str, *args: Any) -> bytes:
        answer = await self._ledger.evaluate(transaction, *args)
        if transaction == "Rounds:get":
            seen = msgspec.json.decode(answer, type=RoundState)
            self._life.now = f"round {seen.round}, {seen.phase} {seen.stage or ''}"
        return answer

    async def agree(self, transaction: str, *args: Any) -> bytes:
        return await self._ledger.agree(transaction, *args)

    async def changed(self, timeout: float) -> bool:  # noqa: ASYNC109
        return await self._ledger.changed(timeout)

    def events(self, start: int | None = None) -> AsyncIterator[Event]:
        return self._ledger.events(start)

    async def height(self) -> int:
        return await self._ledger.height()

    async def block(self, number: int) -> bytes:
        return await self._ledger.block(number)


class MortalStore(Store):
    """Whatever leaves the client by it is looked at by `guard` first."""

    def __init__(self, store: Store, life: Life, guard: Guard) -> None:
        self._store, self._life, self._guard = store, life, guard

    async def put(self, data: bytes) -> str:
        await self._guard(data)
        return str(await self._life.does("put", lambda: self._store.put(data)))

    async def keep(self, data: bytes) -> str:
        await self._guard(data)
        return str(await self._life.does("keep", lambda: self._store.keep(data)))

    async def get(self, cid: str, *, limit: int) -> bytes:
        return bytes(await self._life.does("get", lambda: self._store.get(cid, limit=limit)))

    async def pin(self, cid: str) -> None:
        await self._life.does("pin", lambda: self._store.pin(cid))


class MortalJournal(Journal):
    def __init__(self, journal: Journal, life: Life) -> None:
        super().__init__(journal._directory)
        self._life = life

    def keep(self, job: str, round: int, prepared: Prepared) -> None:
        self._life.writes("journal", lambda: super(MortalJournal, self).keep(job, round, prepared))

    def keep_answer(self, job: str, round: int, attempt: int, answer: Answer) -> None:
        self._life.writes(
            "answer", lambda: super(MortalJournal, self).keep_answer(job, round, attempt, answer)
        )


class Mortal:
    """A client that is started again whenever its process has ended, with nothing but its journal."""

    def __init__(self, seat: Seat, agent: Callable[[Seat], Agent]) -> None:
        self.died: set[str] = set()
        self._seat, self._agent = seat, agent

    async def run(self) -> None:
        """Its lives, until one of them sees the end of the job."""
        while not await self._life():
            pass

    async def _life(self) -> bool:
        living = asyncio.create_task(self._live())
        try:
            await living
        except (Killed, asyncio.CancelledError):
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                living.cancel()
                raise
            return False
        return True

    async def _live(self) -> None:
        life, seat = Life(self.died), self._seat
        mortal = replace(
            seat,
            ledger=MortalLedger(seat.ledger, life, self._guard),
            store=MortalStore(seat.store, life, self._guard),
            journal=MortalJournal(seat.journal, life),
        )
        await self._agent(mortal).run()

    async def _guard(self, leaving: bytes) -> None:
        """Nothing secret leaves before its step, in whatever life."""
        seat = self._seat
        state = await seat.view.last_round(seat.job.id)
        if state is None:
            return
        work = seat.journal.find(seat.job.id, state.round)
        if work and state.phase in (Phase.COMMIT, Phase.CLOSED):
            names = (each.encode() for each in (work.report_cid, work.update_cid, work.salt.hex()) if each)
            assert not any(name in leaving for name in names)
            assert leaving not in (work.report, work.update)
        answer = seat.journal.find_answer(seat.job.id, state.round, state.attempt)
        if answer and state.stage in (Stage.VOTE, Stage.COMMIT):
            assert answer.model_cid.encode() not in leaving
            assert answer.salt.hex().encode() not in leaving
            assert cid.file_cid(leaving) not in (answer.model_cid, cid.file_cid(answer.view))
