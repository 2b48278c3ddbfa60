"""Step 9 as real agents live it, beside one that lies, keeps silent, copies or withholds."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import numpy as np

from chaincode.beacon import Beacon
from chaincode.proposals import SuspendMember
from chaincode.records import TREASURY, RoundState, Stage
from fl_client.beacon import DevBeacon
from fl_client.committee import Aggregator
from fl_client.errors import BadBeacon
from fl_client.journal import Answer, Journal
from fl_client.ledger.base import Ledger
from fl_client.steps import Seat
from fl_client.training import parameters
from tests import aggregation_faults as faults
from tests.contracts.panel import WRONG, optimistic
from tests.contracts.stage9 import Patient, Shelf, Stage9, arrays


def run(story) -> None:
    asyncio.run(story)


def test_agents_agree_on_the_aggregate_of_all_updates(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path)
        state = await stage.play({})
        assert (state.result, state.aggregation_outcome, state.attempt) == (stage.honest(), "majority", 1)
        assert stage.shared[state.result]
        assert await stage.panel.gains() == {}

    run(story())


def test_one_liar_changes_nothing_and_pays(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path)
        liar = (await stage.panel.begin()).committee[1]
        state = await stage.play({liar: faults.Lying})
        assert state.result == stage.honest()
        assert await stage.panel.gains() == {liar: -stage.panel.money, TREASURY: stage.panel.money}

    run(story())


def test_a_lazy_copier_pays(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path)
        copier = (await stage.panel.begin()).committee[1]
        state = await stage.play({copier: faults.Copying})
        assert state.result == stage.honest()
        assert await stage.panel.gains() == {copier: -stage.panel.money, TREASURY: stage.panel.money}

    run(story())


def test_a_committee_whose_majority_is_offline_is_replaced(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path, 6, attempts=3)
        gone = (await stage.panel.begin()).committee[:2]
        state = await stage.play(dict.fromkeys(gone, faults.Silent))
        assert (state.result, state.attempt) == (stage.honest(), 2)
        assert await stage.panel.gains() == {}, "they missed the vote only"

    run(story())


def test_a_committee_whose_majority_votes_and_then_goes_offline_is_replaced_and_pays(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path, 6, attempts=3)
        gone = (await stage.panel.begin()).committee[:2]
        state = await stage.play(dict.fromkeys(gone, faults.Mute))
        assert state.result == stage.honest()
        money = stage.panel.money
        assert await stage.panel.gains() == {**dict.fromkeys(gone, -money), TREASURY: 2 * money}

    run(story())


def test_an_honest_post_is_left_alone(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path, **optimistic())
        state = await stage.play({})
        assert (state.result, state.aggregation_outcome) == (stage.honest(), "optimistic")
        assert await stage.panel.gains() == {}

    run(story())


def test_the_watchtowers_replace_a_lying_poster_and_one_of_them_gets_its_bond(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path, **optimistic())
        liar = (await stage.panel.begin()).aggregator
        state = await stage.play({liar: faults.Lying})
        assert (state.result, state.aggregation_outcome) == (stage.honest(), "majority")
        assert state.post != state.result
        gains = await stage.panel.gains()
        assert gains == {liar: -stage.panel.money, state.challenger: stage.panel.money}

    run(story())


def test_a_suspended_watchtower_leaves_the_challenge_to_others_and_still_gives_its_answer(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path, **optimistic())
        liar, *others = (await stage.panel.begin()).committee
        free = next(m for m in stage.panel.members if m not in (liar, *others))
        for place, member in enumerate(set(stage.panel.members) - {liar, free}):
            await stage.panel.world.pass_vote(f"suspend-{place}", SuspendMember(member=member))
        state = await stage.play({liar: faults.Lying})
        assert (state.result, state.challenger) == (stage.honest(), free)
        assert await stage.panel.gains() == {liar: -stage.panel.money, free: stage.panel.money}

    run(story())


def test_a_griefing_challenger_pays_the_poster(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path, **optimistic())
        committee = (await stage.panel.begin()).committee
        griefer = next(m for m in stage.panel.members if m not in committee)
        state = await stage.play({griefer: faults.Griefing})
        assert state.result == stage.honest() == state.post
        assert await stage.panel.gains() == {griefer: -stage.panel.money, committee[0]: stage.panel.money}

    run(story())


async def seated(stage: Stage9, who: Ledger) -> Seat:
    """A client's place in the job, without an agent."""
    world = stage.panel.world
    job: Any = await world.view.job("job")
    nobody: Any = None  # no learner
    journal = Journal(stage.directory / who.member_id.replace(":", "-"))
    return Seat(who, Shelf(stage.shared), DevBeacon(world.signer, world.clock), journal, nobody, job)


