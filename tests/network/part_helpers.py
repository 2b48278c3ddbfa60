"""A network of some parts only, for the tests of those parts."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from network import topology
from network.binaries import Binaries
from network.plan import Plan
from network.ports import Ports
from network.processes import Keeper


def organisations(count: int, **changes: object) -> topology.Topology:
    """The three-organisation profile with the first ``count`` of them."""
    full = topology.load("three-orgs")
    return msgspec.structs.replace(full, organisations=full.organisations[:count], **changes)


@contextmanager
def running(directory: Path, wanted: topology.Topology, told: list[str] | None = None) -> Iterator[Plan]:
    """A plan whose keeper runs; everything ends with the context, data and ports are kept."""
    directory.mkdir(mode=0o700, exist_ok=True)
    kept = directory / "ports.json"
    known = json.loads(kept.read_text()) if kept.exists() else None
    lines: list[str] = [] if told is None else told

    def progress(text: str, /, *, passing: bool = False) -> None:
        lines.append(text)

    keeper, ports = Keeper.start(directory), Ports(known)
    try:
        yield Plan(
            topology=wanted,
            directory=directory,
            runtime=keeper.runtime,
            keeper=keeper,
            programs=Binaries(),
            ports=ports,
            progress=progress,
            python=sys.executable,
            fresh=known is None,
        )
    finally:
        keeper.down()
        kept.write_text(json.dumps(ports.as_dict()))
        kept.chmod(0o600)


def readable_by_others(directory: Path) -> list[Path]:
    """Files under ``directory`` that not only their owner can read."""
    shared = stat.S_IRWXG | stat.S_IRWXO
    return [path for path in directory.rglob("*") if path.is_file() and path.stat().st_mode & shared]


def command_lines(plan: Plan) -> str:
    """What anybody on the machine can see of the network's processes."""
    pids = [status.pid for status in plan.keeper.status().values() if status.pid]
    return "\n".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in pids)
