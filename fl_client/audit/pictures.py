"""The report's plots, as SVG for a page: pay by member, scores by round, where all money was."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any

from fl_client.audit.findings import HOSTILE, Report

# Okabe and Ito's palette, which colour-blind readers can tell apart
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_INK, _FAINT = "#222222", "#d9d9d9"
_KINDS = ("credits", "deposits", "locks", "escrows")


def pictures(report: Report) -> list[tuple[str, str]]:
    """Title and SVG of each plot there is something to show in."""
    wanted: list[tuple[str, Callable[[Any, Report], None]]] = []
    if report.scores:
        wanted.append(("Pay of each member, cumulative, in units", _pay))
    if any(each.norm for each in report.scores):
        wanted.append(("Scores as a share of the best possible, by round", _scores))
    if any(each.minted for each in report.totals):
        wanted.append(("Where all money was after each block, in units", _money))
    found = []
    for title, fill in wanted:
        try:
            found.append((title, _draw(fill, report)))
        except HOSTILE:  # forged numbers may be larger than any axis
            if report.clean:
                raise
    return found


def _draw(fill: Callable[[Any, Report], None], report: Report) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    settings: Any = {
        "font.size": 10,
        "axes.edgecolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "text.color": _INK,
        "svg.hashsalt": "candor",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "text.parse_math": False,  # a forged name is no formula
    }
    with rc_context(settings):
        figure = Figure(figsize=(8.6, 3.6), layout="constrained")
        axes = figure.subplots()
        fill(axes, report)
        axes.grid(axis="y", color=_FAINT, lw=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        raw = io.StringIO()
        figure.savefig(raw, format="svg", metadata={"Date": None}, transparent=True)
    text = raw.getvalue()
    text = text[text.index("<svg") :]
    for colour, named in (
        (_INK, "currentColor"),
        (COLOURS[-1].lower(), "currentColor"),
        (_FAINT, "var(--faint)"),
    ):
        text = text.replace(colour, named)  # the page says what they are, by day and by night
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', 'width="100%"', text, count=1)


def _pay(axes: Any, report: Report) -> None:
    rounds = sorted({each.round for each in report.scores})
    alike: dict[tuple[int, ...], list[str]] = {}  # who is paid alike has one line
    for member in _members(report):
        paid = {each.round: each.payment - each.slashed for each in report.scores if each.member == member}
        sums = tuple(accumulate((paid.get(number, 0) for number in rounds), initial=0))
        alike.setdefault(sums, []).append(_short(member))
    for index, (sums, names) in enumerate(alike.items()):
        colour, line = COLOURS[index % len(COLOURS)], ("-", "--", ":")[index // len(COLOURS) % 3]
        label = "\n".join(names[:4]) + (f"\nand {len(names) - 4} more" if len(names) > 4 else "")
        axes.plot(range(len(sums)), sums, line, color=colour, lw=2, marker="o", ms=5, label=label)
    axes.axhline(0, color=_INK, lw=0.8)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    _rounds(axes, [0, *rounds])
    _legend(axes)


def _scores(axes: Any, report: Report) -> None:
    rounds, members = sorted({each.round for each in report.scores if each.norm}), _members(report)
    width = 0.8 / max(1, len(members))
    for index, member in enumerate(members):
        own = {each.round: each for each in report.scores if each.member == member}
        heights = [own[n].score / own[n].norm if n in own and own[n].norm else 0.0 for n in rounds]
        places = [place + (index - (len(members) - 1) / 2) * width for place in range(len(rounds))]
        colour = COLOURS[index % len(COLOURS)]
        axes.bar(places, heights, width * 0.9, color=colour, label=_short(member))
    axes.set_ylim(top=max(1.0, axes.get_ylim()[1]))
    axes.axhline(0, color=_INK, lw=0.8)
    _rounds(axes, rounds)
    _legend(axes)


def _money(axes: Any, report: Report) -> None:
    blocks = [each.block for each in report.totals]
    layers = [[getattr(each, kind) for each in report.totals] for kind in _KINDS]
    shown = [(kind, layer) for kind, layer in zip(_KINDS, layers, strict=True) if any(layer)]
    axes.stackplot(
        blocks,
        *(layer for _, layer in shown),
        labels=[kind for kind, _ in shown],
        colors=[COLOURS[_KINDS.index(kind)] for kind, _ in shown],
        alpha=0.75,
        step="post",
    )
    axes.step(
        blocks, [each.minted for each in report.totals], where="post", color=_INK, lw=1.5, label="minted"
    )
    axes.set_xlabel("block")
    axes.set_xlim(blocks[0], max(blocks[-1], blocks[0] + 1))
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    _legend(axes)


def _rounds(axes: Any, rounds: list[int]) -> None:
    axes.set_xticks(range(len(rounds)), [str(number) for number in rounds])
    axes.set_xlabel("round")


def _legend(axes: Any) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)


def _members(report: Report) -> list[str]:
    return sorted({each.member for each in report.scores})


def _short(member: str) -> str:
    msp_id, _, key = member.partition(":")
    return f"{msp_id}:{key[:8]}"
