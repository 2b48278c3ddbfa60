"""Payments: linear, bounded, exact in expectation."""

from collections import Counter
from statistics import median_low

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaincode.mtpp import RULES
from chaincode.mtpp.payment import best_gain, combine, dithers, payment, worst_loss

SCORES = st.integers(-(1 << 32), 1 << 32)


@given(st.lists(SCORES, min_size=1, max_size=9))
def test_the_median_is_the_lower_one_and_the_mean_rounds_down(scores: list[int]) -> None:
    assert combine(scores, "median") == median_low(scores)
    mean = combine(scores, "mean")
    assert mean * len(scores) <= sum(scores) < (mean + 1) * len(scores)


def test_combining_nothing_or_by_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="no pair scores"):
        combine([], "median")
    with pytest.raises(ValueError, match="combine"):
        combine([1], "best")  # type: ignore[arg-type]


def test_payments_round_toward_minus_infinity() -> None:
    assert [payment(-1, 4, 1, u) for u in range(4)] == [-1, 0, 0, 0]
    assert [payment(5, 4, 1, u) for u in range(4)] == [1, 1, 1, 2]
    assert payment(7, 0, 5, 0) == 0


@given(st.integers(-200, 200), st.integers(1, 60), st.integers(0, 1000))
def test_the_mean_payment_over_all_dithers_is_exact(score: int, norm: int, price: int) -> None:
    assert sum(payment(score, norm, price, u) for u in range(norm)) == price * score


@pytest.mark.parametrize(("norm", "dither"), [(4, 4), (4, -1), (-1, 0)])
def test_a_dither_outside_the_norm_is_refused(norm: int, dither: int) -> None:
    with pytest.raises(ValueError, match="dither"):
        payment(1, norm, 1, dither)


@given(
    st.sampled_from(sorted(RULES)),
    st.integers(8, 2000),
    st.integers(2, 4),
    st.integers(0, 1 << 62),
    st.data(),
)
def test_no_payment_passes_the_bounds_a_job_was_checked_against(
    name: str, tasks: int, alphabet: int, price: int, data: st.DataObject
) -> None:
    rule = RULES[name]
    norm, (low, high) = rule.norm(tasks, alphabet), rule.bounds(tasks, alphabet)
    score, dither = data.draw(st.integers(low, high)), data.draw(st.integers(0, norm - 1))
    loss, gain = worst_loss(rule, tasks, alphabet, price), best_gain(rule, tasks, alphabet, price)
    assert -loss <= payment(score, norm, price, dither) <= gain
    assert payment(low, norm, price, 0) == -loss
    assert payment(high, norm, price, norm - 1) == gain


def test_dithers_are_uniform_repeatable_and_one_a_participant() -> None:
    drawn = dithers(b"s" * 32, [str(i) for i in range(6000)], 6)
    assert drawn == dithers(b"s" * 32, [str(i) for i in range(6000)], 6)
    assert all(abs(count - 1000) < 150 for count in Counter(drawn).values())
    assert set(drawn) == set(range(6))
    assert dithers(b"s" * 32, ["a", "b"], 0) == [0, 0]
