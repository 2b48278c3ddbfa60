"""What a model answers on public items, in integers: the public view that some rules need (chaincode/view.py)."""

from __future__ import annotations

import numpy as np

from chaincode import view as packed
from chaincode.mtpp import View
from fl_client.training.behaviour import Learns
from fl_client.training.trainer import Weights

SCALE = 1 << 16  # a margin of 1 in the view's integers


def view_of(scores: np.ndarray) -> View:
    """A model's output (N, C ≥ 2), probabilities or logits, as labels and margins, each (N,) int64.

    z, z2: the labels of the greatest and the second greatest score, of equal scores the smaller label. The
    margin between them is round(2^16 · difference), at most 2^31 − 1; what is not a number counts as −∞, a
    difference that is none as 0. Machines whose floats differ in the last bits differ where scores are nearly
    equal, and by 1 in a margin here and there.
    """
    known = np.where(np.isnan(scores), -np.inf, scores).astype(np.float64)
    order = np.argsort(-known, axis=1, kind="stable")
    rows = np.arange(len(known))
    with np.errstate(invalid="ignore"):  # infinity less infinity
        difference = known[rows, order[:, 0]] - known[rows, order[:, 1]]
    most = packed.MARGIN_MAX / SCALE
    margin = np.rint(SCALE * np.clip(np.nan_to_num(difference, nan=0.0), 0, most)).astype(np.int64)
    return View(order[:, 0].astype(np.int64), order[:, 1].astype(np.int64), margin)


def public_view(trainer: Learns, weights: Weights, items: np.ndarray, alphabet: int) -> bytes:
    """The packed view of a model over all public items (N, …). ValueError: weights that do not fit the model."""
    return packed.pack(view_of(trainer.probabilities(weights, items)), alphabet)
