"""Near-duplicates are found, honest clients are not mistaken for them."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaincode.mtpp.duplicates import ALIKE, APART, ONE, groups, likeness


def world(seed: int, clients: int = 8, tasks: int = 800, alphabet: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, alphabet, tasks)
    noise = rng.integers(0, alphabet, (clients, tasks))
    return np.where(rng.random((clients, tasks)) < 0.8, truth, noise)


def test_the_four_reports_worked_out_by_hand() -> None:
    texts = ("0110220102", "0110220112", "0120210112", "0120210110")
    kappa = likeness(np.array([[int(digit) for digit in text] for text in texts]), 3)
    assert (kappa[0, 1], kappa[1, 2]) == (879257, 560866)
    assert np.array_equal(kappa, kappa.T)


def test_honest_clients_of_one_world_are_not_flagged() -> None:
    for seed in range(10):
        kappa = likeness(world(seed), 5)
        assert kappa.max() < ALIKE
        assert groups(kappa) == []


def test_copies_are_flagged_as_one_group_and_nobody_else() -> None:
    reports = world(1, clients=9)
    rng = np.random.default_rng(2)
    for copier in (4, 7):
        reports[copier] = np.where(rng.random(800) < 0.05, rng.integers(0, 5, 800), reports[2])
    assert groups(likeness(reports, 5)) == [(2, 4, 7)]


def test_half_of_the_clients_or_more_are_never_flagged() -> None:
    reports = world(1, clients=6)
    reports[1] = reports[2] = reports[0]
    assert groups(likeness(reports, 5)) == []


def test_two_clients_who_never_agree_beyond_chance_are_not_alike() -> None:
    rng = np.random.default_rng(3)
    reports = rng.integers(0, 4, (5, 400))
    reports[1] = 2
    kappa = likeness(reports, 4)
    assert not kappa[1].any()


KAPPAS = st.sampled_from([0, 100_000, 150_000, 420_000, 700_000, ONE])


@given(st.integers(2, 7).flatmap(lambda n: st.lists(KAPPAS, min_size=n * n, max_size=n * n)))
def test_groups_are_those_that_trying_every_set_finds(values: list[int]) -> None:
    clients = int(len(values) ** 0.5)
    half = np.triu(np.array(values[: clients * clients]).reshape(clients, clients), 1)
    kappa = half + half.T
    expected: list[tuple[int, ...]] = []
    for size in range((clients - 1) // 2, 1, -1):
        for group in combinations(range(clients), size):
            inside = min(kappa[i, j] for i, j in combinations(group, 2))
            outside = max(kappa[i, j] for i in group for j in range(clients) if j not in group)
            free = not any(set(group) & set(other) for other in expected)
            if free and inside > ALIKE and inside - outside > APART:
                expected.append(group)
    assert groups(kappa) == expected


@pytest.mark.parametrize("reports", [np.full((3, 4), 3), np.full((3, 4), -1), np.zeros((1025, 1), int)])
def test_reports_out_of_range_are_refused(reports: np.ndarray) -> None:
    with pytest.raises(ValueError, match="^reports"):
        likeness(reports, 3)
