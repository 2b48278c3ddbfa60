"""An organisation's watch over a job: no settlement waits for ever for a report that nobody can have.

A revealed report that is not to be had from the organisation's store by the middle of the window for that gets the
organisation's vote (`Settlement:missing`), which only its admin may cast and which stands; at the window's end the
watch has the votes counted (`Settlement:close-missing`). A store that does not answer says nothing about a report.
"""

from __future__ import annotations

import asyncio
import logging

from chaincode import report, scoring
from chaincode.records import Job, Phase, Reveal, RoundState
from fl_client.beacon import BeaconSource
from fl_client.contracts import View
from fl_client.errors import CandorError, Corrupt, Disagreement, NotStored, Refused, TooLarge, Unavailable
from fl_client.ledger.base import Ledger
from fl_client.store.base import Store

log = logging.getLogger(__name__)
GONE = (NotStored, Corrupt, TooLarge)


class Guard:
    """Watches the sealed rounds of one job, with an admin's ledger; nothing is lost when it is started anew."""

    def __init__(
        self, ledger: Ledger, store: Store, beacons: BeaconSource, job: Job, *, look: float = 1.0
    ) -> None:
        """``look``: seconds between two looks when no block comes."""
        self._ledger, self._store, self._beacons, self._job = ledger, store, beacons, job
        self._view, self._look = View(ledger), look
        self._held: set[tuple[int, str]] = set()  # reports that were fetched once
        self._voted: set[tuple[int, str]] = set()

    async def run(self) -> None:
        """Until the job is over."""
        while not await self._over():
            await self._ledger.changed(self._look)

    async def _over(self) -> bool:
        """Look once; whether there will be nothing more to look at."""
        try:
            state = await self._view.last_round(self._job.id)
            if state is not None:
                await self.look_at(state)
            return (state is None or state.phase.over) and not await self._view.escrow(self._job.id)
        except (Disagreement, Unavailable) as fault:  # peers that are not there may be back at the next look
            log.warning("job %s: %s", self._job.id, fault)
            return False

    async def look_at(self, state: RoundState) -> None:
        """Vote and have votes counted, if it is time for either."""
        if state.phase is not Phase.SEALED or not scoring.reports_in(self._job.spec, state):
            return
        try:
            await self._act(state)
        except CandorError as fault:  # a peer, a store or a beacon node in trouble: the next look may do
            log.info("round %d: %s", state.round, fault)

    async def _act(self, state: RoundState) -> None:
        window = self._job.spec.missing_seconds
        now = self._job.beacon.time((await self._beacons.latest()).round)
        if now < state.sealed_at + window // 2:  # it may still be on its way to this store
            return
        gone = await self._gone(state)
        for member in gone:
            await self._vote(state, member)
        if gone and now >= state.sealed_at + window:
            beacon = await self._beacons.latest()
            await self._told("Settlement:close-missing", self._job.id, state.round, beacon)

    async def _gone(self, state: RoundState) -> list[str]:
        """Whose reports cannot be had, of those that still count."""
        reveals = await self._view.reveals(self._job.id, state.round)
        counted = {
            member: shown for member, shown in sorted(reveals.items()) if member not in state.set_aside
        }
        found = await asyncio.gather(*(self._has(state.round, *each) for each in counted.items()))
        return [member for member, has in zip(counted, found, strict=True) if not has]

    async def _has(self, round: int, member: str, shown: Reveal) -> bool:
        if (round, member) in self._held:
            return True
        spec = self._job.spec
        try:
            await self._store.get(shown.report, limit=report.size(spec.tasks, spec.alphabet))
        except GONE as fault:
            log.warning("round %d: the report of %s cannot be had: %s", round, member, fault)
            return False
        self._held.add((round, member))
        return True

    async def _vote(self, state: RoundState, member: str) -> None:
        vote = state.round, member
        if vote not in self._voted and await self._told("Settlement:missing", self._job.id, *vote):
            self._voted.add(vote)

    async def _told(self, transaction: str, *args: object) -> bool:
        """Submit; whether it stands, perhaps since before. Any other refusal may pass: peers that are a block behind,
        organisations that must vote first."""
        try:
            await self._ledger.submit(transaction, *args)
        except Refused as refusal:
            if refusal.final:
                raise
            log.debug("%s: %s", transaction, refusal)
            return refusal.code == 409
        log.info("%s %s", transaction, args[:3])
        return True
