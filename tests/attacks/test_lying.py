"""Organisations that lie: a modified chaincode server, a lying peer before its own client."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from chaincode import cid
from chaincode.contracts import keys
from chaincode.records import Credit, Phase
from chaincode.shim import Chaincode, Response, Stub
from fl_client import steps
from fl_client.beacon import DevBeacon
from fl_client.errors import BadBeacon, CandorError, Disagreement, Refused
from fl_client.journal import Journal, Prepared
from fl_client.ledger.embedded import EmbeddedLedger
from fl_client.steps import Learner, Seat
from fl_client.store.directory import DirectoryStore
from fl_client.training import parameters
from fl_client.training.behaviour import Work
from tests.attacks.scenes import Scene, scene, story
from tests.world import ORGANISATIONS, World

LIAR = ORGANISATIONS[2]


class Modified(Chaincode):
    """One organisation's server, changed by its operator."""

    def __init__(self, honest: Chaincode, lie: str) -> None:
        self._honest, self._lie = honest, lie

    async def invoke(self, stub: Stub) -> Response:
        match self._lie:
            case "refuses everything":
                return Response(403, '{"code":403,"details":{},"message":"no"}')
            case "answers nonsense":
                return Response(200, payload=b"\xff" * 1000)
            case "fails":
                return Response(500, "internal error")
        response = await self._honest.invoke(stub)
        if not response.ok and self._lie != "takes whatever is refused":
            return response
        match self._lie:
            case "pays itself":
                money = msgspec.json.encode(Credit(amount=10**6))
                await stub.put(f"credit/{LIAR}/{stub.tx_id}/99", money)
            case "forgets a write":
                key, _ = stub.read_write_set().writes[-1] if stub.read_write_set().writes else ("x", b"")
                await stub.delete(key)
            case "changes the result":
                return Response(200, payload=response.payload + b" ")
            case "changes the event":
                stub.set_event("round", b"{}")
            case "reads more":
                await stub.get("consortium")
                await stub.get("another")
            case "takes whatever is refused":
                return Response(200)
        return response


LIES = [
    "refuses everything",
    "answers nonsense",
    "fails",
    "pays itself",
    "forgets a write",
    "changes the result",
    "changes the event",
    "reads more",
    "takes whatever is refused",
]


def modify(world: World, lie: str, *organisations: str) -> None:
    """These organisations' servers lie from now on."""
    for each in organisations or (LIAR,):
        world.network._chaincodes[each] = Modified(world.server(each), lie)


@pytest.mark.parametrize("lie", LIES)
@story
async def test_one_organisation_that_lies_neither_stops_nor_changes_a_round(lie, caplog):
    caplog.set_level(logging.CRITICAL)
    at = await scene(4)
    modify(at.world, lie)
    await at.to(Phase.FINAL)
    held = await at.world.holdings()
    assert await at.world.balance(LIAR) == 0
    assert held.locks == 0
    signed = {
        endorser
        for block in at.world.network.blocks[-5:]
        for record in block.transactions
        for endorser in record.endorsers
    }
    if lie != "takes whatever is refused":  # that one differs only where the honest refuse
        assert LIAR not in signed


@pytest.mark.parametrize("lie", LIES)
@story
async def test_one_lying_organisation_gets_nothing_through_that_the_honest_refuse(lie, caplog):
    caplog.set_level(logging.CRITICAL)
    at = await scene(4)
    await at.to(Phase.REVEAL)
    modify(at.world, lie)
    before = at.world.network.state.digest()
    mine = at.world.admins[LIAR]
    for call in (
        ("Rounds:seal", "job", 1, at.world.beacon()),
        ("Token:transfer", "Org1MSP", LIAR, 1, []),
        ("Jobs:cancel", "job", 1),
        ("Settlement:close-missing", "job", 1, at.world.beacon()),
    ):
        with pytest.raises(Refused):
            await mine.submit(*call)
    assert at.world.network.state.digest() == before


