"""What a federated job learns: the public inputs, each client's private data, and the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from fl_client.named import make

if TYPE_CHECKING:
    import keras


class Problem(Protocol):
    """One machine-learning problem. Two processes that build it with equal settings see equal data.

    A job of one's own implements this and is named by import path, ``module:Class``.
    """

    alphabet: int
    """C: the number of labels, and so of symbols in a report; labels are 0 … C−1."""

    def public(self) -> np.ndarray:
        """The N public inputs (N, …), float32, in the order of the job's tasks. Without labels: nobody who
        takes part ever needs or sees one."""
        ...

    def private(self, client: int, clients: int) -> tuple[np.ndarray, np.ndarray]:
        """The own inputs (n, …), float32, and labels (n,), int64, of client 0 ≤ ``client`` < ``clients``."""
        ...

    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and true labels to measure accuracy with. Only a demo's report and the tests call this; no
        agent, score or payment depends on it."""
        ...

    def model(self) -> keras.Model:
        """A new model: input (batch, …), output one probability (or logit) for each of the C labels.

        Compiled if it wants an optimizer or a loss of its own; otherwise the Trainer compiles it with Adam
        and cross entropy on probabilities.
        """
        ...


def problem(name: str, **settings: object) -> Problem:
    """The problem called ``name`` (or ``module:Class``), built with ``settings``; BadInput if none is."""
    from fl_client.training.digits import Digits

    return cast(Problem, make(name, {"digits": Digits}, "problem", **settings))
