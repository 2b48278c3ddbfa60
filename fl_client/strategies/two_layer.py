"""FedAvg in two layers, for large models: inside each organisation first, then across organisations.

The paper's section III names it: an organisation's members send their updates no further than the organisation,
and one combined update a organisation crosses the network. Participants, weights and payments are unchanged:
an organisation weighs what its members weigh together, so in exact arithmetic the result is FedAvg's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chaincode.scoring import organisation
from fl_client.strategies.base import Arrays, check_weights


class TwoLayer:
    """global + Σ_org W_org·(Σ_i w_i·update_i / W_org) / Σ_org W_org, elementwise in float64, in sorted order."""

    def aggregate(
        self, global_weights: Arrays, updates: Mapping[str, Arrays], weights: Mapping[str, int]
    ) -> list[np.ndarray]:
        """See Strategy.aggregate; a member id without an organisation is an organisation of its own."""
        check_weights(updates, weights)
        counted = [member for member in sorted(updates) if weights[member]]
        inside = {
            name: [member for member in counted if organisation(member) == name]
            for name in sorted({organisation(member) for member in counted})
        }
        if not inside:
            return [np.array(array, dtype=np.float32) for array in global_weights]
        total = {name: sum(weights[member] for member in members) for name, members in inside.items()}
        result = []
        for index, array in enumerate(global_weights):
            combined = {
                name: _mean([(weights[m], updates[m][index]) for m in members], total[name])
                for name, members in inside.items()
            }
            change = _mean([(total[name], combined[name]) for name in inside], sum(total.values()))
            result.append((array.astype(np.float64) + change).astype(np.float32))
        return result


def _mean(parts: list[tuple[int, np.ndarray]], total: int) -> np.ndarray:
    """Σ w·x / total in float64; each operation is correctly rounded, in a fixed order."""
    change = np.zeros(parts[0][1].shape, dtype=np.float64)
    for weight, part in parts:
        change += np.float64(weight) * part.astype(np.float64)
    return np.asarray(change / np.float64(total))
