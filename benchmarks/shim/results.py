"""Samples to figures: medians over the repeats, as a table, as JSON and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.shim.load import Sample


class Row(msgspec.Struct, frozen=True):
    """One kind of call on one shim with so many in flight."""

    shim: str
    call: str
    in_flight: int
    calls: int
    failures: int
    throughput: float  # calls a second, median of the repeats
    median_ms: float
    p99_ms: float
    cpu: float  # CPU seconds of the chaincode process a 1,000 calls, median of the repeats


def row(shim: str, call: str, in_flight: int, samples: Sequence[Sample]) -> Row:
    """What the repeats come to; latencies are pooled."""
    latencies = sorted(latency for sample in samples for latency in sample.latencies)
    return Row(
        shim,
        call,
        in_flight,
        len(latencies),
        sum(sum(sample.failures.values()) for sample in samples),
        median(len(sample.latencies) / sample.seconds for sample in samples),
        1000 * latencies[len(latencies) // 2],
        1000 * latencies[int(0.99 * (len(latencies) - 1))],
        median(1000 * sample.cpu / max(1, len(sample.latencies)) for sample in samples),
    )


def table(rows: Sequence[Row]) -> str:
    """Markdown, a line for both shims: theirs, ours, and ours in theirs."""
    lines = [
        "| call | in flight | | calls/s | median ms | p99 ms | CPU s / 1,000 | failed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for theirs, ours in pairs(rows):
        for each in (theirs, ours):
            lines.append(
                f"| {each.call} | {each.in_flight} | {each.shim} | {each.throughput:.0f} | {each.median_ms:.1f} "
                f"| {each.p99_ms:.1f} | {each.cpu:.3f} | {each.failures} of {each.calls + each.failures} |"
            )
        lines.append(
            f"| | | **ratio** | **{ours.throughput / theirs.throughput:.2f}** "
            f"| {ours.median_ms / theirs.median_ms:.2f} | {ours.p99_ms / theirs.p99_ms:.2f} "
            f"| **{ours.cpu / theirs.cpu:.2f}** | |"
        )
    return "\n".join(lines)


def pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """The Node shim's row beside ours."""
    ours = {(each.call, each.in_flight): each for each in rows if each.shim == "python"}
    return [(each, ours[each.call, each.in_flight]) for each in rows if each.shim == "node"]


def draw(rows: Sequence[Row], in_flight: int, file: Path) -> None:
    """Throughput and CPU of both shims as bars."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    chosen = [pair for pair in pairs(rows) if pair[0].in_flight == in_flight]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    for axes, field, title in (
        (left, "throughput", f"calls a second, {in_flight} in flight"),
        (right, "cpu", "CPU seconds of the chaincode a 1,000 calls"),
    ):
        for shift, index, label, colour in ((0.2, 0, "Node shim", "#999999"), (-0.2, 1, "ours", "#1f6f8b")):
            values = [getattr(pair[index], field) for pair in chosen]
            places = [place + shift for place in range(len(chosen))]
            bars = axes.barh(places, values, 0.38, label=label, color=colour)
            axes.bar_label(bars, fmt="%.3g", padding=2, fontsize=8)
        axes.set_yticks(range(len(chosen)), [pair[0].call for pair in chosen])
        axes.set_title(title, fontsize=10)
        axes.margins(x=0.15)
    right.set_yticks([])
    left.legend(fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    pyplot.close(figure)