@pytest.mark.parametrize("lie", [lie for lie in LIES if lie not in ("takes whatever is refused",)])
@story
async def test_with_one_organisation_lying_and_one_away_nothing_goes_through(lie, caplog):
    """A majority cannot be forged: one honest endorsement and one lie are not two equal ones."""
    caplog.set_level(logging.CRITICAL)
    at = await scene(4)
    await at.world.open()
    modify(at.world, lie)
    at.world.network.offline.add(ORGANISATIONS[1])
    before = at.world.network.state.digest()
    with pytest.raises(CandorError):
        await at.world.commit(at.members[0], at.work(at.members[0]))
    assert at.world.network.state.digest() == before


@story
async def test_two_organisations_with_different_lies_get_nothing_through(caplog):
    caplog.set_level(logging.CRITICAL)
    at = await scene(4)
    await at.world.open()
    modify(at.world, "pays itself", ORGANISATIONS[1])
    modify(at.world, "changes the result", ORGANISATIONS[2])
    with pytest.raises(Disagreement):
        await at.world.commit(at.members[0], at.work(at.members[0]))


# A lying peer before its own client


class Lying(EmbeddedLedger):
    """Its own organisation's peer answers `lies` to queries; `sent` is what it would see of the client."""

    lies: Mapping[str, Any]
    sent: list[str]

    async def evaluate(self, transaction: str, *args: Any) -> bytes:
        if transaction in self.lies:
            return msgspec.json.encode(self.lies[transaction])
        return await super().evaluate(transaction, *args)

    async def submit(self, transaction: str, *args: Any, transient=None):
        self.sent.append(transaction)
        return await super().submit(transaction, *args, transient=transient)


async def deceived(at: Scene, path: Path, **lies: Any) -> Seat:
    """The first member as a client whose peer lies, ready to reveal."""
    who = at.members[0]
    who.__class__ = Lying
    who.lies, who.sent = {name.replace("_", ":", 1): value for name, value in lies.items()}, []
    work = at.work(who)
    journal = Journal(path / "journal")
    journal.keep("job", 1, Prepared(work.data, b"update", work.report, work.update, work.salt))
    job = await at.world.view.job("job")
    beacons = DevBeacon(at.world.signer, at.world.clock)
    (path / "store").mkdir()
    return Seat(who, DirectoryStore(path / "store"), beacons, journal, None, job)


def nothing_left(seat: Seat, path: Path) -> bool:
    """No byte of the report is in the store, and no transaction was sent to any peer."""
    return seat.ledger.sent == [] and not [each for each in (path / "store").rglob("*") if each.is_file()]


def pretended(at: Scene, state, pairing_round: int, **changes: Any):
    """The round's state as a liar tells it: paired by a beacon that exists."""
    return msgspec.structs.replace(
        state,
        **{
            "phase": Phase.REVEAL,
            "pairing_round": pairing_round,
            "pairing_randomness": at.world.signer.sign(pairing_round).randomness.hex(),
        }
        | changes,
    )


@pytest.mark.parametrize("phase", [Phase.COMMIT, Phase.CLOSED])
@story
async def test_a_lying_peer_cannot_elicit_a_reveal_before_the_round_is_paired(phase, tmp_path):
    at = await scene(3)
    await at.to(phase)
    lie = pretended(at, await at.world.state(), at.world.beacon().round)
    seat = await deceived(at, tmp_path, Rounds_get=lie)
    with pytest.raises(Disagreement):
        await steps.reveal(seat, await seat.view.round("job", 1))
    assert nothing_left(seat, tmp_path)


@story
async def test_a_lying_peer_cannot_elicit_a_reveal_under_another_pairing(tmp_path):
    at = await scene(3)
    await at.to(Phase.REVEAL)
    true = await at.world.state()
    lie = pretended(at, true, true.pairing_round - 1)
    seat = await deceived(at, tmp_path, Rounds_get=lie)
    with pytest.raises((BadBeacon, Disagreement)):
        await steps.reveal(seat, await seat.view.round("job", 1))
    assert nothing_left(seat, tmp_path)
    await steps.reveal(seat, true)
    assert seat.ledger.sent == ["Rounds:reveal"]


