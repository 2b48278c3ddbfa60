"""Who plays in the demo: what each client is called in the table, whose data it has, and how it behaves.

All are honest but the last ones: one trains on a tenth of its data, one answers at random and, from six clients on,
one copies: a colleague of its own organisation where reports are made before anything public could be copied, the
global model (if asked for) where reports are made in every round. The colleague works honestly; the table calls it
"copied".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fl_client.training.behaviour import Honest, Work

ORGANISATIONS = 3  # clients are dealt over so many


@dataclass(frozen=True)
class Part:
    """One client's part: its name in the table, the behaviour by name or import path, and whose data it has."""

    name: str
    behaviour: str
    place: int


class Colleague(Honest):
    """Hands in what its colleague does. It is given the colleague's data and place, hence the same seed, and so the
    same model, symbols and update come out without a word between them: as if it had copied them."""


class GlobalCopier:
    """Reports the labels that the public global model gives, and contributes a zero update: no data, no training."""

    def train(self, work: Work) -> Sequence[np.ndarray]:
        """See Behaviour."""
        return work.weights

    def infer(self, work: Work, weights: Sequence[np.ndarray]) -> np.ndarray:
        """See Behaviour."""
        return work.trainer.predict(work.weights, work.batch)


def part(place: int, clients: int, *, colleague: bool, copier: bool) -> Part:
    """The part of the client with this place: `colleague`, `copier`: which kinds of copiers there are."""
    copies = clients - 3
    if place == clients - 1:
        return Part("tenth", "tenth", place)
    if place == clients - 2:
        return Part("random", "random", place)
    if place == copies and copier:
        return Part("copier", f"{__name__}:GlobalCopier", place)
    if colleague and not copier and clients >= 2 * ORGANISATIONS:
        if place == copies:
            return Part("colleague", f"{__name__}:Colleague", place - ORGANISATIONS)
        if place == copies - ORGANISATIONS:
            return Part("copied", "honest", place)
    return Part("honest", "honest", place)
