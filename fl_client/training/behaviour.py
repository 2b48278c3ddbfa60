"""How a client behaves: what it reports about the public batch, and which update it contributes.

Candor's own agent is honest; the others exist to show in demos and tests what they earn. One's own is a class
without constructor arguments, named by import path ``module:Class``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from fl_client.named import resolve
from fl_client.training.trainer import Trainer


@dataclass(frozen=True)
class Work:
    """What a client has in hand in one round."""

    trainer: Trainer
    alphabet: int  # C, the number of symbols
    x: np.ndarray  # own inputs (n, …)
    y: np.ndarray  # own labels (n,)
    batch: np.ndarray  # the round's T public inputs (T, …), in task order
    weights: Sequence[np.ndarray]  # the global model
    seed: int  # see ``seed``
    epochs: int = 5
    batch_size: int = 32

    @property
    def rng(self) -> np.random.Generator:
        """A fresh generator from ``seed``, the same at each use."""
        return np.random.default_rng(self.seed)


class Behaviour(Protocol):
    """One way to take part in a round. Equal ``work`` gives equal results, so that a restarted agent repeats
    itself."""

    def train(self, work: Work) -> Sequence[np.ndarray]:
        """The client's own model, float32, in the global model's shapes; its update is what it changed."""
        ...

    def infer(self, work: Work, weights: Sequence[np.ndarray]) -> np.ndarray:
        """The report: one symbol a task of the batch, (T,) int64 in [0, C)."""
        ...


class Honest:
    """Trains the global model on all its private data; that one model gives the report and the update
    (mechanism ``paper``)."""

    def train(self, work: Work) -> Sequence[np.ndarray]:
        """See Behaviour."""
        return _fit(work, work.x, work.y)

    def infer(self, work: Work, weights: Sequence[np.ndarray]) -> np.ndarray:
        """See Behaviour."""
        return work.trainer.predict(weights, work.batch)


class Tenth(Honest):
    """Honest work on a tenth of the private data (rounded up), the same tenth every round: less effort, not
    a lie."""

    def train(self, work: Work) -> Sequence[np.ndarray]:
        """See Behaviour."""
        few = np.random.default_rng(len(work.x)).permutation(len(work.x))[: -(-len(work.x) // 10)]
        return _fit(work, work.x[few], work.y[few])


class Random:
    """Does nothing at all: uniformly random labels, and a zero update. A zero update is the cheapest one;
    it dilutes the mean by its weight and harms the model no further, so that a demo's accuracy curve shows
    an idle client and not a poisoner."""

    def train(self, work: Work) -> Sequence[np.ndarray]:
        """See Behaviour."""
        return work.weights

    def infer(self, work: Work, weights: Sequence[np.ndarray]) -> np.ndarray:
        """See Behaviour."""
        return work.rng.integers(0, work.alphabet, len(work.batch), dtype=np.int64)


BEHAVIOURS: dict[str, type] = {"honest": Honest, "random": Random, "tenth": Tenth}


def behaviour(name: str) -> Behaviour:
    """The behaviour called ``name`` (or ``module:Class``); BadInput if there is none."""
    return cast(Behaviour, resolve(name, BEHAVIOURS, "behaviour")())


def seed(job_seed: int, client: str | int, round: int) -> int:
    """A client's seed for one round, in [0, 2^63), from SHA-256 over all three. For reproducible training
    only: nothing secret (a salt, a key) may come from it."""
    digest = hashlib.sha256(f"candor/training/v1|{job_seed}|{client}|{round}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _fit(work: Work, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    return work.trainer.train(work.weights, x, y, epochs=work.epochs, batch=work.batch_size, seed=work.seed)
