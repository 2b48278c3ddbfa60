"""Dasgupta-Ghosh: agree where it counts, not where everybody agrees anyway.

Source: Dasgupta & Ghosh 2013, "Crowdsourced judgement elicitation with endogenous proficiency"; with more
than two symbols Shnayder et al. 2016, Correlated Agreement with S = identity.
"""

import numpy as np

from chaincode.mtpp.counts import agreements, label_counts
from chaincode.mtpp.rule import Reports, Rule, Scores, View


class DasguptaGhosh(Rule):
    """s = Q·Σ_k N_kk − Σ_k r_k·c_k.

    That is Q(Q − 1) × the mean of 1[x_b = y_b] − 1[x_b' = y_b''] over all choices of one bonus task b and two
    penalty tasks b' ≠ b''. Truthful when signals are categorical. |s| ≤ Q² ≤ 2^32.
    """

    name = "dasgupta-ghosh"

    def norm(self, tasks: int, alphabet: int) -> int:
        return tasks * tasks

    def bounds(self, tasks: int, alphabet: int) -> tuple[int, int]:
        """−2⌊Q²/4⌋ (two labels, each half, swapped) to Q² − the least Σ n_k² (full agreement)."""
        return -2 * (tasks * tasks // 4), tasks * tasks - _least_square_sum(tasks, alphabet)

    def _score(self, reports: Reports, alphabet: int, view: View) -> Scores:
        return closed_form(reports, alphabet)


def closed_form(reports: Reports, alphabet: int) -> Scores:
    """Q·agreements − label counts · label countsᵀ, for all pairs: (n, Q) → (n, n)."""
    counts = label_counts(reports, alphabet)
    scores: Scores = reports.shape[1] * agreements(reports, alphabet) - np.matmul(counts, counts.T)
    return scores


def _least_square_sum(tasks: int, alphabet: int) -> int:
    """The least Σ n_k² of C whole numbers that sum to Q."""
    each, more = divmod(tasks, alphabet)
    return more * (each + 1) ** 2 + (alphabet - more) * each**2
