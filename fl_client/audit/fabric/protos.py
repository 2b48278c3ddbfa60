"""Fabric's protocol buffers, under short names; their generated modules say nothing about types."""

from __future__ import annotations

from typing import Any

from fabric_protos.common import common_pb2, configtx_pb2, configuration_pb2, policies_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.msp import identities_pb2, msp_config_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_configuration_pb2
from fabric_protos.peer import (
    chaincode_event_pb2,
    chaincode_pb2,
    proposal_pb2,
    proposal_response_pb2,
    transaction_pb2,
)
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

__all__ = [
    "DecodeError",
    "chaincodes",
    "common",
    "configs",
    "configurations",
    "consensus",
    "events",
    "identities",
    "kv",
    "msps",
    "policies",
    "proposals",
    "responses",
    "rwsets",
    "transactions",
]

chaincodes: Any = chaincode_pb2
common: Any = common_pb2
configs: Any = configtx_pb2
configurations: Any = configuration_pb2
consensus: Any = orderer_configuration_pb2
events: Any = chaincode_event_pb2
identities: Any = identities_pb2
kv: Any = kv_rwset_pb2
msps: Any = msp_config_pb2
policies: Any = policies_pb2
proposals: Any = proposal_pb2
responses: Any = proposal_response_pb2
rwsets: Any = rwset_pb2
transactions: Any = transaction_pb2
