"""Two layers as real agents live them: each organisation's updates inside it first, and whom nobody has to believe."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chaincode import cid
from chaincode.records import TREASURY
from chaincode.scoring import organisation
from fl_client.errors import Refused
from fl_client.layers import duties
from fl_client.training import parameters
from tests import aggregation_faults as faults
from tests.contracts.stage9 import Patient, Stage9, arrays

TERMS: dict[str, Any] = {"strategy": "two-layer", "attempts": 3, "aggregate_seconds": 60}


def run(story) -> None:
    asyncio.run(story)


async def ready(directory: Path, count: int = 6, **changes: Any) -> Stage9:
    return await Stage9.ready(directory, count, **{**TERMS, **changes})


def of(stage: Stage9, *organisations: str) -> list[str]:
    return [member for member in stage.panel.members if organisation(member) in organisations]


def fetched(stage: Stage9, member: str, of_members: Iterable[str]) -> set[str]:
    """Whose updates, of those, a member has read."""
    read = stage.shelves[member].fetched
    return {each for each in of_members if cid.file_cid(stage.updates[each]) in read}


@pytest.mark.parametrize(("seats", "outcome"), [(1, "sole"), (3, "majority")])
def test_agents_agree_on_what_the_updates_combine_to_in_two_layers(tmp_path, seats, outcome):
    async def story() -> None:
        stage = await ready(tmp_path, committee=seats)
        state = await stage.play({})
        assert (state.result, state.aggregation_outcome, state.attempt) == (stage.honest(), outcome, 1)
        assert await stage.panel.gains() == {}
        said = await stage.panel.world.view.partials("job", 1)
        assert set(said) == {"Org1MSP", "Org2MSP", "Org3MSP"}
        assert all(len(set(claims.values())) == 1 for claims in said.values())

    run(story())


def test_a_committee_member_reads_its_own_organisations_updates_and_its_dutys_alone(tmp_path):
    async def story() -> None:
        stage = await ready(tmp_path)
        committee = (await stage.panel.begin()).committee
        await stage.play({})
        duty = duties(committee, {organisation(member) for member in stage.panel.members})
        for member in committee:
            looked = {organisation(member), *(name for name, seat in duty.items() if seat == member)}
            assert fetched(stage, member, stage.updates) == set(of(stage, *looked))
            assert len(looked) == 2, "of three"

    run(story())


def test_an_organisation_that_lies_about_its_updates_changes_nothing_and_its_seat_pays(tmp_path):
    async def story() -> None:
        stage = await ready(tmp_path)
        liar = (await stage.panel.begin()).committee[1]
        liars = of(stage, organisation(liar))
        state = await stage.play(dict.fromkeys(liars, faults.Inventing))
        assert (state.result, state.attempt) == (stage.honest(), 1)
        assert await stage.panel.gains() == {liar: -stage.panel.money, TREASURY: stage.panel.money}

    run(story())


def test_what_no_seat_of_another_organisation_vouches_for_is_looked_at(tmp_path):
    """One organisation lies while the seat that should look at its updates, and all bystanders, are away."""

    async def story() -> None:
        stage = await ready(tmp_path)
        state = await stage.panel.begin()
        duty = duties(state.committee, {organisation(member) for member in stage.panel.members})
        liar = state.committee[1]
        away = {duty[organisation(liar)], *stage.panel.members} - {liar, *state.committee}
        away.add(duty[organisation(liar)])
        (other,) = set(state.committee) - away - {liar}
        odd = dict.fromkeys(away, faults.Silent) | {liar: faults.Inventing}
        await stage.play(odd)
        assert fetched(stage, other, of(stage, organisation(liar))) == set(of(stage, organisation(liar)))
        progress = await stage.panel.progress(1)
        assert progress.answers[other] == stage.honest()

    run(story())


def test_an_optimistic_poster_that_lies_about_its_organisations_updates_is_challenged(tmp_path):
    async def story() -> None:
        terms = {"aggregation": "optimistic", "challenge_rounds": 9}
        stage = await ready(tmp_path, **terms)
        liar = (await stage.panel.begin()).aggregator
        state = await stage.play(dict.fromkeys(of(stage, organisation(liar)), faults.Inventing))
        assert (state.result, state.aggregation_outcome) == (stage.honest(), "majority")
        assert await stage.panel.gains() == {liar: -stage.panel.money, state.challenger: stage.panel.money}

    run(story())


@pytest.mark.parametrize("light_check", [False, True])
def test_bad_updates_are_refused_with_the_reasons_they_have_in_one_layer(tmp_path, light_check):
    """With the light check, which compares every update with all others', everybody reads everything."""

    async def story() -> None:
        nan = parameters.to_bytes(arrays(8, 0.1))[:-4] + np.float32(np.nan).tobytes()
        special = {1: nan, 2: parameters.to_bytes(arrays(3, 100.0)), 3: b"not a model"}
        terms = {"max_participants": 8, "round_pool": 10**6, "light_check": light_check}
        stage = await ready(tmp_path, 8, special=special, hidden=(4,), **terms)
        stage.shelf = Patient
        state = await stage.play({})
        reasons = {1: "not-finite", 3: "malformed", 4: "missing", **({2: "norm"} if light_check else {})}
        expected = {stage.member(place): reason for place, reason in reasons.items()}
        for ballot in (await stage.panel.progress(state.attempt)).ballots.values():
            assert ballot.refused == expected
        assert state.result == stage.honest(but=tuple(reasons))
        assert await stage.panel.gains() == {}
        assert bool(await stage.panel.world.view.partials("job", 1)) != light_check

    run(story())


