"""Settlement with the wrong reports, flooded, withheld; reports that vanish."""

from __future__ import annotations

import asyncio

import pytest

from chaincode import scoring
from chaincode.proposals import AdmitOrganisation, RemoveOrganisation
from chaincode.records import TREASURY, Phase
from tests.attacks.scenes import Scene, admit_to_channel, hoard, refused, scene, story, together
from tests.world import ORGANISATIONS, World


async def sealed(count: int = 4, **spec) -> Scene:
    """A round that waits for its settlement."""
    at = await scene(count, **spec)
    await at.to(Phase.SEALED)
    return at


async def given(at: Scene, **changes: bytes | None):
    """The settlement's call and transient map, with some reports replaced or (None) left out."""
    sampling = at.world.wait_for((await at.world.state()).sampling_round)
    reports = {f"report/{member}": work.data for member, work in at.works.items()}
    for name, data in changes.items():
        if data is None:
            del reports[name]
        else:
            reports[name] = data
    return ("Settlement:settle", "job", 1, sampling), reports


async def settle(at: Scene, **changes: bytes | None) -> None:
    call, reports = await given(at, **changes)
    await at.world.admin.submit(*call, transient=reports)


@story
async def test_a_settlement_with_a_missing_report_is_refused():
    at = await sealed()
    for who in at.members:
        await refused(409, settle(at, **{f"report/{who.member_id}": None}))
    call, _ = await given(at)
    await refused(409, at.world.admin.submit(*call))
    await at.settle()


@story
async def test_a_settlement_with_an_extra_report_is_refused():
    at = await scene(4)
    await at.to(Phase.SEALED, but=at.members[3:])
    hidden = at.members[3].member_id
    at.works[hidden] = at.world.work(at.spec)
    await refused(400, settle(at))
    del at.works[hidden]
    for name in ("report/", "report/nobody", f"report/{ORGANISATIONS[0]}:{'0' * 64}", f"report/{hidden}\0"):
        await refused(400, settle(at, **{name: b"x"}))
    await refused(400, settle(at, other=b"x"))
    await at.settle(but=at.members[3:])


@story
async def test_a_settlement_with_swapped_or_changed_reports_is_refused():
    at = await sealed()
    one, two = (f"report/{who.member_id}" for who in at.members[:2])
    first, second = (at.work(who).data for who in at.members[:2])
    await refused(422, settle(at, **{one: second, two: first}))
    await refused(422, settle(at, **{one: second}))
    await refused(422, settle(at, **{one: first + b"\0"}))
    await refused(422, settle(at, **{one: b""}))
    await refused(422, settle(at, **{one: bytes(len(first))}))
    assert (await at.world.state()).phase is Phase.SEALED
    await at.settle()


@story
async def test_a_settlement_withheld_by_one_organisation_is_done_by_another():
    at = await sealed()
    at.world.network.offline.add(ORGANISATIONS[0])
    call, reports = await given(at)
    await at.world.admins[ORGANISATIONS[2]].submit(*call, transient=reports)
    assert (await at.world.state()).phase is Phase.SETTLED


@story
async def test_a_settlement_flooded_by_readers_goes_through_and_scores_once(monkeypatch):
    at = await sealed(6)
    runs: list[int] = []
    settle_once = scoring.settle
    monkeypatch.setattr(scoring, "settle", lambda *args, **more: runs.append(1) or settle_once(*args, **more))
    call, reports = await given(at)
    readers = [
        who.evaluate(*question)
        for who in at.members
        for question in (
            ("Rounds:participants", "job", 1),
            ("Rounds:reveals", "job", 1),
            ("Settlement:outcomes", "job", 1),
            ("Token:holdings",),
        )
        for _ in range(20)
    ]
    callers = [hoard(who, *call, transient=reports) for who in at.members]
    held, _ = await asyncio.gather(asyncio.gather(*callers), asyncio.gather(*readers))
    codes = await together(*held)
    assert sorted(codes) == ["MVCC_READ_CONFLICT"] * 5 + ["VALID"]
    assert len(runs) == len(ORGANISATIONS)  # once a server
    await at.world.holdings()


@story
async def test_transfers_to_and_from_participants_do_not_disturb_a_settlement():
    at = await sealed()
    world, call = at.world, await given(at)
    held = await hoard(world.admin, *call[0], transient=call[1])
    for who in at.members:
        await world.pay(who.member_id, 1)
        own = await world.view.credits(who.member_id, 1)
        await who.submit("Token:transfer", who.member_id, "Org1MSP", 1, own)
    assert (await held.send()).code == "VALID"
    await world.holdings()


