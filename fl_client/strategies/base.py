"""What an aggregation strategy is: one pure, deterministic function of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

Arrays = Sequence[np.ndarray]


class Strategy(Protocol):
    """Turns the members' updates into the next global model.

    Committee members vote on the CID of what this returns, so equal inputs must give equal bytes on every
    machine: float64, members in sorted order, elementwise operations only (no matrix product, no BLAS, no
    pairwise sum over members), float32 at the very end.
    """

    def aggregate(
        self, global_weights: Arrays, updates: Mapping[str, Arrays], weights: Mapping[str, int]
    ) -> list[np.ndarray]:
        """The next global model, float32, in the shapes of ``global_weights``.

        ``updates``: member → its change to the global model, in the same shapes. ``weights``: member → a
        non-negative integer, for exactly the same members. Without updates, or if all weights are 0, the
        model stays as it is. ValueError: members or weights that do not fit.
        """
        ...


def check_weights(updates: Mapping[str, Arrays], weights: Mapping[str, int]) -> None:
    """ValueError unless each updating member, and nobody else, has a non-negative integer below 2^63."""
    if set(updates) != set(weights):
        raise ValueError(f"updates and weights differ in members: {sorted(set(updates) ^ set(weights))}")
    for member in sorted(weights):
        weight = weights[member]
        if isinstance(weight, bool) or not isinstance(weight, int) or not 0 <= weight < 2**63:
            raise ValueError(f"weight of {member} is {weight!r}, not an integer in [0, 2^63)")
