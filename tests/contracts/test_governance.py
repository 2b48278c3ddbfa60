"""What a consortium decides by vote, as its admins do it, and what nobody can decide."""

from __future__ import annotations

import msgspec
import pytest

from chaincode.beacon import DevSigner
from chaincode.contracts import actions
from chaincode.contracts.governance import PROPOSAL_SECONDS
from chaincode.contracts.hardship import due
from chaincode.proposals import (
    AbortJob,
    AdmitOrganisation,
    Mint,
    Recover,
    ReinstateMember,
    RemoveOrganisation,
    SetBeacon,
    SetRegistration,
    SpendTreasury,
    SuspendMember,
    VoidRound,
)
from chaincode.records import TREASURY, Phase, Registration
from tests.attacks.scenes import RUNNING, Scene, admit_to_channel, refused, scene, story
from tests.world import GENESIS, ORGANISATIONS, World

ORG1, ORG2, ORG3 = ORGANISATIONS


async def founded(**world) -> World:
    made = World(**world)
    await made.found()
    return made


async def status(world: World, name: str) -> str:
    return (await world.view.proposals())[name].status


@pytest.mark.parametrize("organisations", [[ORG1, ORG1, ORG2], [ORG1, ORG2, TREASURY]])
@story
async def test_servers_that_are_configured_with_a_faulty_electorate_found_nothing(organisations):
    world = World()
    world.terms = msgspec.structs.replace(world.terms, organisations=organisations)
    admit_to_channel(world)
    await refused(422, world.found())


# voting


@story
async def test_the_proposer_votes_for_and_more_than_half_execute():
    world = await founded()
    await world.propose("m", Mint(account=ORG1, amount=7))
    assert await status(world, "m") == "open"
    assert await world.balance(ORG1) == 0
    await world.approve("m")
    assert await status(world, "m") == "executed"
    assert await world.balance(ORG1) == 7
    await refused(409, world.approve("m", ORG3))
    assert (await world.holdings()).minted == 7


@story
async def test_half_of_the_votes_against_end_a_proposal():
    world = await founded()
    await world.propose("m", Mint(account=ORG1, amount=7))
    await refused(409, world.admin.submit("Governance:reject", "m"))
    await world.admins[ORG2].submit("Governance:reject", "m")
    await refused(409, world.approve("m", ORG2))
    await world.admins[ORG3].submit("Governance:reject", "m")
    assert await status(world, "m") == "rejected"
    await refused(409, world.approve("m", ORG2))


@story
async def test_half_of_an_even_number_of_votes_is_no_majority_and_half_against_is_the_end():
    world = World()
    admit_to_channel(world)
    await world.found()
    await world.pass_vote("in", AdmitOrganisation(msp_id="Org4MSP"))
    await world.propose("m", Mint(account=ORG1, amount=7))
    await world.approve("m")
    assert await status(world, "m") == "open", "two of four"
    await world.admins[ORG3].submit("Governance:reject", "m")
    await refused(409, world.admins[ORG3].submit("Governance:reject", "m"))
    assert await status(world, "m") == "open", "one of four"
    await world.admins["Org4MSP"].submit("Governance:reject", "m")
    assert await status(world, "m") == "rejected", "two of four"
    await world.propose("n", Mint(account=ORG1, amount=7))
    await world.approve("n")
    await world.approve("n", ORG3)
    assert await status(world, "n") == "executed", "three of four"


@story
async def test_only_the_proposer_withdraws_and_only_while_the_vote_is_open():
    world = await founded()
    await world.propose("m", Mint(account=ORG1, amount=7))
    await refused(403, world.admins[ORG2].submit("Governance:withdraw", "m"))
    await world.admin.submit("Governance:withdraw", "m")
    assert await status(world, "m") == "withdrawn"
    await refused(409, world.approve("m"))
    await refused(409, world.admin.submit("Governance:withdraw", "m"))


@story
async def test_a_proposal_expires_in_beacon_time_and_its_name_stays_taken():
    world = await founded()
    await world.propose("m", Mint(account=ORG1, amount=7))
    world.clock.time += PROPOSAL_SECONDS + 3
    await refused(409, world.approve("m"))
    await refused(409, world.propose("m", Mint(account=ORG1, amount=7)))
    assert (await world.holdings()).minted == 0


