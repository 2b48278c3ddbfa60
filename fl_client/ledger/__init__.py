"""One interface, two ledgers: Fabric (through hfc's building blocks) and one in process."""

from .base import Event, Ledger, Receipt

__all__ = ["Event", "Ledger", "Receipt"]
