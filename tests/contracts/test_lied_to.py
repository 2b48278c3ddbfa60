"""Agents whose peers, orderers and neighbours do their worst for a moment: nobody's agent ends, nobody loses money."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaincode import cid
from chaincode.beacon import Beacon
from chaincode.records import Phase, Registration, RoundState
from fl_client import agent
from fl_client.beacon import DevBeacon
from fl_client.errors import BadInput, CommitRejected, Unavailable
from fl_client.ledger.base import Receipt
from fl_client.ledger.embedded import EmbeddedLedger
from fl_client.participant import check_public_set, registered, wait_for_job
from fl_client.steps import Seat
from fl_client.store import DirectoryStore
from tests.attacks.scenes import story
from tests.contracts.test_guard import Watch
from tests.contracts.test_view_agents import MEMBERS, Federation
from tests.world import ORGANISATIONS, World

TERMS: dict[str, Any] = {
    "agree_view": False,
    "public_view": "",
    "mechanism": "paper",
    "rule": "dasgupta-ghosh",
    "rounds": 1,
    "committee": MEMBERS,
}


class Lied(EmbeddedLedger):
    """One that lies the first time it is asked for a thing."""

    def __init__(self, ledger: EmbeddedLedger) -> None:
        super().__init__(ledger._network, ledger._identity)
        self.told: set[str] = set()

    def first(self, thing: str) -> bool:
        if thing in self.told:
            return False
        self.told.add(thing)
        return True


class Rejected(Lied):
    """An endorser signs with a certificate of its own making: what it endorsed is ordered, and invalid."""

    async def submit(
        self, transaction: str, *args: Any, transient: Mapping[str, bytes] | None = None
    ) -> Receipt:
        if self.first(transaction):
            raise CommitRejected("a transaction", "ENDORSEMENT_POLICY_FAILURE")
        return await super().submit(transaction, *args, transient=transient)


class Swallowed(Lied):
    """Says that a commit and a reveal are in a block, and drops them."""

    async def submit(
        self, transaction: str, *args: Any, transient: Mapping[str, bytes] | None = None
    ) -> Receipt:
        if transaction in ("Rounds:commit", "Rounds:reveal") and self.first(transaction):
            return Receipt("a transaction", 7, b"")
        return await super().submit(transaction, *args, transient=transient)


class Garbled(Lied):
    """Answers every query with what is no answer."""

    async def evaluate(self, transaction: str, *args: Any) -> bytes:
        true = await super().evaluate(transaction, *args)
        return b'{"no": "answer"}' if self.first(transaction) else true


class Misled(Lied):
    """Names beacons of the next century, and members that have not revealed."""

    async def evaluate(self, transaction: str, *args: Any) -> bytes:
        true = await super().evaluate(transaction, *args)
        if transaction == "Rounds:get":
            state = msgspec.json.decode(true, type=RoundState)
            if state.phase in (Phase.CLOSED, Phase.SEALED) and self.first(state.phase):
                far = {"pairing_round": 10**9, "sampling_round": 10**9}
                return msgspec.json.encode(msgspec.structs.replace(state, **far))
        if transaction == "Rounds:reveals":
            shown = msgspec.json.decode(true)
            if len(shown) == MEMBERS and self.first(transaction):
                some = next(iter(shown.values()))
                return msgspec.json.encode(shown | {f"{ORGANISATIONS[0]}:{'0' * 64}": some})
        return true


@pytest.mark.parametrize("lie", [Rejected, Swallowed, Garbled, Misled])
@story
async def test_a_lie_told_to_everybody_costs_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: type[Lied]
) -> None:
    monkeypatch.setattr(agent, "AHEAD", 1.0)
    job = await Federation.ready(tmp_path, **TERMS)
    liars = []
    for seat in job.seats:
        assert isinstance(seat.ledger, EmbeddedLedger)
        seat.ledger = lie(seat.ledger)
        seat.view.ledger = seat.ledger
        liars.append(seat.ledger)
    await job.play()
    (state,) = job.states
    assert (state.phase, state.attempt, state.forfeited) == (Phase.FINAL, 1, [])
    assert [each.slashed for each in job.outcomes[0].values()] == [0] * MEMBERS
    assert all(liar.told for liar in liars)


class Cut(DevBeacon):
    """The beacon's nodes answer for what was and is, and for nothing far off."""

    async def at(self, round: int) -> Beacon:
        if self.info.time(round) > self.clock.now() + 200:
            raise Unavailable("no drand node gave a beacon")
        return await super().at(round)


