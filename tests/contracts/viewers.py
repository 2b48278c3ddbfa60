"""A committee that agrees on views of its model: its verbs, and views that differ a little or a lot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np

from chaincode import cid
from chaincode import view as views
from chaincode.mtpp import View
from chaincode.records import RoundState, Stage
from tests.contracts.panel import RIGHT, Panel

ITEMS, TASKS, SCORED, ALPHABET = 120, 60, 48, 4


def model_view(seed: int, *, changed: int = 0) -> bytes:
    """What some model answers; `changed`: on so many items it has the next label instead."""
    rng = np.random.default_rng(seed)
    z = rng.integers(0, ALPHABET, ITEMS)
    z2 = (z + rng.integers(1, ALPHABET, ITEMS)) % ALPHABET
    z[:changed], z2[:changed] = (z[:changed] + 1) % ALPHABET, (z[:changed] + 2) % ALPHABET
    return views.pack(View(z, z2, rng.integers(0, 40, ITEMS)), ALPHABET)


FIRST, HONEST = model_view(1), model_view(2)
NEAR, FAR = model_view(2, changed=ITEMS // 10), model_view(2, changed=ITEMS // 10 + 1)


def terms(**changes: Any) -> dict[str, Any]:
    return {
        "mechanism": "per-round",
        "rule": "matched-blocks",
        "public_items": ITEMS,
        "tasks": TASKS,
        "scored_tasks": SCORED,
        "alphabet": ALPHABET,
        "public_view": cid.raw_cid(FIRST),
        "agree_view": True,
        "committee": 3,
        **changes,
    }


class Viewers(Panel):
    """A panel whose job agrees on views."""

    @classmethod
    async def settled(cls, count: int = 5, **spec: Any) -> Self:
        return await super().settled(count, view=FIRST, **terms(rounds=2, **spec))

    async def answered(self, seen: Mapping[str, bytes], **answers: Any) -> RoundState:
        """The committee has voted, and answered with `RIGHT` and these views."""
        self.views = dict(seen)
        await self.voted()
        return await self.answer(answers or dict.fromkeys(seen, RIGHT))

    async def witness(self, missing: Mapping[str, Iterable[str]]) -> None:
        """Each of these members says whose views it could not get."""
        for member, gone in missing.items():
            attempt = (await self.state()).attempt
            await self.members[member].submit("Aggregation:witness", "job", self.round, attempt, list(gone))

    async def agree(self, counted: Iterable[str], **changes: bytes) -> RoundState:
        """Somebody without a stake in it brings the views of these members."""
        brought = {f"view/{member}": self.views[member] for member in counted} | changes
        call = ("Aggregation:agree", "job", self.round, self.world.beacon())
        await self.world.admin.submit(*call, transient=brought)
        return await self.state()

    async def late(self, windows: int = 1) -> None:
        """Let so many windows pass."""
        state = await self.state()
        assert state.stage is Stage.WITNESS
        end = state.deadline + (windows - 1) * self.spec.aggregate_seconds
        self.world.clock.time = max(self.world.clock.time, end) + self.world.terms.beacon.period

    async def over(self) -> RoundState:
        """The round has ended, the job goes on, and the supply is whole."""
        state = await self.state()
        assert state.phase == "final"
        held = await self.world.holdings()
        assert held.locks == 0
        return state
