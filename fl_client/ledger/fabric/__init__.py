"""The ledger on a Hyperledger Fabric network.

hfc gives identities, signatures, proposals, transactions, seeks and the stubs; the rest
(transport, endorsement, ordering, commits, errors) is ours, since hfc's own invoke neither
compares endorsements nor survives a node's failure.
"""

from .ledger import FabricLedger

__all__ = ["FabricLedger"]
