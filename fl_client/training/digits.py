"""1,797 real handwritten digits, 8×8, bundled with scikit-learn (UCI, Alpaydin and Kaynak 1998)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fl_client.training import backend
from fl_client.training.split import split

if TYPE_CHECKING:
    import keras


class Digits:
    """Problem: which digit is it? ``public_items`` images are public, the rest is the clients' private data.

    Everything is drawn from ``seed``. ``kind`` and ``alpha``: see ``split``. Accuracy is measured on the
    public images' true labels; only ``held_out`` gives them out, and only a demo's report calls it.
    """

    alphabet = 10

    def __init__(
        self, seed: int = 0, *, public_items: int = 500, kind: str = "iid", alpha: float = 0.5
    ) -> None:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        if not 2 <= public_items < len(labels):
            raise ValueError(f"public_items is {public_items}, not in [2, {len(labels)})")
        order = np.random.default_rng([seed, 0]).permutation(len(labels))
        self._x: np.ndarray = (images[order] / 16).astype(np.float32)  # (1797, 64), grey levels in [0, 1]
        self._y: np.ndarray = labels[order].astype(np.int64)
        self._n, self._seed, self._kind, self._alpha = public_items, seed, kind, alpha

    def public(self) -> np.ndarray:
        """The public images, (public_items, 64) in [0, 1]."""
        return self._x[: self._n]

    def private(self, client: int, clients: int) -> tuple[np.ndarray, np.ndarray]:
        """Client ``client``'s share of the private images, (n, 64), and their labels, (n,)."""
        if not 0 <= client < clients:
            raise ValueError(f"client {client} is not one of {clients}")
        x, y = self._x[self._n :], self._y[self._n :]
        rng = np.random.default_rng([self._seed, 1])
        mine = split(y, clients, rng, kind=self._kind, alpha=self._alpha)[client]
        return x[mine], y[mine]

    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """The public images with their true labels, for the demo's accuracy line alone."""
        return self._x[: self._n], self._y[: self._n]

    def model(self) -> keras.Model:
        """A perceptron 64-32-10 with softmax output: 2,410 parameters."""
        layers = backend.keras().layers
        return backend.keras().Sequential(
            [layers.Input((64,)), layers.Dense(32, activation="relu"), layers.Dense(10, activation="softmax")]
        )
