"""Organisations that watch over a job: a report that vanished is voted aside, and the round goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from chaincode.records import TREASURY, Phase
from fl_client import steps
from fl_client.beacon import DevBeacon
from fl_client.errors import Unavailable
from fl_client.guard import Guard
from fl_client.journal import Journal
from fl_client.store import DirectoryStore
from tests.attacks.scenes import Scene, scene, story
from tests.world import ORGANISATIONS


class Watch:
    """A sealed round, a store without some reports, and a guard in each organisation."""

    def __init__(self, at: Scene, store: DirectoryStore, guards: list[Guard]) -> None:
        self.at, self.store, self.guards = at, store, guards

    @classmethod
    async def over(
        cls,
        path: Path,
        *,
        lost: int = 1,
        rounds: int = 1,
        organisations: int = 3,
        phase: Phase = Phase.SEALED,
    ) -> Watch:
        at = await scene(4, rounds=rounds)
        await at.to(phase)
        store = DirectoryStore(path)
        for who in at.members[lost:]:
            await store.put(at.work(who).data)
        job = await at.world.view.job("job")
        assert job is not None
        beacons = DevBeacon(at.world.signer, at.world.clock)
        admins = [at.world.admins[each] for each in ORGANISATIONS[:organisations]]
        return cls(at, store, [Guard(admin, store, beacons, job, look=0.01) for admin in admins])

    async def look(self) -> list[str]:
        """Everyone looks twice (the first may vote before the others have); who is set aside then."""
        for _ in range(2):
            for guard in self.guards:
                await guard.look_at(await self.at.world.state())
        return (await self.at.world.state()).set_aside

    async def votes(self) -> int:
        """How many have been cast."""
        return sum(True for _ in self.at.world.network.state.items("missing/", "missing0"))

    async def pass_by(self, share: float) -> None:
        """Let that share of the window for missing reports pass since the seal."""
        state, period = await self.at.world.state(), self.at.world.terms.beacon.period
        self.at.world.clock.time = state.sealed_at + share * self.at.spec.missing_seconds + period


@story
async def test_a_report_that_nobody_has_is_voted_aside_and_the_round_settles(tmp_path):
    watch = await Watch.over(tmp_path)
    at = watch.at
    gone = at.members[0].member_id
    before = await at.world.balance(TREASURY)
    assert (await watch.look(), await watch.votes()) == ([], 0), "right after the seal it may still turn up"
    await watch.pass_by(0.5)
    assert (await watch.look(), await watch.votes()) == ([], 3), "voted on, and not yet counted"
    await watch.pass_by(1)
    assert (await watch.look(), await watch.votes()) == ([gone], 3)
    job = await at.world.view.job("job")
    beacons = DevBeacon(at.world.signer, at.world.clock)
    seat = steps.Seat(at.members[1], watch.store, beacons, Journal(tmp_path / "journal"), None, job)
    await steps.settle(seat, await at.world.state())
    outcomes = await at.world.outcomes()
    assert outcomes[gone].slashed == at.spec.lock
    assert await at.world.balance(TREASURY) - before >= at.spec.lock
    assert not any(each.slashed for member, each in outcomes.items() if member != gone)


@story
async def test_a_minority_of_guards_sets_nothing_aside(tmp_path):
    watch = await Watch.over(tmp_path, organisations=1)
    await watch.pass_by(1)
    assert (await watch.look(), await watch.votes()) == ([], 1)


@story
async def test_a_report_that_turns_up_in_time_is_not_voted_on(tmp_path):
    watch = await Watch.over(tmp_path)
    await watch.store.put(watch.at.work(watch.at.members[0]).data)
    await watch.pass_by(1)
    assert (await watch.look(), await watch.votes()) == ([], 0)


@story
async def test_a_store_that_does_not_answer_casts_no_vote(tmp_path, monkeypatch):
    watch = await Watch.over(tmp_path)

    async def down(self: DirectoryStore, cid: str, *, limit: int) -> bytes:
        raise Unavailable("the store does not answer")

    monkeypatch.setattr(DirectoryStore, "get", down)
    await watch.pass_by(1)
    assert (await watch.look(), await watch.votes()) == ([], 0)


@story
async def test_a_vote_that_the_other_peers_a_block_behind_refuse_is_cast_at_the_next_look(tmp_path):
    watch = await Watch.over(tmp_path, phase=Phase.REVEAL)
    at = watch.at
    await at.reveal()
    now = int(at.world.clock.now())
    early = msgspec.structs.replace(await at.world.state(), phase=Phase.SEALED, sealed_at=now)
    at.world.clock.time = now + at.spec.missing_seconds // 2 + at.world.terms.beacon.period
    for guard in watch.guards:
        await guard.look_at(early)
    assert await watch.votes() == 0
    await at.to(Phase.SEALED)
    await watch.pass_by(0.5)
    assert (await watch.look(), await watch.votes()) == ([], 3)


@story
async def test_before_the_seal_and_in_a_round_without_reports_a_guard_has_nothing_to_look_for(
    tmp_path, monkeypatch
):
    watch = await Watch.over(tmp_path, phase=Phase.REVEAL)
    await watch.at.reveal()

    async def asked(self: DirectoryStore, cid: str, *, limit: int) -> bytes:
        raise AssertionError(f"the store was asked for {cid!r}")

    monkeypatch.setattr(DirectoryStore, "get", asked)
    await watch.look()
    await watch.at.to(Phase.SEALED)
    await watch.pass_by(1)
    state = await watch.at.world.state()
    unreported = msgspec.structs.replace(watch.guards[0]._job.spec, mechanism="qualify-and-vest")
    job = msgspec.structs.replace(watch.guards[0]._job, spec=unreported)
    guard = Guard(watch.guards[0]._ledger, watch.store, watch.guards[0]._beacons, job)
    await guard.look_at(msgspec.structs.replace(state, round=2, qualification=1))
    with pytest.raises(AssertionError):
        await watch.look()


@story
async def test_a_report_is_fetched_once(tmp_path):
    watch = await Watch.over(tmp_path, lost=0)
    await watch.pass_by(0.5)
    await watch.look()
    for each in tmp_path.iterdir():
        each.unlink()
    assert (await watch.look(), await watch.votes()) == ([], 0), "it was there: who settles has had the time"


@story
async def test_a_guard_that_is_started_anew_goes_on(tmp_path):
    watch = await Watch.over(tmp_path)
    await watch.pass_by(0.5)
    await watch.look()
    again = Watch(
        watch.at, watch.store, [Guard(g._ledger, g._store, g._beacons, g._job) for g in watch.guards]
    )
    await watch.pass_by(1)
    assert (await again.look(), await again.votes()) == ([watch.at.members[0].member_id], 3)


@pytest.mark.parametrize("rounds", [1, 2])
@story
async def test_guards_watch_to_the_end_of_the_job(rounds, tmp_path):
    watch = await Watch.over(tmp_path, lost=0, rounds=rounds)
    watching = [asyncio.create_task(guard.run()) for guard in watch.guards]
    await watch.at.to(Phase.FINAL)
    if rounds > 1:
        assert not any(task.done() for task in watching), "another round may come"
        await watch.at.world.admin.submit("Jobs:cancel", "job", 1)
    await asyncio.wait_for(asyncio.gather(*watching), 20)
