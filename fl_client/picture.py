"""A job in one picture: what each client has earned, and how well the model does, round by round."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fl_client.results import JobResult

# Okabe and Ito's palette, which colour-blind readers can tell apart; line and marker repeat the distinction
_STYLES = (
    ("#0072B2", "-", "o"),
    ("#D55E00", "--", "X"),
    ("#CC79A7", "-.", "s"),
    ("#009E73", ":", "^"),
    ("#E69F00", "--", "D"),
    ("#56B4E9", "-.", "v"),
    ("#000000", ":", "P"),
)
_LABEL = 0.25  # inches a label takes
_LEADER = {"arrowstyle": "-", "lw": 1.3, "shrinkA": 1, "shrinkB": 4, "relpos": (0, 0.5)}
_INK, _FAINT = "#222222", "#d9d9d9"


def picture(result: JobResult, path: Path) -> None:
    """Write a PNG (about 1,800 × 800 pixels): cumulative pay by client, coloured by behaviour, and
    the global model's accuracy if it was measured."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with rc_context({"font.size": 11, "axes.edgecolor": _INK, "text.color": _INK}):
        height = max(5.8, 1.8 + _LABEL * len(result.clients))
        figure = Figure(figsize=(13, height), dpi=140, layout=ConstrainedLayoutEngine(h_pad=0.12))
        if result.accuracy:
            left, right = figure.subplots(1, 2, width_ratios=(1.9, 1))
            _accuracy(right, result)
        else:
            left = figure.subplots()
        _pay(left, result, _LABEL / (height - 1.4))
        title = f"Job {result.job}, mechanism {result.mechanism}: what each client earned"
        figure.suptitle(title.replace("$", r"\$"), x=0.005, ha="left", fontsize=14)
        figure.savefig(path, format="png")


def styles(result: JobResult) -> dict[str, tuple[str, str, str]]:
    """Behaviour → (colour, line, marker); ``honest`` always gets the first."""
    names = sorted({client.behaviour for client in result.clients}, key=lambda name: (name != "honest", name))
    return dict(zip(names, itertools.cycle(_STYLES), strict=False))


def cumulative(result: JobResult, member: str) -> list[float]:
    """Tokens the member has earned before round one and after each round."""
    paid = [r.outcomes[member].payment if member in r.outcomes else 0 for r in result.rounds]
    return [units / 10**result.decimals for units in itertools.accumulate(paid, initial=0)]


def spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions for labels: the nearest to ``values`` in the same order, at least ``gap`` apart, and in
    [low, high] as far as they fit."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    places = [values[i] - rank * gap for rank, i in enumerate(order)]
    top = max(low, high - gap * (len(values) - 1))
    level = [min(max(place, low), top) for place in _monotone(places)]
    result = [0.0] * len(values)
    for rank, i in enumerate(order):
        result[i] = level[rank] + rank * gap
    return result


def _monotone(values: Sequence[float]) -> list[float]:
    """The closest non-decreasing sequence in least squares (pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        total, count = value, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            before = blocks.pop()
            total, count = total + before[0], count + before[1]
        blocks.append((total, count))
    return [total / count for total, count in blocks for _ in range(count)]


def _pay(axes: Any, result: JobResult, gap: float) -> None:
    """``gap``: a label's height as a share of the axes'."""
    look = styles(result)
    curves = {client.member: cumulative(result, client.member) for client in result.clients}
    for client in result.clients:
        colour, line, marker = look[client.behaviour]
        axes.plot(curves[client.member], color=colour, ls=line, marker=marker, ms=6, lw=2, clip_on=False)
    _frame(axes, "Pay so far, in tokens", len(result.rounds))
    axes.axhline(0, color=_INK, lw=0.8)
    _pay_labels(axes, result, [curves[client.member][-1] for client in result.clients], gap)


def _pay_labels(axes: Any, result: JobResult, ends: Sequence[float], gap: float) -> None:
    """Each client's name and pay at the end of its line, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    places = spread(ends, gap * (high - low), low, high)
    last, look = max(len(result.rounds), 1), styles(result)
    for client, end, place in zip(result.clients, ends, places, strict=True):
        text = f"{client.name}  {client.behaviour}  {end:,.{result.decimals}f}".replace("$", r"\$")
        axes.annotate(
            text,
            (len(result.rounds), end),
            (last * 1.07, place),
            va="center",
            fontsize=10,
            annotation_clip=False,
            arrowprops={**_LEADER, "color": look[client.behaviour][0]},
        )


def _accuracy(axes: Any, result: JobResult) -> None:
    axes.plot(result.accuracy, color=_INK, marker="o", ms=6, lw=2, clip_on=False)
    for done, value in enumerate(result.accuracy):
        if done == 0:
            _note(axes, done, value, (9, -5), "left")
        elif done == len(result.accuracy) - 1 or len(result.accuracy) <= 8:
            _note(axes, done, value, (-5, 8), "right")
    axes.set_ylim(0, 1)
    _frame(axes, "Accuracy of the global model", max(len(result.accuracy) - 1, 0))


def _note(axes: Any, done: int, value: float, offset: tuple[int, int], side: str) -> None:
    axes.annotate(f"{value:.2f}", (done, value), offset, textcoords="offset points", ha=side, fontsize=10)


def _frame(axes: Any, title: str, rounds: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
    axes.set_xlabel("Rounds completed")
    axes.set_xlim(0, max(rounds, 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=_FAINT, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
