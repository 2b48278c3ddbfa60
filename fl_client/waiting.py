"""What others serve, and how long a committee member waits: who withholds must not make it miss its vote."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from chaincode.records import Reason, RoundState
from fl_client.errors import CandorError, TooLarge

if TYPE_CHECKING:
    from fl_client.steps import Seat

log = logging.getLogger(__name__)


def patience(seat: Seat, state: RoundState) -> int:
    """Until which beacon an update is waited for: half of what is left of the window, a quarter of it at least."""
    now = int(seat.beacons.clock.now())
    least = now + seat.job.spec.aggregate_seconds // 4
    return seat.job.beacon.round_at(max((now + state.deadline) // 2, least))


async def fetched(seat: Seat, cid: str) -> bytes | Reason:
    """An update's bytes, or why there are none to look at."""
    try:
        return await seat.store.get(cid, limit=seat.job.spec.model_bytes)
    except TooLarge:
        return Reason.OVERSIZED
    except CandorError as fault:
        log.warning("cannot fetch the update %s: %s", cid, fault)
        return Reason.MISSING


async def finished(seat: Seat, tasks: Iterable[asyncio.Task[Any]], until: int | None) -> None:
    """Wait for all tasks, or until a beacon exists and cancel the rest; a beacon that stalls cuts nothing short."""
    everything = asyncio.gather(*tasks, return_exceptions=True)
    if until is None:
        await everything
        return
    late = asyncio.create_task(seat.beacons.at(until))
    try:
        waiting: set[asyncio.Future[Any]] = {everything, late}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if late.done() and late.exception() is not None:  # no beacon node answers
            await asyncio.wait({everything})
    finally:
        late.cancel()
        if not everything.done():
            everything.cancel()