@story
async def test_the_dithered_payments_never_exceed_what_the_job_set_aside():
    for symbols in ([0] * 16, [i % 4 for i in range(16)], [(i * 7) % 4 for i in range(16)]):
        at = await scene(6)
        for who in at.members:
            at.works[who.member_id] = at.world.work(at.spec, symbols)
        await at.to(Phase.SETTLED)
        paid = sum(max(0, each.payment) for each in (await at.world.outcomes()).values())
        assert 0 <= paid <= at.spec.round_pool
        await at.world.holdings()


@story
async def test_what_a_negative_payment_costs_goes_to_the_treasury_and_never_to_peers_or_sponsor():
    found = False
    for _ in range(8):
        at = await scene(3)
        before = await at.world.balance(ORGANISATIONS[0])
        await at.to(Phase.SETTLED)
        outcomes = await at.world.outcomes()
        lost = sum(max(0, -each.payment) for each in outcomes.values())
        assert await at.world.balance(TREASURY) == lost
        assert await at.world.balance(ORGANISATIONS[0]) == before
        for who in at.members:
            paid = outcomes[who.member_id].payment
            expected = at.spec.lock * 3 - at.spec.bond + paid
            assert await at.world.balance(who.member_id) == expected
        found = found or lost > 0
        await at.world.holdings()
    assert found, "no negative payment in eight random rounds"


@story
async def test_missing_votes_need_a_revealed_report_an_admin_and_the_right_phase():
    at = await scene(4)
    gone = at.members[0].member_id
    await at.to(Phase.REVEAL)
    await refused(425, at.world.admin.submit("Settlement:missing", "job", 1, gone))
    await at.to(Phase.SEALED, but=at.members[3:])
    await refused(403, at.members[1].submit("Settlement:missing", "job", 1, gone))
    await refused(404, at.world.admin.submit("Settlement:missing", "job", 1, at.members[3].member_id))
    await refused(404, at.world.admin.submit("Settlement:missing", "job", 1, f"Org1MSP:{'0' * 64}"))
    for odd in ("", "x", gone + "/Org2MSP", gone + "\n", gone.upper()):
        await refused((400, 404), at.world.admin.submit("Settlement:missing", "job", 1, odd))
    await at.world.admin.submit("Settlement:missing", "job", 1, gone)
    await refused(409, at.world.admin.submit("Settlement:missing", "job", 1, gone))


@story
async def test_a_minority_cannot_set_a_report_aside_and_a_majority_not_before_the_time():
    at = await sealed()
    world, gone = at.world, at.members[0].member_id
    await world.admin.submit("Settlement:missing", "job", 1, gone)
    world.clock.time += at.spec.missing_seconds + 3
    await refused(409, world.admin.submit("Settlement:close-missing", "job", 1, world.beacon()))
    await at.settle()
    assert (await world.outcomes())[gone].slashed == 0

    at = await sealed()
    world, gone = at.world, at.members[0].member_id
    for msp_id in ORGANISATIONS[:2]:
        await world.admins[msp_id].submit("Settlement:missing", "job", 1, gone)
    until = (await world.state()).sealed_at + at.spec.missing_seconds
    world.clock.time = until - world.terms.beacon.period
    await refused(425, world.admin.submit("Settlement:close-missing", "job", 1, world.beacon()))
    await at.settle()  # whoever has the report may still settle with it
    assert (await world.outcomes())[gone].slashed == 0


@story
async def test_a_vote_on_a_missing_report_closes_once_and_binds_the_settlement():
    at = await sealed()
    world, gone = at.world, at.members[0].member_id
    for msp_id in ORGANISATIONS[1:]:
        await world.admins[msp_id].submit("Settlement:missing", "job", 1, gone)
    world.clock.time = (await world.state()).sealed_at + at.spec.missing_seconds  # not a second later
    call = ("Settlement:close-missing", "job", 1, world.beacon())
    held = [await hoard(who, *call) for who in at.members[:2]]
    late, reports = await given(at)
    full = await hoard(world.admin, *late, transient=reports)
    assert await together(*held) == ["VALID", "MVCC_READ_CONFLICT"]
    assert (await full.send()).code == "MVCC_READ_CONFLICT"
    await refused(409, world.admin.submit("Settlement:close-missing", "job", 1, world.beacon()))
    await refused(409, settle(at))  # who had read the round before looks again
    await settle(at, **{f"report/{gone}": None})
    outcome = (await world.outcomes())[gone]
    assert (outcome.slashed, outcome.payment) == (at.spec.lock, 0)
    await world.holdings()


