"""Clients that do not aggregate as they should: named in a Share as `tests.aggregation_faults:Lying`, or built."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from chaincode import cid
from chaincode import view as views
from chaincode.mtpp import View
from chaincode.records import RoundState, Stage
from chaincode.scoring import organisation
from fl_client.committee import Aggregator
from fl_client.errors import NotStored
from fl_client.inside import Inside
from fl_client.layers import Layers
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


QUIT = 42  # exit code


class Quitting(Aggregator):
    """Honest, until it is the second of the first committee: then its process ends, for another to take its place."""

    async def act(self, state: RoundState) -> bool:
        if state.stage is Stage.VOTE and state.attempt == 1 and self.seat.me == state.committee[1]:
            raise SystemExit(QUIT)
        return await super().act(state)


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
    """Honest, but for the first attempt's committee members at `places`, who act like `fault`;
    `whole`: and all others of their organisations."""

    def __init__(
        self, seat: Seat, fault: type[Aggregator], places: tuple[int, ...], *, whole: bool = False
    ) -> None:
        super().__init__(seat)
        self._fault, self._places, self._whole = fault(seat), places, whole

    async def act(self, state: RoundState) -> bool:
        return await (self._fault.act(state) if self._odd(state) else super().act(state))

    def _odd(self, state: RoundState) -> bool:
        if state.attempt != 1 or state.stage is None:
            return False
        faulty = [state.committee[place] for place in self._places]
        if not self._whole:
            return self.seat.me in faulty
        return organisation(self.seat.me) in {organisation(member) for member in faulty}


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


class Inventing(Aggregator):
    """Two layers: says of its own organisation's updates what suits it, and answers by that."""

    def __init__(self, seat: Seat) -> None:
        super().__init__(seat)
        self._layers = _Inventing(seat)


class _Inventing(Layers):
    async def _inspect(
        self, state: RoundState, name: str, members: Mapping[str, str], *, missing: set[str]
    ) -> tuple[Inside, bytes]:
        found, partial = await super()._inspect(state, name, members, missing=missing)
        if name != organisation(self.seat.me):
            return found, partial
        made = parameters.to_bytes([array + np.float32(1) for array in parameters.from_bytes(partial)])
        return msgspec.structs.replace(found, partial=cid.file_cid(made)), made
