"""FedAvg (McMahan et al. 2017, algorithm 1): the weighted mean of the members' updates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fl_client.strategies.base import Arrays, check_weights


class FedAvg:
    """global + Σ w_i·update_i / Σ w_i, elementwise in float64, members in sorted order."""

    def aggregate(
        self, global_weights: Arrays, updates: Mapping[str, Arrays], weights: Mapping[str, int]
    ) -> list[np.ndarray]:
        """See Strategy.aggregate."""
        check_weights(updates, weights)
        members, total = sorted(updates), sum(weights.values())
        if total == 0:
            return [np.array(array, dtype=np.float32) for array in global_weights]
        return [
            _step(array, [(weights[member], updates[member][index]) for member in members], total)
            for index, array in enumerate(global_weights)
        ]


def _step(array: np.ndarray, updates: list[tuple[int, np.ndarray]], total: int) -> np.ndarray:
    """One tensor's next value; each operation is correctly rounded, in a fixed order."""
    change = np.zeros(array.shape, dtype=np.float64)
    for weight, update in updates:
        change += np.float64(weight) * update.astype(np.float64)
    return (array.astype(np.float64) + change / np.float64(total)).astype(np.float32)
