"""Committees: who decides the model, what each lie and absence costs, and that every way ends."""

from __future__ import annotations

import asyncio

import pytest

from chaincode.contracts import job_terms
from chaincode.records import TREASURY, Phase, Stage
from fl_client.errors import Refused
from tests.attacks.scenes import scene
from tests.contracts.panel import OTHER, RIGHT, WRONG, Panel, optimistic
from tests.world import World


def run(story) -> None:
    asyncio.run(story)


async def refused(call, code: int) -> Refused:
    with pytest.raises(Refused) as caught:
        await call
    assert caught.value.code == code, caught.value
    return caught.value


# majority


def test_three_equal_answers_are_final_and_every_bond_returns():
    async def story() -> None:
        panel = await Panel.settled()
        state = await panel.begin()
        assert state.stage is Stage.VOTE
        assert len(set(state.committee)) == 3
        state = await panel.voted()
        assert state.stage is Stage.COMMIT
        await panel.answer(dict.fromkeys(state.committee, RIGHT))
        state = await panel.ended()
        assert (state.result, state.aggregation_outcome) == (RIGHT, "majority")
        assert state.valid == sorted(panel.members)
        assert await panel.gains() == {}

    run(story())


def test_no_organisation_holds_half_of_a_committee():
    async def story() -> None:
        panel = await Panel.settled(6)
        committee = (await panel.begin()).committee
        assert len({member.partition(":")[0] for member in committee}) == 3

    run(story())


def test_a_dissenter_loses_its_bond_to_the_treasury():
    async def story() -> None:
        panel = await Panel.settled()
        a, b, c = (await panel.begin()).committee
        await panel.voted()
        await panel.answer({a: WRONG, b: RIGHT, c: RIGHT})
        assert (await panel.ended()).result == RIGHT
        assert await panel.gains() == {a: -panel.money, TREASURY: panel.money}

    run(story())


@pytest.mark.parametrize("step", ["commit", "reveal"])
def test_missing_a_deadline_is_dissent(step):
    async def story() -> None:
        panel = await Panel.settled()
        a, b, c = (await panel.begin()).committee
        await panel.voted()
        present = {b: RIGHT, c: RIGHT}
        if step == "commit":
            await panel.answer(present)
        else:
            await panel.answer({a: RIGHT, **present}, silent=[a])
        assert (await panel.ended()).result == RIGHT
        assert await panel.gains() == {a: -panel.money, TREASURY: panel.money}

    run(story())


def test_without_a_majority_the_next_committee_decides():
    async def story() -> None:
        panel = await Panel.settled(6, attempts=2)
        a, b, c = (await panel.begin()).committee
        await panel.voted()
        state = await panel.answer({a: RIGHT, b: WRONG, c: OTHER})
        assert (state.stage, state.attempt, state.valid) == (Stage.VOTE, 2, [])
        await panel.voted()
        await panel.answer(dict.fromkeys(state.committee, RIGHT))
        assert (await panel.ended()).result == RIGHT
        assert await panel.gains() == {}, "nobody can say who was wrong in the first attempt"

    run(story())


def test_after_the_last_attempt_the_previous_model_is_kept_and_the_round_says_so():
    async def story() -> None:
        panel = await Panel.settled(attempts=2)
        await panel.begin()
        for _ in range(2):
            state = await panel.voted()
            a, b, c = state.committee
            await panel.answer({a: RIGHT, b: WRONG, c: OTHER})
        state = await panel.ended()
        assert (state.result, state.aggregation_outcome, state.valid) == (panel.spec.model, "kept", [])
        assert await panel.gains() == {}

    run(story())


def test_a_committee_whose_majority_misses_the_vote_is_replaced_at_no_cost():
    async def story() -> None:
        panel = await Panel.settled(6)
        a, b, c = (await panel.begin()).committee
        await panel.vote([a])
        state = await panel.move(late=True)
        assert (state.stage, state.attempt) == (Stage.VOTE, 2)
        assert not {b, c}.intersection(state.committee)
        await panel.voted()
        await panel.answer(dict.fromkeys(state.committee, RIGHT))
        assert (await panel.ended()).result == RIGHT
        assert await panel.gains() == {}

    run(story())


def test_a_committee_whose_majority_does_not_answer_is_replaced_and_pays():
    async def story() -> None:
        panel = await Panel.settled(6)
        a, b, c = (await panel.begin()).committee
        await panel.voted()
        state = await panel.answer({a: RIGHT})
        assert (state.stage, state.attempt) == (Stage.VOTE, 2)
        await panel.voted()
        await panel.answer(dict.fromkeys(state.committee, RIGHT))
        await panel.ended()
        assert await panel.gains() == {b: -panel.money, c: -panel.money, TREASURY: 2 * panel.money}

    run(story())


