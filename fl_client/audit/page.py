"""The report as one HTML page that needs nothing else: no script, no network."""

from __future__ import annotations

from html import escape

from fl_client.audit.findings import Class, Finding, Line, Report
from fl_client.audit.pictures import pictures
from fl_client.audit.text import anchors, conclusion, grouped, sections, supply

_STYLE = """
:root { color-scheme: light dark; --paper: #fbfbf9; --card: #fff; --ink: #1d2433; --dim: #626b7a; --faint: #e3e5e8;
--good: #00704f; --good-card: #eef7f3; --bad: #b53a00; --bad-card: #fdf1ea; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --card: #1c2027; --ink: #e4e7ec; --dim: #98a1b0;
--faint: #313742; --good: #4cc79c; --good-card: #16281f; --bad: #ff8a5c; --bad-card: #321d14; } }
* { box-sizing: border-box; } body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink);
background: var(--paper); max-width: 66rem; margin: 2.5rem auto 4rem; padding: 0 1.2rem; }
h1 { font-size: 1.8rem; margin: 0 0 .8rem; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .5rem; }
.verdict { border-left: .4rem solid var(--good); border-radius: .3rem; padding: .8rem 1.1rem;
background: var(--good-card); font-size: 1.05rem; }
.verdict.bad { border-color: var(--bad); background: var(--bad-card); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .8rem; margin: 1.2rem 0 0; }
.tile, .card { background: var(--card); border: 1px solid var(--faint); border-radius: .5rem; }
.tile { padding: .7rem .9rem; } .tile b { display: block; font-size: 1.5rem; line-height: 1.2;
font-variant-numeric: tabular-nums; } .tile span { color: var(--dim); font-size: .85rem; }
.card { padding: .4rem 1rem; } figure.card { margin: 1.1rem 0; padding: .9rem 1rem .6rem; }
table { border-collapse: collapse; width: 100%; font-size: .86rem; } td, th { text-align: left; vertical-align: top;
padding: .32rem .7rem .32rem 0; border-bottom: 1px solid var(--faint); overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; } th { font-weight: 600; }
td.fixed { white-space: nowrap; overflow-wrap: normal; color: var(--dim); font-variant-numeric: tabular-nums; }
td.mark { width: 1.2rem; font-weight: 700; } .good { color: var(--good); }
td.bad { color: var(--bad); font-weight: 600; white-space: nowrap; overflow-wrap: normal; } .open { color: var(--dim); }
code { font: .82rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
details { margin-top: .8rem; } summary { cursor: pointer; font-weight: 600; padding: .35rem 0; }
summary span { color: var(--dim); font-weight: 400; } figcaption { font-weight: 600; margin-bottom: .3rem; }
p.dim { color: var(--dim); font-size: .9rem; } svg text { fill: var(--ink) !important; }
svg { color: var(--ink); } a { color: inherit; }
@media print { details { display: block; } body { max-width: none; } }
"""
_MARKS = {True: ("✓", "good"), False: ("✗", "bad"), None: ("·", "open")}


def html(report: Report) -> str:
    """The whole page."""
    title = f"Audit of job {escape(report.job)}"
    found = [_findings(report)] if report.findings else []
    plots = [
        f'<figure class="card"><figcaption>{escape(name)}</figcaption>{svg}</figure>'
        for name, svg in pictures(report)
    ]
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="verdict{"" if report.clean else " bad"}">{escape(conclusion(report))}</p>',
        _tiles(report),
        *found,
        "<h2>Where trust begins</h2>",
        '<p class="dim">Compare these with what you know from elsewhere; everything below follows from them.</p>',
        _anchors(report),
        f"<h2>Money</h2><p>{escape(supply(report))}</p>",
        *plots,
        "<h2>What was checked</h2>",
        '<p class="dim">✓ recomputed and equal · ✗ differs · · to be known. '
        "Every line names its block and transaction.</p>",
        *(_section(name, lines) for name, lines in sections(report)),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    body = "\n".join(parts)
    head = f"<head>{head}<style>{_STYLE}</style></head>"
    return f'<!doctype html>\n<html lang="en">{head}\n<body>\n{body}\n</body></html>\n'


def _tiles(report: Report) -> str:
    """The audit in numbers."""
    tiles = {
        "blocks": report.blocks,
        "transactions": report.transactions,
        "of them run again": report.executed,
        "rounds": len({line.round for line in report.lines} - {0}),
        "steps told below": len(report.lines),
        "discrepancies": len(report.findings),
    }
    made = "".join(
        f'<div class="tile"><b>{number:,}</b><span>{name}</span></div>' for name, number in tiles.items()
    )
    return f'<div class="tiles">{made}</div>'


def _findings(report: Report) -> str:
    rows = "".join(_finding(each, where) for each, where in grouped(report.findings))
    meaning = "".join(
        f"<li><b>{escape(kind)}</b>: {escape(Class(kind).sentence)}</li>" for kind in report.classes
    )
    head = "<tr><th>Class</th><th>Where</th><th>What</th></tr>"
    table = f'<div class="card"><table>{head}{rows}</table></div>'
    return f"<h2>Discrepancies</h2><ul>{meaning}</ul>{table}"


def _finding(each: Finding, where: str) -> str:
    details = ""
    if each.expected or each.found:
        details = (
            f"<br>expected <code>{escape(each.expected)}</code><br>found <code>{escape(each.found)}</code>"
        )
    return (
        f'<tr><td class="bad">{escape(each.kind)}</td><td class="fixed">{escape(where)}</td>'
        f"<td>{escape(each.what)}{details}</td></tr>"
    )


def _anchors(report: Report) -> str:
    rows = (
        f'<tr><td class="fixed">{escape(name)}</td><td><code>{escape(value)}</code></td></tr>'
        for name, value in anchors(report).items()
    )
    return f'<div class="card"><table>{"".join(rows)}</table></div>'


def _section(title: str, lines: list[Line]) -> str:
    wrong = sum(line.ok is False for line in lines)
    note = f", {wrong} of them not so" if wrong else ""
    rows = "".join(_line(line) for line in lines)
    opened = " open" if wrong else ""
    return (
        f"<details{opened}><summary>{escape(title)} <span>{len(lines)} lines{note}</span></summary>"
        f'<div class="card"><table>{rows}</table></div></details>'
    )


def _line(line: Line) -> str:
    mark, kind = _MARKS[line.ok]
    place = f"block {line.block}" if line.block >= 0 else ""
    return (
        f'<tr><td class="mark {kind}">{mark}</td><td class="fixed">{escape(line.topic)}</td>'
        f'<td>{escape(line.text)}</td><td class="fixed">{place}</td>'
        f'<td class="fixed" title="{escape(line.tx_id)}"><code>{escape(line.tx_id[:10])}</code></td></tr>'
    )
