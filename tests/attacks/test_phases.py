"""Phase changes doubled, raced, out of order; the participants and reports they fix."""

from __future__ import annotations

import pytest

from chaincode.records import Phase, RoundState
from fl_client.errors import Refused
from tests.attacks.scenes import ORDER, Scene, hoard, refused, scene, story, together
from tests.world import ORGANISATIONS, decode


async def change(at: Scene, phase: Phase, round: int = 1) -> tuple[tuple, dict]:
    """The transaction that ends the phase, ready to be sent: arguments and transient map. Waits as needed."""
    world = at.world
    current = await world.state(round=round)
    match phase:
        case Phase.COMMIT:
            world.clock.time = max(world.clock.time, current.deadline + 1)
            return ("Rounds:close", "job", round, world.beacon()), {}
        case Phase.CLOSED:
            pairing = world.wait_for(current.pairing_round)
            return ("Rounds:pair", "job", round, pairing, world.beacon()), {}
        case Phase.REVEAL:
            world.clock.time = max(world.clock.time, current.deadline + 1)
            return ("Rounds:seal", "job", round, world.beacon()), {}
        case Phase.SEALED:
            sampling = world.wait_for(current.sampling_round)
            reports = {f"report/{member}": work.data for member, work in at.works.items()}
            return ("Settlement:settle", "job", round, sampling), reports
        case Phase.SETTLED:
            return ("Aggregation:begin", "job", round, world.beacon()), {}
        case Phase.AGGREGATE:
            world.clock.time = max(world.clock.time, current.deadline + 1)
            return ("Aggregation:finalise", "job", round, world.beacon()), {}
    raise AssertionError(phase)


@pytest.mark.parametrize("phase", ORDER[:-1])
@story
async def test_of_two_equal_phase_changes_at_once_one_is_valid_and_the_next_is_refused(phase):
    at = await scene(4)
    await at.to(phase)
    if phase is Phase.REVEAL:
        await at.reveal()
    call, transient = await change(at, phase)
    held = [await hoard(who, *call, transient=transient) for who in at.members[:3]]
    assert await together(*held) == ["VALID", "MVCC_READ_CONFLICT", "MVCC_READ_CONFLICT"]
    reached = await at.world.state()
    if phase is not Phase.AGGREGATE:  # the next attempt's window takes a finalise, later
        assert reached.phase is not phase
        await refused(409, at.members[3].submit(*call, transient=transient))
    else:
        await refused((409, 425), at.members[3].submit(*call, transient=transient))
    assert await at.world.state() == reached
    await at.world.holdings()


@pytest.mark.parametrize("phase", ORDER)
@story
async def test_in_every_phase_only_its_own_change_is_taken(phase):
    at = await scene(4)
    await at.to(phase)
    reached, digest = await at.world.state(), at.world.network.state.digest()
    for other in ORDER[:-1]:
        if other is phase:
            continue
        world = at.world
        world.clock.time += 1000
        beacon = world.beacon()
        calls = {
            Phase.COMMIT: ("Rounds:close", "job", 1, beacon),
            Phase.CLOSED: ("Rounds:pair", "job", 1, beacon, beacon),
            Phase.REVEAL: ("Rounds:seal", "job", 1, beacon),
            Phase.SEALED: ("Settlement:close-missing", "job", 1, beacon),
            Phase.SETTLED: ("Aggregation:begin", "job", 1, beacon),
            Phase.AGGREGATE: ("Aggregation:finalise", "job", 1, beacon),
        }
        earlier = phase in ORDER and ORDER.index(phase) < ORDER.index(other)
        await refused(425 if earlier else 409, world.admin.submit(*calls[other]))
    await refused(409, at.world.admin.submit("Rounds:open", "job", 1, at.world.beacon()))
    assert (await at.world.state(), at.world.network.state.digest()) == (reached, digest)


@pytest.mark.parametrize("phase", ORDER[:-1])
@story
async def test_the_next_round_does_not_open_before_this_one_is_over(phase):
    at = await scene(4)
    await at.to(phase)
    await refused(425, at.world.open(round=2))
    await refused(404, at.world.admin.submit("Rounds:close", "job", 2, at.world.beacon()))


@story
async def test_rounds_open_in_order_once_and_not_beyond_the_jobs_number():
    at = await scene(4)
    world = at.world
    await refused(404, world.open(round=2))
    await refused(422, world.open(round=3))
    for odd in (0, -1, 100_001, 2**64):
        await refused(400, world.admin.submit("Rounds:open", "job", odd, world.beacon()))
    first = await hoard(world.admin, "Rounds:open", "job", 1, world.beacon())
    second = await hoard(at.members[0], "Rounds:open", "job", 1, world.beacon())
    assert await together(first, second) == ["VALID", "MVCC_READ_CONFLICT"]
    await refused(409, world.open())
    await refused(404, world.open(job="none"))