def test_who_keeps_others_away_does_not_decide_in_a_smaller_committee():
    async def story() -> None:
        panel = await Panel.settled(4)
        a, b, c = (await panel.begin()).committee
        await panel.voted()
        await panel.answer({a: WRONG})
        state = await panel.ended()
        assert (state.result, state.aggregation_outcome) == (panel.spec.model, "kept")

    run(story())


def test_copying_anothers_answer_fails():
    """Neither its digest, nor model and salt once they are public, are of any use to another member."""

    async def story() -> None:
        panel = await Panel.settled()
        honest, other, copier = (await panel.begin()).committee
        await panel.voted()
        await panel.commit(honest, RIGHT)
        stolen = (await panel.progress()).committed[honest]
        who = panel.members[copier]
        await who.submit("Aggregation:commit", "job", 1, 1, stolen)
        await panel.commit(other, RIGHT)
        await panel.move()
        await panel.reveal(honest)
        model, salt = panel.salts[1, honest]
        await refused(who.submit("Aggregation:reveal", "job", 1, 1, model, salt.hex()), 422)
        await refused(who.submit("Aggregation:commit", "job", 1, 1, stolen), 409)
        await panel.reveal(other)
        await panel.move(late=True)
        assert (await panel.ended()).result == RIGHT
        assert await panel.gains() == {copier: -panel.money, TREASURY: panel.money}

    run(story())


# the valid set


def test_an_update_is_valid_when_more_than_half_of_the_committee_say_so():
    async def story() -> None:
        panel = await Panel.settled(6)
        a, b, c = (await panel.begin()).committee
        one, two, three, *_ = sorted(panel.members)
        await panel.vote([a], {one: "missing", two: "norm", three: "not-finite"})
        await panel.vote([b], {one: "missing", two: "cosine"})
        await panel.vote([c], {})
        state = await panel.move()
        assert state.valid == sorted(set(panel.members) - {one, two})
        ballots = (await panel.progress()).ballots
        assert ballots[a].refused == {one: "missing", two: "norm", three: "not-finite"}
        await panel.answer(dict.fromkeys(state.committee, RIGHT))
        await panel.ended()
        assert await panel.gains() == {}, "losing the vote costs nothing"

    run(story())


def test_who_does_not_vote_supports_nobody():
    async def story() -> None:
        panel = await Panel.settled(5)
        a, b, c = (await panel.begin()).committee
        one, *others = sorted(panel.members)
        await panel.vote([a], {one: "missing"})
        await panel.vote([b])
        await refused(panel.move(), 425)
        assert (await panel.move(late=True)).valid == others

    run(story())


def test_refusing_every_update_is_a_failed_vote():
    async def story() -> None:
        panel = await Panel.settled(5, attempts=1)
        state = await panel.begin()
        await panel.vote(state.committee, dict.fromkeys(panel.members, "missing"))
        await panel.move()
        assert (await panel.ended()).aggregation_outcome == "kept"
        assert await panel.gains() == {}

    run(story())


def test_a_vote_is_typed_bounded_cast_once_and_by_the_committee():
    async def story() -> None:
        panel = await Panel.settled(5)
        committee = (await panel.begin()).committee
        member = panel.members[committee[0]]
        outsider = next(m for m in panel.members if m not in committee)
        await refused(member.submit("Aggregation:vote", "job", 1, 1, {committee[1]: "dislike"}), 400)
        await refused(member.submit("Aggregation:vote", "job", 1, 1, {f"Org1MSP:{'0' * 64}": "norm"}), 422)
        await refused(panel.vote([outsider]), 403)
        await refused(panel.commit(committee[0], RIGHT), 425)
        await panel.vote(committee[:1])
        await refused(panel.vote(committee[:1]), 409)
        await panel.vote(committee[1:])
        await panel.move()
        await refused(panel.vote(committee[:1]), 409)
        await refused(panel.reveal(committee[0]), 425)

    run(story())


def test_a_step_that_took_long_does_not_count_in_the_next_attempt():
    async def story() -> None:
        panel = await Panel.settled(6)
        a, b, c = (await panel.begin()).committee
        await panel.vote([a])
        await panel.move(late=True)
        slow = panel.members[b].submit("Aggregation:vote", "job", 1, 1, {})
        assert (await refused(slow, 409)).details == {"attempt": 2}
        assert not (await refused(panel.members[b].submit("Aggregation:vote", "job", 1, 3, {}), 409)).final

    run(story())


# one aggregator


