"""A network in a directory: up, down, and what it is doing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from network.binaries import Binaries, needed
from network.bringup import MADE, Bringup, discard
from network.errors import AlreadyRunning, BadTopology, NotRunning
from network.handover import connection_file
from network.identities import Identities
from network.ordering import heights
from network.plan import Plan
from network.ports import Ports
from network.processes import Keeper, Status, clean
from network.progress import Progress, silent
from network.state import State, starting
from network.topology import Topology, check_one_machine
from network.topology import load as load_topology


class Network:
    """A network; its data is in ``directory``, its processes belong to its keeper."""

    def __init__(self, directory: Path, state: State) -> None:
        self.directory, self._state = directory, state
        self._tied: Keeper | None = None  # the keeper whose life hangs on this process
        self.seconds: Mapping[str, float] = {}  # what each step of the start took

    @classmethod
    def up(
        cls,
        topology: Topology | str | Path,
        directory: str | Path,
        *,
        progress: Progress = silent,
        tie: bool = True,
        python: str = sys.executable,
        programs: Binaries | None = None,
    ) -> Network:
        """Start the network of ``topology`` (or a file, or a profile's name) in ``directory``.

        A directory whose network was up before goes on with its data. With ``tie`` the network
        lives as long as this process, or until ``detach``; while it comes up, it always does.
        Raises NetworkError; then nothing runs, and the logs are in ``directory``/logs.
        """
        place = Path(directory).expanduser().resolve()
        wanted = topology if isinstance(topology, Topology) else load_topology(topology)
        check_one_machine(wanted)
        if Keeper.find(place) is not None:
            raise AlreadyRunning(f"the network in {place} is already up", "Use it, or take it down first")
        _own(place)
        found = programs or Binaries(progress=progress)
        found.prepare(needed(wanted))
        with starting(place):
            network = cls(place, _prepare(place, wanted))
            network._start(found, progress, python)
        if not tie:
            network.detach()
        return network

    @classmethod
    def load(cls, directory: str | Path) -> Network:
        """The network in ``directory``, up or down; raises NotRunning when there is none."""
        place = Path(directory).expanduser().resolve()
        return cls(place, State.load(place))

    @property
    def topology(self) -> Topology:
        """What it consists of."""
        return self._state.topology

    @property
    def running(self) -> bool:
        """Whether it is up."""
        return Keeper.find(self.directory) is not None

    @property
    def tied(self) -> bool:
        """Whether its life hangs on this process."""
        return self._tied is not None

    @property
    def keeper(self) -> Keeper:
        """Its keeper, to inject faults or to add processes; raises NotRunning."""
        return self._tied or Keeper.load(self.directory)

    @property
    def connection_files(self) -> dict[str, Path]:
        """Every organisation's connection file, by MSP id."""
        return {
            org.msp_id: connection_file(self.directory, org.msp_id) for org in self.topology.organisations
        }

    def detach(self) -> None:
        """Let the network outlive this process."""
        if self._tied is not None:
            self._tied.detach()
            self._tied = None

    def down(self) -> None:
        """Stop everything; the data stays. Quiet when it is down already."""
        keeper = self._tied or Keeper.find(self.directory)
        if keeper is not None:
            keeper.down()
        clean(self.directory)
        self._tied = None

    def status(self) -> dict[str, Status]:
        """Every process by name; raises NotRunning."""
        return self.keeper.status()

    def heights(self) -> dict[str, int]:
        """How many blocks each orderer has by name, -1 without an answer: one may stand still and seem healthy."""
        identities = Identities(self.directory, self.topology)
        found = heights(self.topology, Ports(self._state.ports), identities)
        return {f"orderer{index}": blocks for index, blocks in enumerate(found)}

    def logs(self) -> dict[str, Path]:
        """Every process's log file by name, also when the network is down."""
        return {path.stem: path for path in sorted((self.directory / "logs").glob("*.log"))}

    def log(self, name: str) -> Path:
        """One process's log file; raises NotRunning, naming those there are."""
        known = self.logs()
        if name not in known:
            raise NotRunning(f"there is no log of {name}", f"There are: {', '.join(known) or 'none'}")
        return known[name]

    def port(self, name: str) -> int:
        """A port by its name, such as ``org1/peer/operations``."""
        return self._state.ports[name]

    def _start(self, programs: Binaries, progress: Progress, python: str) -> None:
        """Bring it up, tied to this process; take everything down when that fails."""
        ports = Ports(self._state.ports)
        ports.check_free()
        keeper = Keeper.start(self.directory, tie=True)
        try:
            plan = Plan(
                topology=self.topology,
                directory=self.directory,
                runtime=keeper.runtime,
                keeper=keeper,
                programs=programs,
                ports=ports,
                progress=progress,
                python=python,
                fresh=not self._state.created,
            )
            self._bring_up(plan)
        except BaseException:
            keeper.down()
            raise
        self._tied = keeper

    def _bring_up(self, plan: Plan) -> None:
        if plan.fresh:
            discard(plan)
        bringup = Bringup(plan)
        bringup.run()
        self.seconds = bringup.seconds
        self._state = msgspec.structs.replace(self._state, ports=plan.ports.as_dict(), created=True)
        self._state.save(self.directory)
        plan.progress(f"the network is up ({self.seconds['all']:.1f} s), in {self.directory}")


def _own(directory: Path) -> None:
    """BadTopology: what lies there was not made by a network, whose first start would remove it."""
    found = [] if State.find(directory) else [name for name in MADE if (directory / name).exists()]
    if found:
        raise BadTopology(
            f"{directory} holds {', '.join(found)}, and no network", "Name another directory, an empty one"
        )


def _prepare(directory: Path, topology: Topology) -> State:
    """The state to start from: what the directory holds, or a new one."""
    old = State.find(directory)
    if old is None or not old.created:
        state = State(topology, {})
        state.save(directory)
        return state
    if old.topology != topology:
        raise BadTopology(
            f"{directory} holds the network {old.topology.name} of another topology",
            "Use the topology it was made with, or another directory",
        )
    return old