def test_an_organisation_whose_members_keep_silent_is_looked_at_by_all(tmp_path):
    async def story() -> None:
        stage = await ready(tmp_path)
        committee = (await stage.panel.begin()).committee
        silent = organisation(committee[0])
        state = await stage.play(dict.fromkeys(of(stage, silent), faults.Silent))
        assert state.result == stage.honest()
        for member in committee[1:]:
            assert fetched(stage, member, of(stage, silent)) == set(of(stage, silent))

    run(story())


# the contract that carries what members say


@pytest.mark.parametrize(
    ("strategy", "name", "code"),
    [("two-layer", "not a CID", 422), ("fedavg", cid.raw_cid(b"inside"), 422)],
)
def test_what_is_not_a_partial_aggregate_is_refused(tmp_path, strategy, name, code):
    async def story() -> None:
        stage = await ready(tmp_path, 3, strategy=strategy)
        await stage.panel.begin()
        await _say(stage, stage.member(0), "Org1MSP", name, code)

    run(story())


def test_who_revealed_says_once_of_an_organisation_what_its_updates_combine_to(tmp_path):
    async def story() -> None:
        stage = await ready(tmp_path, 3)
        one, other = cid.raw_cid(b"one"), cid.raw_cid(b"other")
        await _say(stage, stage.member(0), "Org1MSP", one, 425)  # not before the committee is drawn
        await stage.panel.begin()
        await _say(stage, stage.member(0), "Org1MSP", one)
        await _say(stage, stage.member(0), "Org1MSP", other, 409)
        await _say(stage, stage.member(0), "Org2MSP", other)
        stranger = await stage.panel.world.member("Org1MSP", "stranger")
        stage.panel.members[stranger.member_id] = stranger
        await _say(stage, stranger.member_id, "Org1MSP", other, 403)
        for made_up in ("Org4MSP", "org1msp", "x"):  # thousands of these would bury what is said
            await _say(stage, stage.member(0), made_up, other, 422)
        said = await stage.panel.world.view.partials("job", 1)
        assert said == {name: {stage.member(0): of} for name, of in (("Org1MSP", one), ("Org2MSP", other))}

    run(story())


async def _say(stage: Stage9, member: str, name: str, inside: str, code: int = 0) -> None:
    call = stage.panel.members[member].submit("Aggregation:partial", "job", 1, name, inside)
    if not code:
        await call
        return
    with pytest.raises(Refused) as refusal:
        await call
    assert refusal.value.code == code
