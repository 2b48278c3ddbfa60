"""What the lab can play against honest clients: a behaviour of its own, or a coalition of several identities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fl_client.training.behaviour import Honest, Work


class Attacker(Honest):
    """A behaviour that departs from the honest one in whatever a subclass overrides.

    Any `Behaviour` can be played; the two attributes are optional there (``needs_data`` then counts as true,
    ``sends_update`` as false). An attacker runs on the real network as well, by its import path, and falls back to
    guesses where the lab's ``work.past`` is not at hand.

    Attributes:
        needs_data: whether it ever looks at private data.
        sends_update: whether its update differs from an honest client's; the lab then plays the federation
            anew with it, and asks the light check.
    """

    needs_data: ClassVar[bool] = True
    sends_update: ClassVar[bool] = False


class Coalition(ABC):
    """Several identities that agree on what to report.

    Attributes:
        extra: identities it adds to those of the world (one owner as two: 1); its others replace clients.
        needs_data: whether one of them looks at private data.
    """

    extra: ClassVar[int] = 0
    needs_data: ClassVar[bool] = True
    size: ClassVar[int | None] = None  # clients it replaces; None: as many as the lab is told

    @abstractmethod
    def reports(self, works: Sequence[Work], honest: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One report (T,) an identity: those of the replaced clients in order, then the extra ones'.

        ``works``, ``honest``: what each replaced client has in hand, and would report if it were honest.
        """


def view(
    work: Work, weights: Sequence[np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A model's first label, second label and margin on the batch; of the global model if none is given."""
    scores = work.trainer.probabilities(work.weights if weights is None else weights, work.batch)
    order = np.argsort(-scores, axis=1, kind="stable")
    rows = np.arange(len(scores))
    margin = scores[rows, order[:, 0]] - scores[rows, order[:, 1]]
    return order[:, 0].astype(np.int64), order[:, 1].astype(np.int64), margin


def noisy(rng: np.random.Generator, report: np.ndarray, alphabet: int, share: float) -> np.ndarray:
    """The report with a random ``share`` of its symbols drawn anew, uniformly."""
    return np.where(rng.random(len(report)) < share, rng.integers(0, alphabet, len(report)), report)
