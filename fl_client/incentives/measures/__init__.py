"""Measures of contribution from the literature, to hold beside what the mechanisms pay.

Each gives a number a client; what they cost is counted in whole federations trained.
"""

from __future__ import annotations

from fl_client.incentives.measures.base import Measured, Measurement
from fl_client.incentives.measures.reports import majority_vote, reputation
from fl_client.incentives.measures.shapley import (
    Game,
    exact_shapley,
    leave_one_out,
    monte_carlo_shapley,
)
from fl_client.incentives.measures.simple import data_volume, local_accuracy

MEASURES: dict[str, Measurement] = {
    "data-volume": data_volume,
    "local-accuracy": local_accuracy,
    "majority-vote": majority_vote,
    "reputation": reputation,
    "leave-one-out": leave_one_out,
    "shapley-monte-carlo": monte_carlo_shapley,
    "shapley": exact_shapley,
}

__all__ = ["MEASURES", "Game", "Measured", "Measurement"]