@story
async def test_counting_the_votes_on_missing_reports_reads_no_more_than_there_are_votes():
    """Many members in many organisations must not take longer than a peer waits; who was removed has no vote left."""
    at = await sealed(6)
    world, (gone, kept) = at.world, [who.member_id for who in at.members[:2]]
    for msp_id, member in ((ORGANISATIONS[1], gone), (ORGANISATIONS[2], gone), (ORGANISATIONS[1], kept)):
        await world.admins[msp_id].submit("Settlement:missing", "job", 1, member)
    world.clock.time += at.spec.missing_seconds + 3
    held = await hoard(world.admin, "Settlement:close-missing", "job", 1, world.beacon())
    seen = held.endorsement.read_write_set
    assert [key for key, _ in seen.reads if not key.startswith(("job/", "round/", "consortium"))] == []
    assert [len(each.results) for each in seen.ranges] == [3]
    await world.pass_vote("out", RemoveOrganisation(msp_id=ORGANISATIONS[2]))
    assert (await held.send()).code == "MVCC_READ_CONFLICT"
    await refused(409, world.admin.submit("Settlement:close-missing", "job", 1, world.beacon()))  # one of two
    await world.admin.submit("Settlement:missing", "job", 1, gone)
    await world.admin.submit("Settlement:close-missing", "job", 1, world.beacon())
    assert (await world.state()).set_aside == [gone]


@story
async def test_half_of_four_organisations_set_no_report_aside():
    world = World()
    admit_to_channel(world)
    at = await scene(4, world=world)
    await world.pass_vote("admit", AdmitOrganisation(msp_id="Org4MSP"))
    await at.to(Phase.SEALED)
    gone = at.members[0].member_id
    for msp_id in ORGANISATIONS[:2]:
        await world.admins[msp_id].submit("Settlement:missing", "job", 1, gone)
    world.clock.time += at.spec.missing_seconds
    close = ("Settlement:close-missing", "job", 1)
    await refused(409, world.admin.submit(*close, world.beacon()))
    await world.admins["Org4MSP"].submit("Settlement:missing", "job", 1, gone)
    await world.admin.submit(*close, world.beacon())
    assert (await world.state()).set_aside == [gone]


@story
async def test_who_settles_while_a_report_is_set_aside_may_look_again_and_succeeds():
    """Whichever way the vote and the settlement cross, an honest caller's refusal is never final."""
    at = await sealed()
    world, gone = at.world, at.members[0].member_id
    full, without = await given(at), await given(at, **{f"report/{gone}": None})
    for msp_id in ORGANISATIONS[1:]:
        await world.admins[msp_id].submit("Settlement:missing", "job", 1, gone)
    world.clock.time += at.spec.missing_seconds + 3
    behind = await refused(409, world.admin.submit(*without[0], transient=without[1]))
    await world.admin.submit("Settlement:close-missing", "job", 1, world.beacon())
    ahead = await refused(409, world.admin.submit(*full[0], transient=full[1]))
    assert not behind.final
    assert not ahead.final
    await world.admin.submit(*without[0], transient=without[1])
    assert (await world.state()).phase is Phase.SETTLED


@story
async def test_all_reports_set_aside_end_the_round_with_the_previous_model():
    at = await sealed(3)
    world = at.world
    for who in at.members:
        for msp_id in ORGANISATIONS[:2]:
            await world.admins[msp_id].submit("Settlement:missing", "job", 1, who.member_id)
    world.clock.time += at.spec.missing_seconds + 3
    await world.admin.submit("Settlement:close-missing", "job", 1, world.beacon())
    sampling = world.wait_for((await world.state()).sampling_round)
    await world.admin.submit("Settlement:settle", "job", 1, sampling)
    state = await world.state()
    assert (state.phase, state.result) == (Phase.FINAL, at.spec.model)
    assert (await world.holdings()).locks == 0


@pytest.mark.parametrize("revealing", [1, 2])
@story
async def test_one_or_two_reveals_settle_and_all_money_is_somebodys(revealing):
    at = await scene(5, extensions=0, rounds=1)
    await at.to(Phase.SETTLED, but=at.members[revealing:])
    outcomes = await at.world.outcomes()
    assert len([each for each in outcomes.values() if each.slashed]) == 5 - revealing
    if revealing == 1:
        assert outcomes[at.members[0].member_id].payment == 0
    await at.to(Phase.FINAL)
    held = await at.world.holdings()
    assert (held.locks, held.escrows) == (0, 0)
