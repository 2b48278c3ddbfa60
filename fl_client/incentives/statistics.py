"""From played worlds to the numbers that are reported. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from fl_client.incentives.evaluate import Attack, Contribution, Honest, Scheme
from fl_client.incentives.measures import MEASURES
from fl_client.incentives.world import Setting

JOB = "job"  # the "round" that stands for all rounds together


class Row(msgspec.Struct, frozen=True):
    """What an attack earns under one scheme, over all worlds and places of one kind.

    Pay is that of all the attacker's identities together. p_cross: P(an honest client of the attacked world earns
    more). p_paired: P(the replaced client earns more when honest). Ties count against the honest. pay_ratio: the
    attacker's mean pay ÷ the mean pay of the clients it replaces, were they honest. honest_pay: that mean, as a
    share of the price.
    """

    problem: str
    attack: str
    mechanism: str
    rule: str
    round: int | str
    split: str
    clients: int
    tasks: int
    repetitions: int
    p_cross: float
    p_paired: float
    pay_ratio: float
    honest_pay: float


class Fairness(msgspec.Struct, frozen=True):
    """How the honest fare in a whole job when everybody is honest; rank correlations are means over worlds."""

    problem: str
    mechanism: str
    rule: str
    split: str
    clients: int
    worlds: int
    honest_pay: float
    worst_share: float  # the worst-paid client's pay ÷ the mean, averaged over worlds
    below_zero: float  # share of clients whose pay is negative
    flagged: float  # share of worlds in which somebody is taken for a duplicate
    refused: float  # share of honest updates that the light check refuses
    with_accuracy: float | None = None
    with_leave_one_out: float | None = None
    with_shapley: float | None = None


class MeasureRow(msgspec.Struct, frozen=True):
    """One measure of the literature, over all worlds of one kind."""

    problem: str
    measure: str
    split: str
    worlds: int
    federations: float  # trained for it, mean a world
    seconds: float  # of the lab's trainer, what was trained before not counted
    with_accuracy: float
    with_shapley: float
    attacks: dict[str, float] = {}  # attack → its value ÷ the honest mean, where the measure reads reports


def rows(scheme: Scheme, name: str, pairs: Sequence[tuple[Setting, Honest, Attack]]) -> list[Row]:
    """One row a round and one for the whole job, of worlds that differ in their seed (and place) only."""
    setting, key = pairs[0][0], str(scheme)
    own = np.array([attack.attacker[key] for _, _, attack in pairs])  # (pairs, rounds)
    honest = np.array([np.mean(np.array(h.pay[key])[:, attack.replaced], axis=1) for _, h, attack in pairs])
    others = [np.array(attack.honest[key]) for _, _, attack in pairs]  # each (rounds, honest clients)
    found = []
    for number in (*range(1, setting.rounds + 1), JOB):
        pick = slice(None) if number == JOB else slice(int(number) - 1, int(number))
        mine, theirs = own[:, pick].sum(1), honest[:, pick].sum(1)
        beaten = np.concatenate([o[pick].sum(0) > m for o, m in zip(others, mine, strict=True)])
        mean = float(theirs.mean())
        found.append(
            Row(
                setting.problem,
                name,
                scheme.mechanism,
                scheme.rule,
                number,
                setting.split,
                setting.clients,
                setting.tasks,
                len(pairs),
                _round(beaten.mean()),
                _round((theirs > mine).mean()),
                _round(mine.mean() / mean) if mean else 0.0,
                _round(mean),
            )
        )
    return found


def fairness(scheme: Scheme, worlds: Sequence[tuple[Setting, Honest, Contribution | None]]) -> Fairness:
    """How the honest fare."""
    setting, key = worlds[0][0], str(scheme)
    totals = [np.sum(honest.pay[key], axis=0) for _, honest, _ in worlds]
    means = [float(total.mean()) for total in totals]
    return Fairness(
        setting.problem,
        scheme.mechanism,
        scheme.rule,
        setting.split,
        setting.clients,
        len(worlds),
        _round(np.mean(means)),
        _round(np.mean([t.min() / m for t, m in zip(totals, means, strict=True) if m])),
        _round(np.mean(np.concatenate(totals) < 0)),
        _round(np.mean([honest.flagged[key] for _, honest, _ in worlds])),
        _round(np.mean([honest.refused for _, honest, _ in worlds])),
        *(
            _mean(
                rank_correlation(total, c.measures[name].values)
                for total, (_, _, c) in zip(totals, worlds, strict=True)
                if c is not None
            )
            for name in ("local-accuracy", "leave-one-out", "shapley")
        ),
    )


def measure_rows(
    contributions: Sequence[tuple[Setting, Contribution]], attacks: dict[str, Sequence[Attack]]
) -> list[MeasureRow]:
    """What each measure costs, and how it orders the clients."""
    if not contributions:
        return []
    setting = contributions[0][0]
    found = []
    for name in MEASURES:
        all_of = [c.measures for _, c in contributions]

        def along(other: str, measured: list = all_of, name: str = name) -> float:  # type: ignore[type-arg]
            pairs = (rank_correlation(m[name].values, m[other].values) for m in measured)
            return _mean(pairs) or 0.0

        found.append(
            MeasureRow(
                setting.problem,
                name,
                setting.split,
                len(contributions),
                _round(np.mean([m[name].federations for m in all_of])),
                _round(np.mean([c.seconds[name] for _, c in contributions])),
                along("local-accuracy"),
                along("shapley"),
                {
                    attack: _round(
                        sum(a.measures[name][0] for a in played) / sum(a.measures[name][1] for a in played)
                    )
                    for attack, played in attacks.items()
                    if all(name in a.measures for a in played)
                },
            )
        )
    return found


def rank_correlation(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float | None:
    """Spearman's; None if either does not vary."""
    x, y = _ranks(np.asarray(a, float)), _ranks(np.asarray(b, float))
    if x.std() == 0 or y.std() == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, ties sharing their mean."""
    below = (values[None, :] < values[:, None]).sum(1)
    return np.asarray(below + ((values[None, :] == values[:, None]).sum(1) - 1) / 2)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _round(np.mean(known)) if known else None


def _round(value: float | np.floating) -> float:
    return round(float(value), 4)
