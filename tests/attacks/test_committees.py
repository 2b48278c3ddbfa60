"""What a committee's members try; the rules of committees have their stories in tests/contracts/test_aggregation.py."""

from __future__ import annotations

import pytest

from chaincode import commitment
from chaincode.encoding import domain
from chaincode.proposals import SuspendMember
from chaincode.records import Phase, Stage
from tests.attacks.scenes import Scene, refused, scene, story
from tests.contracts.panel import RIGHT, WRONG, Panel, optimistic
from tests.world import MODEL


async def in_reveal(silent: int = 0) -> tuple[Scene, list, dict[str, bytes]]:
    """A committee of three whose members have committed, but for so many; who sits in it, and their salts."""
    at = await scene(4, committee=3)
    await at.to(Phase.AGGREGATE)
    world, state = at.world, await at.world.state()
    seated = [who for who in at.members if who.member_id in state.committee]
    for who in seated:
        await who.submit("Aggregation:vote", "job", 1, 1, {})
    await world.admin.submit("Aggregation:finalise", "job", 1, world.beacon())
    base = domain(world.network.channel, world.network.chaincode, "job", 1)
    salts = {who.member_id: bytes([place]) * 32 for place, who in enumerate(seated)}
    for who in seated[silent:]:
        digest = commitment.answer_digest(base, 1, who.member_id, MODEL, salts[who.member_id])
        await who.submit("Aggregation:commit", "job", 1, 1, digest.hex())
    world.clock.time = (await world.state()).deadline + 1
    await world.admin.submit("Aggregation:finalise", "job", 1, world.beacon())
    assert (await world.state()).stage is Stage.REVEAL
    return at, seated, salts


@story
async def test_who_has_not_committed_to_an_answer_cannot_reveal_one():
    at, seated, salts = await in_reveal(silent=1)
    silent, honest = seated[0], seated[1]
    call = ("Aggregation:reveal", "job", 1, 1, MODEL)
    await refused(403, silent.submit(*call, "00" * 32))
    await refused(403, silent.submit(*call, salts[honest.member_id].hex()))
    await honest.submit(*call, salts[honest.member_id].hex())
    await refused(403, silent.submit(*call, salts[honest.member_id].hex()))
    await refused(409, honest.submit(*call, salts[honest.member_id].hex()))


@story
async def test_an_attempt_that_was_never_made_has_no_progress():
    at, _, _ = await in_reveal()
    await at.world.admin.evaluate("Aggregation:progress", "job", 1, 1)
    for attempt in (2, 100):
        await refused(404, at.world.admin.evaluate("Aggregation:progress", "job", 1, attempt))


@story
async def test_a_committee_of_which_too_few_commit_is_replaced_without_another_window():
    panel = await Panel.settled(6, attempts=2)
    present, *absent = (await panel.begin()).committee
    await panel.voted()
    await panel.commit(present, RIGHT)
    state = await panel.move(late=True)
    assert (state.stage, state.attempt) == (Stage.VOTE, 2), "a single answer of three decides nothing"
    assert state.forfeited == sorted(absent)


NO_MODELS = ["", "model", RIGHT.upper(), RIGHT + "\n", RIGHT[:-1], "Qm" + "a" * 44]


@pytest.mark.parametrize("model", NO_MODELS, ids=range(len(NO_MODELS)))
@story
async def test_nothing_but_a_cid_becomes_the_model(model):
    alone = await Panel.settled(3, committee=1)
    state = await alone.begin()
    drawn = alone.members[state.committee[0]]
    await refused(422, drawn.submit("Aggregation:aggregate", "job", 1, 1, model, {}))
    poster = await Panel.settled(**optimistic())
    await poster.begin()
    assert (await poster.voted()).stage is Stage.POST
    await refused(422, poster.post(model))
    several = await Panel.settled()
    committee = (await several.begin()).committee
    await several.voted()
    for member in committee:
        await several.commit(member, model)
    await several.move()
    await refused(422, several.reveal(committee[0]))


@story
async def test_who_decides_alone_refuses_only_updates_that_there_are():
    alone = await Panel.settled(3, committee=1)
    state = await alone.begin()
    drawn = alone.members[state.committee[0]]
    stranger = f"Org1MSP:{'0' * 64}"
    call = ("Aggregation:aggregate", "job", 1, 1, RIGHT)
    await refused(422, drawn.submit(*call, {stranger: "missing"}))
    await refused(400, drawn.submit(*call, {"Org1MSP": "missing"}))
    await refused(400, drawn.submit(*call, {state.committee[0]: "dislike"}))
    assert (await alone.state()).stage is Stage.SOLE


@story
async def test_a_challenge_of_the_unchanged_model_returns_when_nobody_judges_it():
    """The model is kept, so the post equals the result: that is no judgement against the challenger."""
    panel = await Panel.settled(5, **optimistic(attempts=1))
    committee = (await panel.begin()).committee
    await panel.voted()
    await panel.post(panel.spec.model)
    outsider = next(member for member in panel.members if member not in committee)
    await panel.challenge(outsider)
    await panel.answer({committee[1]: RIGHT, committee[2]: WRONG})
    assert (await panel.ended()).aggregation_outcome == "kept"
    assert await panel.gains() == {}


@story
async def test_a_suspended_participant_owes_its_vote_and_may_not_challenge():
    panel = await Panel.settled(**optimistic())
    committee = (await panel.begin()).committee
    outsider = next(member for member in panel.members if member not in committee)
    await panel.world.pass_vote("suspend", SuspendMember(member=outsider))
    await panel.world.pass_vote("and-another", SuspendMember(member=committee[1]))
    assert (await panel.voted()).stage is Stage.POST
    await panel.post(WRONG)
    before = await panel.world.balance(outsider)
    for member in (outsider, committee[1]):
        await refused(403, panel.challenge(member))
    assert await panel.world.balance(outsider) == before
    assert (await panel.state()).stage is Stage.CHALLENGE


@story
async def test_the_first_answer_a_member_commits_to_stands():
    panel = await Panel.settled()
    first, *others = (await panel.begin()).committee
    await panel.voted()
    await panel.commit(first, RIGHT)
    kept = panel.salts[1, first]
    await refused(409, panel.commit(first, WRONG))
    panel.salts[1, first] = kept
    for member in others:
        await panel.commit(member, RIGHT)
    await panel.move()
    await panel.reveal(first)
    await refused(409, panel.reveal(first))


@story
async def test_nobody_ends_a_window_early_to_make_the_slower_members_miss_it():
    panel = await Panel.settled()
    first, second, third = (await panel.begin()).committee
    await panel.vote([first, second])
    await refused(425, panel.move())
    await panel.vote([third])
    assert (await panel.move()).stage is Stage.COMMIT
    for member in (first, second):
        await panel.commit(member, RIGHT)
    await refused(425, panel.move())
    await panel.commit(third, RIGHT)
    assert (await panel.move()).stage is Stage.REVEAL
    for member in (first, second):
        await panel.reveal(member)
    await refused(425, panel.move())
    await panel.reveal(third)
    await panel.move()
    assert (await panel.ended()).forfeited == []


@story
async def test_as_many_candidates_as_seats_make_a_committee():
    panel = await Panel.settled(3)
    assert sorted((await panel.begin()).committee) == sorted(panel.members)
