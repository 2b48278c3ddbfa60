"""A made-up classification problem of any number of labels, for the lab: Gaussian clouds that overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fl_client.training import backend
from fl_client.training.pool import Pool, Sharing

if TYPE_CHECKING:
    import keras

FEATURES, CLOUDS, HIDDEN = 20, 2, 32


class Synthetic(Pool):
    """Problem: which of ``labels`` classes? Each class is two Gaussian clouds in 20 dimensions.

    Centres are drawn from N(0, 1), items lie around them with standard deviation ``spread`` in every dimension;
    everything follows from ``seed``. With 10 labels and the default spread a model of one client's 300 items is
    right on about four items in five, one of everybody's on about nine in ten.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        labels: int = 10,
        public_items: int = 4000,
        private_items: int = 1800,
        spread: float = 1.1,
        kind: str = "iid",
        alpha: float = 0.5,
    ) -> None:
        rng = np.random.default_rng([seed, 2])
        centres = rng.standard_normal((labels, CLOUDS, FEATURES))
        total = public_items + private_items
        y = rng.integers(0, labels, total)
        around = centres[y, rng.integers(0, CLOUDS, total)]
        x = (around + spread * rng.standard_normal(around.shape)).astype(np.float32)
        sharing = Sharing(kind, alpha, (seed, 3))
        super().__init__(x, y, alphabet=labels, public_items=public_items, sharing=sharing)

    def model(self) -> keras.Model:
        """See Problem: a perceptron 20-32-labels with softmax output."""
        layers = backend.keras().layers
        return backend.keras().Sequential(
            [
                layers.Input((FEATURES,)),
                layers.Dense(HIDDEN, activation="relu"),
                layers.Dense(self.alphabet, activation="softmax"),
            ]
        )