@pytest.mark.parametrize(
    ("action", "codes"),
    [
        ({"action": "mint", "account": "Org1MSP", "amount": 0}, 400),
        ({"action": "mint", "account": "Org1MSP", "amount": 2**63}, 400),
        ({"action": "mint", "account": "Org9MSP", "amount": 1}, 422),
        ({"action": "mint", "account": "Org1MSP", "amount": 1, "more": 1}, 400),
        ({"action": "burn", "account": "Org1MSP", "amount": 1}, 400),
        ({"action": "admit-org", "msp_id": "Org1MSP"}, 409),
        ({"action": "admit-org", "msp_id": "treasury"}, 422),
        ({"action": "remove-org", "msp_id": "Org9MSP"}, 409),
        ({"action": "set-registration", "registration": {"pre_known": True, "deposit": 0}}, 409),
        ({"action": "suspend-member", "member": "Org1MSP:" + "0" * 64}, 404),
        ({"action": "suspend-member", "member": "Org1MSP"}, 400),
        ({"action": "recover", "member": "Org1MSP:" + "0" * 64, "key": "0" * 64}, 404),
        ({"action": "spend-treasury", "to": "Org1MSP", "amount": 1, "credits": ["aa/1"]}, 409),
        ({"action": "spend-treasury", "to": "Org1MSP", "amount": 1, "credits": ["../1"]}, 400),
        ({"action": "void-round", "job": "job", "round": 1}, 404),
        ({"action": "abort-job", "job": "job"}, 404),
    ],
)
@story
async def test_what_can_never_be_executed_is_refused_when_it_is_proposed(action, codes):
    world = await founded()
    await refused(codes, world.propose("p", action))
    assert await world.view.proposals() == {}


# organisations


@story
async def test_an_organisation_is_admitted_votes_and_its_clients_register_while_a_job_runs():
    world = World()
    admit_to_channel(world)
    at = await scene(3, world=world)
    await world.open()
    client = world.client("Org4MSP", "c")
    await refused(403, client.submit("Registry:register", []))
    await world.pass_vote("admit", AdmitOrganisation(msp_id="Org4MSP"))
    newcomer = await world.member("Org4MSP", "d", at.spec.lock)
    await world.commit(newcomer, world.work(at.spec))
    await world.propose("m", Mint(account="Org4MSP", amount=5))
    await world.approve("m")
    assert await world.balance("Org4MSP") == 0  # two of four are not more than half
    await world.approve("m", "Org4MSP")
    assert await world.balance("Org4MSP") == 5
    await world.holdings()


@story
async def test_a_removed_organisation_neither_votes_nor_commits_but_its_members_are_paid():
    at = await scene(4)
    world, spec = at.world, at.spec
    await at.to(Phase.CLOSED)
    await world.pass_vote("out", RemoveOrganisation(msp_id=ORG3))
    gone = next(who for who in at.members if who.msp_id == ORG3)
    await refused(403, world.propose_as(ORG3, "p", Mint(account=ORG3, amount=1)))
    await refused(403, world.approve("out", ORG3))
    late = world.client(ORG3, "late")
    await refused(403, world.admins[ORG3].submit("Registry:allow", late.member_id.partition(":")[2]))
    await refused(403, late.submit("Registry:register", []))
    before = await world.balance(gone.member_id)
    await at.to(Phase.SETTLED)  # it reveals, and is settled like everybody
    outcome = (await world.outcomes())[gone.member_id]
    returned = spec.stake + min(0, outcome.payment) + max(0, outcome.payment)
    assert await world.balance(gone.member_id) == before + returned
    await world.holdings()
    await at.to(Phase.FINAL)
    await world.open(round=2)
    await refused(403, world.commit(gone, world.work(spec), round=2))
    credits = await world.view.credits(gone.member_id, 10)
    await gone.submit("Token:transfer", gone.member_id, ORG1, 10, credits)  # its money is its own
    await refused(422, world.pay(gone.member_id, 1))
    await world.holdings()


@story
async def test_the_last_organisation_cannot_be_removed_and_one_alone_decides_at_once():
    world = await founded()
    await world.pass_vote("a", RemoveOrganisation(msp_id=ORG3))
    await world.pass_vote("b", RemoveOrganisation(msp_id=ORG2))
    await world.propose("m", Mint(account=ORG1, amount=3))
    assert await world.balance(ORG1) == 3
    await refused(422, world.propose("c", RemoveOrganisation(msp_id=ORG1)))
    await world.propose("d", AdmitOrganisation(msp_id=ORG2))
    assert (await world.view.consortium()).organisations == [ORG1, ORG2]


