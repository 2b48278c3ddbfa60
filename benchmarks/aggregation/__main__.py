"""``python -m benchmarks.aggregation``: a committee member's reads and memory, in one layer and in two."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.aggregation.member import Taken, Task
from fl_client.inside import Inside, Inspection
from fl_client.store import DirectoryStore
from fl_client.training import parameters

ORGANISATIONS = 3  # of the embedded world
STRATEGIES = ("fedavg", "two-layer")


def drawn(seed: int, megabytes: int) -> bytes:
    """An update: matrices of 4 MB."""
    rng = np.random.default_rng(seed)
    return parameters.to_bytes(
        [0.01 * rng.standard_normal((1000, 1000), dtype=np.float32) for _ in range(megabytes // 4)]
    )


async def prepare(store: DirectoryStore, path: Path, clients: int, megabytes: int) -> Task:
    """Model and updates in the store, and each organisation's partial aggregate, as its members make it."""
    model = drawn(0, megabytes)
    updates = [await store.put(drawn(place + 1, megabytes)) for place in range(clients)]
    insides: dict[str, Inside] = {}
    for place in range(ORGANISATIONS):
        work = Inspection(model, f"Org{place + 1}MSP")
        for member in range(place, clients, ORGANISATIONS):
            work.take(str(member), await store.get(updates[member], limit=len(model)))
        found, partial = work.result()
        await store.put(partial)
        insides[found.organisation] = found
    return Task("fedavg", str(path), await store.put(model), len(model), updates, insides)


def taken(task: Task, strategy: str) -> Taken:
    """What it takes with that strategy, in a process of its own."""
    text = msgspec.json.encode(msgspec.structs.replace(task, strategy=strategy)).decode()
    code = "import sys; from benchmarks.aggregation import member; member.main(*sys.argv[1:])"
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-c", code, text, scratch]
        return msgspec.json.decode(
            subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout, type=Taken
        )


def table(found: dict[str, Taken]) -> str:
    """Markdown, in MB; the last line is the first by the second."""
    head = "| strategy | MB read | of these of other organisations | MB of memory at most | seconds |"
    lines = [head, "|---|---|---|---|---|"]
    for name, each in found.items():
        mega = [value / 1e6 for value in (each.read, each.foreign, each.peak)]
        lines.append(f"| {name} | {mega[0]:.0f} | {mega[1]:.0f} | {mega[2]:.0f} | {each.seconds:.1f} |")
    one, two = (found[name] for name in STRATEGIES)
    ratios = [one.read / two.read, one.foreign / two.foreign, one.peak / two.peak, one.seconds / two.seconds]
    return "\n".join([*lines, "| **ratio** | " + " | ".join(f"**{each:.2f}**" for each in ratios) + " |"])


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.aggregation", description=__doc__)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--megabytes", type=int, default=48, help="of one update; a multiple of 4")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        store = DirectoryStore(Path(directory))
        task = asyncio.run(prepare(store, Path(directory), options.clients, options.megabytes))
        print(table({strategy: taken(task, strategy) for strategy in STRATEGIES}))


if __name__ == "__main__":
    main()
