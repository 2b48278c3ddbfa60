"""Proposals and transactions: built and signed by hfc."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fl_client.ledger.base import encode_argument

from . import protos, sdk


@dataclass(frozen=True)
class Proposal:
    """A signed proposal, good for any number of peers; it never prints its contents."""

    tx_id: str
    _context: Any
    signed: Any  # SignedProposal, with the transient map
    _bare: Any  # Proposal without it: what goes into the block
    _header: Any

    def __repr__(self) -> str:
        return f"Proposal({self.tx_id})"

    def envelope(self, endorsements: Sequence[Any]) -> Any:
        """The signed transaction made of equal ProposalResponses."""
        request = sdk.build_tx_req((endorsements, self._bare, self._header))
        payload = sdk.create_tx_payload([each.endorsement for each in endorsements], request)
        return sdk.sign_tran_payload(self._context, payload)


class _Collector:
    """Stands where hfc expects a peer, and keeps what it would have been sent."""

    def send_proposal(self, proposal: Any) -> Any:
        return proposal


def propose(
    user: Any,
    channel: str,
    chaincode: str,
    function: str,
    args: Sequence[Any],
    transient: Mapping[str, bytes] | None = None,
) -> Proposal:
    """Build and sign a call of ``function``.

    Arguments become bytes here, since hfc would encode text as latin-1.
    """
    request = sdk.create_tx_prop_req(
        prop_type=sdk.CC_INVOKE,
        cc_name=chaincode,
        fcn=function,
        args=[encode_argument(each) for each in args],
        transient_map=dict(transient or {}),
    )
    context = sdk.create_tx_context(user, user.cryptoSuite, request)
    (signed,), bare, header = sdk.Channel._send_tx_proposal(channel, context, [_Collector()])
    return Proposal(context.tx_id, context, signed, bare, header)


def signed_result(response: Any) -> bytes:
    """What the contract returned, from the part of the response that the endorser signed."""
    payload = protos.responses.ProposalResponsePayload.FromString(response.payload)
    result: bytes = protos.proposals.ChaincodeAction.FromString(payload.extension).response.payload
    return result