@story
async def test_the_electorate_is_who_is_admitted_at_the_deciding_vote():
    world = World()
    admit_to_channel(world)
    await world.found()
    await world.pass_vote("in", AdmitOrganisation(msp_id="Org4MSP"))
    await world.propose("m", Mint(account=ORG1, amount=9))
    await world.approve("m", "Org4MSP")
    await refused(409, world.approve("m", "Org4MSP"))  # two of four
    await world.propose("out", RemoveOrganisation(msp_id=ORG3))
    await world.approve("out")
    await world.approve("out", "Org4MSP")
    await world.admins[ORG2].submit("Governance:reject", "m")
    assert await world.balance(ORG1) == 0  # a vote against executes nothing
    await world.approve("m", "Org4MSP")  # two of three: who approved before may bring it to its end
    assert await world.balance(ORG1) == 9
    assert await status(world, "m") == "executed"
    await world.propose("n", Mint(account=ORG1, amount=1))
    await world.propose("out4", RemoveOrganisation(msp_id="Org4MSP"))
    await world.approve("n", "Org4MSP")
    assert await status(world, "n") == "executed"


@story
async def test_a_consortium_has_no_more_organisations_than_a_round_has_places(monkeypatch):
    monkeypatch.setattr(actions, "MAX_ORGANISATIONS", 3)
    world = await founded()
    await refused(422, world.propose("p", AdmitOrganisation(msp_id="Org4MSP")))


# terms


@story
async def test_new_terms_of_registration_hold_from_then_on():
    world = await founded()
    await world.mint(1000)
    old = await world.member(ORG1, "old")
    await world.pass_vote("terms", SetRegistration(registration=Registration(pre_known=False, deposit=100)))
    client = world.client(ORG2, "new")
    await refused(422, client.submit("Registry:register", []))
    await world.pay(client.member_id, 150)
    await client.submit("Registry:register", await world.view.credits(client.member_id, 100))
    assert (await world.holdings()).deposits == 100
    member = await world.view.member(old.member_id)
    assert member
    assert member.deposit == 0
    assert member.status == "active"


@story
async def test_what_changed_under_a_proposal_is_a_conflict_and_no_vote_is_written():
    world = await founded()
    await world.mint(1000)
    member = await world.member(ORG1, "a")
    for name, deposit in (("first", 10), ("second", 20)):
        await world.propose(name, SetRegistration(registration=Registration(deposit=deposit)))
    await world.propose("suspend", SuspendMember(member=member.member_id))
    await world.propose("again", SuspendMember(member=member.member_id))
    await world.propose("admit", AdmitOrganisation(msp_id="Org4MSP"))
    await world.propose("admit-too", AdmitOrganisation(msp_id="Org4MSP"))
    await world.propose("mint", Mint(account="Org3MSP", amount=1))
    await world.propose("out", RemoveOrganisation(msp_id="Org3MSP"))
    for name in ("first", "suspend", "admit"):
        await world.approve(name)
    assert (await world.view.consortium()).registration.deposit == 10
    await world.approve("second")
    await world.approve("again")
    await world.approve("admit-too")  # two of four now
    for name in ("second", "again", "admit-too"):
        await refused(409, world.approve(name, ORG3))
        assert (await world.view.proposals())[name].approvals == [ORG1, ORG2]
    await world.approve("out", ORG2)
    await world.approve("out", ORG3)
    await refused(409, world.approve("mint"))
    assert (await world.view.consortium()).registration.deposit == 10
    await world.holdings()


