"""Local training: one Keras model object, built once and reused in every round."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fl_client.training import backend
from fl_client.training.parameters import check_shapes
from fl_client.training.problem import Problem

Weights = Sequence[np.ndarray]

_ROWS = 4096  # inputs a forward pass takes at most


class Trainer:
    """Trains and evaluates ``problem``'s model from weights to weights; keeps nothing between calls.

    A fresh Keras model for each fit would double the round's time. The same seeds, weights and data give the
    same results on the same machine and TensorFlow; across machines they may differ in the last bits.
    """

    def __init__(self, problem: Problem, seed: int = 0) -> None:
        """Imports TensorFlow (seconds) and builds the model, initialised from ``seed``."""
        self._problem = problem
        with backend.seeded(seed):
            self._model = problem.model()
        if not self._model.compiled:
            self._model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
        self._model.optimizer.build(self._model.trainable_variables)
        self._initial = [_float32(weight) for weight in self._model.get_weights()]
        self._state = [(v, v.numpy()) for v in self._model.optimizer.variables]
        self._noise = [v for v in self._model.variables if v.path.endswith("seed_generator_state")]

    def initial(self) -> list[np.ndarray]:
        """The untrained model, equal in every process for equal seeds; a job's creator publishes it once."""
        return [weight.copy() for weight in self._initial]

    def fresh(self, seed: int) -> list[np.ndarray]:
        """Another untrained model, its random weights from ``seed``."""
        with backend.seeded(seed):
            return [_float32(weight) for weight in self._problem.model().get_weights()]

    def train(
        self,
        global_weights: Weights,
        x: np.ndarray,
        y: np.ndarray,
        *,
        epochs: int = 5,
        batch: int = 32,
        seed: int = 0,
    ) -> list[np.ndarray]:
        """New weights after ``epochs`` over inputs ``x`` (n, …) and labels ``y`` (n,), in mini-batches.

        The optimizer starts afresh; ``seed`` decides shuffling and dropout. ValueError: weights that do not
        fit the model.
        """
        self._load(global_weights)
        self._reset(seed)
        rng = np.random.default_rng(seed)
        for _ in range(epochs):
            order = rng.permutation(len(x))
            for start in range(0, len(x), batch):
                items = order[start : start + batch]
                self._model.train_on_batch(x[items], y[items])
        return [_float32(weight) for weight in self._model.get_weights()]

    def probabilities(self, weights: Weights, x: np.ndarray) -> np.ndarray:
        """The model's output for each input, (n, C): probabilities, or logits if the model ends in them."""
        self._load(weights)
        parts = [self._model(x[i : i + _ROWS], training=False) for i in range(0, len(x), _ROWS)]
        return np.concatenate([np.asarray(part) for part in parts])

    def predict(self, weights: Weights, x: np.ndarray) -> np.ndarray:
        """The most probable label of each input, (n,) int64; of equals the smallest."""
        return np.asarray(np.argmax(self.probabilities(weights, x), axis=-1), np.int64)

    def accuracy(self, weights: Weights, x: np.ndarray, y: np.ndarray) -> float:
        """The share of inputs whose predicted label is the true one, in [0, 1]."""
        return float(np.mean(self.predict(weights, x) == y))

    def _load(self, weights: Weights) -> None:
        check_shapes(weights, self._initial)
        self._model.set_weights(list(weights))

    def _reset(self, seed: int) -> None:
        """Optimizer state as new (its learning rate included), random layers from ``seed``."""
        for variable, value in self._state:
            variable.assign(value)
        for index, state in enumerate(self._noise):
            state.assign(np.array([(seed + index) % 2**32, 0]))


def _float32(array: np.ndarray) -> np.ndarray:
    return np.array(array, dtype=np.float32)