class Slow(DirectoryStore):
    """Takes a moment."""

    async def get(self, cid: str, *, limit: int) -> bytes:
        await asyncio.sleep(0.02)
        return await super().get(cid, limit=limit)


@story
async def test_while_no_beacon_node_answers_nobodys_view_counts_as_missing(tmp_path: Path) -> None:
    job = await Federation.ready(tmp_path, rounds=2)
    for seat in job.seats:
        seat.beacons, seat.store = Cut(job.world.signer, seat.beacons.clock), Slow(tmp_path / "store")
    await job.play()
    assert [(state.aggregation_outcome, state.forfeited) for state in job.states] == [("majority", [])] * 2


@story
async def test_whose_organisation_has_its_members_already_leaves_the_round_to_them_and_goes_on(
    tmp_path: Path,
) -> None:
    window = dict.fromkeys(("commit_seconds", "reveal_seconds", "aggregate_seconds"), 60)
    terms = TERMS | window | {"committee": 1, "max_members_per_org": 1, "rounds": 2}
    job = await Federation.ready(tmp_path, roster=False, **terms)
    await job.play()
    assert [state.phase for state in job.states] == [Phase.FINAL] * 2
    for outcomes in job.outcomes:
        assert sorted(member.partition(":")[0] for member in outcomes) == ORGANISATIONS


class Away(Lied):
    """No peer answers."""

    async def evaluate(self, transaction: str, *args: Any) -> bytes:
        if self.first(transaction):
            raise Unavailable("no peer answered")
        return await super().evaluate(transaction, *args)


@story
async def test_a_guard_goes_on_when_its_peers_are_back(tmp_path: Path) -> None:
    watch = await Watch.over(tmp_path, phase=Phase.FINAL)
    (guard, *_) = watch.guards
    away = Away(watch.at.world.admin)
    guard._ledger = guard._view.ledger = away
    async with asyncio.timeout(10):
        await guard.run()
    assert {"Jobs:round", "Jobs:escrow"} <= away.told


@story
async def test_a_client_whose_registration_was_lost_registers_again() -> None:
    world = World(registration=Registration(pre_known=False))
    await world.found()
    client = Rejected(world.client(ORGANISATIONS[0], "newcomer"))
    async with asyncio.timeout(10):
        assert (await registered(client, look=0.01)).id == client.member_id
    assert client.told == {"Registry:register"}


@story
async def test_a_client_that_waits_for_a_job_waits_for_its_peers_too(tmp_path: Path) -> None:
    watch = await Watch.over(tmp_path)
    async with asyncio.timeout(10):
        assert (await wait_for_job(Away(watch.at.members[0]), "job", look=0.01)).id == "job"


@story
async def test_a_client_takes_no_part_in_a_job_that_draws_from_more_items_than_there_are(
    tmp_path: Path,
) -> None:
    job = await Federation.ready(tmp_path, **TERMS)
    seat: Seat = job.seats[0]
    spec = msgspec.structs.replace(seat.job.spec, public_set=cid.file_cid(seat.learner.public_set()))
    seat.job = msgspec.structs.replace(seat.job, spec=spec)
    check_public_set(seat)
    more = msgspec.structs.replace(spec, public_items=spec.public_items + 1)
    seat.job = msgspec.structs.replace(seat.job, spec=more)
    with pytest.raises(BadInput, match="this client has 300"):
        check_public_set(seat)
