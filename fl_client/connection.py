"""The connection file: everything one organisation's programs need to reach the network.

``network/`` writes one an organisation, mode 600; docs/architecture.md shows it whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from chaincode.beacon import BeaconInfo
from fl_client.errors import BadInput


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class PeerAddress(_Part, frozen=True):
    """One peer: where it listens, the name in its certificate, and who signed that."""

    msp_id: str
    address: str
    host: str
    tls_ca: Path


class OrdererAddress(_Part, frozen=True):
    """One orderer."""

    address: str
    host: str
    tls_ca: Path


class StoreAddress(_Part, frozen=True):
    """The organisation's kubo and cluster peer; ``credentials`` is a file with ``user:password``."""

    kubo: Path
    cluster: str
    credentials: Path


class IdentityFiles(_Part, frozen=True):
    """An enrolled identity: PEM files of its private key and its certificate."""

    name: str
    key: Path
    certificate: Path


class Connection(_Part, frozen=True):
    """An organisation's way into the network; ``peers`` lists its own first."""

    channel: str
    chaincode: str
    organisation: str
    peers: tuple[PeerAddress, ...]
    orderers: tuple[OrdererAddress, ...]
    admin: IdentityFiles
    clients: tuple[IdentityFiles, ...] = ()
    store: StoreAddress | None = None  # a network may do without IPFS,
    beacons: tuple[str, ...] = ()  # and without drand
    beacon: BeaconInfo | None = None

    @property
    def organisations(self) -> tuple[str, ...]:
        """The MSP ids of everyone who has a peer, sorted."""
        return tuple(sorted({peer.msp_id for peer in self.peers}))

    def identity(self, name: str) -> IdentityFiles:
        """The admin or the client of that name (``User1`` finds ``User1@org1.test``)."""
        known = (self.admin, *self.clients)
        for identity in known:
            if name in (identity.name, identity.name.partition("@")[0]):
                return identity
        names = ", ".join(identity.name for identity in known)
        raise BadInput(f"{self.organisation} has no identity named {name}", f"It has: {names}")


def read_connection(path: Path) -> Connection:
    """Read and check a connection file.

    Raises: BadInput, saying what is wrong in it and where.
    """
    try:
        connection = msgspec.json.decode(path.read_bytes(), type=Connection, dec_hook=_path)
        if connection.beacon is not None:
            connection.beacon.check()
        return connection
    except OSError as error:
        remedy = "Bring the network up first: candor network up"
        raise BadInput(f"cannot read the connection file {path}: {error.strerror}", remedy) from error
    except ValueError as error:
        raise BadInput(
            f"the connection file {path} is not usable: {error}", "candor network up prints where they are"
        ) from error


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        if not value:
            raise ValueError("a file's name is empty")
        return Path(value)
    raise NotImplementedError(f"cannot read a {kind.__name__}")
