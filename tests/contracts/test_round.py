"""A round as honest members live it, and what each missing or late one costs."""

from __future__ import annotations

import asyncio

import pytest

from chaincode import cid
from chaincode.records import TREASURY, Phase
from fl_client.errors import Refused
from tests.world import ORGANISATIONS, World, ready

NEXT = cid.raw_cid(b"next model")


def run(story) -> None:
    asyncio.run(story)


async def played(world: World, members, spec, *, revealing=None, round: int = 1):
    """Commit by all, reveal by some (default all), settle."""
    works = {who.member_id: world.work(spec, [i % 3 for i in range(spec.tasks)]) for who in members}
    shown = members if revealing is None else revealing
    await world.sealed(members, works, revealing=shown, round=round)
    await world.settle({who.member_id: works[who.member_id] for who in shown}, round=round)
    return works


async def aggregated(world: World, members, round: int = 1) -> None:
    """The drawn aggregator names a model."""
    state = await world.begin(round=round)
    (drawn,) = [who for who in members if who.member_id == state.aggregator]
    await drawn.submit("Aggregation:aggregate", "job", round, 1, NEXT, {})


def test_an_honest_job_pays_everyone_and_returns_what_is_left():
    async def story() -> None:
        world, members, spec = await ready(4)
        before = await world.balance(members[0].member_id)
        for number in (1, 2):
            await played(world, members, spec, round=number)
            await aggregated(world, members, number)
            state = await world.state(round=number)
            assert state.phase is Phase.FINAL
            assert state.result == NEXT
            await world.holdings()
        outcomes = [await world.outcomes(round=number) for number in (1, 2)]
        paid = sum(each[members[0].member_id].payment for each in outcomes)
        assert paid > 0
        assert await world.balance(members[0].member_id) == before + paid
        held = await world.holdings()
        assert held.locks == held.escrows == 0

    run(story())


def test_who_does_not_reveal_loses_the_whole_lock_to_the_treasury():
    async def story() -> None:
        world, members, spec = await ready(4)
        await played(world, members, spec, revealing=members[:3])
        assert (await world.outcomes())[members[3].member_id].slashed == spec.lock
        assert await world.balance(TREASURY) == spec.lock
        await world.holdings()

    run(story())


def test_a_round_nobody_reveals_in_ends_with_the_previous_model():
    async def story() -> None:
        world, members, spec = await ready(3, extensions=0)
        await played(world, members, spec, revealing=[])
        state = await world.state()
        assert state.phase is Phase.FINAL
        assert state.result == spec.model
        assert await world.balance(TREASURY) == 3 * spec.lock
        await world.holdings()

    run(story())


def test_too_few_commits_extend_the_round_and_then_void_it():
    async def story() -> None:
        world, members, spec = await ready(2, extensions=1)
        await world.open()
        balances = [await world.balance(who.member_id) for who in members]
        for who in members:
            await world.commit(who, world.work(spec))
        await world.close()
        await world.pair()
        assert (await world.state()).phase is Phase.COMMIT
        await world.close()
        await world.pair()
        assert (await world.state()).phase is Phase.VOID
        assert [await world.balance(who.member_id) for who in members] == balances
        await world.open(round=2)
        await world.holdings()

    run(story())


def test_who_brings_the_pairing_beacon_of_a_round_that_was_closed_again_since_may_look_again():
    """An agent that slept through the extension is not at its end, and its old beacon pairs nobody."""

    async def story() -> None:
        world, members, spec = await ready(4, extensions=1)
        await world.open()
        for who in members[:2]:
            await world.commit(who, world.work(spec))
        await world.close()
        old = world.wait_for((await world.state()).pairing_round)
        await world.pair()
        for who in members[2:]:
            await world.commit(who, world.work(spec))
        await world.close()
        new = world.wait_for((await world.state()).pairing_round)
        with pytest.raises(Refused) as late:
            await members[0].submit("Rounds:pair", "job", 1, old, world.beacon())
        assert late.value.code == 409
        assert not late.value.final
        with pytest.raises(Refused) as early:
            await members[0].submit("Rounds:pair", "job", 1, world.signer.sign(new.round + 1), world.beacon())
        assert early.value.code == 422
        await world.pair()
        assert (await world.state()).phase is Phase.REVEAL

    run(story())


