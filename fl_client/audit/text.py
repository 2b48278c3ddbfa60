"""The report on a terminal, and as JSON."""

from __future__ import annotations

from itertools import groupby

import msgspec
from rich import box, markup
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fl_client.audit.findings import Finding, Line, Report

MARKS = {True: "[green]✓[/green]", False: "[red]✗[/red]", None: "[dim]·[/dim]"}


def to_json(report: Report) -> bytes:
    """Indented JSON with a final newline."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def printable(text: str) -> str:
    """What hostile evidence says must not steer a terminal."""
    return "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in text)


def escape(text: str) -> str:
    """What evidence says, as rich's markup: plain text."""
    return markup.escape(printable(text))


def conclusion(report: Report) -> str:
    """One sentence."""
    size = f"{report.blocks} blocks, {report.executed} of {report.transactions} transactions run again"
    if report.clean:
        return f"job {report.job}: nothing differs ({size})"
    names = ", ".join(report.classes)
    return f"job {report.job}: {len(report.findings)} discrepancies: {names} ({size})"


def text(report: Report) -> RenderableType:
    """All of it, for a person."""
    parts: list[RenderableType] = [
        Text(conclusion(report), style="bold green" if report.clean else "bold red")
    ]
    if report.findings:
        parts += ["", findings(report)]
    parts += ["", terms(report), "", *(_section(title, lines) for title, lines in sections(report))]
    return Group(*parts, supply(report))


def sections(report: Report) -> list[tuple[str, list[Line]]]:
    """The lines under headings: the channel, what concerns no round, then round by round."""
    ordered = sorted(report.lines, key=lambda line: line.round)
    found = []
    for number, lines in groupby(ordered, key=lambda line: line.round):
        title = f"Round {number}" if number else "Channel, consortium, members, money"
        found.append((title, list(lines)))
    return found


def findings(report: Report) -> Table:
    """The discrepancies, the first one first."""
    grid = Table(title="Discrepancies", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("Class", "Where", "What"):
        grid.add_column(heading, overflow="fold")
    for each, where in grouped(report.findings):
        grid.add_row(f"[red]{each.kind}[/red]", escape(where), escape(_what(each)))
    return grid


def grouped(findings: list[Finding]) -> list[tuple[Finding, str]]:
    """Each finding with where it is; what is wrong with block after block in the same way comes once."""
    alike: dict[object, list[Finding]] = {}
    for place, each in enumerate(findings):
        own = place if each.tx_id or each.block < 0 else msgspec.structs.replace(each, block=0)
        alike.setdefault(own, []).append(each)
    return [(group[0], _places(group)) for group in alike.values()]


def _places(group: list[Finding]) -> str:
    numbers = [each.block for each in group]
    if len(group) == 1:
        return group[0].where
    row = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return f"blocks {numbers[0]} to {numbers[-1]}" if row else f"{len(group)} blocks from {numbers[0]} on"


def terms(report: Report) -> Table:
    """What an auditor must compare with what it knows."""
    grid = Table(title="To be compared with what you know", title_justify="left", box=None, show_header=False)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in anchors(report).items():
        grid.add_row(escape(name), escape(value))
    return grid


def anchors(report: Report) -> dict[str, str]:
    """Where trust begins: name and value."""
    return {
        "channel, chaincode": f"{report.channel}, {report.chaincode} ({report.ledger})",
        "first block": report.first_hash,
        "newest block": f"{report.blocks - 1}, {report.last_hash}",
        "state after it": report.state,
        **report.terms,
    }


def supply(report: Report) -> str:
    """Both sides of the supply after the newest block."""
    if not report.totals:
        return "supply: no block"
    last = report.totals[-1]
    equal = all(each.minted == each.held for each in report.totals)
    sign = "after every block" if equal else "NOT after every block"
    return (
        f"supply: minted {last.minted} = held {last.held}, equal {sign}"
        if equal
        else (f"supply: minted {last.minted}, held {last.held}: equal {sign}")
    )


def _section(title: str, lines: list[Line]) -> Table:
    grid = Table(title=title, title_justify="left", box=None, show_header=False, padding=(0, 1, 0, 0))
    grid.add_column(width=1)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_column(style="dim", no_wrap=True)
    for line in lines:
        place = f"{line.block} {line.tx_id[:10]}".strip() if line.block >= 0 else ""
        grid.add_row(MARKS[line.ok], line.topic, escape(line.text), escape(place))
    return grid


def _what(each: Finding) -> str:
    parts = [each.what]
    if each.expected or each.found:
        parts += [f"expected: {each.expected}", f"found: {each.found}"]
    return "\n".join(parts)
