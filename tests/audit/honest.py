"""One honest job on the embedded ledger, with models small enough to be aggregated in no time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chaincode import cid
from chaincode.records import TREASURY
from fl_client import aggregator
from fl_client.audit import LiveEvidence
from fl_client.ledger.embedded import EmbeddedLedger
from fl_client.store import DirectoryStore
from fl_client.training import parameters
from tests.world import ORGANISATIONS, Work, World, ready

MEMBERS, ROUNDS = 4, 2
INITIAL = parameters.to_bytes([np.zeros((3, 2), np.float32), np.ones(2, np.float32)])
PUBLIC = b"the public items"


@dataclass
class Honest:
    """The world after the job, and its content."""

    world: World
    members: list[EmbeddedLedger]
    store: DirectoryStore

    def evidence(self, job: str = "job") -> LiveEvidence:
        """What an auditor with read access has."""
        return LiveEvidence(job, self.world.admin, self.store)


def update(number: int, who: int) -> bytes:
    """A member's update of a round."""
    shift = np.float32(0.25 * (who + 1) * number)
    return parameters.to_bytes([np.full((3, 2), shift), np.full(2, -shift)])


async def play(store: DirectoryStore, view: bytes = b"", **terms: Any) -> Honest:
    """A job of two rounds: in the second one member does not reveal. Transfers and a vote in between."""
    names = {"model": await store.put(INITIAL), "public_set": await store.put(PUBLIC)}
    if view:
        names["public_view"] = await store.put(view)
    world, members, spec = await ready(MEMBERS, **names, rounds=ROUNDS, **terms)
    model = INITIAL
    for number in range(1, ROUNDS + 1):
        works = {}
        for place, who in enumerate(members):
            work = world.work(spec, [(i + (i % (4 + place) == 3)) % 4 for i in range(spec.tasks)])
            work.update = await store.put(update(number, place))
            await store.put(work.data)
            works[who.member_id] = work
        model = await play_round(world, members, works, number, model, store, view)
    await world.pay(members[0].member_id, 5)
    await world.pass_vote("late", _spend())
    await world.holdings()
    return Honest(world, members, store)


async def play_round(
    world: World,
    members: list[EmbeddedLedger],
    works: dict[str, Work],
    number: int,
    model: bytes,
    store: DirectoryStore,
    view: bytes = b"",
) -> bytes:
    """Commit to aggregate; returns the model it ends with."""
    await world.open(round=number)
    for who in members:
        await world.commit(who, works[who.member_id], round=number)
    await world.close(round=number)
    await world.pair(round=number)
    shown = members if number < ROUNDS else members[:-1]
    for who in shown:
        await world.reveal(who, works[who.member_id], round=number)
    await world.seal(round=number)
    await world.settle({who.member_id: works[who.member_id] for who in shown}, round=number, view=view)
    state = await world.begin(round=number)
    updates = {who.member_id: update(number, members.index(who)) for who in shown}
    strategy = (await world.view.job("job")).spec.strategy
    made = aggregator.aggregate(model, updates, strategy)
    (drawn,) = [who for who in members if who.member_id == state.aggregator]
    if strategy == "two-layer":
        await drawn.submit("Aggregation:partial", "job", number, drawn.msp_id, await store.put(b"said"))
    await drawn.submit("Aggregation:aggregate", "job", number, state.attempt, await store.put(made), {})
    return made


def _spend():
    from chaincode.proposals import SetRegistration
    from chaincode.records import Registration

    return SetRegistration(registration=Registration(pre_known=True, deposit=7))


__all__ = ["MEMBERS", "ORGANISATIONS", "ROUNDS", "TREASURY", "Honest", "cid", "play", "update"]
