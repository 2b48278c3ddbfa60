"""The light check: integers only, the same on every machine, and what it stops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chaincode import lightcheck
from chaincode.lightcheck import inner, plausible, sketch, verdicts
from chaincode.records import Reason


def vector(seed: int, scale: float = 1.0, size: int = 200) -> np.ndarray:
    return (scale * np.random.default_rng(seed).standard_normal(size)).astype(np.float32)


def of(*vectors: np.ndarray) -> lightcheck.Sketch:
    return sketch(vectors)


@given(arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32, allow_nan=False)))
def test_the_sketch_is_the_exact_scaling_rounded_to_even(x):
    from fractions import Fraction

    expected = [
        max(-lightcheck.CLIP, min(lightcheck.CLIP, round(Fraction(float(v)) * 2**24)))
        if np.isfinite(v)
        else None
        for v in x
    ]
    for got, want in zip(sketch([x]).tolist(), expected, strict=True):
        if want is not None:
            assert got == want


@given(st.lists(st.tuples(*[st.integers(-lightcheck.CLIP, lightcheck.CLIP)] * 2), min_size=0, max_size=50))
def test_products_are_exact_sums_of_integers(pairs):
    a, b = (np.array([pair[i] for pair in pairs], np.int32) for i in (0, 1))
    assert inner(a, b) == sum(x * y for x, y in pairs)


@pytest.mark.parametrize("size", [0, 1, 2, 4])
def test_sketches_of_different_lengths_have_no_product(size):
    with pytest.raises(ValueError, match=f"sketches of {size} and 3 elements"):
        inner(np.ones(size, np.int32), np.ones(3, np.int32))


def test_a_large_tensor_of_extremes_does_not_overflow():
    a = np.full(3 * lightcheck.CHUNK + 1, -lightcheck.CLIP, np.int32)
    assert inner(a, a) == a.size * lightcheck.CLIP**2
    assert inner(a, -a) == -a.size * lightcheck.CLIP**2


def test_the_verdict_does_not_depend_on_how_tensors_are_laid_out():
    x = vector(1, size=24)
    parts = [x[:6].reshape(2, 3), np.asfortranarray(x[6:18].reshape(3, 4)), x[18:]]
    assert (sketch(parts) == sketch([x])).all()


@pytest.mark.parametrize(
    ("factor", "fits"), [(16, True), (17, False), (0.0625, True), (0.06, False), (100, False)]
)
def test_the_norm_must_be_within_a_sixteenth_and_sixteen_times_the_others_median(factor, fits):
    others = {name: of(np.ones(64, np.float32)) for name in "abc"}
    found = verdicts({**others, "x": of(np.full(64, factor, np.float32))}, {})
    assert found["x"] is (None if fits else Reason.NORM)
    assert [found[name] for name in "abc"] == [None] * 3


def test_the_median_is_the_others_so_that_a_huge_update_cannot_excuse_itself():
    found = verdicts({"a": of(vector(1)), "b": of(vector(2)), "x": of(vector(3, 100))}, {})
    assert found == {"a": None, "b": None, "x": Reason.NORM}


def test_a_tiny_update_cannot_excuse_itself_even_beside_a_single_other():
    found = verdicts({"tiny": of(vector(1)), "usual": of(vector(2, 100))}, {})
    assert found == {"tiny": Reason.NORM, "usual": Reason.NORM}


def test_a_zero_update_is_refused_even_among_zeros():
    zero = of(np.zeros(8, np.float32))
    assert verdicts({"a": zero, "b": zero}, {}) == {"a": Reason.NORM, "b": Reason.NORM}
    assert not plausible(0, [])


def test_alone_any_update_but_zero_passes():
    assert verdicts({"a": of(vector(1, 50))}, {}) == {"a": None}


def test_replaying_ones_own_update_or_sending_noise_is_refused_and_a_related_one_passes():
    before, noise = vector(1), vector(2)
    updates = {
        "replay": of(before),
        "scaled": of(before * np.float32(1.5)),
        "noise": of(noise),
        "opposite": of(-before),
        "against": of(noise - before),
        "honest": of(before + noise),
        "new": of(noise),
    }
    previous = {name: of(before) for name in updates if name != "new"}
    found = verdicts(updates, previous)
    assert found == {
        "replay": Reason.COSINE,
        "scaled": Reason.COSINE,
        "noise": Reason.COSINE,
        "opposite": Reason.COSINE,
        "against": Reason.COSINE,
        "honest": None,
        "new": None,
    }


@pytest.mark.parametrize(("cosine", "fits"), [(0.39, False), (0.41, True), (0.99, True), (0.996, False)])
def test_the_bounds_of_the_cosine(cosine, fits):
    before = np.array([1, 0], np.float32)
    update = np.array([cosine, (1 - cosine**2) ** 0.5], np.float32)
    assert verdicts({"a": of(update)}, {"a": of(before)})["a"] is (None if fits else Reason.COSINE)


@pytest.mark.parametrize("update", [(2, 4, 2, 1, 0), (199, 19, 6, 1, 1)])
def test_a_cosine_of_exactly_two_fifths_or_199_of_200_is_outside(update):
    before = of(np.array([1, 0, 0, 0, 0], np.float32))
    assert verdicts({"a": of(np.array(update, np.float32) / 256)}, {"a": before})["a"] is Reason.COSINE


def test_a_zero_or_differently_shaped_previous_update_is_not_compared():
    update = of(vector(1))
    assert verdicts({"a": update}, {"a": of(np.zeros(200, np.float32))}) == {"a": None}
    assert verdicts({"a": update}, {"a": of(vector(1, size=10))}) == {"a": None}
