"""Honest in the first round, never again: four ways to go on without training.

Under a mechanism that vests, later rounds ask for updates alone; these attackers then send disguised ones.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from fl_client.incentives.attackers.base import Attacker, view
from fl_client.incentives.attackers.public import distilled, from_revealed
from fl_client.incentives.attackers.updates import Disguised, first
from fl_client.training.behaviour import Work

Weights = Sequence[np.ndarray]


class _Defector(Disguised):
    def infer(self, work: Work, weights: Weights) -> np.ndarray:
        """See Behaviour."""
        return Attacker.infer(self, work, weights) if work.round == 1 else self.defect(work, weights)

    @abstractmethod
    def defect(self, work: Work, weights: Weights) -> np.ndarray:
        """The report of a later round."""


class OnceReuse(_Defector):
    """Answers later batches with the report model of the first round."""

    def defect(self, work: Work, weights: Weights) -> np.ndarray:
        """See _Defector."""
        begun = first(work)
        model = Attacker.report_model(self, begun, Attacker.train(self, begun))
        return work.trainer.predict(model, work.batch)


class OnceDistil(_Defector):
    """Distils the global model from then on."""

    def defect(self, work: Work, weights: Weights) -> np.ndarray:
        """See _Defector."""
        return distilled(work)


class OnceRevealed(_Defector):
    """Learns from revealed labels from then on."""

    def defect(self, work: Work, weights: Weights) -> np.ndarray:
        """See _Defector."""
        return from_revealed(work)


class OnceCopy(_Defector):
    """Copies the global model's labels from then on."""

    def defect(self, work: Work, weights: Weights) -> np.ndarray:
        """See _Defector."""
        return view(work)[0]
