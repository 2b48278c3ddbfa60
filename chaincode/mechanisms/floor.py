"""Qualify-and-vest above a floor: what the weaker ones of the others would earn is not paid, as far as data is even.

What a model earns is flat in its data above a third, so most of the pay is for work that a tenth of the data does as
well. Here half of a low score among the others (the lower quartile of q, found without the member) is taken off
everybody's q. A member's own report changes nothing about its floor, so the pay stays linear in its score, and what
maximised the score maximises the pay.

A floor would turn honest pay negative where labels are skewed. So it comes off only as far as the others hold the
same labels: the median overlap of two of them, Σ_k min(share of k, share of k), counts from .4 on and fully from .7.
One member alone moves neither the quartile nor the median of the others far; its own floor not at all.

An option for data that is even in size as well: who honestly holds a tenth of what the others do earns little, or
loses (docs/incentives.md).
"""

from collections.abc import Sequence

import numpy as np

from chaincode.mechanisms.base import Case, stacked
from chaincode.mechanisms.qualify_and_vest import QualifyAndVest, Valued
from chaincode.mtpp.counts import label_counts
from chaincode.mtpp.payment import Combine, combine
from chaincode.mtpp.rule import Integers, Rule, Scores

FEWEST = 3  # peers, for a quartile and for pairs that differ
NONE, FULL = 4, 7  # tenths of the overlap at which the floor begins and is whole


class QualifyAndVestFloor(QualifyAndVest):
    """q = s − floor, of the same norm; no gain exceeds that of `qualify-and-vest`, and no loss its cap."""

    name = "qualify-and-vest-floor"

    def cost(self, rule: Rule, clients: int, tasks: int, alphabet: int) -> int:
        """See Mechanism: besides, everybody's score among everybody's peers."""
        return super().cost(rule, clients, tasks, alphabet) + clients * clients * (128 * clients + alphabet)

    def _valued(self, case: Case, matrix: Scores) -> Valued:
        plain = super()._valued(case, matrix)
        common = _common_labels(stacked(case.reports), case.alphabet)
        tasks = len(next(iter(case.reports.values())))

        def value(member: int, peers: Sequence[int]) -> int:
            if len(peers) < FEWEST:
                return plain(member, peers)
            apart = ~np.eye(len(peers), dtype=bool)
            alone = matrix[np.ix_(peers, peers)][apart].reshape(len(peers), -1)
            low = max(0, sorted(_combined(alone, case.how))[len(peers) // 4])
            even = _combined(common[np.ix_(peers, peers)][np.triu_indices(len(peers), 1)][None], "median")[0]
            counted = min((FULL - NONE) * tasks, max(0, 10 * even - NONE * tasks))
            return plain(member, peers) - low * counted // (2 * (FULL - NONE) * tasks)

        return value


def _combined(scores: Scores, how: Combine) -> list[int]:
    """`combine` of each row, fast."""
    rows: list[list[int]] = scores.tolist()
    if how == "median":
        middle = (scores.shape[1] - 1) // 2
        rows = np.partition(scores, middle, axis=1)[:, middle, None].tolist()
    return [combine(row, how) for row in rows]


def _common_labels(reports: Integers, alphabet: int) -> Scores:
    """Σ_k min(how often i says k, how often j does), of all pairs: (n, Q) → (n, n), at most Q."""
    counts = label_counts(np.ascontiguousarray(reports, np.uint8), alphabet)
    common: Scores = np.stack([np.minimum(counts, row).sum(1) for row in counts]).astype(np.int64)
    return common
