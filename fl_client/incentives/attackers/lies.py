"""Reports that are made up, disguised or bent: noise, constants, other names or odds for the labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fl_client.incentives.attackers.base import Attacker, Idle, noisy
from fl_client.training.behaviour import Work

Weights = Sequence[np.ndarray]


class Random(Idle):
    """Uniformly random labels."""

    def infer(self, work: Work, weights: Weights) -> np.ndarray:
        """See Behaviour."""
        return work.rng.integers(0, work.alphabet, len(work.batch), dtype=np.int64)


class Constant(Idle):
    """The same label for every task."""

    def infer(self, work: Work, weights: Weights) -> np.ndarray:
        """See Behaviour."""
        return np.full(len(work.batch), work.seed % work.alphabet, np.int64)


class Permutation(Attacker):
    """An honest report in which every label goes by the name of the next."""

    def infer(self, work: Work, weights: Weights) -> np.ndarray:
        """See Behaviour."""
        return (super().infer(work, weights) + 1) % work.alphabet


class LabelSwap(Attacker):
    """An honest report in which the labels 0 and 1 change names."""

    def infer(self, work: Work, weights: Weights) -> np.ndarray:
        """See Behaviour."""
        report = super().infer(work, weights)
        return np.where(report < 2, 1 - report, report)


class Flipped(Attacker):
    """Learns its data with every label k replaced by C − 1 − k."""

    def data(self, work: Work) -> tuple[np.ndarray, np.ndarray]:
        """See Honest."""
        return work.x, work.alphabet - 1 - work.y


class Noisy(Attacker):
    """An honest report, 30 % of it drawn at random."""

    def infer(self, work: Work, weights: Weights) -> np.ndarray:
        """See Behaviour."""
        return noisy(work.rng, super().infer(work, weights), work.alphabet, 0.3)


class Reweighted(Attacker):
    """An honest model, each label's probability divided by how often its own data has that label (plus one): what it
    holds much of it says less often, as a public batch that is not skewed like its data would have it."""

    def infer(self, work: Work, weights: Weights) -> np.ndarray:
        """See Behaviour."""
        told = work.trainer.probabilities(self.report_model(work, weights), work.batch)
        held = np.bincount(work.y, minlength=work.alphabet) + 1
        return np.asarray((told / held).argmax(1), np.int64)
