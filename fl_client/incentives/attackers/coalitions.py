"""Several identities with one will: a shared vector, copies of one honest report, one owner's data used twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from chaincode.mtpp.duplicates import ONE, overlap
from fl_client.incentives.attackers.base import Coalition, noisy, view
from fl_client.training.behaviour import Honest, Work

Reports = list[np.ndarray]
COIN, HIDDEN, MORE = 0.6, 0.38, 0.04  # of tuned copies: share of unsure tasks, and the overlaps they dare


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


class TunedCopies(Coalition):
    """One works honestly; the others copy it with second labels on as many of its least sure tasks as make the copies
    no more alike than honest clients are. How alike those are it guesses from models of thirds of its own data."""

    def reports(self, works: Sequence[Work], honest: Sequence[np.ndarray]) -> Reports:
        """See Coalition."""
        work = works[0]
        first, second, margin = view(work, _honest_model(work))
        apart = [part.trainer.predict(_honest_model(part), part.batch) for part in _parts(work, 3)]
        return [honest[0], *(_hidden(each, apart, first, second, margin) for each in works[1:])]


class ResampledData(Coalition):
    """Each, the owner included, trains on a bootstrap sample of the first one's data."""

    def reports(self, works: Sequence[Work], honest: Sequence[np.ndarray]) -> Reports:
        """See Coalition."""
        owner, size = works[0], len(works[0].x)
        picked = [(work, work.rng.integers(0, size, size)) for work in works]
        sampled = [replace(work, x=owner.x[items], y=owner.y[items]) for work, items in picked]
        return [work.trainer.predict(_honest_model(work), work.batch) for work in sampled]


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
        return [part.trainer.predict(_honest_model(part), part.batch) for part in _parts(works[0], 2)]


def _parts(work: Work, count: int) -> list[Work]:
    """The work of each of so many identities who share its data out."""
    order = np.random.default_rng(len(work.x)).permutation(len(work.x))
    parts = [order[place::count] for place in range(count)]
    return [replace(work, x=work.x[part], y=work.y[part], seed=work.seed + i) for i, part in enumerate(parts)]


def _hidden(
    work: Work, apart: Reports, first: np.ndarray, second: np.ndarray, margin: np.ndarray
) -> np.ndarray:
    """The copy with the fewest second labels whose overlap with the first ones is no greater than between ``apart``."""
    coin = work.rng.random(len(first)) < COIN
    pairs = np.triu_indices(len(apart), 1)
    copy = first
    for twentieths in range(1, 14):
        copy = np.where((margin <= np.quantile(margin, twentieths / 20)) & coin, second, first)
        shared = overlap(np.stack([first, copy, *apart]), work.alphabet) / ONE
        if shared[0, 1] < max(HIDDEN, np.median(shared[2:, 2:][pairs]) + MORE):
            break
    return copy


def _honest_model(work: Work) -> Sequence[np.ndarray]:
    honest = Honest()
    return honest.report_model(work, [] if work.local_only else honest.train(work))
