"""Commits that are copied, replayed, doubled or out of place."""

from __future__ import annotations

import pytest

from chaincode import cid, commitment
from chaincode.encoding import domain
from chaincode.records import Phase
from fl_client.errors import BadInput
from tests.attacks.scenes import Scene, hoard, identity_until, joined, refused, scene, story, together
from tests.world import ORGANISATIONS, World


async def opened(count: int = 4, **spec) -> Scene:
    """A round in its commit window."""
    at = await scene(count, **spec)
    await at.world.open()
    return at


async def credits(at: Scene, who, amount: int | None = None) -> list[str]:
    return await at.world.view.credits(who.member_id, at.spec.lock if amount is None else amount)


@story
async def test_a_commit_copied_from_another_member_cannot_be_revealed():
    at = await opened(4)
    world, (victim, thief, *others) = at.world, at.members
    digest = world.digest(victim, at.work(victim))
    for who in (victim, *others):
        await world.commit(who, at.work(who))
    await thief.submit("Rounds:commit", "job", 1, digest, await credits(at, thief))
    await world.close()
    await world.pair()
    await world.reveal(victim, at.work(victim))
    refusal = await refused(422, world.reveal(thief, at.work(victim)))  # its salt is public by now
    assert "digest" in refusal.message
    for who in others:
        await world.reveal(who, at.work(who))
    await world.seal()
    at.works.pop(thief.member_id, None)
    await at.settle()
    assert (await world.outcomes())[thief.member_id].slashed == at.spec.lock
    assert (await world.outcomes())[victim.member_id].slashed == 0
    await world.holdings()


def somewhere_else(
    world: World, who, work, *, channel="candor", chaincode="candor", job="job", round=1
) -> str:
    """The digest of the same work bound to another place."""
    base = domain(channel, chaincode, job, round)
    return commitment.digest(base, who.member_id, work.report, work.update, work.salt).hex()


@pytest.mark.parametrize(
    "place",
    [{"round": 2}, {"job": "other"}, {"channel": "other"}, {"chaincode": "other"}],
    ids=lambda place: next(iter(place)),
)
@story
async def test_a_commit_replayed_in_another_place_cannot_be_revealed(place):
    at = await opened(3)
    replayer = at.members[0]
    digest = somewhere_else(at.world, replayer, at.work(replayer), **place)
    await replayer.submit("Rounds:commit", "job", 1, digest, await credits(at, replayer))
    for who in at.members[1:]:
        await at.world.commit(who, at.work(who))
    await at.world.close()
    await at.world.pair()
    await refused(422, at.world.reveal(replayer, at.work(replayer)))


@story
async def test_a_commit_replayed_in_the_next_round_cannot_be_revealed_though_its_salt_is_known():
    at = await scene(3)
    await at.to(Phase.FINAL)
    await at.world.open(round=2)
    for who in at.members:
        old = at.world.digest(who, at.work(who), round=1)
        await who.submit("Rounds:commit", "job", 2, old, await credits(at, who))
    await at.world.close(round=2)
    await at.world.pair(round=2)
    for who in at.members:
        await refused(422, at.world.reveal(who, at.work(who), round=2))


@story
async def test_a_call_that_was_signed_for_another_chaincode_is_refused():
    at = await opened(3)
    world = at.world
    world.network.chaincode = "other"  # what the signed proposal names
    who = world.ledger(world.identities.issue(ORGANISATIONS[0], "x"))
    await refused(403, who.submit("Registry:register", []))
    await refused(403, who.evaluate("Governance:get"))


@story
async def test_the_second_commit_of_a_member_is_refused_and_the_first_stands():
    at = await opened(3)
    who = at.members[0]
    await at.world.commit(who, at.work(who))
    lock = at.world.network.state.get(f"lock/job/000001/{who.member_id}").value
    await refused(409, at.world.commit(who, at.world.work(at.spec)))
    await refused(409, at.world.commit(who, at.work(who)))
    assert at.world.network.state.get(f"lock/job/000001/{who.member_id}").value == lock
    assert (await at.world.holdings()).locks == at.spec.lock


@story
async def test_of_two_commits_of_one_member_in_one_block_one_is_valid():
    at = await opened(3)
    who = at.members[0]
    names = await credits(at, who)
    twice = [
        await hoard(who, "Rounds:commit", "job", 1, at.world.digest(who, at.world.work(at.spec)), names)
        for _ in range(2)
    ]
    assert sorted(await together(*twice)) == ["MVCC_READ_CONFLICT", "VALID"]
    assert (await at.world.holdings()).locks == at.spec.lock


@story
async def test_one_credit_backs_one_commit_though_two_jobs_ask_at_once():
    at = await opened(3)
    await at.world.mint(at.spec.pool)
    await at.world.create("second")
    await at.world.open("second")
    who = at.members[0]
    own = await credits(at, who)
    first = await hoard(who, "Rounds:commit", "job", 1, at.world.digest(who, at.work(who)), own)
    second = await hoard(who, "Rounds:commit", "second", 1, at.world.digest(who, at.work(who)), own)
    assert await together(first, second) == ["VALID", "MVCC_READ_CONFLICT"]
    await refused(409, who.submit("Rounds:commit", "second", 1, "0" * 64, own))
    assert (await at.world.holdings()).locks == at.spec.lock


