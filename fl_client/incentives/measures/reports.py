"""Measures that read the reports: agreement with the majority, and a reputation built on it.

Output agreement in other words: whoever can guess the majority, by copying the global model say, is trusted.
"""

from __future__ import annotations

import numpy as np

from fl_client.incentives.measures.base import Measured, Reports
from fl_client.incentives.world import World

MEMORY = 0.5  # the share of the old reputation that stays


def majority_vote(world: World, reports: Reports) -> Measured:
    """The share of tasks, over all rounds, on which a client says what most say (ties: the smallest label)."""
    shares = [_agreement(_stacked(each), np.ones(len(each)), world.alphabet) for each in reports]
    return Measured(np.mean(shares, axis=0).tolist())


def reputation(world: World, reports: Reports) -> Measured:
    """After every round half the old reputation and half the agreement with the vote weighted by reputation.

    As in reputation-based client selection (Kang et al. 2019), on reports instead of updates.
    """
    trust = np.ones(len(reports[0]))
    for each in reports:
        trust = MEMORY * trust + (1 - MEMORY) * _agreement(_stacked(each), trust, world.alphabet)
    return Measured(trust.tolist())


def _stacked(reports: object) -> np.ndarray:
    return np.stack(reports)  # type: ignore[call-overload,no-any-return]


def _agreement(reports: np.ndarray, weights: np.ndarray, alphabet: int) -> np.ndarray:
    """(n, T) and a weight a client → the share of tasks on which each is with the weighted majority."""
    votes = (reports[:, :, None] == np.arange(alphabet)) * weights[:, None, None]
    return np.asarray((reports == votes.sum(0).argmax(1)).mean(1))
