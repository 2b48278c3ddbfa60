"""What a model's output becomes as a public view: integers, the same rounding everywhere, whatever the floats are."""

from __future__ import annotations

import numpy as np
import pytest

from chaincode import view as packed
from chaincode.mechanisms.per_round import agreed, apart, combine, outliers
from chaincode.mtpp import View
from fl_client.training.views import SCALE, view_of


def listed(view: View) -> list[list[int]]:
    return [list(map(int, field)) for field in (view.z, view.z2, view.margin) if field is not None]


def test_labels_and_margins_are_those_of_the_two_greatest_scores():
    scores = np.array([[0.25, 0.5, 0.125, 0.125], [0, 0, 0, 1], [0.25, 0.25, 0.25, 0.25]], np.float32)
    assert listed(view_of(scores)) == [[1, 3, 0], [0, 0, 1], [SCALE // 4, SCALE, 0]]


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e38])
def test_any_floats_at_all_make_a_sound_view(odd: float):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(200, 3)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.5] = odd
    view = view_of(scores)
    again = packed.unpack(packed.pack(view, 3), 200, 3)
    assert listed(again) == listed(view)


def test_machines_that_differ_in_the_last_bits_differ_on_few_items():
    rng = np.random.default_rng(1)
    scores = rng.dirichlet(np.ones(10), 5000).astype(np.float32)
    near = scores * (1 + rng.normal(0, 1e-6, scores.shape).astype(np.float32))
    one, other = view_of(scores), view_of(near)
    assert one.z is not None
    assert other.z is not None
    assert not apart(one, other)
    assert (one.z != other.z).mean() < 0.001
    assert np.abs(one.field("margin", 5000) - other.field("margin", 5000)).max() <= 2


def test_first_and_second_label_agreed_on_always_differ():
    """Pluralities taken one by one would be 0 and, by the tie, 0."""
    views = [View(*(np.array([each]) for each in item)) for item in ((0, 1, 5), (0, 2, 6), (1, 0, 7))]
    assert listed(agreed(views)) == [[0], [1], [6]]
    rng = np.random.default_rng(2)
    z = rng.integers(0, 3, (4, 300))
    many = [View(row, (row + rng.integers(1, 3, 300)) % 3, row) for row in z]
    data, _ = combine(dict(zip("abcd", many, strict=True)), 3)
    packed.unpack(data, 300, 3)


def test_the_views_order_and_names_make_no_difference_to_the_agreed_one():
    rng = np.random.default_rng(3)
    z = rng.integers(0, 5, (5, 100))
    views = [View(row, (row + 1) % 5, rng.integers(0, 9, 100)) for row in z]
    one, _ = combine(dict(zip("abcde", views, strict=True)), 5)
    other, _ = combine(dict(zip("edcba", views, strict=True)), 5)
    assert one == other
    assert combine({}, 5) == (b"", [])


def test_a_view_whose_second_labels_are_made_up_is_an_outlier():
    z = np.arange(100) % 4
    honest, liar = View(z, (z + 1) % 4, z), View(z, (z + 2) % 4, z)
    views = [honest, liar, honest]
    assert outliers(views, agreed(views)) == [1]
