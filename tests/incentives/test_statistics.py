"""From played worlds to reported numbers; the measures' mathematics."""

from itertools import combinations

import numpy as np
import pytest
from msgspec.structs import replace

from fl_client.incentives.evaluate import Attack, Honest, Scheme
from fl_client.incentives.measures.shapley import Game, sampled_shapley, shapley
from fl_client.incentives.statistics import JOB, fairness, rank_correlation, rows
from fl_client.incentives.world import Setting

SCHEME = Scheme("paper", "dasgupta-ghosh")
KEY = str(SCHEME)
SETTING = Setting(rounds=2, clients=3)


def honest(*pay: list[float]) -> Honest:
    return Honest({KEY: list(pay)}, {KEY: False})


def test_a_row_a_round_and_one_for_the_job() -> None:
    world = honest([1.0, 2.0, 3.0], [1.0, 1.0, 1.0])
    attack = Attack(0, [0], {KEY: [0.5, 1.0]}, {KEY: [[2.0, 0.4], [1.0, 1.0]]})
    one, two, job = rows(SCHEME, "random", [(SETTING, world, attack)])
    assert (one.round, two.round, job.round) == (1, 2, JOB)
    assert (one.p_cross, one.p_paired, one.pay_ratio, one.honest_pay) == (0.5, 1.0, 0.5, 1.0)
    assert (two.p_cross, two.p_paired, two.pay_ratio) == (0.0, 0.0, 1.0)  # equal pay is not more
    assert (job.p_cross, job.pay_ratio, job.honest_pay) == (0.5, 0.75, 2.0)
    assert (job.repetitions, job.clients, job.split) == (1, 3, "iid")


def test_a_coalition_is_held_against_one_honest_pay() -> None:
    world = honest([1.0, 3.0, 2.0], [1.0, 1.0, 1.0])
    attack = Attack(0, [0, 1], {KEY: [4.0, 2.0]}, {KEY: [[2.0], [1.0]]})
    job = rows(SCHEME, "exact-copies", [(SETTING, world, attack)])[-1]
    assert (job.honest_pay, job.pay_ratio) == (3.0, 2.0)


def test_fairness_of_two_worlds() -> None:
    worlds = [
        (SETTING, honest([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]), None),
        (SETTING, replace(honest([-1.0, 2.0, 5.0], [-1.0, 2.0, 5.0]), refused=0.25), None),
    ]
    found = fairness(SCHEME, worlds)
    assert found.honest_pay == 4.0
    assert found.worst_share == pytest.approx((0.5 - 0.5) / 2)
    assert found.below_zero == pytest.approx(1 / 6, abs=1e-4)
    assert found.refused == 0.125
    assert found.with_shapley is None


def test_rank_correlation() -> None:
    assert rank_correlation([1, 2, 3], [10, 20, 400]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 2, 3], [1, 2, 2, 3]) == pytest.approx(1)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None


def glove(coalition: frozenset[int]) -> float:
    """0 and 1 own a left glove, 2 a right one; a pair is worth 1. Shapley: 1/6, 1/6, 2/3."""
    return float(2 in coalition and len(coalition) > 1)


def test_shapley_of_the_glove_game_and_of_a_game_with_a_base_value() -> None:
    assert shapley(Game(3, glove)) == pytest.approx([1 / 6, 1 / 6, 2 / 3])
    values = shapley(Game(3, lambda coalition: 10 + glove(coalition)))
    assert values == pytest.approx([1 / 6, 1 / 6, 2 / 3])


def test_a_game_trains_each_coalition_once_and_counts_them() -> None:
    asked: list[frozenset[int]] = []
    game = Game(4, lambda coalition: asked.append(coalition) or float(len(coalition)))
    assert shapley(game) == pytest.approx([1.0] * 4)
    every = [frozenset(c) for size in range(5) for c in combinations(range(4), size)]
    assert sorted(asked, key=sorted) == sorted(every, key=sorted)
    assert game.federations == 15


def test_monte_carlo_comes_near_and_shares_out_the_whole_value() -> None:
    values = sampled_shapley(Game(3, glove), 2000, np.random.default_rng(0))
    assert sum(values) == pytest.approx(1.0)
    assert values == pytest.approx([1 / 6, 1 / 6, 2 / 3], abs=0.04)
