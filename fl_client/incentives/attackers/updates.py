"""Honest reports with updates that are not: null, copied, replayed, guessed, bent, disguised, poisonous, or cheap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fl_client.incentives.attackers.base import Attacker
from fl_client.incentives.attackers.public import plurality
from fl_client.training.behaviour import Work, tuned
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
    """As `ReplayedUpdate`, with noise of half its length added, new in every round."""

    def train(self, work: Work) -> Weights:
        """See Behaviour."""
        update = _first_update(self, work)
        return add(work.weights, _with_noise(work, update, 0.5) if work.round > 1 else update)


class ExtrapolatedUpdate(_Sender):
    """Sends what the global model's last two changes lead to, with a little noise: it never trains on anything."""

    def train(self, work: Work) -> Weights:
        """See Behaviour."""
        if not work.past:
            return list(work.weights)
        change = subtract(work.weights, work.past[-1].weights)
        if len(work.past) > 1:
            before = subtract(work.past[-1].weights, work.past[-2].weights)
            change = [2 * now - then for now, then in zip(change, before, strict=True)]
        return add(work.weights, _with_noise(work, change, 0.1))


class ReshapedUpdate(_Sender):
    """Sends its first, honest update, then the global model's last change with the first half of its tensors at three
    tenths: no combination of what was revealed, though made of nothing else."""

    def train(self, work: Work) -> Weights:
        """See Behaviour."""
        if not work.past:
            return Attacker.train(self, work)
        change = subtract(work.weights, work.past[-1].weights)
        half = len(change) // 2
        bent = [part * np.float32(0.3 if i < half else 1) for i, part in enumerate(change)]
        scale = np.float32(_norm(change) / (_norm(bent) or 1))
        return add(work.weights, [scale * part for part in bent])


class DistilledUpdate(_Sender):
    """Sends its first, honest update, then trains on the last batch with the labels that the global model gives."""

    def train(self, work: Work) -> Weights:
        """See Behaviour."""
        if not work.past:
            return Attacker.train(self, work)
        batch = work.past[-1].batch
        return tuned(work, batch, work.trainer.predict(work.weights, batch))


class RevealedUpdate(_Sender):
    """Trains on the first batch with the plurality of what the others revealed on it, instead of its own data; until
    something is revealed it sends nothing."""

    def train(self, work: Work) -> Weights:
        """See Behaviour."""
        known = [past for past in work.past if set(past.reports) - {past.me}]
        return (
            tuned(work, known[0].batch, plurality(known[0], work.alphabet)) if known else list(work.weights)
        )


class ShortUpdate(_Sender):
    """Trains one epoch where the honest train the round's."""

    def train(self, work: Work) -> Weights:
        """See Behaviour."""
        return tuned(replace(work, epochs=1), work.x, work.y)


class Poisoner(_Sender):
    """Sends the opposite of its honest update: the model gets worse, the norm does not show it."""

    def train(self, work: Work) -> Weights:
        """See Behaviour."""
        return subtract(work.weights, subtract(Attacker.train(self, work), work.weights))


class HalfPoisoner(_Sender):
    """Sends its honest update with the second half of its tensors turned around, in every round alike."""

    def train(self, work: Work) -> Weights:
        """See Behaviour."""
        update = subtract(Attacker.train(self, work), work.weights)
        half = len(update) // 2
        return add(work.weights, [part if i < half else -part for i, part in enumerate(update)])


def first(work: Work) -> Work:
    """The first round's work, as far as training is concerned."""
    if not work.past:
        return work
    return replace(work, round=1, weights=work.past[0].weights, seed=work.past[0].seed, past=())


def _first_update(attacker: Attacker, work: Work) -> list[np.ndarray]:
    begun = first(work)
    return subtract(Attacker.train(attacker, begun), begun.weights)


def _with_noise(work: Work, update: Weights, share: float) -> list[np.ndarray]:
    """With noise of `share` of its length, new in every round."""
    rng = work.rng
    noise = [rng.standard_normal(part.shape).astype(np.float32) for part in update]
    scale = np.float32(share * _norm(update) / _norm(noise))
    return [part + scale * extra for part, extra in zip(update, noise, strict=True)]


def _norm(arrays: Weights) -> float:
    return float(sum(float((part.astype(np.float64) ** 2).sum()) for part in arrays) ** 0.5)
