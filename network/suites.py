"""The programs a network needs, in suites: what is built, versioned and found together."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Suite:
    """Programs of one release. ``version`` is the command that tells it; ``accept`` judges it."""

    title: str
    module: str  # directory under programs/
    programs: tuple[str, ...]
    version: tuple[str, ...]
    accept: str  # a pattern the whole version must match
    wanted: str  # the same, in words
    flags: tuple[str, ...] = ("-ldflags=-s -w",)
    marker: bytes = b""  # must be in the first program's file, whatever its version

    def found_version(self, directory: Path) -> str | None:
        """What the suite in ``directory`` says it is; None when a program is missing or mute."""
        if any(not (directory / name).is_file() for name in self.programs):
            return None
        command = [str(directory / self.version[0]), *self.version[1:]]
        try:
            answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return None
        found = re.search(r"\bv?(\d+\.\d+\.\d+[\w.-]*|latest)", answer.stdout + answer.stderr)
        return found.group(1) if found else None

    def complaint(self, directory: Path) -> str | None:
        """Why the suite in ``directory`` cannot be used; None when it can."""
        version = self.found_version(directory)
        if version is None:
            return f"not all of {', '.join(self.programs)} are there and run"
        if version != "latest" and not re.fullmatch(self.accept, version):  # "latest": a development build
            return f"it is {version}, not {self.wanted}"
        if self.marker and self.marker not in (directory / self.programs[0]).read_bytes():
            return f"it was built without {self.marker.decode()}"
        return None


FABRIC = Suite(
    title="Fabric",
    module="fabric",
    programs=("peer", "orderer", "configtxgen", "cryptogen", "osnadmin"),
    version=("peer", "version"),
    accept=r"2\.5\..*|3\..*",
    wanted="2.5 or 3",
    flags=("-ldflags=-s -w -X github.com/hyperledger/fabric/common/metadata.Version=v2.5.0",),
)
KUBO = Suite(
    title="IPFS (kubo)",
    module="kubo",
    programs=("ipfs",),
    version=("ipfs", "version"),
    accept=r"0\.(4[0-9]|[5-9][0-9])\..*",
    wanted="0.40 or later",
)
CLUSTER = Suite(
    title="IPFS Cluster",
    module="ipfs-cluster",
    programs=("ipfs-cluster-service",),
    version=("ipfs-cluster-service", "--version"),
    accept=r"1\.1\..*",
    wanted="1.1",
)
DRAND = Suite(
    title="drand",
    module="drand",
    programs=("drand",),
    version=("drand", "--version"),
    accept=r"2\..*",
    wanted="2",
    flags=("-ldflags=-s -w", "-tags=conn_insecure"),
    marker=b"-tags=conn_insecure",  # nodes of one machine talk without TLS; released builds refuse that
)
SUITES = (FABRIC, KUBO, CLUSTER, DRAND)


def suite_of(program: str) -> Suite:
    """The suite a program belongs to."""
    return next(suite for suite in SUITES if program in suite.programs)
