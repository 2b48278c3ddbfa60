"""Loopback ports, chosen once and kept: consenters' addresses are part of the channel's configuration."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

from network.errors import PortTaken

BLOCK = 100
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Ports:
    """Stable names for ports, such as ``org1/peer/listen``; thread safe.

    A name gets its port when it is first asked for. Ports come in blocks of 100 that no other
    network being started on this machine takes, outside the range of outgoing connections.
    """

    def __init__(self, taken: Mapping[str, int] | None = None) -> None:
        self._ports: dict[str, int] = dict(taken or {})
        self._fresh: Iterator[int] = iter(())
        self._lock = threading.Lock()

    def get(self, name: str) -> int:
        """The port of ``name``, the same one every time."""
        with self._lock:
            if name not in self._ports:
                self._ports[name] = self._next()
            return self._ports[name]

    def host(self, name: str) -> str:
        """Where the port of ``name`` is: this machine only (containers: see network/containers.py)."""
        return "127.0.0.1"

    def address(self, name: str) -> str:
        """``HOST:PORT`` of ``name``."""
        return f"{self.host(name)}:{self.get(name)}"

    def as_dict(self) -> dict[str, int]:
        """Every name and its port, to be stored and given to the next ``Ports``."""
        with self._lock:
            return dict(self._ports)

    def check_free(self) -> None:
        """Raise PortTaken when something already listens on a port of this network."""
        for name, port in self.as_dict().items():
            if not is_free(port):
                raise PortTaken(
                    f"port {port} ({name}) is used by another program",
                    "End that program: the port is part of this network's channel, or take a new directory",
                )

    def _next(self) -> int:
        for port in self._fresh:
            if is_free(port):
                return port
        base, claim = _claim_block()
        weakref.finalize(self, os.close, claim)  # by then the network listens on its ports, or is gone
        self._fresh = iter(range(base, base + BLOCK))
        return self._next()


def is_free(port: int) -> bool:
    """Whether nothing listens on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Go's listeners do
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _claim_block() -> tuple[int, int]:
    """A block no other process is choosing from: its first port, and the descriptor of its lock."""
    bases = list(_bases())
    random.SystemRandom().shuffle(bases)
    for base in bases:
        claim = _try_lock(base)
        if claim is None:
            continue
        if all(is_free(port) for port in range(base, base + BLOCK)):
            return base, claim
        os.close(claim)
    raise PortTaken("no block of free ports is left on this machine", "Take down networks you do not need")


def _bases() -> range:
    """First ports of the blocks below the range the kernel gives to outgoing connections."""
    try:
        low = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError):
        low = 32768
    return range(20000, low - BLOCK, BLOCK) if low >= 24000 else range(20000, 32000, BLOCK)


def _try_lock(base: int) -> int | None:
    """A lock on the block, a descriptor to be closed; None when another has it."""
    directory = Path(tempfile.gettempdir()) / f"candor-ports-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(directory / str(base), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
