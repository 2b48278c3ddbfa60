"""A problem whose items are one pool: the first are public, the rest is shared out among the clients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fl_client.training.split import split


class Sharing(NamedTuple):
    """How the private items are shared out: ``kind`` and ``alpha`` as in ``split``, drawn from ``seed``."""

    kind: str
    alpha: float
    seed: tuple[int, ...]


class Pool:
    """The data of a Problem; who inherits adds the model.

    Args:
        x, y: all items (N + n, …) and their labels (N + n,), 0 … ``alphabet`` − 1.
        public_items: N. Accuracy is measured on their true labels, which only ``held_out`` gives out.
    """

    def __init__(
        self, x: np.ndarray, y: np.ndarray, *, alphabet: int, public_items: int, sharing: Sharing
    ) -> None:
        self.alphabet = alphabet
        self._x, self._y, self._n, self._sharing = x, y, public_items, sharing

    def public(self) -> np.ndarray:
        """See Problem."""
        return self._x[: self._n]

    def private(self, client: int, clients: int) -> tuple[np.ndarray, np.ndarray]:
        """See Problem; ValueError if there is no such client."""
        if not 0 <= client < clients:
            raise ValueError(f"client {client} is not one of {clients}")
        x, y = self._x[self._n :], self._y[self._n :]
        rng = np.random.default_rng(self._sharing.seed)
        mine = split(y, clients, rng, kind=self._sharing.kind, alpha=self._sharing.alpha)[client]
        return x[mine], y[mine]

    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """See Problem: the public items with their true labels."""
        return self._x[: self._n], self._y[: self._n]
