"""Several identities with one will: a shared vector, copies of one honest report, one owner's data used twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from fl_client.incentives.attackers.base import Coalition, noisy, view
from fl_client.training.behaviour import Honest, Work

Reports = list[np.ndarray]


class SharedRandom(Coalition):
    """All report one random vector."""

    needs_data = False

    def reports(self, works: Sequence[Work], honest: Sequence[np.ndarray]) -> Reports:
        """See Coalition."""
        work = works[0]
        shared = work.rng.integers(0, work.alphabet, len(work.batch), dtype=np.int64)
        return [shared for _ in works]


class ExactCopies(Coalition):
    """One works honestly, the others copy its report with ``noise`` of their own."""

    noise: ClassVar[float] = 0.0

    def reports(self, works: Sequence[Work], honest: Sequence[np.ndarray]) -> Reports:
        """See Coalition."""
        copies = [noisy(work.rng, honest[0], work.alphabet, self.noise) for work in works[1:]]
        return [honest[0], *copies]


class NoisyCopies10(ExactCopies):
    """Copies, 10 % drawn at random."""

    noise = 0.1


class NoisyCopies30(ExactCopies):
    """Copies, 30 % drawn at random."""

    noise = 0.3


class SecondChoices(Coalition):
    """One works honestly; each of the others copies its model's first labels, but second ones on a random half of
    the half of the tasks where that model is least sure: copies that differ where honest clients would."""

    def reports(self, works: Sequence[Work], honest: Sequence[np.ndarray]) -> Reports:
        """See Coalition."""
        weights = _honest_model(works[0])
        first, second, margin = view(works[0], weights)
        unsure = margin < np.median(margin)
        differ = [work.rng.random(len(first)) < 0.5 for work in works[1:]]
        return [honest[0], *(np.where(unsure & half, second, first) for half in differ)]


class SameData(Coalition):
    """Each trains a model of its own, with its own seed, but all on the first one's data."""

    def reports(self, works: Sequence[Work], honest: Sequence[np.ndarray]) -> Reports:
        """See Coalition."""
        shared = [replace(work, x=works[0].x, y=works[0].y) for work in works[1:]]
        return [honest[0], *(work.trainer.predict(_honest_model(work), work.batch) for work in shared)]


class TwoIdentities(Coalition):
    """One owner of data takes part twice, each identity with half of its data."""

    extra = 1
    size = 1

    def reports(self, works: Sequence[Work], honest: Sequence[np.ndarray]) -> Reports:
        """See Coalition."""
        work = works[0]
        order = np.random.default_rng(len(work.x)).permutation(len(work.x))
        halves = order[::2], order[1::2]
        owned = [
            replace(work, x=work.x[half], y=work.y[half], seed=work.seed + place)
            for place, half in enumerate(halves)
        ]
        return [half.trainer.predict(_honest_model(half), half.batch) for half in owned]


def _honest_model(work: Work) -> Sequence[np.ndarray]:
    honest = Honest()
    return honest.report_model(work, [] if work.local_only else honest.train(work))
