"""One interface, two ledgers: Fabric (through hfc's building blocks) and one in process."""

from __future__ import annotations

from fl_client.connection import Connection, IdentityFiles

from .base import Event, Ledger, Receipt

__all__ = ["Event", "Ledger", "Receipt", "open_ledger"]


def open_ledger(connection: Connection, identity: IdentityFiles) -> Ledger:
    """The Fabric network of ``connection`` for ``identity``; enter it to connect."""
    from .fabric import FabricLedger  # hfc takes a third of a second, which the embedded ledger can spare

    return FabricLedger(connection, key=identity.key, certificate=identity.certificate)