def test_more_than_the_job_takes_are_drawn_out_and_refunded():
    async def story() -> None:
        world, members, spec = await ready(5, max_participants=4)
        await world.open()
        for who in members:
            await world.commit(who, world.work(spec))
        await world.close()
        await world.pair()
        stayed = await world.view.participants("job", 1)
        assert len(stayed) == 4
        (out,) = [who for who in members if who.member_id not in stayed]
        assert await world.balance(out.member_id) == spec.lock * 3
        await world.holdings()

    run(story())


def test_a_roster_closes_early_and_only_when_complete():
    async def story() -> None:
        world = World()
        await world.found()
        await world.mint(10**6)
        members = await world.members(3, 5000)
        spec = await world.create(allow_list=sorted(who.member_id for who in members))
        await world.open()
        for who in members[:2]:
            await world.commit(who, world.work(spec))
        with pytest.raises(Refused) as early:
            await world.admin.submit("Rounds:close", "job", 1, world.beacon())
        assert early.value.code == 425
        await world.commit(members[2], world.work(spec))
        await world.admin.submit("Rounds:close", "job", 1, world.beacon())
        stranger = await world.member(ORGANISATIONS[0], "stranger", 5000)
        with pytest.raises(Refused):
            await world.commit(stranger, world.work(spec))

    run(story())


def test_an_absent_aggregator_loses_its_bond_and_the_next_is_drawn():
    async def story() -> None:
        world, members, spec = await ready(4, attempts=2)
        await played(world, members, spec)
        first = (await world.begin()).aggregator
        with pytest.raises(Refused) as early:
            await world.admin.submit("Aggregation:finalise", "job", 1, world.beacon())
        assert early.value.code == 425
        seen = {first}
        for _ in range(2):
            world.clock.time = (await world.state()).deadline + 3
            await world.admin.submit("Aggregation:finalise", "job", 1, world.beacon())
            seen.add((await world.state()).aggregator)
        state = await world.state()
        assert state.phase is Phase.FINAL
        assert state.result == spec.model
        assert len(seen) == 2
        treasury = await world.balance(TREASURY)
        assert treasury == 2 * spec.bond
        await world.holdings()

    run(story())


def test_a_vanished_report_is_set_aside_by_more_than_half_of_the_organisations():
    async def story() -> None:
        world, members, spec = await ready(4)
        works = {who.member_id: world.work(spec) for who in members}
        await world.sealed(members, works, late=False)
        gone = members[0].member_id
        left = {member: work for member, work in works.items() if member != gone}
        with pytest.raises(Refused):
            await world.settle(left)
        for msp_id in ORGANISATIONS[:2]:
            await world.admins[msp_id].submit("Settlement:missing", "job", 1, gone)
        with pytest.raises(Refused) as early:
            await world.admin.submit("Settlement:close-missing", "job", 1, world.beacon())
        assert early.value.code == 425
        world.clock.time += spec.missing_seconds + 3
        await world.admin.submit("Settlement:close-missing", "job", 1, world.beacon())
        with pytest.raises(Refused):
            await world.settle(works)
        await world.settle(left)
        assert (await world.outcomes())[gone].slashed == spec.lock
        await world.holdings()

    run(story())


def test_cancelling_ends_the_job_after_the_running_round():
    async def story() -> None:
        world, members, spec = await ready(4)
        await world.open()
        await world.admin.submit("Jobs:cancel", "job", 1)
        assert (await world.holdings()).escrows == spec.pool
        world.clock.time = (await world.state()).deadline + 3
        await world.admin.submit("Rounds:close", "job", 1, world.beacon())
        await world.pair()
        await world.close()
        await world.pair()
        assert (await world.state()).phase is Phase.VOID
        assert (await world.holdings()).escrows == 0
        with pytest.raises(Refused):
            await world.open(round=2)

    run(story())


def test_an_hour_without_beacons_delays_the_round_and_slashes_nobody():
    async def story() -> None:
        world, members, spec = await ready(3)
        works = {who.member_id: world.work(spec) for who in members}
        await world.open()
        for who in members:
            await world.commit(who, works[who.member_id])
        await world.close()
        old = world.beacon()
        world.clock.time += 3600
        pairing = world.signer.sign((await world.state()).pairing_round)
        with pytest.raises(Refused) as stale:
            await world.admin.submit("Rounds:pair", "job", 1, pairing, old)
        assert stale.value.code == 409
        await world.pair()
        assert (await world.state()).deadline > world.clock.time
        for who in members:
            await world.reveal(who, works[who.member_id])
        await world.holdings()

    run(story())
