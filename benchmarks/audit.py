"""How long an audit takes: a job of many rounds on the embedded ledger, among thousands of other transactions.

`python -m benchmarks.audit --rounds 10 --clients 6 --transfers 5000`
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from fl_client.audit import FileEvidence, audit, export
from fl_client.store import DirectoryStore
from tests.audit.stories import Play


async def played(directory: Path, rounds: int, clients: int, transfers: int) -> Path:
    """The evidence of a job whose sponsor also pays one unit to somebody, over and over."""
    terms: dict[str, Any] = {
        "rounds": rounds,
        "max_participants": clients,
        "round_pool": 10**5,
        "max_members_per_org": clients,
    }
    play = await Play.begun(DirectoryStore(directory / "store"), clients, mechanism="paper", **terms)
    for _ in range(rounds):
        await play.round()
    for place in range(transfers):
        await play.world.pay(play.members[place % clients].member_id, 1)
    await export(play.evidence(), directory / "job.zip")
    return directory / "job.zip"


async def measured(rounds: int, clients: int, transfers: int) -> str:
    with tempfile.TemporaryDirectory() as directory:
        file = await played(Path(directory), rounds, clients, transfers)
        began, busy = time.perf_counter(), time.process_time()
        report = await audit(FileEvidence(file))
        wall, cpu = time.perf_counter() - began, time.process_time() - busy
    assert report.clean, report.findings[:3]
    size = f"{rounds} rounds x {clients} clients, {report.blocks} blocks, {report.transactions} transactions"
    return (
        f"{size}: {wall:.2f} s, {cpu:.2f} s of CPU, {1000 * cpu / report.transactions:.2f} ms a transaction"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--transfers", type=int, default=0)
    options = parser.parse_args()
    print(asyncio.run(measured(options.rounds, options.clients, options.transfers)))


if __name__ == "__main__":
    main()