def test_a_committee_of_one_ends_the_round_in_one_transaction():
    async def story() -> None:
        panel = await Panel.settled(committee=1)
        state = await panel.begin()
        assert state.stage is Stage.SOLE
        drawn = panel.members[state.aggregator]
        gone = sorted(panel.members)[0]
        call = ("Aggregation:aggregate", "job", 1, 1, RIGHT)
        await refused(
            next(w for m, w in panel.members.items() if m != state.aggregator).submit(*call, {}), 403
        )
        await refused(drawn.submit(*call, dict.fromkeys(panel.members, "missing")), 422)
        await drawn.submit(*call, {gone: "missing"})
        state = await panel.ended()
        assert (state.result, state.aggregation_outcome) == (RIGHT, "sole")
        assert state.valid == sorted(panel.members)[1:]

    run(story())


# optimistic


def test_an_unchallenged_post_is_final_with_one_transaction_past_the_window():
    async def story() -> None:
        panel = await Panel.settled(**optimistic())
        await panel.begin()
        state = await panel.voted()
        assert state.stage is Stage.POST
        other = panel.members[state.committee[1]]
        await refused(other.submit("Aggregation:post", "job", 1, 1, RIGHT, panel.world.beacon()), 403)
        beacon = panel.world.beacon()
        state = await panel.post(RIGHT)
        opened = panel.world.signer.info.time(beacon.round)
        assert state.deadline == opened + 9 * 3, "nine beacon rounds"
        await refused(panel.move(), 425)
        await panel.move(late=True)
        state = await panel.ended()
        assert (state.result, state.aggregation_outcome) == (RIGHT, "optimistic")
        assert await panel.gains() == {}

    run(story())


def test_a_wrong_post_is_replaced_and_its_bond_goes_to_the_challenger():
    async def story() -> None:
        panel = await Panel.settled(**optimistic())
        poster, b, c = (await panel.begin()).committee
        await panel.voted()
        await panel.post(WRONG)
        outsider = next(m for m in panel.members if m not in (poster, b, c))
        state = await panel.challenge(outsider)
        assert (state.stage, state.challenger, state.voters) == (Stage.COMMIT, outsider, [b, c])
        await refused(panel.commit(poster, WRONG), 403)
        await panel.answer({b: RIGHT, c: RIGHT})
        state = await panel.ended()
        assert (state.result, state.aggregation_outcome) == (RIGHT, "majority")
        assert await panel.gains() == {poster: -panel.money, outsider: panel.money}

    run(story())


def test_who_lost_its_lock_for_not_revealing_may_still_challenge_a_wrong_post():
    async def story() -> None:
        at = await scene(5, **optimistic(rounds=1))
        slashed = at.members[4].member_id
        await at.to(Phase.SETTLED, but=at.members[4:])
        panel = Panel(at.world, {who.member_id: who for who in at.members}, at.spec)
        poster, b, c = (await panel.begin()).committee
        await panel.voted()
        await panel.post(WRONG)
        had = {each: await at.world.balance(each) for each in (slashed, poster)}
        await panel.challenge(slashed)
        await panel.answer({b: RIGHT, c: RIGHT})
        assert (await panel.ended()).result == RIGHT
        assert await at.world.balance(slashed) == had[slashed] + panel.money
        assert await at.world.balance(poster) == had[poster], "its bond went to the challenger"

    run(story())


def test_a_committee_member_may_challenge_and_then_votes():
    async def story() -> None:
        panel = await Panel.settled(**optimistic())
        poster, b, c = (await panel.begin()).committee
        await panel.voted()
        await panel.post(WRONG)
        await panel.challenge(b)
        await panel.answer({b: RIGHT, c: RIGHT})
        assert (await panel.ended()).result == RIGHT
        assert await panel.gains() == {poster: -panel.money, b: panel.money}

    run(story())


def test_a_griefing_challenger_pays_the_poster():
    async def story() -> None:
        panel = await Panel.settled(**optimistic())
        poster, b, c = (await panel.begin()).committee
        await panel.voted()
        await panel.post(RIGHT)
        griefer = next(m for m in panel.members if m not in (poster, b, c))
        await panel.challenge(griefer)
        await panel.answer({b: RIGHT, c: RIGHT})
        assert (await panel.ended()).result == RIGHT
        assert await panel.gains() == {poster: panel.money, griefer: -panel.money}

    run(story())


def test_a_challenge_nobody_judges_returns_everything_but_the_absents_bonds():
    async def story() -> None:
        panel = await Panel.settled(6, **optimistic(attempts=2))
        poster, b, c = (await panel.begin()).committee
        await panel.voted()
        await panel.post(WRONG)
        outsider = next(m for m in panel.members if m not in (poster, b, c))
        await panel.challenge(outsider)
        state = await panel.answer({b: RIGHT})
        assert (state.stage, state.attempt, state.post, state.challenger) == (Stage.VOTE, 2, "", "")
        assert (await panel.gains())[outsider] == -panel.money, "its stake is back, its own bond still locked"
        await panel.voted()
        await panel.post(RIGHT)
        await panel.move(late=True)
        assert (await panel.ended()).aggregation_outcome == "optimistic"
        assert await panel.gains() == {c: -panel.money, TREASURY: panel.money}

    run(story())


