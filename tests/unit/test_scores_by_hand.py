"""All scores against slow, literal ones, over random joint distributions: the code that settles, and the command."""

from __future__ import annotations

import json
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_scores import SLOW, alike

from chaincode.mechanisms import MECHANISMS, Case
from chaincode.mtpp import RULES, View
from chaincode.mtpp.duplicates import ONE, likeness, overlap
from chaincode.mtpp.payment import best_gain, worst_loss
from fl_client.cli.score import Duplicates, Score, scored


class Drawn(NamedTuple):
    """A world: reports (n rows of Q symbols), and what the public model says."""

    alphabet: int
    reports: list[list[int]]
    z: list[int]
    z2: list[int]
    margin: list[int]


@st.composite
def drawn(draw: st.DrawFn, tasks_min: int = 1, tasks_max: int = 14, alphabet_max: int = 5) -> Drawn:
    """Each client sees a task's truth through a channel of its own; the truth is drawn by odd weights."""
    alphabet, tasks = draw(st.integers(2, alphabet_max)), draw(st.integers(tasks_min, tasks_max))
    clients, seed = draw(st.integers(2, 6)), draw(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    truth = rng.choice(
        alphabet, tasks, p=rng.dirichlet(np.full(alphabet, draw(st.sampled_from([0.2, 1, 9]))))
    )
    channels = rng.dirichlet(np.full(alphabet, draw(st.sampled_from([0.1, 0.5, 3]))), (clients, alphabet))
    reports = [[int(rng.choice(alphabet, p=channels[i, t])) for t in truth] for i in range(clients)]
    z, z2 = (rng.integers(0, alphabet, tasks).tolist() for _ in range(2))
    return Drawn(alphabet, reports, z, z2, rng.integers(0, 4, tasks).tolist())


def view(world: Drawn) -> View:
    return View(*(np.array(each) for each in world[2:]))


def slow(name: str, world: Drawn, i: int, j: int) -> int:
    others = [report for k, report in enumerate(world.reports) if k not in (i, j)]
    return SLOW[name](world.reports[i], world.reports[j], world.alphabet, others, *world[2:])


def asked(world: Drawn) -> dict[str, object]:
    """What `candor score` is asked about the first two."""
    x, y, *others = world.reports
    named = {"z": world.z, "z2": world.z2, "margin": world.margin}
    return {"x": x, "y": y, "alphabet": world.alphabet, "others": others, **named}


@pytest.mark.parametrize("name", [name for name in RULES if name != "determinant"])
@given(world=drawn())
@settings(max_examples=60)
def test_every_rule_is_what_its_definition_gives(name: str, world: Drawn) -> None:
    matrix = RULES[name].matrix(np.array(world.reports), world.alphabet, view(world))
    for i, j in permutations(range(len(world.reports)), 2):
        assert matrix[i, j] == slow(name, world, i, j)
    found = scored(name, json.dumps(asked(world)).encode())
    assert found == Score(slow(name, world, 0, 1), RULES[name].norm(len(world.z), world.alphabet))


@given(world=drawn(tasks_min=8, tasks_max=20, alphabet_max=4))
@settings(max_examples=60)
def test_the_determinant_is_what_elimination_gives(world: Drawn) -> None:
    matrix = RULES["determinant"].matrix(np.array(world.reports), world.alphabet)
    for i, j in permutations(range(len(world.reports)), 2):
        assert matrix[i, j] == slow("determinant", world, i, j)
    found = scored("determinant", json.dumps(asked(world)).encode())
    assert isinstance(found, Score)
    assert found.score == slow("determinant", world, 0, 1)


@pytest.mark.parametrize("name", sorted(RULES))
@given(world=drawn(tasks_min=8, tasks_max=10, alphabet_max=4), how=st.sampled_from(["median", "mean"]))
@settings(max_examples=25)
def test_a_settlement_pays_by_those_scores(name: str, world: Drawn, how: str) -> None:
    members = [f"m{i}" for i in range(len(world.reports))]
    norm, price = RULES[name].norm(len(world.z), world.alphabet), 1000
    dithers = {member: (7919 * i) % norm for i, member in enumerate(members)}
    reports = dict(zip(members, map(np.array, world.reports), strict=True))
    peers = {member: [other for other in members if other != member] for member in members}
    case = Case(reports, peers, world.alphabet, RULES[name], how, price, dithers, view(world))
    for i, (member, outcome) in enumerate(MECHANISMS["paper"].settle(case).items()):
        scores = sorted(slow(name, world, i, j) for j in range(len(members)) if j != i)
        expected = scores[(len(scores) - 1) // 2] if how == "median" else sum(scores) // len(scores)
        assert (outcome.score, outcome.norm) == (expected, norm)
        assert outcome.payment == (price * expected + dithers[member]) // norm
        worst, best = (
            each(RULES[name], len(world.z), world.alphabet, price) for each in (worst_loss, best_gain)
        )
        assert -worst <= outcome.payment <= best


@given(world=drawn(tasks_max=24))
@settings(max_examples=60)
def test_likeness_and_overlap_are_what_counting_gives(world: Drawn) -> None:
    rows, n = np.array(world.reports), len(world.reports)
    kappa, over = likeness(rows, world.alphabet), overlap(rows, world.alphabet)
    for i, j in combinations(range(n), 2):
        assert kappa[i, j] == kappa[j, i] == alike(world.reports, i, j, world.alphabet)
        assert over[i, j] == over[j, i] == alike(world.reports, i, j, world.alphabet, by_smaller=True)
    assert not kappa.diagonal().any()
    assert not over.diagonal().any()
    pair = scored("near-duplicates", json.dumps(asked(world)).encode())
    assert pair == Score(alike(world.reports, 0, 1, world.alphabet), ONE)
    every = scored(
        "near-duplicates", json.dumps({"reports": world.reports, "alphabet": world.alphabet}).encode()
    )
    assert isinstance(every, Duplicates)
    assert (every.likeness, every.overlap) == (kappa.tolist(), over.tolist())


@given(st.integers(2, 5), st.data())
@settings(max_examples=60)
def test_a_joint_distribution_is_scored_by_what_it_has_beyond_chance(
    alphabet: int, data: st.DataObject
) -> None:
    """score ÷ Q² = Σ_k (P_kk − p_k·q_k), whatever the joint distribution is and in whatever order it comes."""
    cells = data.draw(st.lists(st.integers(0, 9), min_size=alphabet**2, max_size=alphabet**2).filter(any))
    joint = np.array(cells).reshape(alphabet, alphabet)
    pairs = [(a, b) for a in range(alphabet) for b in range(alphabet) for _ in range(joint[a, b])]
    x, y = zip(*data.draw(st.permutations(pairs)), strict=True)
    expected = len(pairs) * int(np.trace(joint)) - int(joint.sum(1) @ joint.sum(0))
    assert RULES["dasgupta-ghosh"].pair(x, y, alphabet) == expected
    assert RULES["correlated-agreement"].pair(x, y, alphabet) == expected  # nobody else: S is the identity
