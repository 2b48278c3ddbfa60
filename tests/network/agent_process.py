"""One client of a story about step 9 as a process: CONNECTION IDENTITY JOURNAL JOB CONDUCT (module:Class)."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from fl_client.agent import Agent
from fl_client.beacon import open_beacon
from fl_client.committee import named
from fl_client.connection import read_connection
from fl_client.contracts import View
from fl_client.journal import Journal
from fl_client.ledger import open_ledger
from fl_client.steps import Seat
from fl_client.store import open_store

NOBODY: Any = None  # no learner: what it commits to is in the journal


async def run(connection: str, identity: str, journal: str, job: str, conduct: str) -> None:
    """From whatever phase the round is in to its end."""
    network = read_connection(Path(connection))
    async with (
        open_ledger(network, network.identity(identity)) as ledger,
        open_store(network) as store,
        open_beacon(network) as beacons,
    ):
        record = await View(ledger).job(job)
        assert record is not None
        seat = Seat(ledger, store, beacons, Journal(Path(journal)), NOBODY, record)
        await Agent(seat, named(conduct)(seat), stagger=0.5).run()


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
