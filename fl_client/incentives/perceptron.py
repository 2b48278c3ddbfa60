"""A perceptron with one hidden layer in plain NumPy: what the Keras Trainer does, without its cost a step.

For the bundled problems only. tests/incentives/test_perceptron.py holds it against the Keras Trainer: equal weights
after the same mini-batches (to float32's precision), equal accuracies.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fl_client.training.parameters import check_shapes

RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-7  # Keras' Adam


class Perceptron:
    """inputs → hidden (relu) → labels (softmax), cross entropy, Adam; the interface of `Trainer`."""

    def __init__(self, inputs: int, hidden: int, labels: int, seed: int = 0) -> None:
        """Glorot's uniform weights from ``seed``, zero biases."""
        self._shapes = ((inputs, hidden), (hidden,), (hidden, labels), (labels,))
        self._initial = self.fresh(seed)

    def initial(self) -> list[np.ndarray]:
        """See Trainer."""
        return [weight.copy() for weight in self._initial]

    def fresh(self, seed: int) -> list[np.ndarray]:
        """See Trainer."""
        rng = np.random.default_rng([seed, 7])
        limits = [(6 / sum(shape)) ** 0.5 if len(shape) == 2 else 0.0 for shape in self._shapes]
        return [
            rng.uniform(-limit, limit, shape).astype(np.float32)
            for limit, shape in zip(limits, self._shapes, strict=True)
        ]

    def train(
        self,
        global_weights: Sequence[np.ndarray],
        x: np.ndarray,
        y: np.ndarray,
        *,
        epochs: int = 5,
        batch: int = 32,
        seed: int = 0,
    ) -> list[np.ndarray]:
        """See Trainer: the same mini-batches in the same order."""
        check_shapes(global_weights, self._initial)
        flat = np.concatenate([weight.reshape(-1) for weight in global_weights]).astype(np.float32)
        weights, gradient = self._views(flat), np.empty_like(flat)
        adam, slopes = _Adam(flat, gradient), self._views(gradient)
        x = np.ascontiguousarray(x, np.float32)
        targets = np.eye(self._shapes[3][0], dtype=np.float32)[y]
        rng = np.random.default_rng(seed)
        for _ in range(epochs):
            order = rng.permutation(len(x))
            for start in range(0, len(x), batch):
                items = order[start : start + batch]
                _slopes(weights, x[items], targets[items], slopes)
                adam.step()
        return [weight.copy() for weight in weights]

    def probabilities(self, weights: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
        """See Trainer."""
        hidden = np.maximum(np.asarray(x, np.float32) @ weights[0] + weights[1], 0)
        return np.asarray(_softmax(hidden @ weights[2] + weights[3]))

    def predict(self, weights: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
        """See Trainer."""
        return np.asarray(self.probabilities(weights, x).argmax(1), np.int64)

    def accuracy(self, weights: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray) -> float:
        """See Trainer."""
        return float(np.mean(self.predict(weights, x) == y))

    def _views(self, flat: np.ndarray) -> list[np.ndarray]:
        ends = np.cumsum([np.prod(shape) for shape in self._shapes])[:-1]
        return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), self._shapes, strict=True)]


class _Adam:
    """Keras' Adam on one flat vector, in place."""

    def __init__(self, flat: np.ndarray, gradient: np.ndarray) -> None:
        self._flat, self._gradient, self._steps = flat, gradient, 0
        self._mean, self._square, self._work = (np.zeros_like(flat) for _ in range(3))

    def step(self) -> None:
        self._steps += 1
        rate = np.float32(RATE * (1 - BETA2**self._steps) ** 0.5 / (1 - BETA1**self._steps))
        mean, square, work = self._mean, self._square, self._work
        np.subtract(self._gradient, mean, out=work)
        work *= np.float32(1 - BETA1)
        mean += work
        np.multiply(self._gradient, self._gradient, out=work)
        work -= square
        work *= np.float32(1 - BETA2)
        square += work
        np.sqrt(square, out=work)
        work += np.float32(EPSILON)
        np.divide(mean, work, out=work)
        work *= rate
        self._flat -= work


def _slopes(
    weights: Sequence[np.ndarray], x: np.ndarray, targets: np.ndarray, out: Sequence[np.ndarray]
) -> None:
    """The mean cross entropy's gradient by every weight, into ``out``."""
    hidden = x @ weights[0]
    hidden += weights[1]
    np.maximum(hidden, 0, out=hidden)
    error = _softmax(hidden @ weights[2] + weights[3])
    error -= targets
    error /= np.float32(len(x))
    np.matmul(hidden.T, error, out=out[2])
    error.sum(0, out=out[3])
    back = error @ weights[2].T
    back *= hidden > 0
    np.matmul(x.T, back, out=out[0])
    back.sum(0, out=out[1])


def _softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(1, keepdims=True)
    return logits
