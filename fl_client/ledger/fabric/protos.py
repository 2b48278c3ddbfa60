"""Fabric's protocol buffers, under short names.

Their generated modules say nothing about types, so they count as Any here.
"""

from __future__ import annotations

from typing import Any

from fabric_protos.common import common_pb2, ledger_pb2
from fabric_protos.msp import identities_pb2
from fabric_protos.peer import chaincode_event_pb2, proposal_pb2, proposal_response_pb2, transaction_pb2
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

__all__ = [
    "DecodeError",
    "common",
    "events",
    "identities",
    "ledgers",
    "proposals",
    "responses",
    "transactions",
]

common: Any = common_pb2
events: Any = chaincode_event_pb2
identities: Any = identities_pb2
ledgers: Any = ledger_pb2
proposals: Any = proposal_pb2
responses: Any = proposal_response_pb2
transactions: Any = transaction_pb2
