"""A made-up classification problem of any number of labels, for the lab: Gaussian clouds that overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fl_client.training import backend
from fl_client.training.split import split

if TYPE_CHECKING:
    import keras

FEATURES, CLOUDS, HIDDEN = 20, 2, 32


class Synthetic:
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
        self.alphabet = labels
        centres = rng.standard_normal((labels, CLOUDS, FEATURES))
        total = public_items + private_items
        self._y: np.ndarray = rng.integers(0, labels, total)
        around = centres[self._y, rng.integers(0, CLOUDS, total)]
        self._x: np.ndarray = (around + spread * rng.standard_normal(around.shape)).astype(np.float32)
        self._n, self._seed, self._kind, self._alpha = public_items, seed, kind, alpha

    def public(self) -> np.ndarray:
        """See Problem: (public_items, 20)."""
        return self._x[: self._n]

    def private(self, client: int, clients: int) -> tuple[np.ndarray, np.ndarray]:
        """See Problem."""
        if not 0 <= client < clients:
            raise ValueError(f"client {client} is not one of {clients}")
        x, y = self._x[self._n :], self._y[self._n :]
        rng = np.random.default_rng([self._seed, 3])
        mine = split(y, clients, rng, kind=self._kind, alpha=self._alpha)[client]
        return x[mine], y[mine]

    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """See Problem: the public items with their true labels."""
        return self._x[: self._n], self._y[: self._n]

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
