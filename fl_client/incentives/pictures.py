"""The lab in pictures: every attack's pay as a share of honest pay, one panel a mechanism."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fl_client.incentives.statistics import JOB, Row

if TYPE_CHECKING:
    from fl_client.incentives.lab import Findings

# Okabe and Ito's palette; the markers repeat the distinction
_LOOK = {"iid": ("#0072B2", "o"), "1": ("#009E73", "^"), ".5": ("#E69F00", "s"), ".1": ("#D55E00", "D")}
_NAME = {"iid": "IID", "1": "Dirichlet 1", ".5": "Dirichlet .5", ".1": "Dirichlet .1"}
_INK, _FAINT = "#222222", "#d9d9d9"
_FROM, _TO = -0.6, 2.25


def pictures(findings: Findings, directory: Path) -> list[Path]:
    """One PNG a problem; their paths."""
    return [
        _picture(findings, problem, directory / f"{problem.replace(':', '.')}.png")
        for problem in findings.plan.problems
    ]


def _picture(findings: Findings, problem: str, path: Path) -> Path:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    plan = findings.plan
    jobs = [row for row in findings.rows if row.round == JOB and row.problem == problem]
    attacks = plan.attacks[::-1]
    with rc_context({"font.size": 10, "axes.edgecolor": _INK, "text.color": _INK}):
        size = (2.6 + 2.9 * len(plan.schemes), 1.6 + 0.24 * len(attacks))
        figure = Figure(figsize=size, dpi=110, layout="constrained")
        panels = figure.subplots(1, len(plan.schemes), sharey=True, squeeze=False)[0]
        for axes, scheme in zip(panels, plan.schemes, strict=True):
            mine = [row for row in jobs if (row.mechanism, row.rule) == (scheme.mechanism, scheme.rule)]
            _panel(axes, mine, attacks, plan.splits)
            axes.set_title(f"{scheme.mechanism}\n{scheme.rule}", loc="left", fontsize=10, fontweight="bold")
        panels[0].set_yticks(range(len(attacks)), attacks)
        _legend(figure, panels[0], plan.splits)
        title = f"{problem}: what an attack earns in a job of {plan.rounds} rounds ÷ one honest client's pay"
        figure.suptitle(title, x=0.005, ha="left", fontsize=12)
        figure.savefig(path, format="png")
    return path


def _panel(axes: Any, rows: list[Row], attacks: list[str], splits: list[str]) -> None:
    """A mark a split; values beyond the frame stand at its edge, as an arrow."""
    for row in rows:
        colour, marker = _LOOK[row.split]
        value = min(max(row.pay_ratio, _FROM), _TO)
        beyond = "<" if row.pay_ratio < _FROM else ">" if row.pay_ratio > _TO else marker
        height = attacks.index(row.attack) + 0.16 * (len(splits) / 2 - 0.5 - splits.index(row.split))
        axes.plot(value, height, marker=beyond, color=colour, ms=4.5, ls="", clip_on=False)
    axes.axvline(0, color=_INK, lw=0.8)
    axes.axvline(1, color=_INK, lw=0.8, ls="--")
    axes.set_xlim(_FROM, _TO)
    axes.set_ylim(-0.6, len(attacks) - 0.4)
    axes.set_xticks([0, 0.5, 1, 1.5, 2])
    axes.grid(axis="both", color=_FAINT, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _legend(figure: Any, axes: Any, splits: list[str]) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], color=_LOOK[s][0], marker=_LOOK[s][1], ls="", ms=6, label=_NAME[s]) for s in splits
    ]
    figure.legend(handles=marks, loc="outside lower left", ncols=len(marks), frameon=False)
