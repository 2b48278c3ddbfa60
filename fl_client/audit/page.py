"""The report as one HTML page that needs nothing else: no script, no network."""

from __future__ import annotations

from html import escape

from fl_client.audit.findings import Class, Finding, Line, Report
from fl_client.audit.pictures import pictures
from fl_client.audit.text import anchors, conclusion, sections, supply

_STYLE = """
:root { color-scheme: light; --ink: #222; --faint: #d9d9d9; --dim: #666; --good: #00704f; --bad: #b53a00; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 62rem; margin: 2.5rem auto;
padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .5rem; }
.verdict { border-left: .4rem solid var(--good); padding: .7rem 1rem; background: #f0f8f5; font-size: 1.05rem; }
.verdict.bad { border-color: var(--bad); background: #fdf2ec; }
table { border-collapse: collapse; width: 100%; font-size: .86rem; } td, th { text-align: left; vertical-align: top;
padding: .28rem .6rem .28rem 0; border-bottom: 1px solid var(--faint); overflow-wrap: anywhere; }
th { font-weight: 600; } td.fixed { white-space: nowrap; overflow-wrap: normal; color: var(--dim); }
td.mark { width: 1.2rem; font-weight: 700; } .good { color: var(--good); }
.bad { color: var(--bad); } .open { color: var(--dim); }
code { font: .82rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; } details { margin-top: 1rem; }
summary { cursor: pointer; font-weight: 600; font-size: 1.05rem; } figure { margin: 1.4rem 0; }
figcaption { font-weight: 600; margin-bottom: .3rem; } p.dim { color: var(--dim); font-size: .9rem; }
"""
_MARKS = {True: ("✓", "good"), False: ("✗", "bad"), None: ("·", "open")}


def html(report: Report) -> str:
    """The whole page."""
    title = f"Audit of job {escape(report.job)}"
    found = [_findings(report)] if report.findings else []
    plots = [
        f"<figure><figcaption>{escape(name)}</figcaption>{svg}</figure>" for name, svg in pictures(report)
    ]
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="verdict{"" if report.clean else " bad"}">{escape(conclusion(report))}</p>',
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


def _findings(report: Report) -> str:
    rows = "".join(_finding(each) for each in report.findings)
    meaning = "".join(
        f"<li><b>{escape(kind)}</b>: {escape(Class(kind).sentence)}</li>" for kind in report.classes
    )
    head = "<tr><th>Class</th><th>Where</th><th>What</th></tr>"
    return f"<h2>Discrepancies</h2><ul>{meaning}</ul><table>{head}{rows}</table>"


def _finding(each: Finding) -> str:
    details = ""
    if each.expected or each.found:
        details = (
            f"<br>expected <code>{escape(each.expected)}</code><br>found <code>{escape(each.found)}</code>"
        )
    return (
        f'<tr><td class="bad">{escape(each.kind)}</td><td class="fixed">{escape(each.where)}</td>'
        f"<td>{escape(each.what)}{details}</td></tr>"
    )


def _anchors(report: Report) -> str:
    rows = (
        f'<tr><td class="fixed">{escape(name)}</td><td><code>{escape(value)}</code></td></tr>'
        for name, value in anchors(report).items()
    )
    return f"<table>{''.join(rows)}</table>"


def _section(title: str, lines: list[Line]) -> str:
    wrong = sum(line.ok is False for line in lines)
    note = f", {wrong} of them not so" if wrong else ""
    rows = "".join(_line(line) for line in lines)
    opened = " open" if wrong else ""
    return (
        f"<details{opened}><summary>{escape(title)} ({len(lines)} lines{note})</summary>"
        f"<table>{rows}</table></details>"
    )


def _line(line: Line) -> str:
    mark, kind = _MARKS[line.ok]
    place = f"block {line.block}" if line.block >= 0 else ""
    return (
        f'<tr><td class="mark {kind}">{mark}</td><td class="fixed">{escape(line.topic)}</td>'
        f'<td>{escape(line.text)}</td><td class="fixed">{place}</td>'
        f'<td class="fixed" title="{escape(line.tx_id)}"><code>{escape(line.tx_id[:10])}</code></td></tr>'
    )
