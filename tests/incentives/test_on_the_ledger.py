"""The lab against the contracts: a world's reports and updates go through a whole job on the embedded ledger, checked
and aggregated as clients do it; every payment, every valid set and every model is the lab's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from chaincode import cid
from chaincode.mtpp import RULES
from chaincode.mtpp.payment import best_gain, worst_loss
from fl_client import aggregator
from fl_client.incentives.attackers import attacker
from fl_client.incentives.attackers.base import Coalition, sends_update
from fl_client.incentives.evaluate import PRICE, Attack, Scheme, Stage
from fl_client.incentives.world import Federation, Setting, World
from fl_client.training import parameters
from fl_client.training.behaviour import Honest
from fl_client.training.parameters import subtract
from tests.contracts.panel import Panel
from tests.world import ready

CLIENTS, TASKS, ALPHABET, ROUNDS, PLACE = 6, 150, 5, 4, 4
SETTING = Setting("synthetic-5", "iid", CLIENTS, TASKS, ROUNDS, seed=3, effort=200)


@dataclass
class Play:
    """An attack as the lab plays it: what everybody reports and sends, and what the lab pays for it."""

    scheme: Scheme
    public: Federation
    reports: list[list[np.ndarray]]  # [round][client]
    updates: list[list[bytes]]
    found: Attack


def play(world: World, scheme: Scheme, name: str) -> Play:
    stage, playing = Stage(world, [scheme]), attacker(name)
    found = stage.attack(name, PLACE, 2)
    cast = {} if isinstance(playing, Coalition) or not sends_update(playing) else {PLACE: playing}
    public = world.federate(cast) if cast else world.honest
    local_only = scheme.plays.local_only
    first = stage.reports(True)[:1] if local_only else []
    updates = []
    for number in range(1, ROUNDS + 1):
        works = [world.work(c, number, public, local_only=False, reports=first) for c in range(CLIENTS)]
        sent = [subtract(cast.get(c, Honest()).train(work), work.weights) for c, work in enumerate(works)]
        updates.append([parameters.to_bytes(update) for update in sent])
    return Play(scheme, public, stage._play(playing, found.replaced, public, local_only), updates, found)


@dataclass
class Clients:
    """A world's clients in a job of the same rounds, with a committee of three."""

    panel: Panel
    model: bytes  # the global one
    revealed: list[dict[str, bytes]] = field(default_factory=list)  # [round] member → its update

    @classmethod
    async def ready(cls, scheme: Scheme, model: bytes) -> Clients:
        rule = RULES[scheme.rule]
        terms: dict[str, Any] = {
            "mechanism": scheme.mechanism,
            "rule": scheme.rule,
            "alphabet": ALPHABET,
            "public_items": TASKS,
            "tasks": TASKS,
            "scored_tasks": TASKS,
            "rounds": ROUNDS,
            "price": PRICE,
            "round_pool": CLIENTS * best_gain(rule, TASKS, ALPHABET, PRICE),
            "stake": worst_loss(rule, TASKS, ALPHABET, PRICE),
            "committee": 3,
            "light_check": True,
        }
        consortium, members, spec = await ready(CLIENTS, **terms)
        return cls(Panel(consortium, {who.member_id: who for who in members}, spec), model)

    @property
    def ids(self) -> list[str]:
        return list(self.panel.members)

    async def settled(self, reports: Sequence[np.ndarray], updates: Sequence[bytes]) -> None:
        """The round up to its settlement."""
        world, number = self.panel.world, self.panel.round
        works = {}
        await world.open(round=number)
        for who, report, update in zip(self.panel.members.values(), reports, updates, strict=True):
            work = world.work(self.panel.spec, report)
            works[who.member_id] = replace(work, update=cid.file_cid(update))
            await world.commit(who, works[who.member_id], round=number)
        await world.close(round=number)
        await world.pair(round=number)
        for member, who in self.panel.members.items():
            await world.reveal(who, works[member], round=number)
        await world.seal(round=number, late=False)
        await world.settle(works, round=number)

    async def aggregated(self, updates: Sequence[bytes]) -> frozenset[int]:
        """The committee votes and answers as clients' code has it from the updates' bytes; whose it combines."""
        sent = dict(zip(self.ids, updates, strict=True))
        faults = aggregator.verdicts(self.model, sent, *[*self.revealed[::-1], {}, {}][:2])
        state = await self.panel.begin()
        await self.panel.vote(
            state.committee, {member: fault.reason for member, fault in faults.items() if fault}
        )
        state = await self.panel.move()
        self.model = aggregator.aggregate(self.model, {member: sent[member] for member in state.valid})
        self.revealed.append(sent)
        state = await self.panel.answer(dict.fromkeys(state.voters, cid.file_cid(self.model)))
        assert state.result == cid.file_cid(self.model)
        return frozenset(map(self.ids.index, state.valid))

    async def paid(self) -> list[float]:
        """What the round paid each of them, as a share of the price."""
        outcomes = await self.panel.world.outcomes(round=self.panel.round)
        return [outcomes[member].payment / PRICE for member in self.ids]


async def on_the_ledger(played: Play) -> np.ndarray:
    """What the contracts pay: (rounds, clients)."""
    models = [parameters.to_bytes(model) for model in played.public.models]
    clients = await Clients.ready(played.scheme, models[0])
    paid = []
    for number in range(1, ROUNDS + 1):
        clients.panel.round = number
        asked = played.scheme.plays.reports_in(number)
        reports = played.reports[number - 1] if asked else [np.zeros(TASKS, np.int64)] * CLIENTS
        await clients.settled(reports, played.updates[number - 1])
        assert await clients.aggregated(played.updates[number - 1]) == played.public.valid[number - 1]
        assert clients.model == models[number]
        paid.append(await clients.paid())
    await clients.panel.ended()
    return np.array(paid)


@pytest.fixture(scope="module")
def world() -> World:
    return World(SETTING)


@pytest.mark.parametrize(
    ("mechanism", "rule", "attack"),
    [
        ("qualify-and-vest", "dasgupta-ghosh", "exact-copies"),  # they share one pay
        ("qualify-and-vest", "dasgupta-ghosh", "flipped"),  # a negative score, charged for all rounds
        ("qualify-and-vest", "dasgupta-ghosh", "disguised-update"),  # refused for its direction
        ("qualify-and-vest-floor", "dasgupta-ghosh", "random"),
        ("qualify-and-vest-sharp", "dasgupta-ghosh", "replayed-update"),  # refused for its cosine
        ("per-round", "dasgupta-ghosh", "revealed-labels"),
        ("paper", "correlated-agreement", "copy-global"),
    ],
)
def test_the_contracts_pay_what_the_lab_says(world: World, mechanism: str, rule: str, attack: str) -> None:
    played = play(world, Scheme(mechanism, rule), attack)
    own, key = played.found.replaced, str(played.scheme)
    others = [client for client in range(CLIENTS) if client not in own]
    paid = asyncio.run(on_the_ledger(played))
    assert paid[:, others] == pytest.approx(np.array(played.found.honest[key]), abs=2e-6)
    assert paid[:, own].sum(1) == pytest.approx(np.array(played.found.attacker[key]), abs=2e-6)
    if attack == "flipped":
        assert paid[0, own] < 0
    if attack.endswith("-update"):
        assert any(own[0] not in valid for valid in played.public.valid)
