"""Cancelling, suspending, removing, rotating at every phase: nobody loses what is theirs, nothing changes a round."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from chaincode import rotation
from chaincode.beacon import DevSigner
from chaincode.proposals import (
    AbortJob,
    Recover,
    RemoveOrganisation,
    SetBeacon,
    SetRegistration,
    SpendTreasury,
    SuspendMember,
    VoidRound,
)
from chaincode.records import TREASURY, Phase, Registration
from tests.attacks.scenes import ORDER, Scene, hoard, refused, scene, story, together
from tests.world import GENESIS, ORGANISATIONS

RUNNING = ORDER[:-1]


async def cancel(at: Scene) -> None:
    await at.world.admin.submit("Jobs:cancel", "job", 1)


async def suspend(at: Scene) -> None:
    await at.world.pass_vote("suspend", SuspendMember(member=at.members[0].member_id))


async def leave(at: Scene) -> None:
    await at.members[0].submit("Registry:leave")


async def remove_org(at: Scene) -> None:
    await at.world.pass_vote("remove", RemoveOrganisation(msp_id=ORGANISATIONS[2]))


async def rotate(at: Scene) -> None:
    await rotated(at, 0)


async def recover(at: Scene) -> None:
    identity = at.world.identities.issue(ORGANISATIONS[0], "recovered")
    key = identity.member_id.partition(":")[2]
    await at.world.pass_vote("recover", Recover(member=at.members[0].member_id, key=key))
    replace_key(at, 0, identity)


async def set_beacon(at: Scene) -> None:
    other = DevSigner(b"another chain", 3, GENESIS).info
    await at.world.pass_vote("beacon", SetBeacon(beacon=other))


async def set_registration(at: Scene) -> None:
    terms = Registration(pre_known=False, deposit=10**6)
    await at.world.pass_vote("terms", SetRegistration(registration=terms))


async def rotated(at: Scene, place: int) -> None:
    """The member hands over to a new key and acts with it from now on."""
    who = at.members[place]
    identity = at.world.identities.issue(who.msp_id, f"rotated-{place}")
    await who.submit("Registry:rotate", *proof(at, who, identity))
    replace_key(at, place, identity)


def proof(at: Scene, who, identity, **changes) -> tuple[bytes, bytes]:
    """The new key and its consent."""
    public = identity.private_key.public_key()
    der = public.public_bytes(rotation.Encoding.DER, rotation.PublicFormat.SubjectPublicKeyInfo)
    old = who.member_id.partition(":")[2]
    parts = {
        "channel": at.world.network.channel,
        "chaincode": at.world.network.chaincode,
        "member": who.member_id,
        "old": old,
        "new": rotation.key_id(der),
        "counter": 0,
    } | changes
    return der, rotation.sign(identity.private_key, rotation.message(**parts))


def replace_key(at: Scene, place: int, identity) -> None:
    """The same member behind another certificate."""
    member = at.members[place].member_id
    ledger = at.world.ledger(identity)
    ledger.member_id = member
    at.members[place] = ledger


INTERFERENCES: dict[str, Callable[[Scene], Awaitable[None]]] = {
    "cancel": cancel,
    "suspend": suspend,
    "leave": leave,
    "remove-org": remove_org,
    "rotate": rotate,
    "recover": recover,
    "set-beacon": set_beacon,
    "set-registration": set_registration,
}


@pytest.mark.parametrize("phase", RUNNING)
@pytest.mark.parametrize("interference", INTERFERENCES)
@story
async def test_interference_in_any_phase_leaves_the_round_to_end_as_it_began(interference, phase):
    at = await scene(4)
    for msp_id in ORGANISATIONS:
        at.world.admins[msp_id]  # noqa: B018 - all vote below
    await at.to(phase)
    await INTERFERENCES[interference](at)
    await at.world.holdings()
    await at.to(Phase.FINAL)
    outcomes = await at.world.outcomes()
    assert len(outcomes) == 4
    assert all(each.slashed == 0 for each in outcomes.values())
    held = await at.world.holdings()
    assert held.locks == 0
    for who in at.members:  # all that was locked has come back, whatever the account's status
        outcome = outcomes[who.member_id]
        lost_bond = who.member_id in (await at.world.state()).forfeited
        expected = at.spec.lock * 3 + outcome.payment - lost_bond * at.spec.bond
        assert await at.world.balance(who.member_id) == expected


@pytest.mark.parametrize("phase", RUNNING)
@story
async def test_a_cancelled_job_ends_with_its_running_round_and_returns_the_rest(phase):
    at = await scene(4)
    await at.to(phase)
    await cancel(at)
    await refused(409, cancel(at))
    assert (await at.world.holdings()).escrows > 0
    await at.to(Phase.FINAL)
    assert (await at.world.holdings()).escrows == 0
    await refused(422, at.world.open(round=2))
    await refused(409, at.world.admin.submit("Jobs:cancel", "job", 1))


@story
async def test_cancelling_and_opening_at_once_cannot_both_succeed():
    at = await scene(3)
    opening = await hoard(at.members[0], "Rounds:open", "job", 1, at.world.beacon())
    cancelling = await hoard(at.world.admin, "Jobs:cancel", "job", 0)
    assert await together(opening, cancelling) == ["VALID", "MVCC_READ_CONFLICT"]
    at = await scene(3)
    opening = await hoard(at.members[0], "Rounds:open", "job", 1, at.world.beacon())
    cancelling = await hoard(at.world.admin, "Jobs:cancel", "job", 0)
    assert await together(cancelling, opening) == ["VALID", "MVCC_READ_CONFLICT"]
    assert (await at.world.holdings()).escrows == 0


@story
async def test_cancelling_and_the_rounds_end_at_once_cannot_both_succeed():
    at = await scene(3)
    await at.to(Phase.AGGREGATE)
    while (await at.world.state()).attempt < at.spec.attempts:
        await at.skip_aggregation()
    at.world.clock.time = (await at.world.state()).deadline + 3
    ending = await hoard(at.members[0], "Aggregation:finalise", "job", 1, at.world.beacon())
    cancelling = await hoard(at.world.admin, "Jobs:cancel", "job", 1)
    assert await together(ending, cancelling) == ["VALID", "MVCC_READ_CONFLICT"]
    await cancel(at)
    assert (await at.world.holdings()).escrows == 0


@pytest.mark.parametrize("phase", RUNNING)
@story
async def test_a_majority_cannot_end_a_running_round_before_it_has_stalled(phase):
    at = await scene(4)
    await at.to(phase)
    world = at.world
    for action in (VoidRound(job="job", round=1), AbortJob(job="job")):
        name = f"stop-{action.__class__.__name__.lower()}"
        await world.propose(name, action)
        refusal = await refused((409, 425), world.approve(name))
        assert "ended from" in refusal.message
        await refused(400, world.admins[ORGANISATIONS[1]].submit("Governance:approve", name))
        await refused(
            (409, 422), world.admins[ORGANISATIONS[1]].submit("Governance:approve", name, world.beacon(-100))
        )
    await at.to(Phase.FINAL)
    assert all(each.slashed == 0 for each in (await world.outcomes()).values())


@pytest.mark.parametrize("phase", RUNNING)
@story
async def test_a_stalled_round_ended_by_vote_returns_every_lock_and_nothing_can_happen_in_it_any_more(phase):
    at = await scene(4)
    await at.to(phase)
    world = at.world
    treasury = await world.balance(TREASURY)
    await world.propose("void", VoidRound(job="job", round=1))
    world.clock.time += 10 * at.spec.grace
    await world.approve("void")
    held = await world.holdings()
    assert (held.locks, await world.balance(TREASURY)) == (0, treasury)
    assert (await world.state()).phase is Phase.VOID
    for who in at.members:
        assert await world.balance(who.member_id) >= at.spec.lock * 3 - at.spec.stake
    for call in ("Rounds:close", "Rounds:seal", "Aggregation:begin", "Aggregation:finalise"):
        await refused(409, world.admin.submit(call, "job", 1, world.beacon()))
    await refused(409, world.reveal(at.members[0], at.work(at.members[0])))
    await world.open(round=2)
    await world.holdings()


@story
async def test_a_suspended_member_cannot_commit_or_spend_and_can_once_reinstated():
    at = await scene(3)
    await at.world.open()
    await suspend(at)
    who = at.members[0]
    await refused(403, at.world.commit(who, at.work(who)))
    own = await at.world.view.credits(who.member_id, 1)
    await refused(403, who.submit("Token:transfer", who.member_id, "Org1MSP", 1, own))
    await refused(403, who.submit("Registry:leave"))
    identity = at.world.identities.issue(ORGANISATIONS[0], "fresh-key")
    await refused(403, who.submit("Registry:rotate", *proof(at, who, identity)))
    await refused((403, 409), who.submit("Registry:register", []))


@story
async def test_a_members_of_a_removed_organisation_cannot_join_a_round_but_keeps_its_money():
    at = await scene(3)
    await at.world.open()
    await remove_org(at)
    gone = at.members[2]
    await refused(403, at.world.commit(gone, at.work(gone)))
    outsider = at.world.admins[ORGANISATIONS[2]]
    await refused(403, outsider.submit("Registry:allow", "0" * 64))
    await refused(403, outsider.submit("Governance:reject", "remove"))
    balance = await at.world.balance(gone.member_id)
    own = await at.world.view.credits(gone.member_id, balance)
    await gone.submit("Token:transfer", gone.member_id, "Org1MSP", balance, own)
    await at.world.holdings()


@story
async def test_after_a_rotation_the_old_key_acts_for_nobody():
    at = await scene(3)
    old = at.members[0]
    await rotated(at, 0)
    await at.world.open()
    await refused(403, at.world.commit(old, at.work(old)))
    own = await at.world.view.credits(old.member_id, 1)
    await refused(403, old.submit("Token:transfer", old.member_id, "Org1MSP", 1, own))
    await refused((403, 409), old.submit("Registry:register", []))
    await refused(403, old.submit("Registry:leave"))
    await at.world.commit(at.members[0], at.work(at.members[0]))


@pytest.mark.parametrize(
    "changes",
    [
        {"channel": "other"},
        {"chaincode": "other"},
        {"member": f"Org1MSP:{'0' * 64}"},
        {"old": "0" * 64},
        {"new": "0" * 64},
        {"counter": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
@story
async def test_a_rotation_signed_for_something_else_is_refused(changes):
    at = await scene(3)
    who = at.members[0]
    identity = at.world.identities.issue(ORGANISATIONS[0], "new")
    await refused(422, who.submit("Registry:rotate", *proof(at, who, identity, **changes)))


@story
async def test_a_rotation_to_a_key_that_is_somebodys_or_did_not_sign_is_refused():
    at = await scene(3)
    one, other = at.members[:2]
    identity = at.world.identities.issue(ORGANISATIONS[0], "new")
    key, signature = proof(at, one, identity)
    stranger = at.world.identities.issue(ORGANISATIONS[0], "stranger")
    wrong = rotation.sign(stranger.private_key, b"anything")
    for bad in (wrong, b"", b"\0" * 70, signature[:-1]):
        await refused((400, 422), one.submit("Registry:rotate", key, bad))
    for bad in (b"", key[:-1], key + b"\0", b"\x30" * 90):
        await refused((400, 422), one.submit("Registry:rotate", bad, signature))
    await refused(422, other.submit("Registry:rotate", key, signature))  # the consent names another member
    await rotated(at, 0)
    again = at.world.identities.issue(ORGANISATIONS[0], "again")
    replayed = proof(at, at.members[0], again)  # signed for the first key and counter 0
    await refused(422, at.members[0].submit("Registry:rotate", *replayed))


@story
async def test_the_treasury_is_spent_by_vote_and_once():
    at = await scene(4)
    await at.to(Phase.SETTLED, but=at.members[3:])
    world = at.world
    credits = await world.view.credits(TREASURY, at.spec.lock)
    for who in (world.admin, at.members[0]):
        refusal = await refused(403, who.submit("Token:transfer", TREASURY, "Org1MSP", 1, credits))
        assert "by vote" in refusal.message
    for name in ("one", "two"):
        await world.propose(name, SpendTreasury(to="Org2MSP", amount=at.spec.lock, credits=credits))
    held = [
        await hoard(world.admins[ORGANISATIONS[1]], "Governance:approve", name) for name in ("one", "two")
    ]
    assert await together(*held) == ["VALID", "MVCC_READ_CONFLICT"]
    await refused(409, world.admins[ORGANISATIONS[1]].submit("Governance:approve", "two"))
    await world.holdings()


@story
async def test_a_proposal_whose_subject_has_changed_since_executes_nothing():
    at = await scene(3)
    world = at.world
    first = at.world.identities.issue(ORGANISATIONS[0], "first").member_id.partition(":")[2]
    await world.propose("recover", Recover(member=at.members[0].member_id, key=first))
    await rotated(at, 0)
    await refused(409, world.approve("recover"))
    member = msgspec.json.decode(await at.members[0].evaluate("Registry:me"))
    assert member["key"] != first


@story
async def test_one_permission_registers_one_member():
    at = await scene(3)
    world = at.world
    await world.admin.submit("Registry:allow-name", "shared")
    first, second = (world.client(ORGANISATIONS[0], "shared") for _ in range(2))
    held = [await hoard(who, "Registry:register", []) for who in (first, second)]
    assert await together(*held) == ["VALID", "MVCC_READ_CONFLICT"]
    await refused(403, second.submit("Registry:register", []))
    await world.admin.submit("Registry:allow", "0" * 64)
    await world.admin.submit("Registry:disallow", "0" * 64)
    await refused(409, world.admin.submit("Registry:disallow", "0" * 64))


@story
async def test_a_removed_organisation_has_no_vote_on_missing_reports_and_its_old_one_no_longer_counts():
    at = await scene(4)
    await at.to(Phase.SEALED)
    world, gone = at.world, at.members[0].member_id
    removed = world.admins[ORGANISATIONS[2]]
    await removed.submit("Settlement:missing", "job", 1, gone)
    await remove_org(at)
    other = at.members[1].member_id
    await refused((403, 422), removed.submit("Settlement:missing", "job", 1, other))
    await world.admin.submit("Settlement:missing", "job", 1, gone)
    world.clock.time += at.spec.missing_seconds + 3
    await refused(409, world.admin.submit("Settlement:close-missing", "job", 1, world.beacon()))  # one of two
    await at.settle()
    assert (await world.outcomes())[gone].slashed == 0
