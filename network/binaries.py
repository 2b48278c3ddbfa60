"""Finding the programs: $CANDOR_BIN, then PATH, then the cache, then building them."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from network.build import build, cached
from network.errors import MissingProgram
from network.progress import Progress, silent
from network.suites import Suite, suite_of
from network.topology import Topology


def needed(topology: Topology) -> list[str]:
    """One program of every suite the topology needs."""
    return ["peer", *(["ipfs", "ipfs-cluster-service"] if topology.ipfs else []), *_beacon(topology)]


def _beacon(topology: Topology) -> list[str]:
    return ["drand"] if topology.drand else []


class Binaries:
    """Paths of programs. ``explicit`` is the user's own directory (default: $CANDOR_BIN)."""

    def __init__(self, explicit: Path | None = None, progress: Progress = silent) -> None:
        chosen = os.environ.get("CANDOR_BIN")
        self._explicit = explicit or (Path(chosen) if chosen else None)
        self._progress = progress
        self._found: dict[str, Path] = {}
        self._lock = threading.RLock()

    def prepare(self, programs: Iterable[str]) -> None:
        """Find or build all of them now, one suite after the other (a build uses every core)."""
        for program in programs:
            self.path(program)

    def path(self, name: str) -> str:
        """The absolute path of a program, built if it must be; raises MissingProgram, BuildFailed."""
        suite = suite_of(name)
        with self._lock:
            if suite.module not in self._found:
                self._found[suite.module] = self._resolve(suite)
            return str(self._found[suite.module] / name)

    def _resolve(self, suite: Suite) -> Path:
        """The directory of the suite's programs, from the first source that has it."""
        sources: list[Callable[[Suite], Path | None]] = [self._in_explicit, self._on_path, cached]
        for source in sources:
            directory = source(suite)
            if directory is not None:
                self._progress(f"{suite.title} {suite.found_version(directory)} from {directory}")
                return directory
        return build(suite, self._progress)

    def _in_explicit(self, suite: Suite) -> Path | None:
        """The user's directory; one that has the first program but not a usable suite is an error."""
        if self._explicit is None or not (self._explicit / suite.programs[0]).exists():
            return None
        complaint = suite.complaint(self._explicit)
        if complaint:
            raise MissingProgram(
                f"{suite.title} in {self._explicit} (CANDOR_BIN) cannot be used: {complaint}",
                f"Put {suite.title} {suite.wanted} there, or unset CANDOR_BIN to have it built",
            )
        return self._explicit.resolve()

    def _on_path(self, suite: Suite) -> Path | None:
        """Where PATH has the whole suite in one directory; says why what it found is passed over."""
        first = shutil.which(suite.programs[0])
        if first is None:
            return None
        directory = Path(first).parent.resolve()
        complaint = suite.complaint(directory)
        if complaint:
            self._progress(f"{suite.title} on PATH ({directory}) is not used: {complaint}")
            return None
        return directory