@story
async def test_another_beacon_is_for_votes_and_new_jobs_and_a_running_job_keeps_its_own():
    at = await scene(3)
    world = at.world
    await world.open()
    fresh = DevSigner(b"other", 4, GENESIS)
    bad = msgspec.structs.replace(fresh.info, chain_hash="0" * 64)
    await refused(422, world.propose("bad", SetBeacon(beacon=bad)))
    await refused(409, world.propose("same", SetBeacon(beacon=world.terms.beacon, freshness=5)))
    await world.pass_vote("beacon", SetBeacon(beacon=fresh.info, freshness=6))
    terms = await world.view.consortium()
    assert (terms.beacon, terms.freshness, terms.margin) == (fresh.info, 6, 1)
    wider = SetBeacon(beacon=fresh.info, margin=2)  # what is not named stays
    now = fresh.sign(fresh.info.round_at(int(world.clock.now())))
    await world.admin.submit("Governance:propose", "margin", wider, now)
    await world.admins[ORG2].submit("Governance:approve", "margin")
    terms = await world.view.consortium()
    assert (terms.beacon, terms.freshness, terms.margin) == (fresh.info, 6, 2)
    await refused(422, world.propose("m", Mint(account=ORG1, amount=1)))  # the old chain's beacon
    now = fresh.sign(fresh.info.round_at(int(world.clock.now())))
    await world.admin.submit("Governance:propose", "m", Mint(account=ORG1, amount=1), now)
    await world.close()
    assert (await world.state()).phase is Phase.CLOSED


# members


@story
async def test_a_suspended_member_cannot_act_anew_but_finishes_its_round_and_is_paid():
    at = await scene(3)
    world, spec = at.world, at.spec
    await at.to(Phase.CLOSED)
    who = at.members[0]
    await world.pass_vote("s", SuspendMember(member=who.member_id))
    await refused(403, who.submit("Registry:leave"))
    credits = await world.view.credits(who.member_id, 1)
    await refused(403, who.submit("Token:transfer", who.member_id, ORG1, 1, credits))
    await at.to(Phase.SETTLED)
    assert (await world.outcomes())[who.member_id].slashed == 0
    await at.to(Phase.FINAL)
    await world.open(round=2)
    await refused(403, world.commit(who, world.work(spec), round=2))
    await world.pass_vote("r", ReinstateMember(member=who.member_id))
    await world.commit(who, world.work(spec), round=2)
    await refused(409, world.propose("r2", ReinstateMember(member=who.member_id)))
    await world.holdings()


@story
async def test_a_member_whose_key_is_lost_gets_another_also_in_the_middle_of_a_round():
    at = await scene(3)
    world = at.world
    await at.to(Phase.REVEAL)
    who = at.members[0]
    new = world.client(who.msp_id, "new key")
    key = new.member_id.partition(":")[2]
    taken = at.members[1].member_id.partition(":")[2]
    await world.pass_vote("recover", Recover(member=who.member_id, key=key))
    await refused(403, world.reveal(who, at.work(who)))
    await world.reveal(new, at.work(who))
    member = await world.view.member(who.member_id)
    assert member
    assert (member.key, member.rotations) == (key, 1)
    await refused(409, world.propose("again", Recover(member=who.member_id, key=key)))
    same_org = next(m for m in at.members[1:] if m.msp_id != who.msp_id)
    await refused(409, world.propose("taken", Recover(member=same_org.member_id, key=taken)))
    await refused(409, world.propose("old", Recover(member=who.member_id, key=who.member_id[-64:])))
    await world.holdings()


@story
async def test_recovering_a_member_that_has_rotated_since_the_proposal_is_a_conflict():
    world = await founded()
    who = await world.member(ORG1, "a")
    await world.propose("one", Recover(member=who.member_id, key="1" * 64))
    await world.propose("two", Recover(member=who.member_id, key="2" * 64))
    await world.approve("one")
    await refused(409, world.approve("two"))
    member = await world.view.member(who.member_id)
    assert member
    assert member.key == "1" * 64


# the treasury


async def with_treasury() -> tuple[World, list[str]]:
    world = await founded()
    await world.mint(1000)
    for amount in (100, 50, 25):
        await world.pay(TREASURY, amount)
    return world, [line.id for line in await world.view.all_credits(TREASURY)]


@story
async def test_the_treasury_pays_by_vote_alone():
    world, credits = await with_treasury()
    for admin in world.admins.values():
        await refused(403, admin.submit("Token:transfer", TREASURY, ORG1, 1, credits))
    await world.pass_vote("spend", SpendTreasury(to=ORG2, amount=120, credits=credits))
    assert await world.balance(ORG2) == 120
    assert await world.balance(TREASURY) == 55
    await world.holdings()


