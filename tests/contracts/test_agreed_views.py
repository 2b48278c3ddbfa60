"""A view of each round's model, on which the committee agrees: what scores the next round, and every way to it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from chaincode import cid, scoring
from chaincode import view as views
from chaincode.contracts import job_terms
from chaincode.encoding import domain
from chaincode.mechanisms.per_round import agreed
from chaincode.records import TREASURY, Phase, Stage
from tests.attacks.declared import undeclared
from tests.attacks.scenes import refused, scene, story
from tests.contracts.panel import OTHER, RIGHT, WRONG
from tests.contracts.viewers import (
    ALPHABET,
    FAR,
    FIRST,
    HONEST,
    ITEMS,
    NEAR,
    TASKS,
    Viewers,
    model_view,
    terms,
)
from tests.world import MODEL, ORGANISATIONS, World


def combined(*packed: bytes) -> bytes:
    """The agreed view, by the mechanism's own function."""
    return views.pack(agreed([views.unpack(each, ITEMS, ALPHABET) for each in packed]), ALPHABET)


@story
async def test_the_view_that_the_committee_agreed_on_scores_the_next_round_and_its_copiers_zero():
    panel = await Viewers.settled()
    a, b, c = (await panel.begin()).committee
    state = await panel.answered({a: HONEST, b: NEAR, c: HONEST})
    assert (state.stage, state.result, state.voters) == (Stage.WITNESS, RIGHT, [a, b, c])
    await panel.witness({a: [], b: [], c: []})
    await panel.agree([a, b, c])
    state, made = await panel.over(), combined(HONEST, NEAR, HONEST)
    assert (state.result, state.aggregation_outcome) == (RIGHT, "majority")
    assert (state.view, state.next_view) == (cid.raw_cid(FIRST), cid.raw_cid(made))
    assert await panel.gains() == {}, "an honest machine that differs on a tenth of the items loses nothing"
    scores = await next_round(panel, made)
    assert scores[0] == 0
    assert any(scores[1:])
    assert undeclared(panel.world) == []


async def next_round(panel: Viewers, view: bytes) -> list[int]:
    """Everybody's score in round 2 under that view: the first member copies the model of round 1, its view's z."""
    world, works = panel.world, {}
    await world.open(round=2)
    state = await world.state(round=2)
    base = domain(world.network.channel, world.network.chaincode, "job", 2)
    items = scoring.batch(panel.spec, base, world.signer.sign(state.batch_round).randomness)
    copied = views.unpack(view, ITEMS, ALPHABET).field("z", ITEMS)[items]
    rng = np.random.default_rng(1)
    truth = rng.integers(0, ALPHABET, TASKS)
    for place, (member, who) in enumerate(panel.members.items()):
        said = np.where(rng.random(TASKS) < 0.8, truth, rng.integers(0, ALPHABET, TASKS))
        works[member] = world.work(panel.spec, copied if place == 0 else said)
        await world.commit(who, works[member], round=2)
    await world.close(round=2)
    await world.pair(round=2)
    for member, who in panel.members.items():
        await world.reveal(who, works[member], round=2)
    await world.seal(round=2, late=False)
    await refused(422, world.settle(works, round=2, view=FIRST))
    await world.settle(works, round=2, view=view)
    outcomes = await world.outcomes(round=2)
    return [outcomes[member].score for member in panel.members]


@story
async def test_the_last_round_of_a_job_agrees_on_no_view():
    panel = await Viewers.settled()
    a, b, c = (await panel.begin()).committee
    await panel.answered({a: HONEST, b: HONEST, c: HONEST})
    await panel.witness({a: [], b: [], c: []})
    await panel.agree([a, b, c])
    await next_round(panel, HONEST)
    panel.round, panel.views = 2, {}
    await panel.begin()
    state = await panel.voted()
    await panel.answer(dict.fromkeys(state.committee, OTHER))
    state = await panel.ended()
    assert (state.result, state.next_view) == (OTHER, "")


@story
async def test_a_round_that_keeps_its_model_keeps_its_view():
    panel = await Viewers.settled(attempts=1)
    a, b, c = (await panel.begin()).committee
    await panel.answered({a: HONEST, b: HONEST, c: HONEST}, **{a: RIGHT, b: WRONG, c: OTHER})
    state = await panel.over()
    assert (state.aggregation_outcome, state.result, state.next_view) == ("kept", MODEL, "")
    await panel.world.open(round=2)
    state = await panel.world.state(round=2)
    assert (state.model, state.view) == (MODEL, cid.raw_cid(FIRST))


@story
async def test_with_too_few_to_agree_on_a_view_the_round_keeps_its_model():
    at = await scene(4, **terms(rounds=2))
    await at.to(Phase.SEALED, but=at.members[2:])
    absent = {each.member_id for each in at.members[2:]}
    works = {member: work for member, work in at.works.items() if member not in absent}
    await at.world.settle(works, view=FIRST)
    state = await at.world.begin()
    assert (state.phase, state.aggregation_outcome, state.result) == (Phase.FINAL, "kept", MODEL)
    assert (await at.world.holdings()).locks == 0