@story
async def test_a_commit_without_the_whole_lock_is_refused():
    at = await opened(3)
    who, other = at.members[:2]
    digest = at.world.digest(who, at.work(who))
    await refused(422, who.submit("Rounds:commit", "job", 1, digest, []))
    await refused(409, who.submit("Rounds:commit", "job", 1, digest, await credits(at, other)))
    own = await credits(at, who)
    await refused(400, who.submit("Rounds:commit", "job", 1, digest, own * 2))
    balance = await at.world.balance(who.member_id)
    await who.submit("Token:transfer", who.member_id, "Org1MSP", balance - at.spec.lock + 1, own)
    with pytest.raises(BadInput):
        await credits(at, who)
    rest = await credits(at, who, 1)
    await refused(422, who.submit("Rounds:commit", "job", 1, digest, rest))


@pytest.mark.parametrize(
    "digest", ["", "0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n", "g" * 64, "0x" + "0" * 62]
)
@story
async def test_a_digest_of_another_form_is_refused(digest):
    at = await opened(3)
    who = at.members[0]
    await refused(400, who.submit("Rounds:commit", "job", 1, digest, await credits(at, who)))


@story
async def test_an_organisation_gets_no_more_places_than_the_job_allows():
    at = await scene(3, max_members_per_org=2, max_participants=6)
    world = at.world
    crowd = [await world.member(ORGANISATIONS[0], f"sybil{i}", at.spec.lock) for i in range(3)]
    await world.open()
    await world.commit(crowd[0], world.work(at.spec))
    await world.commit(crowd[1], world.work(at.spec))
    refusal = await refused(422, world.commit(crowd[2], world.work(at.spec)))
    assert "places" in str(refusal) or "members" in str(refusal)
    await world.commit(at.members[1], at.work(at.members[1]))  # of another organisation


@story
async def test_an_organisation_gets_no_more_places_by_committing_all_at_once():
    at = await scene(3, max_members_per_org=2, max_participants=6)
    world = at.world
    crowd = [await world.member(ORGANISATIONS[0], f"sybil{i}", at.spec.lock) for i in range(6)]
    await world.open()
    held = [
        await hoard(
            who, "Rounds:commit", "job", 1, world.digest(who, world.work(at.spec)), await credits(at, who)
        )
        for who in crowd
    ]
    assert (await together(*held)).count("VALID") <= 2
    for who in crowd:
        inside = await world.view.participants("job", 1)
        if len(inside) < 2 and who.member_id not in inside:
            await world.commit(who, world.work(at.spec))
    assert len(await world.view.participants("job", 1)) == 2
    await world.holdings()


@story
async def test_a_certificate_that_ends_inside_the_round_cannot_commit():
    at = await scene(3)
    world, spec = at.world, at.spec
    await world.open()
    deadline = (await world.state()).deadline
    end = deadline + spec.reveal_seconds + spec.missing_seconds + spec.aggregate_seconds
    for not_after, allowed in ((end - 1, False), (end, False), (end + 1, True)):
        who = await joined(
            world, identity_until(ORGANISATIONS[0], f"until-{not_after}", not_after), spec.lock
        )
        attempt = world.commit(who, world.work(spec))
        await (attempt if allowed else refused(403, attempt))


@story
async def test_a_commit_after_the_deadline_is_refused_though_nobody_has_closed():
    at = await opened(3)
    at.world.clock.time = (await at.world.state()).deadline + 1
    await refused(409, at.world.commit(at.members[0], at.work(at.members[0])))
    at.world.clock.time -= 1
    await at.world.commit(at.members[0], at.work(at.members[0]))


@story
async def test_a_close_kills_the_commits_that_are_still_on_their_way():
    at = await opened(4)
    late = at.members[3]
    held = await hoard(
        late, "Rounds:commit", "job", 1, at.world.digest(late, at.work(late)), await credits(at, late)
    )
    for who in at.members[:3]:
        await at.world.commit(who, at.work(who))
    await at.world.close()
    fixed = await at.world.view.participants("job", 1)
    assert (await held.send()).code == "MVCC_READ_CONFLICT"
    assert await at.world.view.participants("job", 1) == fixed


@story
async def test_a_commit_kept_back_through_an_extension_is_dead():
    at = await opened(3)
    who = at.members[0]
    held = await hoard(
        who, "Rounds:commit", "job", 1, at.world.digest(who, at.work(who)), await credits(at, who)
    )
    await at.world.close()
    await at.world.pair()  # nobody: extended
    assert (await at.world.state()).phase is Phase.COMMIT
    assert (await held.send()).code == "MVCC_READ_CONFLICT"


@story
async def test_who_is_not_on_the_allow_list_cannot_commit():
    world = World()
    await world.found()
    await world.mint(10**6)
    members = await world.members(4, 5000)
    spec = await world.create(allow_list=sorted(who.member_id for who in members[:3]))
    await world.open()
    await refused(403, world.commit(members[3], world.work(spec)))
    unregistered = world.client(ORGANISATIONS[0], "nobody")
    await refused(403, unregistered.submit("Rounds:commit", "job", 1, "0" * 64, []))
    await refused(403, world.admin.submit("Rounds:commit", "job", 1, "0" * 64, []))


@story
async def test_a_commit_is_refused_in_every_later_phase_and_before_the_round():
    at = await scene(4)
    late = await at.world.member(ORGANISATIONS[0], "late", at.spec.lock)
    own = await credits(at, late)
    await refused(404, late.submit("Rounds:commit", "job", 1, "0" * 64, own))
    for phase in list(Phase)[1:6]:
        await at.to(phase)
        await refused(409, late.submit("Rounds:commit", "job", 1, "0" * 64, own))


@story
async def test_the_update_is_bound_by_the_commit_as_the_report_is():
    at = await scene(3)
    await at.to(Phase.REVEAL)
    who = at.members[0]
    work = at.work(who)
    other = cid.raw_cid(b"an update made after the others'")
    await refused(
        422,
        who.submit(
            "Rounds:reveal", "job", 1, work.report, other, work.salt.hex(), transient={"report": work.data}
        ),
    )