@story
async def test_a_lying_peer_cannot_elicit_a_reveal_with_randomness_that_no_beacon_has(tmp_path):
    at = await scene(3)
    await at.to(Phase.REVEAL)
    lie = msgspec.structs.replace(await at.world.state(), pairing_randomness="00" * 32)
    seat = await deceived(at, tmp_path, Rounds_get=lie)
    with pytest.raises((BadBeacon, Disagreement)):
        await steps.reveal(seat, await seat.view.round("job", 1))
    assert nothing_left(seat, tmp_path)


@story
async def test_not_even_all_peers_together_elicit_a_reveal_with_randomness_that_no_beacon_has(tmp_path):
    at = await scene(3)
    await at.to(Phase.REVEAL)
    lie = msgspec.structs.replace(await at.world.state(), pairing_randomness="00" * 32)
    at.world.network.state.apply([(keys.state("job", 1), msgspec.json.encode(lie))], (10**6, 0))
    seat = await deceived(at, tmp_path)
    with pytest.raises(BadBeacon):
        await steps.reveal(seat, await seat.view.round("job", 1))
    assert nothing_left(seat, tmp_path)


@story
async def test_a_lying_peer_cannot_make_a_client_reveal_that_was_drawn_out(tmp_path):
    at = await scene(5, max_participants=4)
    await at.to(Phase.REVEAL)
    stayed = await at.world.view.participants("job", 1)
    (out,) = [who for who in at.members if who.member_id not in stayed]
    at.members = [out]
    everybody = sorted([*stayed, out.member_id])
    seat = await deceived(at, tmp_path, Rounds_participants=everybody)
    with pytest.raises(Disagreement):
        await steps.reveal(seat, await seat.view.round("job", 1))
    assert nothing_left(seat, tmp_path)


@story
async def test_with_fewer_than_a_majority_answering_alike_the_client_reveals_nothing(tmp_path):
    at = await scene(3)
    await at.to(Phase.REVEAL)
    seat = await deceived(at, tmp_path)
    at.world.network.offline.update(ORGANISATIONS[1:])
    with pytest.raises(CandorError):
        await steps.reveal(seat, await seat.view.round("job", 1))
    assert nothing_left(seat, tmp_path)


class Beginner:
    """Learns nothing; remembers from which model it began."""

    def train(self, work: Work) -> list[np.ndarray]:
        self.began = work.weights
        return list(work.weights)

    def infer(self, work: Work, weights: list[np.ndarray]) -> np.ndarray:
        return np.zeros(len(work.items), np.int64)


@story
async def test_a_lying_peer_cannot_have_a_client_work_on_a_model_of_its_own(tmp_path):
    true, own = ([np.full(2, each, np.float32)] for each in (1, 2))
    at = await scene(3, model=cid.file_cid(parameters.to_bytes(true)))
    await at.world.open()
    lie = msgspec.structs.replace(await at.world.state(), model=cid.file_cid(parameters.to_bytes(own)))
    seat = await deceived(at, tmp_path, Rounds_get=lie)
    for model in (true, own):
        await seat.store.put(parameters.to_bytes(model))
    trainer = SimpleNamespace(initial=lambda: true)
    problem = SimpleNamespace(public=lambda: np.zeros((at.spec.public_items, 1), np.float32))
    seat.learner, seat.journal = (
        Learner(problem, trainer, Beginner(), np.zeros((1, 1)), np.zeros(1), seed=1),
        Journal(tmp_path / "own"),
    )
    await steps.commit(seat, await seat.view.round("job", 1))
    assert np.array_equal(seat.learner.conduct.began, true)
    assert await at.world.view.participants("job", 1) == [seat.me]


@story
async def test_a_report_that_has_vanished_does_not_end_the_agents_that_would_settle(tmp_path):
    at = await scene(3)
    await at.to(Phase.SEALED)
    seat = await deceived(at, tmp_path)
    await steps.settle(seat, await seat.view.round("job", 1))  # the store has none of the reports
    assert seat.ledger.sent == []
