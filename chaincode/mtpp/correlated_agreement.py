"""Correlated Agreement with a delta matrix from everybody but the pair that is scored.

Source: paper section IV.A ("leaning on Correlated Agreement") and section V, limitation 1, which this
closes: no prior knowledge of the joint distribution, one pass, integers. Rule: Shnayder, Agarwal,
Frongillo, Parkes 2016.
"""

import numpy as np
import numpy.typing as npt

from chaincode.mtpp.counts import Counts, joint_counts, label_counts, products_with, task_counts
from chaincode.mtpp.dasgupta_ghosh import DasguptaGhosh, closed_form
from chaincode.mtpp.rule import Reports, Scores, View


class CorrelatedAgreement(DasguptaGhosh):
    """s = Σ_ab S_ab·(Q·N_ab − r_a·c_b), S_ab = 1 iff a and b go together among the n' = n − 2 others.

    With m_t = how many of the others use each symbol on task t, J = Σ_t (m_t m_tᵀ − diag m_t), R = Σ_t m_t:
    S_ab = 1 iff J_ab·Q·n' > (n' − 1)·R_a·R_b. Fewer than two others: S = identity (Dasgupta-Ghosh).

    Overflow: J_ab ≤ Q·n'² and R_a ≤ Q·n', so both sides are at most Q²·n'³ < 2^62. |s| ≤ Q² ≤ 2^32.
    """

    name = "correlated-agreement"

    def bounds(self, tasks: int, alphabet: int) -> tuple[int, int]:
        """± the greatest s of Dasgupta-Ghosh.

        For any S, |s| ≤ Q² × the total variation distance of joint and product, greatest when one report is a
        function of the other and its labels are even.
        """
        greatest = super().bounds(tasks, alphabet)[1]
        return -greatest, greatest

    def cost(self, clients: int, tasks: int, alphabet: int) -> int:
        """A product over all pairs, half of them counted, and a pair's C² entries, of about 1,000 tasks' weight."""
        return clients * clients * alphabet * alphabet * (tasks + 1000) // 2

    def _score(self, reports: Reports, alphabet: int, view: View) -> Scores:
        clients, tasks = reports.shape
        if clients < 4:
            return closed_form(reports, alphabet)
        counts = label_counts(reports, alphabet)
        others = _Others(reports, alphabet, counts)
        scores = np.zeros((clients, clients), np.int64)
        for rows, columns, joint in joint_counts(reports, alphabet):
            together = others.together(rows, columns, joint)
            delta = tasks * joint - counts[rows, None, :, None] * counts[None, columns, None, :]
            scores[rows, columns] = np.where(together, delta, 0).sum((2, 3))
            scores[columns, rows] = scores[rows, columns].T  # S is symmetric, so s(i, j) = s(j, i)
        return scores


class _Others:
    """J and R of all clients but a pair x, y, from sums over all clients.

    With M = m + x + y (one-hot), mᵀm = MᵀM − (Mᵀx + xᵀM − xᵀx) − (Mᵀy + yᵀM − yᵀy) + xᵀy + yᵀx.
    xᵀx = diag r.
    """

    def __init__(self, reports: Reports, alphabet: int, counts: Counts) -> None:
        self._clients, self._tasks = reports.shape
        self._counts = counts
        self._total = counts.sum(0)
        everyone = task_counts(reports, alphabet)
        self._squares = (everyone.T.astype(np.float64) @ everyone).astype(np.int64)  # at most 2^36: exact
        mixed = products_with(everyone, reports, alphabet)
        self._own = mixed + mixed.transpose(0, 2, 1)
        diagonal = np.arange(alphabet)
        self._own[:, diagonal, diagonal] -= counts

    def together(self, rows: slice, columns: slice, joint: Counts) -> npt.NDArray[np.bool_]:
        """S for a block of pairs: joint counts (rows, columns, C, C) → bool of the same shape."""
        n = self._clients - 2
        labels = self._total - self._counts[rows, None] - self._counts[None, columns]
        pairs = self._squares - self._own[rows, None] - self._own[None, columns]
        pairs += joint
        pairs += joint.transpose(0, 1, 3, 2)
        diagonal = np.arange(labels.shape[2])
        pairs[:, :, diagonal, diagonal] -= labels
        pairs *= self._tasks * n
        together: npt.NDArray[np.bool_] = pairs > ((n - 1) * labels)[:, :, :, None] * labels[:, :, None, :]
        return together
