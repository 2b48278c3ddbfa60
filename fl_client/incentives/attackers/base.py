"""What the lab can play against honest clients: a behaviour of its own, or a coalition of several identities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fl_client.training.behaviour import Honest, Work


class Attacker(Honest):
    """A behaviour that departs from the honest one in whatever a subclass overrides.

    Any `Behaviour` can be played; the attributes are optional there (``needs_data`` then counts as true,
    ``looks_back`` as false). An attacker plays on a network as it does in the lab (fl_client/conduct.py); where it
    needs no private data it gets none there: the public items with the global model's labels stand in.

    Attributes:
        needs_data: whether it ever looks at private data.
        looks_back: whether it uses ``work.past``, which a client on a network reads from the chain for it.
        sends_update: whether the lab plays the federation anew with its updates and asks the light check; false:
            they are taken for an honest client's. None: it has a ``train`` of its own.
    """

    needs_data: ClassVar[bool] = True
    looks_back: ClassVar[bool] = False
    sends_update: ClassVar[bool | None] = None


def sends_update(playing: object) -> bool:
    """See ``Attacker``; any behaviour may be asked."""
    said: bool | None = getattr(playing, "sends_update", None)
    return type(playing).train is not Honest.train if said is None else said  # type: ignore[attr-defined]


class Idle(Attacker):
    """Trains nothing, and makes its report up or copies it; its update, where one is asked for, is zero: that harms
    the model least, so that a demo shows an idle client and not a poisoner."""

    needs_data = False
    sends_update = False

    def train(self, work: Work) -> Sequence[np.ndarray]:
        """See Behaviour."""
        return work.weights


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
