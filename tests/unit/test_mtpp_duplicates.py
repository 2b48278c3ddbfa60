"""Near-duplicates are found, honest clients are not mistaken for them."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaincode.mtpp.duplicates import ALIKE, APART, ONE, groups, likeness, overlap, overlapping


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


@pytest.mark.parametrize("at_once", [1, 900, 1 << 21])
def test_however_many_pairs_are_compared_at_once_they_are_alike_as_before(monkeypatch, at_once) -> None:
    reports = world(5)
    expected = overlap(reports, 5)
    monkeypatch.setattr("chaincode.mtpp.duplicates.COUNTS_AT_ONCE", at_once)
    assert np.array_equal(overlap(reports, 5), expected)


@pytest.mark.parametrize("reports", [np.full((3, 4), 3), np.full((3, 4), -1), np.zeros((1025, 1), int)])
def test_reports_out_of_range_are_refused(reports: np.ndarray) -> None:
    with pytest.raises(ValueError, match="^reports"):
        likeness(reports, 3)


def even(clients: int, spread: int = 0) -> np.ndarray:
    """Overlaps of clients who are all alike to the same degree, .3; `spread` in thousandths, up and down in turn."""
    kappa = np.full((clients, clients), 300)
    for place, (i, j) in enumerate(combinations(range(clients), 2)):
        kappa[i, j] = kappa[j, i] = 300 + (spread if place % 2 else -spread)
    return kappa * ONE // 1000


@pytest.mark.parametrize(
    ("inside", "spread", "found"),
    [(300, 0, False), (390, 0, False), (420, 0, True), (420, 30, False), (460, 30, True), (460, 40, False),
     (540, 40, False), (560, 40, True)],
)  # fmt: skip
def test_a_smaller_gap_counts_where_the_others_are_evenly_alike(inside, spread, found) -> None:
    kappa = even(7, spread)
    kappa[2, 5] = kappa[5, 2] = inside * ONE // 1000
    assert overlapping(kappa) == ([(2, 5)] if found else [])


def test_what_the_set_itself_reports_does_not_make_the_others_less_even() -> None:
    kappa = even(7)
    kappa[2, 5] = kappa[5, 2] = 420 * ONE // 1000
    kappa[2, :5] = kappa[:5, 2] = 0
    assert overlapping(kappa) == [(2, 5)]


def test_with_fewer_than_six_other_pairs_the_larger_gap_is_asked_for() -> None:
    kappa = even(5)
    kappa[0, 1] = kappa[1, 0] = 500 * ONE // 1000
    assert overlapping(kappa) == []
    kappa[0, 1] = kappa[1, 0] = 600 * ONE // 1000
    assert overlapping(kappa) == [(0, 1)]


def held_together(kappa: np.ndarray, members: tuple[int, ...]) -> int:
    """The greatest overlap at which each of them is linked to each other one, by itself or through others of them."""
    for level in sorted({int(kappa[pair]) for pair in combinations(members, 2)}, reverse=True):
        reached, more = {members[0]}, True
        while more:
            more = {j for i in reached for j in members if kappa[i, j] >= level and j not in reached}
            reached |= more
        if len(reached) == len(members):
            return level
    raise AssertionError("unreachable: at the least overlap all are linked")


@given(st.integers(0, 1 << 32), st.integers(4, 8))
def test_overlapping_sets_are_those_that_trying_every_set_finds(seed: int, clients: int) -> None:
    rng = np.random.default_rng(seed)
    kappa = rng.choice([250, 300, 310, 320, 460, 600, 900], (clients, clients))
    kappa = np.triu(kappa, 1) * ONE // 1000
    kappa = kappa + kappa.T
    expected = []
    for size in range((clients - 1) // 2, 1, -1):
        for members in combinations(range(clients), size):
            rest = [i for i in range(clients) if i not in members]
            inside = held_together(kappa, members)
            gap = inside - max(kappa[i, j] for i in members for j in rest)
            others = np.array([kappa[pair] for pair in combinations(rest, 2)])
            large = inside > 0.55 * ONE and gap > 0.2 * ONE
            close = len(others) >= 6 and others.std() <= 0.035 * ONE
            small = close and inside > 0.4 * ONE and gap > 0.1 * ONE and inside - others.max() > 0.05 * ONE
            if (large or small) and not {i for group in expected for i in group} & set(members):
                expected.append(members)
    assert overlapping(kappa) == expected


def test_copiers_with_noise_of_their_own_are_found_by_what_links_them_to_their_source() -> None:
    """No two of the three stand out from the third; the copiers are less alike than would count."""
    reports = world(1, clients=9)
    rng = np.random.default_rng(2)
    for copier in (4, 7):
        reports[copier] = np.where(rng.random(800) < 0.3, rng.integers(0, 5, 800), reports[2])
    overlaps = overlap(reports, 5)
    assert overlaps[4, 7] < 0.4 * ONE < overlaps[2, [4, 7]].min()
    assert groups(overlaps, ONE * 2 // 5, ONE // 10) == []
    assert overlapping(overlaps) == [(2, 4, 7)]


def test_second_choices_escape_the_larger_gap_and_not_the_smaller() -> None:
    """A copier that draws a label anew on every other task where honest clients differ most."""
    reports = world(4, clients=7, tasks=1000)
    rng = np.random.default_rng(9)
    unsure = (reports[2] != reports[:2]).any(0)
    reports[5] = np.where(unsure & (rng.random(1000) < 0.6), rng.integers(0, 5, 1000), reports[2])
    overlaps = overlap(reports, 5)
    assert groups(overlaps, ONE * 11 // 20, ONE // 5) == []
    assert overlapping(overlaps) == [(2, 5)]


@pytest.mark.parametrize(
    ("inside", "outside", "flagged"),
    [
        (ALIKE, 0, False),
        (ALIKE + 1, 0, True),
        (ALIKE + 1, ALIKE - APART + 1, False),
        (ALIKE + 1, ALIKE - APART, True),
    ],
)
def test_a_likeness_at_a_threshold_is_not_beyond_it(inside: int, outside: int, flagged: bool) -> None:
    kappa = np.zeros((5, 5), np.int64)
    kappa[0, 1] = kappa[1, 0] = inside
    kappa[1, 2] = kappa[2, 1] = outside
    assert groups(kappa) == ([(0, 1)] if flagged else [])