def test_a_challenge_open_at_the_last_attempt_returns_when_the_model_is_kept():
    async def story() -> None:
        panel = await Panel.settled(5, **optimistic(attempts=1))
        poster, b, c = (await panel.begin()).committee
        await panel.voted()
        await panel.post(WRONG)
        outsider = next(m for m in panel.members if m not in (poster, b, c))
        await panel.challenge(outsider)
        await panel.answer({b: RIGHT, c: OTHER})
        assert (await panel.ended()).aggregation_outcome == "kept"
        assert await panel.gains() == {}

    run(story())


def test_a_silent_poster_loses_its_bond_and_the_next_committee_posts():
    async def story() -> None:
        panel = await Panel.settled(**optimistic())
        poster = (await panel.begin()).aggregator
        await panel.voted()
        state = await panel.move(late=True)
        assert poster not in state.committee
        await panel.voted()
        await panel.post(RIGHT)
        await panel.move(late=True)
        assert (await panel.ended()).result == RIGHT
        assert await panel.gains() == {poster: -panel.money, TREASURY: panel.money}

    run(story())


def test_who_may_challenge_when_and_with_what():
    async def story() -> None:
        panel = await Panel.settled(**optimistic())
        poster, b, c = (await panel.begin()).committee
        await refused(panel.challenge(b), 425)
        await panel.voted()
        await panel.post(RIGHT)
        await refused(panel.challenge(poster), 403)
        stranger = await panel.world.member("Org1MSP", "stranger", panel.money)
        panel.members[stranger.member_id] = stranger
        await refused(panel.challenge(stranger.member_id), 403)
        call = panel.members[b].submit("Aggregation:challenge", "job", 1, 1, [], panel.world.beacon())
        await refused(call, 422)
        await panel.challenge(b)
        await refused(panel.challenge(c), 409)
        await panel.world.holdings()

    run(story())


# every phase, cancelled


@pytest.mark.parametrize("stage", [each for each in Stage if each is not Stage.WITNESS])
def test_a_job_cancelled_in_any_stage_ends_with_the_round_and_returns_the_pool(stage):
    async def story() -> None:
        terms = {"committee": 1} if stage is Stage.SOLE else optimistic()
        panel = await Panel.settled(**terms, rounds=2)
        await panel.begin()
        await _until(panel, stage)
        await panel.world.admin.submit("Jobs:cancel", "job", 1)
        for _ in range(20):
            if (await panel.state()).phase is Phase.FINAL:
                break
            await panel.move(late=True)
        await panel.ended()
        with pytest.raises(Refused):
            await panel.world.open(round=2)

    run(story())


async def _until(panel: Panel, stage: Stage) -> None:
    state = await panel.state()
    if stage in (Stage.SOLE, Stage.VOTE):
        return
    await panel.voted()
    if stage is Stage.POST:
        return
    await panel.post(WRONG)
    if stage is Stage.CHALLENGE:
        return
    await panel.challenge(state.committee[1])
    if stage is Stage.REVEAL:
        for member in state.committee[1:]:
            await panel.commit(member, RIGHT)
        await panel.move()
    assert (await panel.state()).stage is stage


# the job's terms


@pytest.mark.parametrize(
    ("field", "terms"),
    [
        ("committee", {"committee": 2}),
        ("committee", {"committee": 7}),
        ("committee", {"aggregation": "optimistic", "committee": 1, "challenge_rounds": 9}),
        ("bond", {"aggregation": "optimistic", "committee": 3, "challenge_rounds": 9, "bond": 0}),
        ("challenge_rounds", {"aggregation": "optimistic", "committee": 3, "challenge_rounds": 8}),
    ],
)
def test_terms_that_cannot_work_are_refused(field, terms):
    world = World()
    assert [name for name, _ in job_terms.faults(world.spec(**terms), world.terms)] == [field]


def test_a_plan_is_warned_about_a_committee_that_few_can_capture():
    world = World()
    assert [field for field, _ in job_terms.warnings(world.spec(committee=1))] == ["committee"]
    assert [field for field, _ in job_terms.warnings(world.spec(committee=3, bond=0))] == ["bond"]
    assert [field for field, _ in job_terms.warnings(world.spec(committee=5))] == ["min_participants"]
    layered = world.spec(committee=3, strategy="two-layer", light_check=True)
    assert [field for field, _ in job_terms.warnings(layered)] == ["light_check"]
    assert not list(job_terms.warnings(world.spec(committee=3)))
    for sound in ({"strategy": "two-layer", "light_check": False}, {"light_check": True}):
        assert not list(job_terms.warnings(world.spec(committee=3, **sound)))
