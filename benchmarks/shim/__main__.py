"""``python -m benchmarks.shim``: chaincode.shim and Fabric's Node shim under the same calls.

Two networks alike, of the profile ``fabric``, run side by side; the measurements alternate between them,
so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

import msgspec

from benchmarks.node import modules
from benchmarks.shim.load import CALLS, Sample, measure
from benchmarks.shim.results import Row, draw, row, table
from fl_client.connection import read_connection
from fl_client.ledger import open_ledger
from fl_client.ledger.base import Ledger
from network.network import Network
from network.topology import Chaincode, load

NODE = Path(__file__).parent / "node"
IN_FLIGHT = (1, 64)
WARM_UP = 1.0  # seconds of each kind of call before anything counts


def chaincodes() -> dict[str, Chaincode]:
    """The same contract under both shims."""
    script = f"{NODE / 'small.js'}:{modules(NODE)}"
    return {
        "node": Chaincode(name="small", module="benchmarks.shim.node_server", factory=script),
        "python": Chaincode(name="small", factory="benchmarks.shim.contract:create"),
    }


@contextmanager
def network(chaincode: Chaincode, directory: Path) -> Iterator[Network]:
    """A network with that chaincode, for as long as the block."""
    topology = msgspec.structs.replace(load("fabric"), chaincode=chaincode)
    started = Network.up(topology, directory)
    try:
        yield started
    finally:
        started.down()


def ledger(of: Network) -> Ledger:
    """A client's access."""
    connection = read_connection(of.connection_files["Org1MSP"])
    return open_ledger(connection, connection.clients[0])


async def compare(networks: Mapping[str, Network], seconds: float, repeats: int, only: str) -> list[Row]:
    """All measurements, the shims in turn."""
    found: dict[tuple[str, str, int], list[Sample]] = {}
    async with AsyncExitStack() as stack:
        ledgers = {name: await stack.enter_async_context(ledger(each)) for name, each in networks.items()}
        pids = {name: each.status()["org1-chaincode"].pid for name, each in networks.items()}
        chosen = {call: make for call, make in CALLS.items() if only in call}
        for name, each in ledgers.items():
            await each.submit("fill")
            for make in chosen.values():
                await measure(each, make, pids[name], in_flight=16, seconds=WARM_UP)
        for _ in range(repeats):
            for call, make in chosen.items():
                for in_flight in IN_FLIGHT:
                    for name, each in ledgers.items():
                        sample = await measure(each, make, pids[name], in_flight=in_flight, seconds=seconds)
                        found.setdefault((name, call, in_flight), []).append(sample)
                        print(f"{name} {call} × {in_flight}: {len(sample.latencies) / sample.seconds:.0f}/s")
    return [row(*key, samples) for key, samples in found.items()]


def main() -> None:
    """Measure, print the table, and write everything to a directory."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shim", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="of one measurement (3)")
    parser.add_argument("--repeats", type=int, default=5, help="of everything; medians are shown (5)")
    parser.add_argument("--only", default="", help="calls whose name contains this")
    parser.add_argument("--out", type=Path, default=Path("out/bench/shim"), help="directory (out/bench/shim)")
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        networks = {
            name: stack.enter_context(network(chaincode, directory / name))
            for name, chaincode in chaincodes().items()
        }
        rows = asyncio.run(compare(networks, options.seconds, options.repeats, options.only))
    print(table(rows))
    options.out.mkdir(parents=True, exist_ok=True)
    made = {"cores": os.cpu_count(), "seconds": options.seconds, "repeats": options.repeats, "rows": rows}
    (options.out / "result.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n"
    )
    (options.out / "table.md").write_text(table(rows) + "\n")
    draw(rows, IN_FLIGHT[-1], options.out / "shim.png")


if __name__ == "__main__":
    main()
