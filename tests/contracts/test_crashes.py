"""Crash anywhere: every client's process ends directly before and directly after everything that it does, in turn."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from chaincode.records import Phase
from fl_client.agent import Agent
from tests.attacks.scenes import story
from tests.contracts.panel import optimistic
from tests.contracts.test_view_agents import MEMBERS, Federation
from tests.mortal import Mortal

PAPER = {"agree_view": False, "public_view": "", "mechanism": "paper", "rule": "dasgupta-ghosh", "rounds": 1}
VEST = PAPER | {"mechanism": "qualify-and-vest", "rounds": 2, "light_check": False}
JOBS: dict[str, dict[str, Any]] = {
    "paper, majority": PAPER | {"committee": MEMBERS},
    "paper, optimistic": PAPER | optimistic(),
    "paper, one aggregator": PAPER | {"committee": 1},
    "paper, two layers": PAPER | {"committee": 3, "strategy": "two-layer"},
    "qualify and vest": VEST | {"committee": MEMBERS},
    "qualify and vest, optimistic": VEST | optimistic(),
    "views agreed": {"rounds": 2, "committee": 3},
}
SAID = ("Rounds:commit", "Rounds:reveal", "Aggregation:vote", "Aggregation:commit", "Aggregation:reveal")
ALWAYS = ("journal", "Rounds:commit", "put", "Rounds:reveal", "Settlement:settle", "get", "keep")


@pytest.mark.parametrize("terms", JOBS.values(), ids=JOBS)
@story
async def test_whoever_dies_anywhere_and_is_started_again_loses_nothing(
    tmp_path: Path, terms: dict[str, Any]
) -> None:
    job = await Federation.ready(tmp_path, **terms)
    clients = [Mortal(seat, lambda seat: Agent(seat, look=0.01, stagger=0.0)) for seat in job.seats]
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        ticking = group.create_task(job._tick(0.03))
        await asyncio.gather(*(client.run() for client in clients))
        ticking.cancel()
    members = {seat.me for seat in job.seats}
    for number in range(1, job.seats[0].job.spec.rounds + 1):
        state = await job.world.state(round=number)
        assert (state.phase, state.attempt, state.forfeited) == (Phase.FINAL, 1, [])
        outcomes = await job.world.outcomes(round=number)
        assert {member: each.slashed for member, each in outcomes.items()} == dict.fromkeys(members, 0)
    held = await job.world.holdings()
    assert held.locks == held.escrows == 0
    assert set(said(job).values()) == {1}, "nobody says a thing twice"
    ends = {place.partition(" in ")[0] for client in clients for place in client.died}
    assert ends >= {f"{when} {what}" for when in ("before", "after") for what in ALWAYS}


def said(job: Federation) -> Counter[tuple[bytes, ...]]:
    """How often each member has done each of its steps of each round."""
    return Counter(
        (each.creator, *each.args[:3])
        for block in job.world.network.blocks
        for each in block.transactions
        if each.code == "VALID" and each.args[0].decode() in SAID
    )
