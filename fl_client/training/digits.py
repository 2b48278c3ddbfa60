"""1,797 real handwritten digits, 8×8, bundled with scikit-learn (UCI, Alpaydin and Kaynak 1998)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fl_client.training import backend
from fl_client.training.pool import Pool, Sharing

if TYPE_CHECKING:
    import keras


class Digits(Pool):
    """Problem: which digit is it? ``public_items`` images are public, the rest is the clients' private data.

    Everything is drawn from ``seed``. ``kind`` and ``alpha``: see ``split``. Accuracy is measured on the
    public images' true labels; only ``held_out`` gives them out, and only a demo's report calls it.
    """

    def __init__(
        self, seed: int = 0, *, public_items: int = 500, kind: str = "iid", alpha: float = 0.5
    ) -> None:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        if not 2 <= public_items < len(labels):
            raise ValueError(f"public_items is {public_items}, not in [2, {len(labels)})")
        order = np.random.default_rng([seed, 0]).permutation(len(labels))
        x = (images[order] / 16).astype(np.float32)  # (1797, 64), grey levels in [0, 1]
        y = labels[order].astype(np.int64)
        sharing = Sharing(kind, alpha, (seed, 1))
        super().__init__(x, y, alphabet=10, public_items=public_items, sharing=sharing)

    def model(self) -> keras.Model:
        """A perceptron 64-32-10 with softmax output: 2,410 parameters."""
        layers = backend.keras().layers
        return backend.keras().Sequential(
            [layers.Input((64,)), layers.Dense(32, activation="relu"), layers.Dense(10, activation="softmax")]
        )
