"""Reading Fabric's blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_event_pb2, proposal_pb2, proposal_response_pb2, transaction_pb2

from fl_client.ledger.base import Event

VALID = transaction_pb2.VALID
READ_CONFLICTS = (transaction_pb2.MVCC_READ_CONFLICT, transaction_pb2.PHANTOM_READ_CONFLICT)


class Outcome(NamedTuple):
    """Where a transaction stands: in ``block``, with Fabric's validation ``code``."""

    block: int
    code: int

    @property
    def name(self) -> str:
        try:
            return transaction_pb2.TxValidationCode.Name(self.code)
        except ValueError:  # a newer Fabric's
            return str(self.code)


def outcomes(filtered_block: Any) -> Iterator[tuple[str, Outcome]]:
    """Transaction ids and outcomes of a FilteredBlock."""
    for each in filtered_block.filtered_transactions:
        yield each.txid, Outcome(filtered_block.number, each.tx_validation_code)


def outcome_in(block: Any, tx_id: str) -> Outcome | None:
    """How the transaction fared in this Block (its first occurrence counts)."""
    for code, header, _ in _transactions(block):
        if header.tx_id == tx_id:
            return Outcome(block.header.number, code)
    return None


def events(block: Any, chaincode: str) -> Iterator[Event]:
    """The chaincode's events of the Block's valid transactions."""
    for code, header, payload in _transactions(block):
        if code != VALID or header.type != common_pb2.ENDORSER_TRANSACTION:
            continue
        for action in transaction_pb2.Transaction.FromString(payload.data).actions:
            event = _event(action)
            if event.chaincode_id == chaincode:
                yield Event(block.header.number, header.tx_id, event.event_name, event.payload)


def _transactions(block: Any) -> Iterator[tuple[int, Any, Any]]:
    codes = block.metadata.metadata[common_pb2.TRANSACTIONS_FILTER]
    for code, raw in zip(codes, block.data.data, strict=True):
        payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(raw).payload)
        yield code, common_pb2.ChannelHeader.FromString(payload.header.channel_header), payload


def _event(action: Any) -> Any:
    endorsed = transaction_pb2.ChaincodeActionPayload.FromString(action.payload).action
    response = proposal_response_pb2.ProposalResponsePayload.FromString(endorsed.proposal_response_payload)
    return chaincode_event_pb2.ChaincodeEvent.FromString(
        proposal_pb2.ChaincodeAction.FromString(response.extension).events
    )
