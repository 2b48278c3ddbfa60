"""Honest reports with updates that are not: null, copied, replayed, disguised, poisonous."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fl_client.incentives.attackers.base import Attacker
from fl_client.training.behaviour import Work
from fl_client.training.parameters import add, subtract

Weights = Sequence[np.ndarray]


class _Sender(Attacker):
    """``train`` gives the dishonest model; the report still comes from an honest one."""

    looks_back = True
    sends_update = True

    def report_model(self, work: Work, weights: Weights) -> Weights:
        """See Honest."""
        return super().report_model(work, Attacker.train(self, work))


class NullUpdate(_Sender):
    """Changes nothing."""

    def train(self, work: Work) -> Weights:
        """See Behaviour."""
        return list(work.weights)


class CopiedUpdate(_Sender):
    """Sends the global model's last change once more, as if it were its own; nothing in the first round."""

    def train(self, work: Work) -> Weights:
        """See Behaviour."""
        if not work.past:
            return list(work.weights)
        return add(work.weights, subtract(work.weights, work.past[-1].weights))


class ReplayedUpdate(_Sender):
    """Sends its first, honest update again and again."""

    def train(self, work: Work) -> Weights:
        """See Behaviour."""
        return add(work.weights, _first_update(self, work))


class Disguised(_Sender):
    """As `ReplayedUpdate`, with noise of half its length added, new in every round: the light check's hole."""

    def train(self, work: Work) -> Weights:
        """See Behaviour."""
        update = _first_update(self, work)
        if work.round > 1:
            rng = work.rng
            noise = [rng.standard_normal(part.shape).astype(np.float32) for part in update]
            scale = np.float32(0.5 * _norm(update) / _norm(noise))
            update = [part + scale * extra for part, extra in zip(update, noise, strict=True)]
        return add(work.weights, update)


class Poisoner(_Sender):
    """Sends the opposite of its honest update: the model gets worse, the norm does not show it."""

    def train(self, work: Work) -> Weights:
        """See Behaviour."""
        return subtract(work.weights, subtract(Attacker.train(self, work), work.weights))


def first(work: Work) -> Work:
    """The first round's work, as far as training is concerned."""
    if not work.past:
        return work
    return replace(work, round=1, weights=work.past[0].weights, seed=work.past[0].seed, past=())


def _first_update(attacker: Attacker, work: Work) -> list[np.ndarray]:
    begun = first(work)
    return subtract(Attacker.train(attacker, begun), begun.weights)


def _norm(arrays: Weights) -> float:
    return float(sum(float((part.astype(np.float64) ** 2).sum()) for part in arrays) ** 0.5)
