"""Aggregation strategies by name; one's own by import path ``module:Class``."""

from __future__ import annotations

from typing import cast

from fl_client.named import resolve
from fl_client.strategies.base import Strategy
from fl_client.strategies.fedavg import FedAvg
from fl_client.strategies.two_layer import TwoLayer

__all__ = ["STRATEGIES", "Strategy", "strategy"]

STRATEGIES: dict[str, type] = {"fedavg": FedAvg, "two-layer": TwoLayer}


def strategy(name: str) -> Strategy:
    """The strategy called ``name``; BadInput if there is none."""
    return cast(Strategy, resolve(name, STRATEGIES, "strategy")())
