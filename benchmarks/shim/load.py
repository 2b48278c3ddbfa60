"""Calls at a ledger, a number of them in flight, for some seconds."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from fl_client.errors import CandorError
from fl_client.ledger.base import Ledger

_names = itertools.count()

Call = Callable[[Ledger, str], Awaitable[object]]  # with a name no other call has

CALLS: dict[str, Call] = {
    "get": lambda ledger, name: ledger.evaluate("get", "read/0"),
    "range of 100": lambda ledger, name: ledger.evaluate("range"),
    "10 gets + 10 puts, endorsed": lambda ledger, name: ledger.evaluate("ten", name),
    "put, committed": lambda ledger, name: ledger.submit("put", name, "v" * 100),
    "10 gets + 10 puts, committed": lambda ledger, name: ledger.submit("ten", name),
}


@dataclass(frozen=True)
class Sample:
    """One measurement: seconds it took, each call's latency, failures by type, the server's CPU seconds."""

    seconds: float
    latencies: list[float]
    failures: Counter[str]
    cpu: float


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, over the threads it has: in nanoseconds, where stat counts hundredths."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


async def measure(ledger: Ledger, call: Call, pid: int, *, in_flight: int, seconds: float) -> Sample:
    """Keep so many calls going; the last ones are waited for, and count."""
    latencies: list[float] = []
    failures: Counter[str] = Counter()
    began, before = time.perf_counter(), cpu_seconds(pid)

    async def caller() -> None:
        while (started := time.perf_counter()) < began + seconds:
            try:
                await call(ledger, f"w{os.getpid()}-{next(_names)}")
            except CandorError as error:
                failures[type(error).__name__] += 1
            else:
                latencies.append(time.perf_counter() - started)

    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return Sample(time.perf_counter() - began, latencies, failures, cpu_seconds(pid) - before)