def test_who_has_no_part_in_the_round_or_no_money_leaves_a_wrong_post_to_others_and_goes_on(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path, **optimistic())
        panel, world = stage.panel, stage.panel.world
        await panel.begin()
        await panel.voted()
        state = await panel.post(WRONG)
        assert state.stage is Stage.CHALLENGE
        stranger = await world.member("Org1MSP", "stranger", panel.money)
        poor = panel.members[next(m for m in panel.members if m != state.aggregator)]
        credits = [line.id for line in await world.view.all_credits(poor.member_id)]
        all_of_it = await world.balance(poor.member_id)
        await poor.submit("Token:transfer", poor.member_id, "Org1MSP", all_of_it, credits)
        for who in (stranger, poor):
            assert await Aggregator(await seated(stage, who)).act(state)
        assert (await panel.state()).stage is Stage.CHALLENGE
        rich = next(m for m in panel.members if m not in (state.aggregator, poor.member_id))
        assert await Aggregator(await seated(stage, panel.members[rich])).act(state)
        assert (await panel.state()).challenger == rich

    run(story())


def test_a_silent_poster_is_replaced(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path, **optimistic())
        silent = (await stage.panel.begin()).aggregator
        state = await stage.play({silent: faults.Mute})
        assert state.result == stage.honest()
        assert await stage.panel.gains() == {silent: -stage.panel.money, TREASURY: stage.panel.money}

    run(story())


def test_bad_updates_are_refused_with_their_reasons(tmp_path):
    """Withheld, poisoned with NaN, a hundred times too large, not a model: left out, and the round goes on."""

    async def story() -> None:
        nan = bytearray(parameters.to_bytes(arrays(8, 0.1)))
        nan[-4:] = np.float32(np.nan).tobytes()
        special = {
            1: bytes(nan),
            2: parameters.to_bytes(arrays(3, 10.0)),
            3: b"not a model",
        }
        stage = await Stage9.ready(
            tmp_path, 8, max_participants=8, round_pool=10**6, special=special, hidden=(4,), light_check=True
        )
        state = await stage.play({})
        reasons = {1: "not-finite", 2: "norm", 3: "malformed", 4: "missing"}
        expected = {stage.member(place): reason for place, reason in reasons.items()}
        for ballot in (await stage.panel.progress()).ballots.values():
            assert ballot.refused == expected
        assert state.result == stage.honest(but=(1, 2, 3, 4))
        assert set(state.valid) == set(stage.panel.members) - set(expected)
        assert await stage.panel.gains() == {}

    run(story())


def test_an_empty_tensor_of_an_impossible_shape_is_refused_and_ends_nobodys_agent(tmp_path):
    async def story() -> None:
        empty = {"dtype": "F32", "shape": [0, 2**63], "data_offsets": [0, 0]}
        header = msgspec.json.encode({"00000": empty, "00001": empty})
        special = {1: len(header).to_bytes(8, "little") + header}
        stage = await Stage9.ready(tmp_path, special=special)
        state = await stage.play({})
        for ballot in (await stage.panel.progress()).ballots.values():
            assert ballot.refused == {stage.member(1): "wrong-shape"}
        assert (state.result, state.attempt) == (stage.honest(but=(1,)), 1)

    run(story())


