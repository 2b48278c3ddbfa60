"""Peer truth serum: a match is worth the more, the rarer the label. A baseline.

Source: Radanovic, Faltings, Jurca 2016, "Incentives for effort in crowdsourcing using the peer truth serum".
"""

import numpy as np

from chaincode.mtpp.counts import label_counts, symbol_agreements
from chaincode.mtpp.rule import Reports, Rule, Scores, View

UNIT = 1 << 16
RAREST = 4  # a label's share counts as at least 1/(4C)


class PeerTruthSerum(Rule):
    """s = Σ_t 1[x_t = y_t = k]·min(4C·U, ⌊U/R_k⌋), U = 2^16, R_k = label k's share of the others' symbols.

    The cap on 1/R keeps stake and pool finite: without it one match on a label nobody else uses is worth
    everything. Without other clients R is uniform. The norm Q·C·U is the score of full agreement under
    uniform labels. s ≤ 4·Q·C·U ≤ 2^42.
    """

    name = "peer-truth-serum"

    def norm(self, tasks: int, alphabet: int) -> int:
        return tasks * alphabet * UNIT

    def bounds(self, tasks: int, alphabet: int) -> tuple[int, int]:
        return 0, RAREST * tasks * alphabet * UNIT

    def _score(self, reports: Reports, alphabet: int, view: View) -> Scores:
        clients, tasks = reports.shape
        symbols = max(0, clients - 2) * tasks  # of the others; U·symbols ≤ 2^42
        counts = label_counts(reports, alphabet)
        total = counts.sum(0)
        scores = np.zeros((clients, clients), np.int64)
        for k in range(alphabet):
            used = total[k] - counts[:, k, None] - counts[None, :, k]
            share = UNIT * symbols // np.maximum(used, 1) if symbols else np.full_like(used, UNIT * alphabet)
            worth = np.where(used > 0, share, UNIT * RAREST * alphabet) if symbols else share
            scores += np.minimum(worth, UNIT * RAREST * alphabet) * symbol_agreements(reports, k)
        return scores
