"""What the lab found, as tables for a person, JSON for machines, and pictures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from fl_client.incentives.attackers import ATTACKERS
from fl_client.incentives.evaluate import Scheme
from fl_client.incentives.lab import Findings
from fl_client.incentives.pictures import pictures
from fl_client.incentives.statistics import JOB, Fairness, MeasureRow, Row

_WIDTH = 160  # columns of tables.txt
_SHORT = {
    "dasgupta-ghosh": "DG",
    "correlated-agreement": "CA",
    "conditional": "CZ",
    "matched-blocks": "MB",
    "peer-truth-serum": "PTS",
    "output-agreement": "OA",
    "determinant": "DMI",
}
_READING = (
    "Each cell: what the attacker's identities earn in the whole job ÷ one honest client's pay, then "
    "P(honest earns more), across clients / paired with its own honest pay."
)


def show(findings: Findings, console: Console | None = None) -> None:
    """Print every table."""
    target = console or Console()
    for each in tables(findings):
        target.print(each)
    target.print(_READING)
    for warning in warnings(findings):
        target.print(f"[bold]Warning:[/bold] {warning}")


def write(findings: Findings, directory: Path) -> list[Path]:
    """incentives.json, rows.json, tables.txt and one picture a problem; their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    everything, rows, text = (directory / name for name in ("incentives.json", "rows.json", "tables.txt"))
    everything.write_bytes(msgspec.json.format(msgspec.json.encode(findings)) + b"\n")
    rows.write_bytes(rows_json(findings) + b"\n")
    with text.open("w", encoding="utf-8") as file:
        show(findings, Console(file=file, width=_WIDTH))
    return [everything, rows, text, *pictures(findings, directory)]


def rows_json(findings: Findings) -> bytes:
    """The attacks' rows as one JSON array."""
    return msgspec.json.format(msgspec.json.encode(findings.rows), indent=1)


def warnings(findings: Findings) -> Iterator[str]:
    """What a reader must not overlook: attacks without private data that earn more than a twentieth of honest pay."""
    worst: dict[tuple[str, str], Row] = {}
    for row in findings.rows:
        if row.round == JOB and _needs_no_data(row.attack) and row.pay_ratio > 0.05:
            key = (row.mechanism, row.rule)
            if key not in worst or row.pay_ratio > worst[key].pay_ratio:
                worst[key] = row
    for row in worst.values():
        yield (
            f"{row.mechanism} with {row.rule} pays {row.attack}, which needs no private data, "
            f"{row.pay_ratio:.2f} of an honest client's pay ({row.problem}, split {row.split})"
        )


def tables(findings: Findings) -> Iterator[RenderableType]:
    """Attacks, fairness and measures, each under its title, for each problem and split."""
    plan = findings.plan
    for problem, split in itertools.product(plan.problems, plan.splits):

        def here(each: Row | Fairness | MeasureRow, problem: str = problem, split: str = split) -> bool:
            return (each.problem, each.split) == (problem, split)

        where = f"{problem}, split {split}, {plan.clients} clients, {plan.rounds} rounds, {plan.tasks} tasks"
        where = escape(where)
        yield f"[bold]What attackers earn in a job: {where}[/bold]"
        yield attack_table(plan.schemes, [row for row in findings.rows if here(row)])
        yield f"[bold]What the honest earn among themselves: {where}[/bold]"
        yield fairness_table([each for each in findings.fairness if here(each)])
        if found := [each for each in findings.measures if here(each)]:
            yield f"[bold]What other measures of contribution cost and say: {where}[/bold]"
            yield measure_table(found)


def attack_table(schemes: Sequence[Scheme], rows: Sequence[Row]) -> Table:
    """An attack a row, a scheme a column: the whole job."""
    grid = _table("Attack", *(_heading(scheme) for scheme in schemes))
    jobs = {(row.attack, row.mechanism, row.rule): row for row in rows if row.round == JOB}
    for name in dict.fromkeys(row.attack for row in rows):
        grid.add_row(name, *(_cell(jobs[name, each.mechanism, each.rule]) for each in schemes))
    return grid


def fairness_table(rows: Sequence[Fairness]) -> Table:
    """A scheme a row."""
    grid = _table(
        "Mechanism",
        "pay",
        "worst\n÷ mean",
        "below\nzero",
        "worlds\nflagged",
        "updates\nrefused",
        "rank corr.:\naccuracy",
        "leave-\none-out",
        "\nShapley",
    )
    for row in rows:
        values = (row.with_accuracy, row.with_leave_one_out, row.with_shapley)
        shares = (f"{row.below_zero:.1%}", f"{row.flagged:.1%}", f"{row.refused:.1%}")
        name = f"{row.mechanism} {_SHORT.get(row.rule, row.rule)}"
        grid.add_row(name, f"{row.honest_pay:.2f}", f"{row.worst_share:.2f}", *shares, *map(_number, values))
    return grid


def measure_table(rows: Sequence[MeasureRow]) -> Table:
    """A measure of contribution a row."""
    shown = [
        name for name in ("random", "copy-global", "data-10") if name in rows[0].attacks or _in(name, rows)
    ]
    grid = _table(
        "Measure",
        "trained",
        "seconds",
        "rank corr.:\naccuracy",
        "\nShapley",
        *(f"{name}\n÷ honest" for name in shown),
    )
    for row in rows:
        cost = (f"{row.federations:.0f}", f"{row.seconds:.2f}")
        values = (row.with_accuracy, row.with_shapley, *(row.attacks.get(name) for name in shown))
        grid.add_row(row.measure, *cost, *map(_number, values))
    return grid


def _in(name: str, rows: Sequence[MeasureRow]) -> bool:
    return any(name in row.attacks for row in rows)


def _table(first: str, *others: str) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    grid.add_column(first, no_wrap=True, vertical="bottom")
    for heading in others:
        grid.add_column(heading, justify="right", vertical="bottom")
    return grid


def _heading(scheme: Scheme) -> str:
    name = scheme.mechanism.replace("-and-", "-\nand-")
    return f"{name}\n{_SHORT.get(scheme.rule, scheme.rule)}"


def _cell(row: Row) -> str:
    strong = "bold" if row.pay_ratio > 1 else "none"
    return f"[{strong}]{row.pay_ratio:.2f}[/{strong}] [dim]{row.p_cross:.2f}/{row.p_paired:.2f}[/dim]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _needs_no_data(name: str) -> bool:
    return not getattr(ATTACKERS.get(name), "needs_data", True)
