"""``network.json``: what of a network outlives its processes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from network.errors import AlreadyRunning, BadTopology, NotRunning
from network.steps import private_directory
from network.topology import Topology

FILE = "network.json"


@contextmanager
def starting(directory: Path) -> Iterator[None]:
    """Keep other commands from starting in ``directory`` meanwhile; raises AlreadyRunning."""
    with open(private_directory(directory) / "starting.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            what = f"another command is just starting the network in {directory}"
            raise AlreadyRunning(what, "Wait for it, or take another directory") from error
        yield


class State(msgspec.Struct):
    """A network at rest. Whether it runs is the keeper's to say, not written here."""

    topology: Topology
    ports: dict[str, int]
    created: bool = False  # whether it was complete once: then its data is kept

    def save(self, directory: Path) -> None:
        """Write it, whole or not at all."""
        private_directory(directory)
        scratch = directory / f".{FILE}.new"
        scratch.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2))
        scratch.chmod(0o600)
        os.replace(scratch, directory / FILE)

    @classmethod
    def find(cls, directory: Path) -> State | None:
        """The network in ``directory``, if there is one; raises BadTopology when its file is damaged."""
        try:
            return msgspec.json.decode((directory / FILE).read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            remedy = "Restore it from a backup, or take another directory"
            raise BadTopology(f"{directory / FILE} is damaged: {error}", remedy) from error

    @classmethod
    def load(cls, directory: Path) -> State:
        """The network in ``directory``; raises NotRunning."""
        state = cls.find(directory)
        if state is None:
            raise NotRunning(f"there is no network in {directory}", "Start one with `candor network up`")
        return state
