"""How a client behaves: what it reports about the public batch, and which update it contributes.

Candor's own agent is honest. Those that are not (fl_client/incentives/attackers) exist to show what they earn, in the
lab and on a network alike; they are chosen by name in fl_client/conduct.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fl_client.training.trainer import Weights


class Learns(Protocol):
    """What behaviours need of a `Trainer` (see there)."""

    def initial(self) -> list[np.ndarray]: ...

    def fresh(self, seed: int) -> list[np.ndarray]: ...

    def train(
        self,
        global_weights: Weights,
        x: np.ndarray,
        y: np.ndarray,
        *,
        epochs: int = 5,
        batch: int = 32,
        seed: int = 0,
    ) -> list[np.ndarray]: ...

    def probabilities(self, weights: Weights, x: np.ndarray) -> np.ndarray: ...

    def predict(self, weights: Weights, x: np.ndarray) -> np.ndarray: ...

    def accuracy(self, weights: Weights, x: np.ndarray, y: np.ndarray) -> float: ...


@dataclass(frozen=True)
class Past:
    """What a round that is over has made public."""

    items: np.ndarray  # the places of its tasks in the public set, (T,)
    batch: np.ndarray  # its public inputs (T, …), in task order
    weights: Sequence[np.ndarray]  # the global model it began with
    reports: Mapping[str, np.ndarray]  # who revealed → its symbols (T,); empty where a round had no reports
    me: str = ""  # the client's own name in ``reports``
    seed: int = 0  # the client's own in that round


@dataclass(frozen=True)
class Work:
    """What a client has in hand in one round."""

    trainer: Learns
    alphabet: int  # C, the number of symbols
    x: np.ndarray  # own inputs (n, …)
    y: np.ndarray  # own labels (n,)
    batch: np.ndarray  # the round's T public inputs (T, …), in task order
    weights: Sequence[np.ndarray]  # the global model
    seed: int  # see ``seed``
    epochs: int = 5
    batch_size: int = 32
    local_only: bool = (
        False  # the report comes from a model of private data alone (the job's mechanism says so)
    )
    effort: int = 800  # mini-batches an honest client trains such a model with
    round: int = 1
    items: np.ndarray | None = None  # the places of the batch in the public set, (T,), where known
    past: Sequence[Past] = ()  # earlier rounds, the first one first, as far as the client kept them

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
    """Trains the global model on all its private data, which gives the update. The report comes from that same
    model (mechanism ``paper``), or from one that never saw the global model (``work.local_only``)."""

    def train(self, work: Work) -> Sequence[np.ndarray]:
        """See Behaviour."""
        return tuned(work, *self.data(work))

    def infer(self, work: Work, weights: Sequence[np.ndarray]) -> np.ndarray:
        """See Behaviour."""
        return work.trainer.predict(self.report_model(work, weights), work.batch)

    def report_model(self, work: Work, weights: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """The model that answers: ``weights``, what ``train`` returned, unless reports are local-only."""
        return local_model(work, *self.data(work)) if work.local_only else weights

    def data(self, work: Work) -> tuple[np.ndarray, np.ndarray]:
        """The inputs and labels it learns from."""
        return work.x, work.y


def checked(report: np.ndarray, tasks: int, alphabet: int) -> np.ndarray:
    """The report, if a contract would take it; ValueError says what is wrong with it."""
    found = np.asarray(report)
    if found.shape != (tasks,) or found.dtype.kind not in "iu":
        raise ValueError(f"{found.dtype} of shape {found.shape}, not {tasks} integers")
    if found.min() < 0 or found.max() >= alphabet:
        raise ValueError(f"labels {found.min()} to {found.max()}, not 0 to {alphabet - 1}")
    return found


def seed(job_seed: int, client: str | int, round: int) -> int:
    """A client's seed for one round, in [0, 2^63), from SHA-256 over all three. For reproducible training
    only: nothing secret (a salt, a key) may come from it."""
    digest = hashlib.sha256(f"candor/training/v1|{job_seed}|{client}|{round}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def tuned(work: Work, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """The global model after the round's epochs on these data."""
    return work.trainer.train(work.weights, x, y, epochs=work.epochs, batch=work.batch_size, seed=work.seed)


def local_model(work: Work, x: np.ndarray, y: np.ndarray, share: float = 1.0) -> list[np.ndarray]:
    """A model after ``share`` of an honest client's mini-batches on these data alone.

    It starts from random weights of the client's own, not from the job's untrained model: that one is public,
    and where clients know few labels a model trained from it still agrees with it on the others, so that
    copying the untrained model would pay.
    """
    epochs = max(1, round(share * work.effort / -(-len(x) // work.batch_size)))
    begin = work.trainer.fresh(work.seed)
    return work.trainer.train(begin, x, y, epochs=epochs, batch=work.batch_size, seed=work.seed)
