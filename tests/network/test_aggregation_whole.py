"""Step 9 on a real network, one job a fault, all jobs at once: the right model becomes final, and the faulty pay.

Clients are real agents on Fabric, IPFS and drand; what they would have trained is drawn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from step_nine import BAD, UNFIT, Cast, Story
from stray_kubo import another_kubo, connected, kubo_of

from chaincode.records import TREASURY
from fl_client.demo.native import bring_up
from fl_client.demo.scenario import Scenario
from fl_client.demo.story import Play
from network.progress import silent
from tests import aggregation_faults as faults

pytestmark = [pytest.mark.network, pytest.mark.timeout(900)]
PATIENCE = 700  # seconds
MAJORITY = {"aggregation": "majority", "committee": 3, "attempts": 3}
LAYERS = {**MAJORITY, "strategy": "two-layer", "aggregate_seconds": 40}
OPTIMISTIC = {**MAJORITY, "aggregation": "optimistic"}


def stories() -> dict[str, Story]:
    return {
        "lying": Story(MAJORITY, faults.Lying, (1,)),
        "replaced": Story({**MAJORITY, "aggregate_seconds": 40}, faults.Lying, processes=True),
        "copying": Story(MAJORITY, faults.Copying, (1,)),
        "offline": Story(MAJORITY, faults.Silent, (1, 2)),
        "nobody-decides": Story({**MAJORITY, "attempts": 1}, faults.Mute, (1, 2)),
        "posted": Story(OPTIMISTIC),
        "lying-poster": Story(OPTIMISTIC, faults.Lying, (0,)),
        "silent-poster": Story(OPTIMISTIC, faults.Mute, (0,)),
        "griefing": Story(OPTIMISTIC, faults.Griefing, (2,)),
        "bad-updates": Story({**MAJORITY, "light_check": True}, bad=BAD, served="nobody"),
        "unfit-updates": Story(MAJORITY, bad=UNFIT),
        "served-at-home": Story(MAJORITY, served="home"),
        "served-to-one": Story(MAJORITY, served="one"),
        "two-layers": Story(LAYERS, faults.Inventing, (1,), whole=True),
    }


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Story]]:
    directory = tmp_path_factory.mktemp("aggregation")
    told = stories()
    scenario = Scenario(clients=6, rounds=1, price=1000, mechanism="paper")
    stage = bring_up(scenario, directory / "network", silent)
    network = stage.network
    key = (network.directory / "ipfs" / "swarm.secret").read_text()
    try:
        with another_kubo(network.keeper, directory, key, [kubo_of(network, "org2")]) as stray:
            play = Play(stage, replace(scenario, rounds=10_000), print)
            asyncio.run(_play(Cast(stage, play, directory, stray), told))
            assert connected(stray) == {kubo_of(network, "org2").kubo_id}, "it serves one organisation alone"
        yield told
    finally:
        network.down()


async def _play(cast: Cast, told: dict[str, Story]) -> None:
    async with cast.stage, AsyncExitStack() as stack:
        await cast.enter(stack)
        await cast.found(len(told))
        for name, story in told.items():
            await cast.create(name, story)
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(cast.run(name, story) for name, story in told.items()))
        except TimeoutError:
            raise AssertionError(f"not within {PATIENCE} s:\n{await cast.standing(told)}") from None
        held = await cast.view.holdings()
        assert held.minted == held.held
        assert held.locks == held.escrows == 0


BOND = Scenario().bond


@pytest.mark.parametrize("name", [name for name in stories() if name != "nobody-decides"])
def test_the_right_model_becomes_final(played: dict[str, Story], name: str) -> None:
    state = played[name].state
    assert state is not None
    assert played[name].right, state
    assert state.aggregation_outcome == ("optimistic" if name in ("posted", "silent-poster") else "majority")
    assert len(state.valid) == {"bad-updates": 3, "unfit-updates": 3, "served-at-home": 5}.get(name, 6)


@pytest.mark.parametrize("name", ["lying", "replaced", "copying", "silent-poster", "two-layers"])
def test_the_faulty_member_loses_its_bond_to_the_treasury(played: dict[str, Story], name: str) -> None:
    state = played[name].state
    assert state is not None
    (lost,) = state.forfeited
    assert state.attempt == 2 or lost == state.committee[1]
    assert played[name].gains == {lost: -BOND, TREASURY: BOND}


@pytest.mark.parametrize(
    "name", ["offline", "posted", "bad-updates", "unfit-updates", "served-at-home", "served-to-one"]
)
def test_nobody_pays_for_a_missed_vote_or_a_refused_update(played: dict[str, Story], name: str) -> None:
    assert played[name].gains == {}


def test_a_committee_that_missed_its_vote_was_replaced(played: dict[str, Story]) -> None:
    state = played["offline"].state
    assert state is not None
    assert state.attempt == 2
    assert len(state.passed_over) == 2


def test_a_lying_posters_bond_goes_to_the_challenger(played: dict[str, Story]) -> None:
    state, gains = played["lying-poster"].state, played["lying-poster"].gains
    assert state is not None
    assert gains == {state.aggregator: -BOND, state.challenger: BOND}


def test_a_griefing_challengers_stake_goes_to_the_poster(played: dict[str, Story]) -> None:
    state, gains = played["griefing"].state, played["griefing"].gains
    assert state is not None
    assert gains == {state.challenger: -BOND, state.aggregator: BOND}


@pytest.mark.parametrize("name", ["bad-updates", "unfit-updates"])
def test_bad_updates_are_refused_by_all_with_the_same_reasons(played: dict[str, Story], name: str) -> None:
    reasons = played[name].reasons
    assert len(reasons) == 3
    assert reasons[0] == reasons[1] == reasons[2]
    assert sorted(reasons[0].values()) == sorted(played[name].bad.values())


def test_without_a_majority_the_model_stays_and_who_went_away_pays(played: dict[str, Story]) -> None:
    state, gains = played["nobody-decides"].state, played["nobody-decides"].gains
    assert state is not None
    assert (state.aggregation_outcome, state.result) == ("kept", state.model)
    assert gains == {**dict.fromkeys(state.committee[1:], -BOND), TREASURY: 2 * BOND}


def test_an_update_that_only_its_own_organisation_gets_is_missing_to_the_others(
    played: dict[str, Story],
) -> None:
    """Half of the committee is less than more than half of it: the update does not count."""
    story = played["served-at-home"]
    assert sorted(map(len, story.reasons)) == [0, 1, 1]
    assert [each for each in story.reasons if each] == [{story.withholder: "missing"}] * 2


def test_an_update_that_one_other_organisation_gets_reaches_all_through_its_node(
    played: dict[str, Story],
) -> None:
    """The node that serves it knows that organisation's node alone, which serves the rest of the committee."""
    assert played["served-to-one"].reasons == [{}, {}, {}]
