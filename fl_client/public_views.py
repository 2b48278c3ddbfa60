"""A client's part in public views: makes its own of each new model, finds the committee's, combines and checks them.

The contract's side is chaincode/contracts/aggregation/views.py; docs/protocol.md says who must bring what.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from chaincode import cid, committees
from chaincode import view as views
from chaincode.mechanisms.per_round import apart, combine
from chaincode.mtpp import View
from chaincode.records import RoundState
from fl_client.errors import CandorError, Disagreement, NotStored
from fl_client.training import parameters
from fl_client.training.views import public_view
from fl_client.waiting import finished

if TYPE_CHECKING:
    from fl_client.steps import Seat

log = logging.getLogger(__name__)


class PublicViews:
    """Views of one job, as one of its clients sees them."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat

    async def own(self, model: bytes) -> bytes:
        """This machine's view of a model over all public items, packed."""
        learner = self.seat.learner
        weights = parameters.from_bytes(model, learner.trainer.initial())
        items = learner.problem.public()
        return await asyncio.to_thread(
            public_view, learner.trainer, weights, items, self.seat.job.spec.alphabet
        )

    async def witness(self, state: RoundState) -> None:
        """Fetch the committee's views, keep them for those who could not, and say which cannot be had.

        What has not come in the first half of the window is missing.
        """
        seat = self.seat
        names = await self._named(state)
        until = seat.job.beacon.round_at(state.deadline - seat.job.spec.aggregate_seconds // 2)
        held = await self._fetch({m: names[m] for m in state.voters}, until)
        await asyncio.gather(*(seat.store.pin(names[member]) for member in held), return_exceptions=True)
        missing = sorted(set(state.voters).difference(held))
        await seat.ledger.submit("Aggregation:witness", seat.job.id, state.round, state.attempt, missing)

    async def agree(self, state: RoundState) -> None:
        """Bring every view that counts. NotStored: one of them cannot be had here; another brings it."""
        seat, counted = self.seat, await self._counted(state)
        held = await self._fetch(counted)
        if len(held) < len(counted):
            raise NotStored(f"round {state.round}: {len(counted) - len(held)} views cannot be fetched yet")
        await seat.ledger.submit(
            "Aggregation:agree",
            seat.job.id,
            state.round,
            await seat.beacons.latest(),
            transient={f"view/{member}": data for member, data in held.items()},
        )

    async def check(self, state: RoundState) -> bool:
        """Combine the views of a round that is over, keep the result; complain when it is not what the round says.

        Also when it is far from what the model answers on this machine.
        """
        if not state.next_view:
            return True
        made = await self._combined(state)
        name = await self.seat.store.put(made)
        if name != state.next_view:
            log.error(
                "round %d ended with the view %s, but its views make %s", state.round, state.next_view, name
            )
            return False
        try:
            other = await self.differs(state.result, self._unpacked(made))
        except (ValueError, Disagreement) as fault:
            log.error(
                "round %d ended with %s, which is no model of the job: %s", state.round, state.result, fault
            )
            return False
        if other:
            log.error("round %d: the agreed view %s is far from this machine's", state.round, name)
        return not other

    async def differs(self, model: str, view: View) -> bool:
        """Whether a view is far from what the model answers on this machine."""
        return apart(self._unpacked(await self.own(await self.seat.model(model))), view)

    async def first(self) -> View:
        """The view that the job names. CandorError: the store does not have it; ValueError: it is none."""
        name = self.seat.job.spec.public_view
        return self._unpacked(await self.seat.store.get(name, limit=self._size))

    async def find(self, state: RoundState) -> bytes | None:
        """The view that scores a round's reports, combined anew if nobody has kept it; None while it cannot be had."""
        seat = self.seat
        try:
            return await seat.store.get(state.view, limit=self._size)
        except CandorError as fault:
            log.warning("cannot fetch the public view %s: %s", state.view, fault)
        for number in range(state.round - 1, 0, -1):
            before = await seat.view.round(seat.job.id, number)
            if before and before.next_view == state.view:
                return await self._again(before)
        return None

    async def _again(self, state: RoundState) -> bytes | None:
        try:
            made = await self._combined(state)
        except CandorError as fault:
            log.warning("nor can it be combined anew: %s", fault)
            return None
        return made if cid.raw_cid(made) == state.next_view else None

    async def _combined(self, state: RoundState) -> bytes:
        """The agreed view of a round that is over. NotStored: a view that counted cannot be had."""
        counted = await self._counted(state)
        held = await self._fetch(counted)
        if len(held) < len(counted):
            raise NotStored(f"round {state.round}: {len(counted) - len(held)} views cannot be fetched")
        seen = {member: self._unpacked(data) for member, data in held.items()}
        return (await asyncio.to_thread(combine, seen, self.seat.job.spec.alphabet))[0]

    async def _counted(self, state: RoundState) -> dict[str, str]:
        """Whose views count, each with its CID: those that more than half of the committee hold."""
        progress = await self.seat.view.progress(self.seat.job.id, state.round, state.attempt)
        return counted(
            state, progress.answers, progress.views, [w.missing for w in progress.witnesses.values()]
        )

    async def _named(self, state: RoundState) -> dict[str, str]:
        return (await self.seat.view.progress(self.seat.job.id, state.round, state.attempt)).views

    async def _fetch(self, names: Mapping[str, str], until: int | None = None) -> dict[str, bytes]:
        """Contents by member, without those that cannot be had, or not before beacon `until`."""
        tasks = {member: asyncio.create_task(self._get(name)) for member, name in sorted(names.items())}
        try:
            await finished(self.seat, tasks.values(), until)
            found = {m: task.result() if task.done() else None for m, task in tasks.items()}
        finally:
            for task in tasks.values():
                task.cancel()
        return {member: data for member, data in found.items() if data is not None}

    async def _get(self, name: str) -> bytes | None:
        try:
            return await self.seat.store.get(name, limit=self._size)
        except CandorError as fault:
            log.warning("cannot fetch the view %s: %s", name, fault)
            return None

    @property
    def _size(self) -> int:
        return views.size(self.seat.job.spec.public_items)

    def _unpacked(self, data: bytes) -> View:
        spec = self.seat.job.spec
        return views.unpack(data, spec.public_items, spec.alphabet)


def counted(
    state: RoundState, answers: Mapping[str, str], named: Mapping[str, str], missing: Iterable[Iterable[str]]
) -> dict[str, str]:
    """Member -> CID of the views that count: of those who answered with the result, held by more than half."""
    agreeing = [member for member in state.committee if answers.get(member) == state.result]
    return {member: named[member] for member in committees.valid(agreeing, missing, len(state.committee))}
