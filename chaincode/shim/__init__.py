"""The Fabric chaincode protocol for any Python chaincode.

A chaincode is a ``Chaincode`` of ``Contract`` classes with ``transaction`` and ``query`` methods, served by
``python -m chaincode.shim MODULE:FACTORY`` or run in process on ``chaincode.shim.memory``.
"""

from __future__ import annotations

from chaincode.shim.contract import Contract, query, transaction
from chaincode.shim.dispatch import Chaincode
from chaincode.shim.errors import Defect, PeerError, Refusal
from chaincode.shim.identity import Identity
from chaincode.shim.keys import composite_key, split_composite_key
from chaincode.shim.stub import Modification, Page, Response, Stub

__all__ = [
    "Chaincode",
    "Contract",
    "Defect",
    "Identity",
    "Modification",
    "Page",
    "PeerError",
    "Refusal",
    "Response",
    "Stub",
    "composite_key",
    "query",
    "split_composite_key",
    "transaction",
]
