"""Measures that need no other client: how much data, how good a model it makes.

The first is self-declared in practice; the second needs labelled data that somebody trusts.
"""

from __future__ import annotations

from fl_client.incentives.measures.base import Measured, Reports
from fl_client.incentives.world import World


def data_volume(world: World, reports: Reports) -> Measured:
    """The number of a client's items, as FedAvg weighs updates (McMahan et al. 2017)."""
    return Measured([float(len(x)) for x, _ in world.data])


def local_accuracy(world: World, reports: Reports) -> Measured:
    """The accuracy of each client's own model on held-out items with true labels."""
    return Measured(world.local_accuracy())
