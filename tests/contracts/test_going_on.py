"""What no client can do keeps no round open: agents move on, whatever a lying aggregator has left them with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chaincode import cid
from chaincode.records import Phase, Reason, RoundState, Stage
from fl_client.committee import Aggregator
from fl_client.store import Store
from fl_client.training import parameters
from fl_client.training.behaviour import Honest, Work
from tests.aggregation_faults import Withholding
from tests.contracts.panel import optimistic
from tests.contracts.stage9 import Stage9, arrays
from tests.contracts.test_view_agents import MEMBERS, Federation
from tests.world import ManualClock

WINDOW = 60  # beacon seconds
TERMS: dict[str, Any] = {
    **dict.fromkeys(("commit_seconds", "reveal_seconds", "aggregate_seconds"), WINDOW),
    **{"committee": 1, "agree_view": False, "public_view": "", "extensions": 0},
    **{"mechanism": "paper", "rule": "dasgupta-ghosh"},
}


class Nowhere(Aggregator):
    """Ends the first round with a model that nobody has."""

    async def sole(self, state: RoundState) -> None:
        await self.name(state, cid.raw_cid(b"what nobody has"))

    async def name(self, state: RoundState, model: str) -> None:
        place = self.seat.job.id, state.round, state.attempt
        await self.seat.ledger.submit("Aggregation:aggregate", *place, model, {})


class Garbage(Nowhere):
    """Ends it with what is no model."""

    async def sole(self, state: RoundState) -> None:
        await self.name(state, await self.seat.store.put(b"no model"))


class Bloated(Nowhere):
    """Ends it with more bytes than a model of the job may have."""

    async def sole(self, state: RoundState) -> None:
        await self.name(state, await self.seat.store.put(bytes(self.seat.job.spec.model_bytes + 1)))


@pytest.mark.parametrize("liar", [Nowhere, Garbage, Bloated])
def test_after_a_model_that_nobody_can_use_the_rounds_are_void_and_the_job_ends(
    tmp_path: Path, liar: type[Aggregator]
):
    async def story() -> None:
        job = await Federation.ready(tmp_path, **TERMS)
        await job.play(
            dict.fromkeys(range(MEMBERS), liar)
        )  # whoever is drawn; then all locks and escrows are empty
        assert [state.phase for state in job.states] == [Phase.FINAL, Phase.VOID, Phase.VOID]

    asyncio.run(story())


class Slow(Honest):
    """Trains for longer than the first round's window."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def train(self, work: Work) -> Sequence[np.ndarray]:
        if work.round == 1:
            self._clock.time += WINDOW + 1
        return super().train(work)


def test_a_round_for_which_everybody_was_too_slow_is_void_and_the_next_one_goes_on(tmp_path: Path):
    async def story() -> None:
        job = await Federation.ready(tmp_path, **TERMS)
        for seat in job.seats:
            seat.learner.conduct = Slow(job.world.clock)
        await job.play()
        assert [state.phase for state in job.states] == [Phase.VOID, Phase.FINAL, Phase.FINAL]

    asyncio.run(story())


class Stingy(Aggregator):
    """Names the right model and gives it to nobody: nobody can challenge that."""

    async def sole(self, state: RoundState) -> None:
        await self._without_storing(super().sole(state))

    async def post(self, state: RoundState) -> None:
        await self._without_storing(super().post(state))

    async def check(self, state: RoundState) -> bool:
        return True

    async def _without_storing(self, step: Awaitable[None]) -> None:
        store, self.seat.store = self.seat.store, Closed(self.seat.store)
        try:
            await step
        finally:
            self.seat.store = store


class Closed(Withholding):
    """Passes everything off as stored."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, 0)

    async def put(self, data: bytes) -> str:
        return cid.file_cid(data)


@pytest.mark.parametrize("terms", [{"committee": 1}, optimistic()])
def test_a_right_model_that_its_aggregator_keeps_for_itself_is_had_from_whoever_checked_it(
    tmp_path: Path, terms: dict[str, Any]
):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path, **terms)
        state = await stage.play({(await stage.panel.begin()).aggregator: Stingy})
        assert (state.result, state.attempt) == (stage.honest(), 1)
        assert cid.file_cid(stage.shared[state.result]) == state.result

    asyncio.run(story())


class Captured(Aggregator):
    """Finds every update valid, and then keeps silent."""

    async def refuses(self, state: RoundState) -> dict[str, Reason]:
        return {}

    async def act(self, state: RoundState) -> bool:
        return state.stage is Stage.VOTE and await super().act(state)

    async def finalise(self, state: RoundState) -> None:
        if state.stage is Stage.VOTE:
            await super().finalise(state)


def test_an_honest_member_that_cannot_answer_ends_the_stage_when_nobody_else_does(tmp_path: Path):
    """All three members are the committee: two call NaN valid and keep silent, the third has nothing to answer."""

    async def story() -> None:
        nan = parameters.to_bytes(arrays(8, 0.1))[:-4] + np.float32(np.nan).tobytes()
        stage = await Stage9.ready(tmp_path, 3, attempts=1, special={1: nan})
        committee = (await stage.panel.begin()).committee
        assert len(committee) == 3
        state = await stage.play(dict.fromkeys(committee[:2], Captured))
        assert (state.aggregation_outcome, state.result) == ("kept", stage.panel.spec.model)
        assert set(state.forfeited) == set(committee), "nobody has answered"

    asyncio.run(story())


@pytest.mark.parametrize(
    "terms",
    [{"committee": 1, "strategy": "two-layer"}, {"committee": 3, "attempts": 1}, optimistic(attempts=1)],
)
def test_a_round_that_begins_with_what_is_no_model_ends_and_nobodys_agent_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terms: dict[str, Any]
):
    """Colluders have committed to updates of it: nobody honest can look at one, nor say what they make."""
    monkeypatch.setattr("tests.contracts.stage9.MODEL", b"no model")

    async def story() -> None:
        stage = await Stage9.ready(tmp_path, **terms)
        state = await stage.play({})
        assert (state.aggregation_outcome, state.result) == ("kept", stage.panel.spec.model)

    asyncio.run(story())
