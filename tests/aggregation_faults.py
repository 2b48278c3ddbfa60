"""Clients that do not aggregate as they should: named in a Share as `tests.aggregation_faults:Lying`, or built."""

from __future__ import annotations

import numpy as np

from chaincode import cid
from chaincode import view as views
from chaincode.mtpp import View
from chaincode.records import RoundState, Stage
from fl_client.committee import Aggregator
from fl_client.errors import NotStored
from fl_client.public_views import PublicViews
from fl_client.steps import Seat
from fl_client.store.base import Store
from fl_client.training import parameters


class Lying(Aggregator):
    """Votes honestly, then answers or posts a model of its own."""

    async def combined(self, state: RoundState, valid: list[str]) -> bytes:
        honest = parameters.from_bytes(await super().combined(state, valid))
        return parameters.to_bytes([array + np.float32(1) for array in honest])

    async def disputes(self, state: RoundState) -> bool:
        return False

    async def check(self, state: RoundState) -> bool:
        return True


class Silent(Aggregator):
    """Does nothing at all in step 9."""

    async def act(self, state: RoundState) -> bool:
        return False

    async def finalise(self, state: RoundState) -> None:
        return


class Mute(Aggregator):
    """Votes, and then never answers."""

    async def act(self, state: RoundState) -> bool:
        return state.stage is Stage.VOTE and await super().act(state)


class Copying(Aggregator):
    """Too lazy to compute: commits to the first digest it sees of somebody else."""

    async def commit(self, state: RoundState) -> None:
        seat = self.seat
        done = await seat.view.progress(seat.job.id, state.round, state.attempt)
        for _, digest in sorted(done.committed.items()):
            await seat.ledger.submit("Aggregation:commit", seat.job.id, state.round, state.attempt, digest)
            return
        raise NotStored("nobody to copy from yet")

    async def reveal(self, state: RoundState) -> None:
        """It does not know what it has committed to."""


class Griefing(Aggregator):
    """Challenges every post."""

    async def disputes(self, state: RoundState) -> bool:
        return True


class Turncoat(Aggregator):
    """Honest, but for the first attempt's committee members at `places`, who act like `fault`."""

    def __init__(self, seat: Seat, fault: type[Aggregator], places: tuple[int, ...]) -> None:
        super().__init__(seat)
        self._fault, self._places = fault(seat), places

    async def act(self, state: RoundState) -> bool:
        odd = state.attempt == 1 and self.seat.me in [state.committee[place] for place in self._places]
        return await (self._fault.act(state) if odd else super().act(state))


class LyingView(Aggregator):
    """Answers with the right model, and with a view in which first and second label are exchanged."""

    def __init__(self, seat: Seat) -> None:
        super().__init__(seat)
        self.views = _Exchanged(seat)


class HiddenView(Aggregator):
    """Names and reveals its view, and keeps the bytes from the store."""

    async def reveal(self, state: RoundState) -> None:
        seat = self.seat
        store, seat.store = seat.store, Withholding(seat.store, _view_bytes(seat))
        try:
            await super().reveal(state)
        finally:
            seat.store = store


def _view_bytes(seat: Seat) -> int:
    return views.size(seat.job.spec.public_items)


class _Exchanged(PublicViews):
    async def own(self, model: bytes) -> bytes:
        spec = self.seat.job.spec
        view = views.unpack(await super().own(model), spec.public_items, spec.alphabet)
        return views.pack(View(view.z2, view.z, view.margin), spec.alphabet)


class Withholding(Store):
    """Passes contents of one size off as stored, and keeps them back."""

    def __init__(self, store: Store, size: int) -> None:
        self._store, self._size = store, size

    async def put(self, data: bytes) -> str:
        return cid.file_cid(data) if len(data) == self._size else await self._store.put(data)

    async def get(self, cid: str, *, limit: int) -> bytes:
        return await self._store.get(cid, limit=limit)

    async def pin(self, cid: str) -> None:
        await self._store.pin(cid)
