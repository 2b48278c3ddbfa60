"""Matched blocks: compare only tasks the public model finds equally hard, so that copying it earns exactly 0.

Source: facts on the mechanism, rule MB.
"""

import numpy as np
import numpy.typing as npt

from chaincode.mtpp.counts import FLOATS_AT_ONCE, agreements, label_counts
from chaincode.mtpp.rule import Integers, Reports, Rule, Scores, View

BLOCK = 4
WEIGHTS = {2: 6, 3: 3, 4: 2}


class MatchedBlocks(Rule):
    """s = Σ_blocks W[m]·(m·A − K), A = tasks of a block on which both agree, K = Σ_k r_k·c_k within it.

    Tasks are grouped by the public model's first and second label, sorted by its margin, and cut into
    blocks of 4; a last block of 2 or 3 counts, one of 1 does not. W = {2: 6, 3: 3, 4: 2} makes the
    expectation 6m·ΣΔ_kk for every size m. A report that is a function of (z, z2), a constant one included,
    scores exactly 0. |s| ≤ 6Q.
    """

    name = "matched-blocks"
    needs = ("z", "z2", "margin")

    def norm(self, tasks: int, alphabet: int) -> int:
        return 6 * tasks

    def bounds(self, tasks: int, alphabet: int) -> tuple[int, int]:
        """±6Q: a block's (m·A − K)·W is at least −6m (reached for m = 2) and at most 6m (all agree, all
        differ)."""
        return -6 * tasks, 6 * tasks

    def _score(self, reports: Reports, alphabet: int, view: View) -> Scores:
        clients, tasks = reports.shape
        scores = np.zeros((clients, clients), np.int64)
        for size, blocks in _blocks(*(view.field(name, tasks) for name in self.needs)).items():
            cut = reports[:, blocks]  # (n, blocks, size)
            agreed = agreements(np.ascontiguousarray(cut.reshape(clients, -1)), alphabet)
            scores += WEIGHTS[size] * (size * agreed - _chance(cut, alphabet))
        return scores


def _chance(cut: Reports, alphabet: int) -> Scores:
    """Σ_blocks K for all pairs: (n, blocks, size) → (n, n)."""
    clients, blocks, size = cut.shape
    total = np.zeros((clients, clients), np.int64)
    step = max(1, FLOATS_AT_ONCE // (clients * alphabet))
    for start in range(0, blocks, step):
        some = cut[:, start : start + step].reshape(-1, size)
        exact = label_counts(some, alphabet).astype(np.float32).reshape(clients, -1)
        total += (exact @ exact.T).astype(np.int64)  # at most 4 a task, 2^18 in all: exact
    return total


def _blocks(z: Integers, z2: Integers, margin: Integers) -> dict[int, npt.NDArray[np.int64]]:
    """Task numbers by block: for each size that occurs, shape (blocks, size)."""
    order = np.lexsort((np.arange(len(z)), margin, z2, z))
    changes = np.flatnonzero((np.diff(z[order]) != 0) | (np.diff(z2[order]) != 0)) + 1
    found: dict[int, list[npt.NDArray[np.int64]]] = {}
    for group in np.split(order, changes):
        for start in range(0, len(group), BLOCK):
            block = group[start : start + BLOCK]
            if len(block) > 1:
                found.setdefault(len(block), []).append(block)
    return {size: np.array(blocks) for size, blocks in sorted(found.items())}
