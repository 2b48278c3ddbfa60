"""The ledger in process: the same contracts and rules without Fabric, for tests and simulation."""

from .identities import EmbeddedIdentities, EmbeddedIdentity
from .ledger import EmbeddedLedger
from .network import EmbeddedNetwork
from .records import BlockRecord, TransactionRecord

__all__ = [
    "BlockRecord",
    "EmbeddedIdentities",
    "EmbeddedIdentity",
    "EmbeddedLedger",
    "EmbeddedNetwork",
    "TransactionRecord",
]
