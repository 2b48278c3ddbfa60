"""Aggregation: the mean it claims to be, the same bytes in any order, and nobody can stop it."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_client.aggregator import aggregate, verdicts
from fl_client.errors import BadInput
from fl_client.strategies import STRATEGIES, strategy
from fl_client.training.parameters import to_bytes

SHAPES = [(3, 2), (2,), ()]
LARGEST = float(np.finfo(np.float32).max)


def arrays(seed: int, scale: float = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(scale * rng.standard_normal(shape)).astype(np.float32) for shape in SHAPES]


def constant(value: float) -> bytes:
    return to_bytes([np.full(shape, value, dtype=np.float32) for shape in SHAPES])


@st.composite
def rounds(draw):
    members = draw(st.lists(st.text(min_size=1), min_size=1, max_size=7, unique=True))
    updates = {m: arrays(draw(st.integers(0, 2**32)), draw(st.sampled_from([1e-6, 1, 1e6]))) for m in members}
    weights = {m: draw(st.integers(0, 1000)) for m in members}
    return updates, weights, draw(st.permutations(members))


@given(rounds())
def test_fedavg_is_the_weighted_mean_in_float64(case):
    updates, weights, _ = case
    model, total = arrays(0), sum(weights.values())
    result = strategy("fedavg").aggregate(model, updates, weights)
    for index, array in enumerate(result):
        mean = sum(weights[m] * np.float64(updates[m][index]) for m in updates) / (total or 1)
        assert array.dtype == np.float32
        assert array.shape == SHAPES[index]
        size = 1 + max(np.abs(updates[m][index]).max() for m in updates)
        np.testing.assert_allclose(array, model[index] + mean, rtol=1e-6, atol=1e-12 * size)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@given(case=rounds())
def test_the_order_of_the_members_does_not_change_a_byte(name, case):
    updates, weights, order = case
    model = to_bytes(arrays(0))
    one = {m: to_bytes(updates[m]) for m in sorted(updates)}
    other = {m: one[m] for m in order}
    assert aggregate(model, one, name, weights) == aggregate(
        model, other, name, {m: weights[m] for m in order}
    )


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_a_strategy_adds_up_in_the_members_order_not_the_mappings(name):
    """In float64 1e30 − 1e30 + 1 is 1 and 1 + 1e30 − 1e30 is 0: a sum in the mapping's order would show."""
    values = {"a": 1e30, "b": -1e30, "c": 1.0}
    results = set()
    for order in itertools.permutations(values):
        updates = {m: [np.full(s, values[m], dtype=np.float32) for s in SHAPES] for m in order}
        results.add(to_bytes(strategy(name).aggregate(arrays(0), updates, dict.fromkeys(order, 1))))
    assert len(results) == 1


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_inputs_are_left_alone(name):
    model, updates = arrays(0), {"a": arrays(1), "b": arrays(2)}
    strategy(name).aggregate(model, updates, {"a": 1, "b": 2})
    assert to_bytes(model) == to_bytes(arrays(0))
    assert to_bytes(updates["b"]) == to_bytes(arrays(2))


def test_equal_weights_are_the_default():
    updates = {"a": constant(1), "b": constant(3)}
    assert aggregate(constant(10), updates) == constant(12)
    assert aggregate(constant(10), updates, weights={"a": 3, "b": 1}) == constant(11.5)


@pytest.mark.parametrize("updates", [{}, {"a": constant(1)}])
def test_without_weight_the_model_stays(updates):
    assert aggregate(constant(10), updates, weights=dict.fromkeys(updates, 0)) == constant(10)


@pytest.mark.parametrize(
    "weights",
    [{"a": 1}, {"a": 1, "b": 1, "c": 1}, {"a": 1, "b": -1}, {"a": 1, "b": 0.5}, {"a": 1, "b": True}],
)
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ValueError, match="weight"):
        aggregate(constant(0), {"a": constant(1), "b": constant(2)}, weights=weights)


BAD = {
    "malformed": b"not safetensors",
    "NaN": b"".join([constant(1)[:-4], np.float32(np.nan).tobytes()]),
    "wrong shape": to_bytes(
        [np.zeros((2, 3), np.float32), np.zeros(2, np.float32), np.zeros((), np.float32)]
    ),
    "missing tensor": to_bytes([np.zeros(s, np.float32) for s in SHAPES[:2]]),
    "oversized": to_bytes([np.zeros(s, np.float32) for s in [(300,), *SHAPES]]),
    "overflow": constant(LARGEST),
}


@pytest.mark.parametrize("reason", sorted(BAD))
def test_a_bad_update_is_named_with_its_reason(reason):
    found = verdicts(constant(LARGEST / 2), {"b": BAD[reason], "a": constant(1)})
    assert found["a"] is None
    assert list(found) == ["a", "b"]
    assert str(found["b"]).startswith(reason)
    with pytest.raises(ValueError, match=f"update of b: {reason}"):
        aggregate(constant(LARGEST / 2), {"a": constant(1), "b": BAD[reason]})


@given(st.lists(st.sampled_from([LARGEST, -LARGEST, LARGEST / 2, 1.0]), min_size=1, max_size=6))
def test_valid_updates_never_overflow_the_aggregate(values):
    updates = {str(index): constant(value) for index, value in enumerate(values)}
    assert set(verdicts(constant(0), updates).values()) == {None}
    aggregate(constant(0), updates, weights={m: 3**i for i, m in enumerate(sorted(updates))})


def test_a_strategy_of_ones_own_is_found_by_import_path():
    assert strategy("fl_client.strategies.fedavg:FedAvg").aggregate(arrays(0), {}, {})
    for name in ("fedsgd", "nowhere:Thing", "fl_client.strategies:Nothing"):
        with pytest.raises(BadInput):
            strategy(name)


def test_aggregation_imports_no_framework():
    code = "import sys, fl_client.aggregator; print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
