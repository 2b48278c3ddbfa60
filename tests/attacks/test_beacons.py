"""Beacons that are forged, foreign, stale, early, or the wrong one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chaincode.beacon import Beacon, DevSigner
from chaincode.records import Phase
from tests.attacks.scenes import Scene, hoard, refused, scene, story
from tests.world import GENESIS, ORGANISATIONS, ManualClock, World

IDENTITY_POINT = "c0" + "00" * 47
OTHER_CHAIN = DevSigner(b"another chain", 3, GENESIS)


def _flip(text: str) -> str:
    return ("0" if text[-1] != "0" else "1").join([text[:-1], ""])


FORGERIES: dict[str, Callable[[Beacon], Beacon]] = {
    "another round's signature": lambda b: Beacon(b.round, _signer().sign(b.round + 1).signature),
    "another chain's": lambda b: OTHER_CHAIN.sign(b.round),
    "the identity point": lambda b: Beacon(b.round, IDENTITY_POINT),
    "one bit changed": lambda b: Beacon(b.round, _flip(b.signature)),
    "not canonical: upper case": lambda b: Beacon(b.round, b.signature.upper()),
    "not canonical: a trailing newline": lambda b: Beacon(b.round, b.signature + "\n"),
    "not canonical: spaces": lambda b: Beacon(b.round, " " + b.signature),
    "not compressed": lambda b: Beacon(b.round, f"{int(b.signature[:2], 16) & 0x7F:02x}{b.signature[2:]}"),
    "infinity with a coordinate": lambda b: Beacon(
        b.round, f"{int(b.signature[:2], 16) | 0x40:02x}{b.signature[2:]}"
    ),
    "the point's negative": lambda b: Beacon(
        b.round, f"{int(b.signature[:2], 16) ^ 0x20:02x}{b.signature[2:]}"
    ),
    "beyond the field": lambda b: Beacon(b.round, "9f" + "ff" * 47),
    "all zero": lambda b: Beacon(b.round, "00" * 48),
    "short": lambda b: Beacon(b.round, b.signature[:-2]),
    "long": lambda b: Beacon(b.round, b.signature + "00"),
    "empty": lambda b: Beacon(b.round, ""),
}


def _signer() -> DevSigner:
    return World().signer


@pytest.mark.parametrize("forgery", FORGERIES)
@story
async def test_a_forged_beacon_is_refused_by_every_transaction_that_takes_one(forgery):
    at = await scene(3)
    world, forge = at.world, FORGERIES[forgery]
    bad = forge(world.beacon())
    await refused(422, world.admin.evaluate("Beacon:verify", bad))
    await refused(422, world.admin.submit("Rounds:open", "job", 1, bad))
    await at.to(Phase.COMMIT)
    world.clock.time = (await world.state()).deadline
    await refused(422, world.admin.submit("Rounds:close", "job", 1, forge(world.beacon())))
    await world.close()
    pairing = world.wait_for((await world.state()).pairing_round)
    await refused(422, world.admin.submit("Rounds:pair", "job", 1, forge(pairing), world.beacon()))
    await refused(422, world.admin.submit("Rounds:pair", "job", 1, pairing, forge(world.beacon())))
    await world.pair()
    await at.reveal()
    await refused(422, world.admin.submit("Rounds:seal", "job", 1, forge(world.beacon())))
    await world.seal()
    reports = {f"report/{member}": work.data for member, work in at.works.items()}
    sampling = world.wait_for((await world.state()).sampling_round)
    settle = ("Settlement:settle", "job", 1, forge(sampling))
    await refused(422, world.admin.submit(*settle, transient=reports))
    await refused(422, world.admin.submit("Settlement:close-missing", "job", 1, forge(world.beacon())))
    await at.settle()
    await refused(422, world.admin.submit("Aggregation:begin", "job", 1, forge(world.beacon())))
    await world.begin()
    await refused(422, world.admin.submit("Aggregation:finalise", "job", 1, forge(world.beacon())))


@pytest.mark.parametrize("round", [0, -1, 2**63, 2**64, 10**40])
@story
async def test_a_beacon_of_an_impossible_round_is_refused(round):
    at = await scene(3)
    bad = Beacon(round, at.world.beacon().signature)
    await refused(422, at.world.admin.submit("Rounds:open", "job", 1, bad))
    await refused(422, at.world.admin.evaluate("Beacon:verify", bad))


@pytest.mark.parametrize("off", [-1, 1])
@story
async def test_the_pairing_and_the_sampling_beacon_are_exactly_the_ones_that_were_fixed(off):
    at = await scene(3)
    world = at.world
    await at.to(Phase.CLOSED)
    expected = (await world.state()).pairing_round
    world.wait_for(expected + 1)
    wrong = world.signer.sign(expected + off)
    await refused(422, world.admin.submit("Rounds:pair", "job", 1, wrong, world.beacon()))
    await at.to(Phase.SEALED)
    expected = (await world.state()).sampling_round
    world.wait_for(expected + 1)
    reports = {f"report/{member}": work.data for member, work in at.works.items()}
    wrong = world.signer.sign(expected + off)
    await refused(422, world.admin.submit("Settlement:settle", "job", 1, wrong, transient=reports))
    await at.settle()


async def _takers(at: Scene, beacon: Beacon, codes: tuple[int, int], phase: Phase) -> None:
    """Every transaction of the phase that takes a fresh beacon refuses this one with the code."""
    world = at.world
    calls = {
        Phase.COMMIT: [("Rounds:close", "job", 1, beacon)],
        Phase.CLOSED: [],
        Phase.REVEAL: [("Rounds:seal", "job", 1, beacon)],
        Phase.SEALED: [("Settlement:close-missing", "job", 1, beacon)],
        Phase.SETTLED: [("Aggregation:begin", "job", 1, beacon)],
        Phase.AGGREGATE: [("Aggregation:finalise", "job", 1, beacon)],
    }[phase]
    if phase is Phase.CLOSED:
        pairing = world.wait_for((await world.state()).pairing_round)
        calls = [("Rounds:pair", "job", 1, pairing, beacon)]
    for call in calls:
        await refused(codes, world.admin.submit(*call))


@pytest.mark.parametrize("ahead", [-10, 10])
@story
async def test_a_stale_or_a_future_beacon_closes_and_opens_nothing(ahead):
    at = await scene(4)
    world = at.world
    codes = (409, 409) if ahead < 0 else (425, 425)
    await refused(codes, world.admin.submit("Rounds:open", "job", 1, world.beacon(ahead)))
    await refused(
        codes,
        world.admin.submit(
            "Governance:propose",
            "p",
            {"action": "mint", "account": "Org1MSP", "amount": 1},
            world.beacon(ahead),
        ),
    )
    for phase in (Phase.COMMIT, Phase.CLOSED, Phase.REVEAL, Phase.SEALED, Phase.SETTLED, Phase.AGGREGATE):
        await at.to(phase) if phase is not Phase.COMMIT else await world.open()
        if phase is Phase.COMMIT:
            await at.commit()
        if phase is Phase.CLOSED:
            world.wait_for((await world.state()).pairing_round)
        if phase in (Phase.COMMIT, Phase.REVEAL, Phase.AGGREGATE):
            world.clock.time = (await world.state()).deadline + 1000
        if phase is Phase.SEALED:
            world.clock.time += at.spec.missing_seconds + 1000
        await _takers(at, world.beacon(ahead), codes, phase)


@pytest.mark.parametrize("side", [1, -1])
@story
async def test_freshness_is_exactly_f_on_both_sides(side):
    at = await scene(3)
    world, freshness = at.world, at.world.terms.freshness
    beacon = world.beacon()
    due = world.signer.info.time(beacon.round)
    for clock, code in ((due + freshness + 0.5, 409), (due - freshness - 0.5, 425)):
        world.clock.time = clock
        await refused(code, world.admin.submit("Rounds:open", "job", 1, beacon))
    world.clock.time = due + side * freshness
    await world.admin.submit("Rounds:open", "job", 1, beacon)


@story
async def test_a_fresh_beacon_before_the_deadline_closes_no_window():
    at = await scene(4)
    world, period = at.world, at.world.terms.beacon.period
    await world.open()
    await at.commit()
    world.clock.time = (await world.state()).deadline - period
    await refused(425, world.admin.submit("Rounds:close", "job", 1, world.beacon()))
    await at.to(Phase.REVEAL)
    await at.reveal(but=at.members[3:])
    world.clock.time = (await world.state()).deadline - period
    await refused(425, world.admin.submit("Rounds:seal", "job", 1, world.beacon()))
    await at.to(Phase.AGGREGATE, but=at.members[3:])
    world.clock.time = (await world.state()).deadline - period
    await refused(425, world.admin.submit("Aggregation:finalise", "job", 1, world.beacon()))


@story
async def test_an_hour_without_beacons_and_then_all_at_once_delays_and_slashes_nobody():
    at = await scene(4)
    world, signer = at.world, at.world.signer
    for phase in (Phase.COMMIT, Phase.CLOSED, Phase.REVEAL, Phase.SEALED, Phase.SETTLED):
        if phase is Phase.COMMIT:
            await world.open()
            await at.commit()
        else:
            await at.to(phase)
        before = world.beacon()
        world.clock.time += 3600
        await _takers(at, before, (409, 409), phase)  # the newest there was: stale by now
        burst = [signer.sign(before.round + i) for i in range(0, 1200, 100)]
        for old in burst[:-1]:  # then all of the hour's come at once: none but the newest proves anything
            await _takers(at, old, (409, 409), phase)
    await at.to(Phase.SETTLED)
    assert all(each.slashed == 0 for each in (await world.outcomes()).values())
    assert await world.balance("treasury") == sum(
        max(0, -each.payment) for each in (await world.outcomes()).values()
    )


@story
async def test_one_organisation_whose_clock_is_wrong_neither_stops_nor_decides_anything():
    for wrong in (-900, 30 * 86400):
        world = World()
        clock = ManualClock(world.clock.time + wrong)
        world.network._chaincodes[ORGANISATIONS[2]] = world.server(ORGANISATIONS[2], clock)
        at = await scene(4, world=world)
        early = world.signer.sign(world.signer.info.round_at(int(clock.now())))
        await refused((409, 425), world.admin.submit("Rounds:open", "job", 1, early))
        await at.to(Phase.SETTLED)
        assert all(each.slashed == 0 for each in (await world.outcomes()).values())


@story
async def test_a_transactions_own_timestamp_changes_nothing():
    results = []
    for off in (0, 30 * 86400, -30 * 86400):
        world = World()
        world.network._clock = lambda world=world, off=off: world.clock.now() + off
        at = await scene(3, world=world)
        await at.to(Phase.REVEAL)
        state = await world.state()
        results.append((state.deadline, state.pairing_round, state.batch_round))
    assert len(set(results)) == 1


@story
async def test_a_close_kept_back_until_the_pairing_beacon_is_known_is_dead_once_somebody_has_closed():
    at = await scene(4)
    world = at.world
    await world.open()
    await at.commit()
    world.clock.time = (await world.state()).deadline + 1
    held = await hoard(at.members[0], "Rounds:close", "job", 1, world.beacon())
    world.clock.time += world.terms.beacon.period
    await world.admin.submit("Rounds:close", "job", 1, world.beacon())
    fixed = await world.state()
    world.wait_for(fixed.pairing_round + 100)
    assert (await held.send()).code == "MVCC_READ_CONFLICT"
    assert await world.state() == fixed


@story
async def test_a_hoarded_close_sent_late_pairs_by_a_beacon_whose_participants_were_fixed_before_it():
    """Even if nobody honest closed, contrary to what is assumed: no new commit is endorsed after the deadline."""
    at = await scene(4)
    world = at.world
    await world.open()
    await at.commit()
    late = await world.member(ORGANISATIONS[0], "late", at.spec.lock)
    world.clock.time = (await world.state()).deadline + 1
    held = await hoard(at.members[0], "Rounds:close", "job", 1, world.beacon())
    own = await world.view.credits(late.member_id, at.spec.lock)
    await refused(409, late.submit("Rounds:commit", "job", 1, "0" * 64, own))
    world.clock.time += 600
    await refused(409, late.submit("Rounds:commit", "job", 1, "0" * 64, own))
    assert (await held.send()).code == "VALID"
    assert await world.view.participants("job", 1) == sorted(who.member_id for who in at.members)
    await world.pair()