@story
async def test_the_treasury_cannot_spend_more_than_it_names_nor_the_same_credit_twice():
    world, credits = await with_treasury()
    await refused(422, world.propose("p", SpendTreasury(to=ORG2, amount=176, credits=credits)))
    await refused(400, world.propose("p", SpendTreasury(to=ORG2, amount=10, credits=[credits[0]] * 2)))
    foreign = await world.view.credits(ORG1, 1)
    await refused(409, world.propose("p", SpendTreasury(to=ORG2, amount=1, credits=foreign)))
    await refused(422, world.propose("p", SpendTreasury(to="Org9MSP", amount=1, credits=credits)))
    for name in ("one", "two"):
        await world.propose(name, SpendTreasury(to=ORG2, amount=10, credits=credits))
    await world.approve("one")
    await refused(409, world.approve("two"))
    assert await world.balance(ORG2) == 10
    await world.holdings()


@story
async def test_dust_for_the_treasury_does_not_disturb_a_vote_and_its_credits_can_be_merged():
    world, credits = await with_treasury()
    await world.propose("merge", SpendTreasury(to=TREASURY, amount=175, credits=credits))
    await world.pay(TREASURY, 1)
    await world.approve("merge")
    assert sorted(line.amount for line in await world.view.all_credits(TREASURY)) == [1, 175]
    await world.holdings()


# hardship


