"""``python -m benchmarks.settlement``: the endorsement of a large settlement, in process and through a peer."""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.settlement.called import called, served
from benchmarks.settlement.sealed import sealed
from chaincode.shim.memory import endorse

SCHEMES = (
    ("qualify-and-vest", "dasgupta-ghosh"),
    ("qualify-and-vest-floor", "dasgupta-ghosh"),
    ("paper", "dasgupta-ghosh"),
    ("paper", "correlated-agreement"),
)


class Row(msgspec.Struct, frozen=True):
    """One mechanism and rule: seconds of the call in process (median), of CPU; bytes written; seconds at a peer."""

    mechanism: str
    rule: str
    seconds: float
    worst: float
    cpu: float
    writes: int
    written: int
    endorsed: float | None = None
    committed: float | None = None


def in_process(mechanism: str, rule: str, options: argparse.Namespace) -> Row:
    """The whole call on the stub in memory; a new server each time, which remembers nothing."""
    made = sealed(mechanism, rule, options.clients, options.tasks, options.labels)
    seconds, cpu = [], []
    for _ in range(options.repeats):
        server, stub = served(), called(made)
        began, before = time.perf_counter(), time.process_time()
        endorsement = asyncio.run(endorse(server, stub))
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - before)
        if endorsement.status != 200:
            raise SystemExit(endorsement.message)
    writes = endorsement.read_write_set.writes
    written = sum(len(key) + len(value or b"") for key, value in writes)
    return Row(mechanism, rule, median(seconds), max(seconds), median(cpu), len(writes), written)


def through_a_peer(row: Row, options: argparse.Namespace) -> Row:
    """The same round on a real network."""
    from benchmarks.settlement.on_network import settle

    made = sealed(row.mechanism, row.rule, options.clients, options.tasks, options.labels)
    settled = asyncio.run(settle(made))
    return msgspec.structs.replace(row, endorsed=settled.endorsed, committed=settled.committed)


def table(rows: list[Row]) -> str:
    """Markdown."""
    columns = ["mechanism", "rule", "in process: median s", "worst s", "CPU s", "writes", "KB written"]
    columns += ["at a peer: s", "to the block: s"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in rows:
        real = [f"{each:.2f}" if each is not None else "" for each in (row.endorsed, row.committed)]
        lines.append(
            f"| {row.mechanism} | {row.rule} | {row.seconds:.2f} | {row.worst:.2f} | {row.cpu:.2f} | {row.writes} "
            f"| {row.written / 1000:.0f} | {real[0]} | {real[1]} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, and write it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.settlement", description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--labels", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--network", action="store_true", help="once more through a real peer")
    parser.add_argument("--out", type=Path, default=Path("out/bench/settlement"))
    options = parser.parse_args()
    rows = [in_process(*scheme, options) for scheme in SCHEMES]
    if options.network:
        rows = [through_a_peer(row, options) for row in rows]
    print(table(rows))
    options.out.mkdir(parents=True, exist_ok=True)
    made = {"cores": os.cpu_count(), "clients": options.clients, "tasks": options.tasks, "rows": rows}
    (options.out / "result.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n"
    )


if __name__ == "__main__":
    main()