@story
async def test_the_participants_are_the_same_from_close_to_settlement():
    at = await scene(5)
    await at.to(Phase.CLOSED)
    fixed = await at.world.view.participants("job", 1)
    late = await at.world.member(ORGANISATIONS[0], "late", at.spec.lock)
    for phase in (Phase.REVEAL, Phase.SEALED):
        await at.to(phase)
        own = await at.world.view.credits(late.member_id, at.spec.lock)
        await refused(409, late.submit("Rounds:commit", "job", 1, "0" * 64, own))
        assert await at.world.view.participants("job", 1) == fixed
    assert fixed == sorted(who.member_id for who in at.members)


@story
async def test_a_seal_with_half_of_the_reveals_extends_as_often_as_the_job_says_and_no_more():
    at = await scene(4, extensions=2)
    await at.to(Phase.REVEAL)
    for who in at.members[:2]:
        await at.world.reveal(who, at.work(who))
    for used in (1, 2):
        await at.world.seal()
        state = await at.world.state()
        assert (state.phase, state.extensions) == (Phase.REVEAL, used)
        assert state.deadline > at.world.clock.time
        await refused(425, at.world.seal(late=False))
    await at.world.seal()
    assert (await at.world.state()).phase is Phase.SEALED


@story
async def test_a_seal_after_more_than_half_have_revealed_needs_the_deadline_but_no_extension():
    at = await scene(4)
    await at.to(Phase.REVEAL)
    for who in at.members[:3]:
        await at.world.reveal(who, at.work(who))
    await refused(425, at.world.seal(late=False))
    await at.world.seal()
    assert (await at.world.state()).phase is Phase.SEALED


@story
async def test_an_early_close_reads_every_member_of_the_roster():
    at = await scene(3)
    world = at.world
    await world.mint(at.spec.pool)
    roster = sorted(who.member_id for who in at.members)
    await world.create("roster", allow_list=roster)
    await world.open("roster")
    for who in at.members[:2]:
        await world.commit(who, at.work(who), "roster")
    await refused(425, world.admin.submit("Rounds:close", "roster", 1, world.beacon()))
    await refused(425, world.admin.submit("Rounds:close", "roster", 1, world.beacon()))
    await world.commit(at.members[2], at.work(at.members[2]), "roster")
    await world.admin.submit("Rounds:close", "roster", 1, world.beacon())


@story
async def test_without_a_roster_nobody_closes_early_however_many_have_committed():
    at = await scene(6)
    await at.world.open()
    await at.commit()
    await refused(425, at.world.admin.submit("Rounds:close", "job", 1, at.world.beacon()))


@story
async def test_whoever_pushes_a_round_forward_gains_nothing_by_it():
    at = await scene(4)
    pusher = at.world.client(ORGANISATIONS[2], "not even a member")
    await at.world.open()
    await at.commit()
    for phase in (Phase.COMMIT, Phase.CLOSED, Phase.REVEAL, Phase.SEALED, Phase.SETTLED):
        if phase is Phase.REVEAL:
            await at.reveal()
        call, transient = await change(at, phase)
        await pusher.submit(*call, transient=transient)
    assert await at.world.balance(pusher.member_id) == 0
    await at.world.holdings()


@story
async def test_two_jobs_run_at_once_without_touching_each_other():
    at = await scene(4)
    await at.world.mint(at.spec.pool)
    await at.world.create("other")
    other = Scene(at.world, at.members, at.spec, "other")
    await at.to(Phase.REVEAL)
    await other.to(Phase.SEALED)
    await at.to(Phase.SETTLED)
    await other.to(Phase.SETTLED)
    assert await at.world.outcomes("job")
    assert await at.world.outcomes("other")
    await at.world.holdings()


@story
async def test_members_of_one_round_never_conflict_with_each_other():
    at = await scene(3, max_members_per_org=4)
    await at.world.open()
    held = []
    for who in at.members:  # one of each organisation
        own = await at.world.view.credits(who.member_id, at.spec.lock)
        held.append(await hoard(who, "Rounds:commit", "job", 1, at.world.digest(who, at.work(who)), own))
    assert await together(*held) == ["VALID"] * 3
    await at.to(Phase.REVEAL)
    held = []
    for who in at.members:
        work = at.work(who)
        call = ("Rounds:reveal", "job", 1, work.report, work.update, work.salt.hex())
        held.append(await hoard(who, *call, transient={"report": work.data}))
    assert await together(*held) == ["VALID"] * 3


