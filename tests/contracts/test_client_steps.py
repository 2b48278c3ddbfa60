"""A client's steps where it is refused, has been there before, or has lost something: no real learner is needed."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from chaincode import cid
from chaincode.proposals import SuspendMember
from chaincode.records import Phase
from fl_client import steps
from fl_client.agent import Agent
from fl_client.beacon import DevBeacon
from fl_client.errors import BadInput, Refused
from fl_client.journal import Journal, Prepared
from fl_client.participant import check_public_set
from fl_client.steps import Learner, Seat
from fl_client.store import DirectoryStore
from fl_client.training import parameters
from fl_client.training.behaviour import Work
from tests.attacks.scenes import Scene, scene, staked_world, story
from tests.world import ORGANISATIONS

WEIGHTS = [np.ones(2, np.float32)]
MODEL = parameters.to_bytes(WEIGHTS)


class Silent:
    """Learns nothing, and is never to be asked for labels, of whatever items."""

    def train(self, work: Work) -> list[np.ndarray]:
        assert (len(work.items), len(work.batch)) == (0, 0)
        return [each + 1 for each in work.weights]

    def infer(self, work: Work, weights: list[np.ndarray]) -> np.ndarray:
        raise AssertionError("this round takes no reports")


async def seated(at: Scene, path: Path, conduct: Any = None) -> Seat:
    """The first member as a client with an empty store and journal."""
    job = await at.world.view.job("job")
    assert job is not None
    trainer = SimpleNamespace(initial=lambda: WEIGHTS)
    problem = SimpleNamespace(public=lambda: np.zeros((at.spec.public_items, 1), np.float32))
    learner: Any = Learner(problem, trainer, conduct, np.zeros((1, 1)), np.zeros(1), seed=1)  # type: ignore[arg-type]
    beacons = DevBeacon(at.world.signer, at.world.clock)
    return Seat(
        at.members[0], DirectoryStore(path / "store"), beacons, Journal(path / "journal"), learner, job
    )


@story
async def test_an_agent_whom_the_contracts_refuse_for_good_ends_and_says_why(tmp_path: Path):
    at = await scene(3)
    await at.world.open()
    seat = await seated(at, tmp_path)
    work = at.work(at.members[0])
    seat.journal.keep("job", 1, Prepared(work.data, b"", work.report, work.update, work.salt))
    await at.world.pass_vote("suspend", SuspendMember(member=seat.me))
    with pytest.raises(Refused, match="suspended") as refused:
        await asyncio.wait_for(Agent(seat, look=0.01, stagger=0).run(), 10)
    assert refused.value.final


@story
async def test_who_is_a_member_already_pays_no_second_deposit():
    world = staked_world(100)
    await world.found()
    await world.mint(100)
    client = world.client(ORGANISATIONS[0], "restarted")
    await world.pay(client.member_id, 100)
    member = await steps.register(client)
    assert await world.balance(client.member_id) == 0
    assert await steps.register(client) == member


@story
async def test_in_a_round_without_reports_a_client_commits_to_its_update_alone_and_reveals_it(tmp_path: Path):
    at = await scene(4, mechanism="qualify-and-vest", model=cid.file_cid(MODEL))
    await at.to(Phase.FINAL)
    await at.world.open(round=2)
    seat = await seated(at, tmp_path, Silent())
    await seat.store.put(MODEL)
    await steps.commit(seat, await at.world.state(round=2))
    kept = seat.journal.find("job", 2)
    assert kept is not None
    assert (kept.report, kept.report_cid, kept.update) == (b"", "", MODEL)  # ones, once more
    for who in at.members[1:]:
        await at.world.commit(who, at.work(who), round=2)
    await at.to(Phase.REVEAL, 2)
    await steps.reveal(seat, await at.world.state(round=2))
    shown = (await at.world.view.reveals("job", 2))[seat.me]
    assert (shown.report, shown.update) == ("", cid.file_cid(MODEL))


@story
async def test_without_its_journal_a_client_reveals_nothing_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    at = await scene(3)
    await at.to(Phase.REVEAL)
    seat = await seated(at, tmp_path)
    with caplog.at_level(logging.ERROR):
        await steps.reveal(seat, await at.world.state())
    assert "no salt for this commit" in caplog.text
    assert await at.world.view.reveals("job", 1) == {}
    assert not (tmp_path / "store").exists()


@story
async def test_a_client_takes_no_part_in_a_job_about_other_public_items(tmp_path: Path):
    at = await scene(3)
    seat = await seated(at, tmp_path)
    with pytest.raises(BadInput, match="is about the public set .*, this client has"):
        check_public_set(seat)
    at = await scene(3, public_set=cid.file_cid(seat.learner.public_set()))
    check_public_set(await seated(at, tmp_path))
