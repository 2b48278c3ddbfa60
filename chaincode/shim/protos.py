"""Fabric's protocol buffers, under the short names this package uses.

Their generated modules say nothing about types, so they count as Any here.
"""

from __future__ import annotations

from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.ledger.queryresult import kv_query_result_pb2
from fabric_protos.msp import identities_pb2
from fabric_protos.peer import (
    chaincode_event_pb2,
    chaincode_pb2,
    chaincode_shim_pb2,
    proposal_pb2,
    proposal_response_pb2,
)
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

__all__ = [
    "DecodeError",
    "chaincodes",
    "common",
    "events",
    "identities",
    "proposals",
    "responses",
    "results",
    "shim",
]

chaincodes: Any = chaincode_pb2
common: Any = common_pb2
events: Any = chaincode_event_pb2
identities: Any = identities_pb2
proposals: Any = proposal_pb2
responses: Any = proposal_response_pb2
results: Any = kv_query_result_pb2
shim: Any = chaincode_shim_pb2
