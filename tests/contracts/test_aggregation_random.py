"""Whatever members do, in whatever order: the round ends, nobody decides alone, and all money stays somebody's."""

from __future__ import annotations

import asyncio
import random

import pytest

from chaincode.records import TREASURY, Phase, RoundState, Stage
from fl_client.errors import Refused
from tests.contracts.panel import OTHER, RIGHT, WRONG, Panel, optimistic
from tests.contracts.viewers import FAR, HONEST, NEAR, Viewers, model_view

SEEDS = range(30)
STEPS = 400


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_aggregation_always_ends_with_all_money_somebodys(seed):
    asyncio.run(_play(random.Random(seed)))  # noqa: S311  # a test's choices


@pytest.mark.parametrize("seed", SEEDS[:20])
def test_so_does_one_that_agrees_on_a_view(seed):
    asyncio.run(_play_views(random.Random(seed)))  # noqa: S311  # a test's choices


async def _play(rng: random.Random) -> None:
    posting = rng.random() < 0.5
    terms = {"attempts": rng.randint(1, 3), "bond": rng.choice([1, 50])}
    size = rng.choice([3, 5])
    panel = await Panel.settled(
        rng.randint(3, 6), **(optimistic(**terms) if posting else {"committee": size, **terms})
    )
    state = await _until_over(panel, rng)
    assert (await panel.ended()) == state
    assert state.aggregation_outcome in ("sole", "majority", "optimistic", "kept")


async def _play_views(rng: random.Random) -> None:
    """Any round but the last: who answers with the same model may still have any view of it."""
    terms = {"attempts": rng.randint(1, 3), "bond": rng.choice([1, 50]), "committee": rng.choice([3, 5])}
    panel = await Viewers.settled(rng.randint(3, 6), **terms)
    panel.views = {m: rng.choice([HONEST, HONEST, HONEST, NEAR, FAR, model_view(9)]) for m in panel.members}
    await _until_over(panel, rng)
    state = await panel.over()
    assert (state.aggregation_outcome, bool(state.next_view)) in (("majority", True), ("kept", False))


async def _until_over(panel: Panel, rng: random.Random) -> RoundState:
    await panel.begin()
    for _ in range(STEPS):
        state = await panel.state()
        if state.phase is Phase.FINAL:
            break
        try:
            await _anything(panel, rng, state.committee)
        except Refused as refusal:
            if refusal.code not in (403, 409, 422, 425):
                raise
        else:
            await panel.world.holdings()
    await _check_money(panel)
    return await panel.state()


async def _anything(panel: Panel, rng: random.Random, committee: list[str]) -> None:
    """One random call by a random member, more often by one whose call makes sense."""
    member = rng.choice(committee if rng.random() < 0.9 else list(panel.members))
    who, state = panel.members[member], await panel.state()
    call = rng.choice(["own", "own", "own", "own", "move", "late", "other"])
    if call in ("move", "late"):
        await panel.move(late=call == "late" and rng.random() < 0.15)
        return
    stage = state.stage if call == "own" else rng.choice(list(Stage))
    model = rng.choice([RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, WRONG, OTHER, panel.spec.model])
    match stage:
        case Stage.SOLE:
            refused = rng.sample(sorted(panel.members), rng.randint(0, 2))
            await who.submit("Aggregation:aggregate", "job", 1, 1, model, dict.fromkeys(refused, "norm"))
        case Stage.VOTE:
            refused = rng.sample(sorted(panel.members), rng.choice([0, 0, 1, len(panel.members)]))
            await panel.vote([member], dict.fromkeys(refused, "missing"))
        case Stage.POST:
            await panel.post(model)
        case Stage.CHALLENGE if rng.random() < 0.5:
            await panel.challenge(rng.choice(list(panel.members)))
        case Stage.COMMIT:
            key = (state.attempt, member)
            known = panel.salts.get(key)
            try:
                await panel.commit(member, model)
            except Refused:
                panel.salts.pop(key)
                if known:
                    panel.salts[key] = known
                raise
        case Stage.REVEAL if (state.attempt, member) in panel.salts:
            await panel.reveal(member)
        case Stage.WITNESS if isinstance(panel, Viewers):
            if rng.random() < 0.5:
                await panel.witness({member: rng.sample(state.voters, rng.choice([0, 0, 0, 1, 2]))})
            else:
                await panel.agree(rng.sample(state.voters, rng.randint(0, len(state.voters))))


async def _check_money(panel: Panel) -> None:
    """Nobody loses more than a bond and what it put up; the treasury gets bonds of those who forfeited only."""
    state, gains = await panel.state(), await panel.gains()
    assert sum(gains.values()) == 0
    assert gains.get(TREASURY, 0) == panel.money * len(state.forfeited)
    for member in panel.members:
        change, forfeit = gains.get(member, 0), member in state.forfeited
        if state.challenger and state.aggregation_outcome == "majority" and member == state.aggregator:
            assert change == (panel.money if state.post == state.result else -panel.money)
        elif state.challenger and state.aggregation_outcome == "majority" and member == state.challenger:
            assert (
                change
                == (-panel.money if state.post == state.result else panel.money) - forfeit * panel.money
            )
        else:
            assert change == -panel.money * forfeit
