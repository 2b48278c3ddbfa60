"""Reports made from what is public: the global models, and the reports that earlier rounds revealed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fl_client.incentives.attackers.base import Attacker, Idle, noisy, view
from fl_client.training.behaviour import Past, Work, local_model

Weights = Sequence[np.ndarray]


class _Public(Attacker):
    needs_data = False
    looks_back = True


class CopyGlobal(Idle):
    """z: the labels that the global model gives."""

    def infer(self, work: Work, weights: Weights) -> np.ndarray:
        """See Behaviour."""
        return view(work)[0]


class SecondLabel(Idle):
    """z, but the global model's second label on the half of the tasks where it is least sure."""

    def infer(self, work: Work, weights: Weights) -> np.ndarray:
        """See Behaviour."""
        first, second, margin = view(work)
        return np.where(margin < np.median(margin), second, first)


class NoisyGlobal(Idle):
    """z, 10 % of it drawn at random."""

    def infer(self, work: Work, weights: Weights) -> np.ndarray:
        """See Behaviour."""
        return noisy(work.rng, view(work)[0], work.alphabet, 0.1)


class ExtrapolatedGlobal(Idle):
    """The labels of the global model moved on by its own last change."""

    looks_back = True

    def infer(self, work: Work, weights: Weights) -> np.ndarray:
        """See Behaviour."""
        if not work.past:
            return view(work)[0]
        before = work.past[-1].weights
        ahead = [2 * now - then for now, then in zip(work.weights, before, strict=True)]
        return view(work, ahead)[0]


class Stale(Attacker):
    """Works honestly in the first round and sends that report, as it stands, in every later one."""

    looks_back = True

    def infer(self, work: Work, weights: Weights) -> np.ndarray:
        """See Behaviour."""
        mine = [past.reports[past.me] for past in work.past if past.me in past.reports]
        return mine[0] if mine else super().infer(work, weights)


class Replay(Idle):
    """What one peer revealed last about each task; z where it never met the task."""

    looks_back = True

    def infer(self, work: Work, weights: Weights) -> np.ndarray:
        """See Behaviour."""
        answers = dict(zip(_places(work), view(work)[0], strict=True))
        for past in work.past:
            others = sorted(set(past.reports) - {past.me})
            if others:
                known = dict(zip(past.items.tolist(), past.reports[others[0]], strict=True))
                answers.update({item: known[item] for item in answers if item in known})
        return np.array([answers[item] for item in _places(work)], np.int64)


class DistilledGlobal(_Public):
    """A model of its own, trained on public inputs with the global model's labels: no private data."""

    def infer(self, work: Work, weights: Weights) -> np.ndarray:
        """See Behaviour."""
        return distilled(work)


class RevealedLabels(_Public):
    """A model of its own, trained on earlier batches with the plurality of what the others revealed; on the
    global model's labels while nothing has been revealed."""

    def infer(self, work: Work, weights: Weights) -> np.ndarray:
        """See Behaviour."""
        return from_revealed(work)


def distilled(work: Work) -> np.ndarray:
    """The report of a model distilled from the global one over all public inputs met so far."""
    inputs = np.concatenate([past.batch for past in work.past] + [work.batch])
    labels = work.trainer.predict(work.weights, inputs)
    return work.trainer.predict(local_model(work, inputs, labels), work.batch)


def from_revealed(work: Work) -> np.ndarray:
    """The report of a model trained on the plurality of revealed labels."""
    known = [past for past in work.past if set(past.reports) - {past.me}]
    if not known:
        return distilled(work)
    inputs = np.concatenate([past.batch for past in known])
    labels = np.concatenate([plurality(past, work.alphabet) for past in known])
    return work.trainer.predict(local_model(work, inputs, labels), work.batch)


def plurality(past: Past, alphabet: int) -> np.ndarray:
    """The others' most frequent label on each task (ties: the smallest)."""
    others = np.stack([report for name, report in sorted(past.reports.items()) if name != past.me])
    return np.array([np.bincount(column, minlength=alphabet).argmax() for column in others.T], np.int64)


def _places(work: Work) -> list[int]:
    """The tasks' places in the public set; without them no task is recognised."""
    return list(range(-len(work.batch), 0)) if work.items is None else work.items.tolist()
