"""Two layers: an organisation first, then across; the same model as in one layer, weights carried."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fl_client.aggregator import aggregate
from fl_client.strategies import strategy
from fl_client.training.parameters import from_bytes, to_bytes


def arrays(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for shape in ((3, 2), (4,), ())]


MEMBERS = [f"Org{1 + i % 3}MSP:{i:064x}" for i in range(7)]


@given(st.lists(st.integers(0, 9), min_size=7, max_size=7))
def test_it_is_fedavg_up_to_rounding(shares):
    updates = {member: arrays(i + 1) for i, member in enumerate(MEMBERS)}
    weights = dict(zip(MEMBERS, shares, strict=True))
    one, two = (strategy(name).aggregate(arrays(0), updates, weights) for name in ("fedavg", "two-layer"))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_it_is_exactly_fedavg_where_the_arithmetic_is_exact():
    updates = {member: [np.full(2, 3.0 * i, np.float32)] for i, member in enumerate(MEMBERS[:4])}
    weights = dict(zip(MEMBERS, (2, 2, 4, 6), strict=False))
    one, two = (
        strategy(name).aggregate([np.zeros(2, np.float32)], updates, weights)
        for name in ("fedavg", "two-layer")
    )
    assert (one[0] == two[0]).all()


def test_organisations_with_more_members_weigh_more():
    updates = {"A:1": 8.0, "A:2": 8.0, "A:3": 8.0, "B:1": 0.0}
    data = {member: to_bytes([np.full(1, value, np.float32)]) for member, value in updates.items()}
    result = aggregate(to_bytes([np.zeros(1, np.float32)]), data, "two-layer")
    assert from_bytes(result)[0].tolist() == [6.0]
