"""Reading Fabric's blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from fl_client.ledger.base import Event

from . import protos

VALID = protos.transactions.VALID
READ_CONFLICTS = (protos.transactions.MVCC_READ_CONFLICT, protos.transactions.PHANTOM_READ_CONFLICT)


class Outcome(NamedTuple):
    """Where a transaction stands: in ``block``, with Fabric's validation ``code``."""

    block: int
    code: int

    @property
    def name(self) -> str:
        try:
            return str(protos.transactions.TxValidationCode.Name(self.code))
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
        if code != VALID or header.type != protos.common.ENDORSER_TRANSACTION:
            continue
        for action in protos.transactions.Transaction.FromString(payload.data).actions:
            event = _event(action)
            if event.chaincode_id == chaincode:
                yield Event(block.header.number, header.tx_id, event.event_name, event.payload)


def _transactions(block: Any) -> Iterator[tuple[int, Any, Any]]:
    codes = block.metadata.metadata[protos.common.TRANSACTIONS_FILTER]
    for code, raw in zip(codes, block.data.data, strict=True):
        payload = protos.common.Payload.FromString(protos.common.Envelope.FromString(raw).payload)
        yield code, protos.common.ChannelHeader.FromString(payload.header.channel_header), payload


def _event(action: Any) -> Any:
    endorsed = protos.transactions.ChaincodeActionPayload.FromString(action.payload).action
    response = protos.responses.ProposalResponsePayload.FromString(endorsed.proposal_response_payload)
    return protos.events.ChaincodeEvent.FromString(
        protos.proposals.ChaincodeAction.FromString(response.extension).events
    )
