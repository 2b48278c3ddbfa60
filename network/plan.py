"""What every part of the network is given while it comes up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from network.ports import Ports
from network.processes import Keeper
from network.progress import Progress
from network.topology import Topology


class Programs(Protocol):
    """The programs of the network (network/binaries.py finds or builds them)."""

    def path(self, name: str) -> str:
        """The absolute path of program ``name``: peer, ipfs, drand, …; raises MissingProgram."""


@dataclass(frozen=True)
class Plan:
    """A network that is coming up. Nothing here changes once it is made.

    ``fresh`` is False when the network was up before and its data is to be kept: a part then
    starts its processes with what it finds in ``directory`` and creates nothing.
    ``network.drand.start(plan)`` returns ``DrandNodes(info, urls)`` and ``network.ipfs.start(plan)``
    the connection file's "store" of each MSP id; both run in a thread beside Fabric's start.
    """

    topology: Topology
    directory: Path  # keeps everything but sockets; mode 700
    runtime: Path  # short, private, new at every start: for unix sockets
    keeper: Keeper
    programs: Programs
    ports: Ports
    progress: Progress
    python: str  # the interpreter of Python processes
    fresh: bool