@story
async def test_a_view_that_most_could_not_get_does_not_count_and_its_member_loses_its_bond():
    panel = await Viewers.settled()
    a, b, c = (await panel.begin()).committee
    await panel.answered({a: HONEST, b: HONEST, c: FAR})
    await panel.witness({a: [c], b: [c], c: []})
    await refused(409, panel.agree([a, b, c]))
    await panel.agree([a, b])
    assert (await panel.over()).next_view == cid.raw_cid(HONEST)
    assert await panel.gains() == {c: -panel.money, TREASURY: panel.money}


@story
async def test_an_absent_witness_delays_and_loses_nothing():
    panel = await Viewers.settled()
    a, b, c = (await panel.begin()).committee
    await panel.answered({a: HONEST, b: HONEST, c: HONEST})
    await panel.witness({a: [], b: []})
    await refused(425, panel.agree([a, b, c]))
    await panel.late()
    await panel.agree([a, b, c])
    assert (await panel.over()).next_view == cid.raw_cid(HONEST)
    assert await panel.gains() == {}


@story
async def test_a_dissenter_about_the_model_neither_witnesses_nor_has_a_view_that_counts():
    panel = await Viewers.settled()
    a, b, c = (await panel.begin()).committee
    state = await panel.answered({a: HONEST, b: HONEST, c: FAR}, **{a: RIGHT, b: RIGHT, c: WRONG})
    assert (state.stage, state.voters, state.forfeited) == (Stage.WITNESS, [a, b], [c])
    await refused(403, panel.witness({c: []}))
    await refused(422, panel.witness({a: [c]}))
    await panel.witness({a: [], b: []})
    await panel.agree([a, b])
    assert (await panel.over()).next_view == cid.raw_cid(HONEST)
    assert await panel.gains() == {c: -panel.money, TREASURY: panel.money}


@story
async def test_without_enough_views_near_each_other_the_next_committee_decides_and_nobody_is_judged():
    panel = await Viewers.settled(6)
    a, b, c = (await panel.begin()).committee
    await panel.answered(dict(zip((a, b, c), map(model_view, (2, 3, 4)), strict=True)))
    await panel.witness({a: [], b: [], c: []})
    state = await panel.agree([a, b, c])
    assert (state.stage, state.attempt, state.result, state.forfeited) == (Stage.VOTE, 2, "", [])
    await panel.answered(dict.fromkeys(state.committee, HONEST))
    await panel.witness({member: [] for member in state.committee})
    await panel.agree(state.committee)
    assert (await panel.over()).next_view == cid.raw_cid(HONEST)
    assert await panel.gains() == {}


@story
async def test_when_nobody_brings_the_views_the_next_committee_decides():
    panel = await Viewers.settled(6, attempts=2)
    a, b, c = (await panel.begin()).committee
    await panel.answered({a: HONEST, b: HONEST, c: HONEST})
    await panel.witness({a: [], b: [], c: []})
    await panel.late()
    await refused(425, panel.move())
    await panel.late(2)
    state = await panel.move()
    assert (state.stage, state.attempt, state.result) == (Stage.VOTE, 2, "")
    await panel.answered(dict.fromkeys(state.committee, HONEST))
    await panel.late(2)
    await panel.move()
    assert (await panel.over()).aggregation_outcome == "kept"
    assert await panel.gains() == {}


@story
async def test_a_job_cancelled_while_views_are_witnessed_ends_with_the_round():
    panel = await Viewers.settled()
    a, b, c = (await panel.begin()).committee
    await panel.answered({a: HONEST, b: HONEST, c: HONEST})
    await panel.world.admin.submit("Jobs:cancel", "job", 1)
    await panel.witness({a: [], b: [], c: []})
    await panel.agree([a, b, c])
    assert (await panel.ended()).result == RIGHT


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("agree_view", {"rule": "dasgupta-ghosh", "public_view": ""}),
        ("public_view", {"public_view": ""}),
        ("aggregation", {"aggregation": "optimistic", "challenge_rounds": 20}),
        ("committee", {"committee": 1}),
        ("committee", {"committee": 35, "max_participants": 40, "public_items": 170_000}),
        ("bond", {"bond": 0}),
    ],
)
@story
async def test_terms_under_which_no_view_can_be_agreed_on_are_refused_by_their_field(
    field: str, changes: dict[str, Any]
):
    world = World()
    await world.found()
    spec = world.spec(**terms(**changes))
    refusal = await refused(422, world.admin.submit("Jobs:create", "job", spec, ORGANISATIONS[0], []))
    assert refusal.details["field"] == field
    assert field in [name for name, _ in job_terms.faults_alone(spec)]


def test_a_certificate_must_outlast_the_windows_in_which_views_are_agreed_on():
    spec = World().spec(**terms())
    plain = msgspec.structs.replace(spec, agree_view=False)
    assert spec.aggregation_seconds(3) == plain.aggregation_seconds(3) + 2 * spec.aggregate_seconds
