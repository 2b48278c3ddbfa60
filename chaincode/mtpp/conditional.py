"""Conditional: Dasgupta-Ghosh within each stratum of a public label, so that copying it earns exactly 0.

Source: facts on the mechanism, rule CZ.
"""

import numpy as np

from chaincode.mtpp.dasgupta_ghosh import DasguptaGhosh, closed_form
from chaincode.mtpp.rule import Reports, Scores, View


class Conditional(DasguptaGhosh):
    """s = Σ_z Σ_k (Q_z·N^z_kk − r^z_k·c^z_k), z = the public model's label of a task.

    Whoever reports a function of z scores exactly 0. Bounds and norm are those of one stratum: more strata
    only bring a score nearer to 0.
    """

    name = "conditional"
    needs = ("z",)

    def _score(self, reports: Reports, alphabet: int, view: View) -> Scores:
        clients, tasks = reports.shape
        z = view.field("z", tasks)
        scores = np.zeros((clients, clients), np.int64)
        for label in np.unique(z):
            scores += closed_form(np.ascontiguousarray(reports[:, z == label]), alphabet)
        return scores
