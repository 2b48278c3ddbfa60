"""FedAvg in two layers, for large models: inside each organisation first, then across organisations.

The paper's section III names two-layer frameworks as a way to bear large models. Participants, weights and
payments are unchanged: an organisation weighs what its members weigh together, so but for the rounding of the
partial aggregates to float32 the result is FedAvg's. How clients divide the work: fl_client/layers.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chaincode.scoring import organisation
from fl_client.strategies.base import Arrays, check_weights


class Mean:
    """Σ w·x / Σ w of tensors that come one after the other, so that one is held at a time. The order counts."""

    def __init__(self, like: Arrays) -> None:
        self.weight = 0
        self._sums = [np.zeros(array.shape, np.float64) for array in like]

    def add(self, arrays: Arrays, weight: int) -> None:
        """The next in order; each operation is correctly rounded."""
        self.weight += weight
        for total, array in zip(self._sums, arrays, strict=True):
            total += np.float64(weight) * array.astype(np.float64)

    def value(self) -> list[np.ndarray]:
        """The mean in float32; nothing must have weight 0."""
        return [(total / np.float64(self.weight)).astype(np.float32) for total in self._sums]

    def onto(self, model: Arrays) -> list[np.ndarray]:
        """`model` + the mean, in float32; the model itself where nothing has weight."""
        if self.weight == 0:
            return [np.array(array, dtype=np.float32) for array in model]
        return [
            (array.astype(np.float64) + total / np.float64(self.weight)).astype(np.float32)
            for array, total in zip(model, self._sums, strict=True)
        ]


class TwoLayer:
    """global + Σ_org W_org·p_org / Σ_org W_org, where p_org = Σ_i w_i·update_i / W_org, rounded to float32.

    Elementwise in float64, members and organisations in sorted order.
    """

    def aggregate(
        self, global_weights: Arrays, updates: Mapping[str, Arrays], weights: Mapping[str, int]
    ) -> list[np.ndarray]:
        """See Strategy.aggregate; a member id without an organisation is an organisation of its own."""
        check_weights(updates, weights)
        across = Mean(global_weights)
        for name in sorted({organisation(member) for member in updates}):
            inside = Mean(global_weights)
            for member in sorted(updates):
                if weights[member] and organisation(member) == name:
                    inside.add(updates[member], weights[member])
            if inside.weight:
                across.add(inside.value(), inside.weight)
        return across.onto(global_weights)