def test_a_withheld_update_does_not_make_the_committee_miss_its_vote(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path, 5, hidden=(0,))
        stage.shelf = Patient
        state = await stage.play({})
        assert state.attempt == 1
        assert state.result == stage.honest(but=(0,))
        assert await stage.panel.gains() == {}

    run(story())


def test_an_update_served_to_a_minority_of_the_committee_is_refused(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path, 5, hidden=(0,))
        data = stage.updates[stage.member(0)]
        state = await stage.panel.begin()
        state = await stage.play({}, own={state.committee[0]: data})
        assert stage.member(0) not in state.valid
        assert state.result == stage.honest(but=(0,))
        assert await stage.panel.gains() == {}

    run(story())


def test_an_update_served_to_a_majority_of_the_committee_reaches_the_rest_through_them(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path, 5, hidden=(0,))
        data = stage.updates[stage.member(0)]
        state = await stage.panel.begin()
        state = await stage.play({}, own=dict.fromkeys(state.committee[:2], data))
        assert stage.member(0) in state.valid
        assert state.result == stage.honest()
        assert await stage.panel.gains() == {}, "the third could answer too"

    run(story())


def test_a_restarted_member_opens_the_answer_it_committed_to(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path)
        panel = stage.panel
        await panel.begin()
        await panel.voted()
        first, *others = (await panel.state()).committee
        seat = await seated(stage, panel.members[first])
        assert await Aggregator(seat).act(await panel.state())
        for other in others:
            await panel.commit(other, stage.honest())
        await panel.move()
        again = Aggregator(seat)
        state = await panel.state()
        assert state.stage is Stage.REVEAL
        assert await again.act(state)
        assert not await again.act(state)
        assert (await panel.progress()).answers == {first: stage.honest()}

    run(story())


class Blind(Aggregator):
    """Finds every update valid."""

    async def refuses(self, state: RoundState) -> dict[str, Any]:
        return {}


def test_a_valid_set_that_cannot_be_combined_costs_the_round_its_model_and_nobody_its_agent(tmp_path):
    """Most of the committee call NaN valid: no honest member can answer, and none of them crashes."""

    async def story() -> None:
        nan = parameters.to_bytes(arrays(8, 0.1))[:-4] + np.float32(np.nan).tobytes()
        stage = await Stage9.ready(tmp_path, attempts=1, special={1: nan})
        committee = (await stage.panel.begin()).committee
        state = await stage.play(dict.fromkeys(committee[:2], Blind))
        assert (state.aggregation_outcome, state.result) == ("kept", stage.panel.spec.model)

    run(story())


def test_a_member_whose_commit_came_too_late_goes_on(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path)
        late = (await stage.panel.begin()).committee[1]

        class Late(Aggregator):
            async def commit(self, state: RoundState) -> None:
                seat, job = self.seat, self.seat.job
                seat.journal.keep_answer(
                    job.id, state.round, state.attempt, Answer(stage.honest(), bytes(32))
                )

        state = await stage.play({late: Late})
        assert (state.result, state.forfeited) == (stage.honest(), [late])

    run(story())


class Unsound(DevBeacon):
    """A node that lies half of the time, while no other answers."""

    asked = 0

    async def latest(self) -> Beacon:
        self.asked += 1
        if self.asked % 2:
            raise BadBeacon("it does not verify")
        return await super().latest()


def test_a_beacon_that_does_not_verify_delays_an_agent_and_does_not_end_it(tmp_path):
    async def story() -> None:
        stage = await Stage9.ready(tmp_path)
        stage.source = Unsound
        state = await stage.play({})
        assert (state.result, state.aggregation_outcome) == (stage.honest(), "majority")

    run(story())
