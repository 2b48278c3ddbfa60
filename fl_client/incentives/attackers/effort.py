"""Honest work, but less of it: a share of the data, or of the training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fl_client.incentives.attackers.base import Attacker
from fl_client.training.behaviour import Work, local_model


class LessData(Attacker):
    """Learns from a share of its data, the same items every round, with as many mini-batches as the honest."""

    share: ClassVar[float]

    def data(self, work: Work) -> tuple[np.ndarray, np.ndarray]:
        """See Honest."""
        count = max(1, round(self.share * len(work.x)))
        few = np.random.default_rng(len(work.x)).permutation(len(work.x))[:count]
        return work.x[few], work.y[few]


class LessTraining(Attacker):
    """Trains its report's model with a share of the mini-batches, on all its data."""

    share: ClassVar[float]
    sends_update = False

    def train(self, work: Work) -> Sequence[np.ndarray]:
        """See Behaviour; at least one epoch."""
        epochs = max(1, round(self.share * work.epochs))
        return work.trainer.train(
            work.weights, work.x, work.y, epochs=epochs, batch=work.batch_size, seed=work.seed
        )

    def report_model(self, work: Work, weights: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """See Honest."""
        return local_model(work, work.x, work.y, self.share) if work.local_only else weights


class Data5(LessData):
    """5 % of the data."""

    share = 0.05


class Data10(LessData):
    """10 % of the data."""

    share = 0.10


class Data20(LessData):
    """20 % of the data."""

    share = 0.20


class Data33(LessData):
    """33 % of the data."""

    share = 0.33


class Data50(LessData):
    """50 % of the data."""

    share = 0.50


class Data75(LessData):
    """75 % of the data."""

    share = 0.75


class Steps10(LessTraining):
    """10 % of the mini-batches."""

    share = 0.10


class Steps33(LessTraining):
    """33 % of the mini-batches."""

    share = 0.33


class Lazy10(Data10):
    """10 % of the data, and as few mini-batches as that takes at the honest number of epochs."""

    def report_model(self, work: Work, weights: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """See Honest."""
        return local_model(work, *self.data(work), self.share) if work.local_only else weights