async def stalled(at: Scene, *, short: int = 0) -> None:
    """Let time pass until V past what the round's phase waits for, less `short` beacons."""
    world = at.world
    job = await world.view.job(at.job)
    last = await world.view.last_round(at.job)
    assert job
    assert last
    wanted = due(job, last) + job.spec.grace
    period = world.terms.beacon.period
    rounds = -(-(wanted - GENESIS) // period) - short
    world.clock.time = GENESIS + rounds * period


@pytest.mark.parametrize("phase", RUNNING)
@story
async def test_a_stalled_round_is_voided_from_v_on_and_everybody_has_its_lock_back(phase):
    at = await scene(3, attempts=1)
    world, spec = at.world, at.spec
    await at.to(phase)
    await world.propose("void", VoidRound(job="job", round=1))
    await stalled(at, short=1)
    await refused(425, world.approve("void"))
    assert (await world.view.proposals())["void"].approvals == [ORG1]
    await refused(400, world.admins[ORG2].submit("Governance:approve", "void"))
    await stalled(at)
    before = {who.member_id: await world.balance(who.member_id) for who in at.members}
    paid = phase in (Phase.SETTLED, Phase.AGGREGATE)
    locked = spec.bond if paid else spec.lock
    share = spec.round_pool // 3 if phase is Phase.SEALED else 0
    escrow = await world.view.escrow("job")
    await world.approve("void")
    state = await world.state()
    assert state.phase is Phase.VOID
    assert state.result == spec.model
    for member, had in before.items():
        assert await world.balance(member) == had + locked + share
    assert await world.view.escrow("job") == escrow - 3 * share
    assert (await world.holdings()).locks == 0
    await world.open(round=2)


@story
async def test_a_sealed_round_is_not_voided_before_missing_reports_could_be_voted_on():
    at = await scene(3)
    world, spec = at.world, at.spec
    await at.to(Phase.SEALED)
    await world.propose("void", VoidRound(job="job", round=1))
    earliest = (await world.state()).sealed_at + spec.missing_seconds + spec.grace
    world.clock.time = earliest - world.terms.beacon.period
    await refused(425, world.approve("void"))
    world.clock.time = earliest
    await world.approve("void")
    assert (await world.state()).phase is Phase.VOID


@story
async def test_who_revealed_shares_the_pool_of_a_voided_round_and_who_did_not_only_keeps_its_lock():
    at = await scene(4)
    world, spec = at.world, at.spec
    await at.to(Phase.REVEAL)
    silent = at.members[3]
    await at.reveal(but=[silent])
    await world.propose("void", VoidRound(job="job", round=1))
    await stalled(at)
    before = {who.member_id: await world.balance(who.member_id) for who in at.members}
    await world.approve("void")
    share = spec.round_pool // 3
    for who in at.members:
        expected = spec.lock + (0 if who is silent else share)
        assert await world.balance(who.member_id) == before[who.member_id] + expected
    assert await world.view.escrow("job") == spec.pool - 3 * share
    await world.holdings()


@story
async def test_a_round_that_goes_on_or_is_over_is_not_voided():
    at = await scene(3)
    world = at.world
    await at.to(Phase.COMMIT)
    await world.propose("void", VoidRound(job="job", round=1))
    await refused(425, world.approve("void"))
    await at.to(Phase.CLOSED)
    await refused(425, world.approve("void"))
    await at.to(Phase.FINAL)
    await refused(409, world.approve("void"))
    await refused(409, world.propose("more", VoidRound(job="job", round=1)))
    await world.holdings()


@story
async def test_when_the_beacon_has_died_another_is_voted_in_and_the_stalled_round_is_ended_by_it():
    at = await scene(3)
    world = at.world
    await at.to(Phase.CLOSED)
    await stalled(at)
    successor = DevSigner(b"successor", 3, GENESIS)

    def newest():
        return successor.sign(successor.info.round_at(int(world.clock.now())))

    change = SetBeacon(beacon=successor.info)
    await world.admins[ORG1].submit("Governance:propose", "successor", change, newest())
    await world.approve("successor")
    await world.admins[ORG1].submit("Governance:propose", "void", VoidRound(job="job", round=1), newest())
    await world.admins[ORG2].submit("Governance:approve", "void", newest())
    assert (await world.state()).phase is Phase.VOID
    await world.holdings()


@story
async def test_a_stale_or_foreign_beacon_voids_nothing():
    at = await scene(3)
    world = at.world
    await at.to(Phase.CLOSED)
    await world.propose("void", VoidRound(job="job", round=1))
    await stalled(at)
    enough = world.beacon()
    world.clock.time += 100
    await refused(409, world.admins[ORG2].submit("Governance:approve", "void", enough))
    await refused(425, world.admins[ORG2].submit("Governance:approve", "void", world.beacon(50)))
    forged = DevSigner(b"forger", 3, GENESIS).sign(world.beacon().round)
    await refused(422, world.admins[ORG2].submit("Governance:approve", "void", forged))
    await world.approve("void")
    assert (await world.state()).phase is Phase.VOID


@story
async def test_a_job_without_a_running_round_is_aborted_at_once_and_its_pool_returns():
    at = await scene(3)
    world, spec = at.world, at.spec
    before = await world.balance(ORG1)
    await world.pass_vote("abort", AbortJob(job="job"))
    assert await world.balance(ORG1) == before + spec.pool
    assert await world.view.cancelled("job")
    await refused(422, world.open())
    await refused(409, world.propose("again", AbortJob(job="job")))
    await world.holdings()


@story
async def test_a_job_is_aborted_between_two_rounds_at_once_and_what_is_final_stays():
    at = await scene(3, rounds=2, attempts=1)
    world = at.world
    await at.to(Phase.FINAL)
    final, left, before = await world.state(), await world.view.escrow("job"), await world.balance(ORG1)
    await world.pass_vote("abort", AbortJob(job="job"))
    assert await world.state() == final
    assert await world.balance(ORG1) == before + left
    assert (await world.holdings()).escrows == 0


@pytest.mark.parametrize("phase", RUNNING)
@story
async def test_a_job_is_aborted_with_its_stalled_round_and_nobody_loses_anything(phase):
    at = await scene(3, rounds=3, attempts=1)
    world, spec = at.world, at.spec
    if phase is Phase.REVEAL:  # in a later round, after one that was void
        await world.open()
        for _ in range(2):
            await world.close()
            await world.pair()
        await at.to(phase, 2)
    else:
        await at.to(phase)
    await world.propose("abort", AbortJob(job="job"))
    await refused(425, world.approve("abort"))
    await stalled(at)
    held = {who.member_id: await world.balance(who.member_id) for who in at.members}
    await world.approve("abort")
    last = await world.view.last_round("job")
    assert last
    assert last.phase is Phase.VOID
    after = await world.holdings()
    assert after.locks == after.escrows == 0
    assert all([await world.balance(member) >= had for member, had in held.items()])
    await refused((409, 422), world.open(round=last.round + 1))
    await refused(409, world.admin.submit("Jobs:cancel", "job", last.round))
    assert spec.pool > 0


@story
async def test_a_round_that_was_opened_meanwhile_is_what_an_abort_ends():
    at = await scene(3, rounds=2)
    world = at.world
    await world.propose("abort", AbortJob(job="job"))
    await at.to(Phase.REVEAL)
    await refused(425, world.approve("abort"))
    await stalled(at)
    await world.approve("abort")
    assert (await world.state()).phase is Phase.VOID
    assert (await world.holdings()).locks == 0