@story
async def test_fewer_than_the_minimum_void_the_round_with_all_locks_returned():
    at = await scene(2, extensions=0)
    balances = [await at.world.balance(who.member_id) for who in at.members]
    await at.world.open()
    await at.commit()
    await at.world.close()
    await at.world.pair()
    assert (await at.world.state()).phase is Phase.VOID
    assert [await at.world.balance(who.member_id) for who in at.members] == balances
    for call in ("Rounds:close", "Rounds:seal", "Aggregation:begin", "Aggregation:finalise"):
        await refused(409, at.world.admin.submit(call, "job", 1, at.world.beacon()))
    assert (await at.world.holdings()).locks == 0


@story
async def test_a_job_whose_last_round_is_void_returns_its_pool():
    at = await scene(2, extensions=0, rounds=1)
    await at.world.open()
    await at.world.close()
    await at.world.pair()
    assert (await at.world.holdings()).escrows == 0
    with pytest.raises(Refused):
        await at.world.admin.submit("Jobs:cancel", "job", 1)


@story
async def test_a_close_and_a_commit_kept_back_together_are_both_dead_once_somebody_has_closed():
    """The one way to join knowing the pairing: it needs every honest party to be silent for a whole gap."""
    at = await scene(4)
    world, schemer = at.world, at.members[3]
    await world.open()
    for who in at.members[:3]:
        await world.commit(who, at.work(who))
    own = await world.view.credits(schemer.member_id, at.spec.lock)
    digest = world.digest(schemer, at.work(schemer))
    joining = await hoard(schemer, "Rounds:commit", "job", 1, digest, own)
    world.clock.time = (await world.state()).deadline + 1
    closing = await hoard(schemer, "Rounds:close", "job", 1, world.beacon())
    await world.admin.submit("Rounds:close", "job", 1, world.beacon())
    world.wait_for((await world.state()).pairing_round)
    assert await together(joining, closing) == ["MVCC_READ_CONFLICT"] * 2
    assert len(await world.view.participants("job", 1)) == 3


@story
async def test_opens_kept_back_to_choose_a_batch_are_all_dead_once_somebody_has_opened():
    """The one way to choose among batches: it needs every honest party to be silent for a whole gap."""
    at = await scene(4)
    world, kept, drawn = at.world, [], set()
    for _ in range(3):
        kept.append(await hoard(at.members[3], "Rounds:open", "job", 1, world.beacon()))
        drawn.add(decode(kept[-1].endorsement.payload, RoundState).batch_round)
        world.clock.time += world.terms.beacon.period
    assert len(drawn) == 3
    await world.open()
    world.wait_for(max(drawn))
    assert await together(*kept) == ["MVCC_READ_CONFLICT"] * 3


@story
async def test_a_window_ends_with_its_deadline_to_the_second():
    """A beacon of that very second closes, seals, counts missing reports and moves the aggregation on."""
    at = await scene(4, committee=1, attempts=1)
    world, period = at.world, at.world.terms.beacon.period

    async def both_sides(deadline: int, transaction: str) -> None:
        assert world.signer.info.time(world.signer.info.round_at(deadline)) == deadline
        world.clock.time = deadline - period
        await refused(425, world.admin.submit(transaction, "job", 1, world.beacon()))
        world.clock.time = deadline
        await world.admin.submit(transaction, "job", 1, world.beacon())

    await at.to(Phase.COMMIT)
    await both_sides((await world.state()).deadline, "Rounds:close")
    await world.pair()
    await at.reveal(but=at.members[:1])
    await both_sides((await world.state()).deadline, "Rounds:seal")
    for msp_id in ORGANISATIONS[:2]:
        call = ("Settlement:missing", "job", 1, at.members[1].member_id)
        await world.admins[msp_id].submit(*call)
    sealed = (await world.state()).sealed_at
    await both_sides(sealed + at.spec.missing_seconds, "Settlement:close-missing")
    gone = {at.members[0].member_id, at.members[1].member_id}
    await world.settle({member: work for member, work in at.works.items() if member not in gone})
    await world.begin()
    await both_sides((await world.state()).deadline, "Aggregation:finalise")
    assert (await world.state()).phase is Phase.FINAL


@story
async def test_organisations_admitted_later_do_not_make_a_round_larger(monkeypatch):
    at = await scene(0, max_members_per_org=4)
    monkeypatch.setattr("chaincode.contracts.rounds.MAX_SLOTS", 6)  # two places for each of three
    await at.world.open()
    members = [await at.world.member(ORGANISATIONS[0], f"m{i}", at.spec.lock) for i in range(3)]
    for who in members[:2]:
        await at.world.commit(who, at.work(who))
    await refused(422, at.world.commit(members[2], at.work(members[2])))
