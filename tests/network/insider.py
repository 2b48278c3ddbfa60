"""Proposals and transactions as no client would make them, signed with a legitimate certificate."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2, transaction_pb2

from fl_client.ledger.fabric import FabricLedger, blocks, sdk
from fl_client.ledger.fabric.proposals import Proposal

PATIENCE = 30.0  # seconds until a transaction must be in a block
UNKNOWN = b"\xfa\x01\x03abc"  # a protocol buffer's field 31, which nobody knows

common: Any = common_pb2
chaincodes: Any = chaincode_pb2
proposals: Any = proposal_pb2
transactions: Any = transaction_pb2


class Insider:
    """A member with tools of its own instead of the client's."""

    def __init__(self, ledger: FabricLedger) -> None:
        self.ledger = ledger
        self.peers = ledger._peers
        self._user = ledger._user

    def sign(self, content: bytes) -> bytes:
        return bytes(self._user.cryptoSuite.sign(self._user.enrollment.private_key, content))

    def propose(
        self,
        *args: bytes,
        transient: Mapping[str, bytes] | None = None,
        channel: str = "candor",
        named: str = "candor",
        called: str = "candor",
    ) -> Proposal:
        """A signed proposal; ``named`` is the chaincode in its header, ``called`` the one beside the arguments."""
        creator, nonce = sdk.create_serialized_identity(self._user), os.urandom(24)
        tx_id = hashlib.sha256(nonce + creator).hexdigest()
        extension = proposals.ChaincodeHeaderExtension(chaincode_id={"name": named}).SerializeToString()
        about = common.ChannelHeader(type=3, tx_id=tx_id, channel_id=channel, extension=extension)
        about.timestamp.seconds = int(time.time())
        signature = common.SignatureHeader(creator=creator, nonce=nonce).SerializeToString()
        header = common.Header(channel_header=about.SerializeToString(), signature_header=signature)
        call = chaincodes.ChaincodeInvocationSpec()
        call.chaincode_spec.chaincode_id.name = called
        call.chaincode_spec.input.args.extend(args)
        payload = proposals.ChaincodeProposalPayload(input=call.SerializeToString())
        bare = proposals.Proposal(header=header.SerializeToString(), payload=payload.SerializeToString())
        payload.TransientMap.update(transient or {})
        full = proposals.Proposal(header=header.SerializeToString(), payload=payload.SerializeToString())
        raw = full.SerializeToString()
        signed = proposals.SignedProposal(proposal_bytes=raw, signature=self.sign(raw))
        return Proposal(tx_id, None, signed, bare, header)

    async def status(self, proposal: Proposal) -> int:
        """What the own peer answers; 0 where it does not even hand the call to a chaincode."""
        try:
            return int((await self.peers[0].send_proposal(proposal.signed, PATIENCE)).response.status)
        except grpc.RpcError:
            return 0

    async def endorsed(self, proposal: Proposal) -> list[Any]:
        """All peers' answers, endorsements in them."""
        asked = (peer.send_proposal(proposal.signed, PATIENCE) for peer in self.peers)
        answers = await asyncio.gather(*asked)
        assert {answer.response.status for answer in answers} == {200}, answers[0].response.message
        return answers

    def envelope(
        self, proposal: Proposal, answers: Sequence[Any], change: Callable[[Any], None] | None = None
    ) -> Any:
        """The transaction; ``change`` gets its ChaincodeActionPayload before it is signed."""
        body = transactions.ChaincodeActionPayload(chaincode_proposal_payload=proposal._bare.payload)
        body.action.proposal_response_payload = answers[0].payload
        body.action.endorsements.extend(answer.endorsement for answer in answers)
        if change:
            change(body)
        made = transactions.Transaction()
        made.actions.add(header=proposal._header.signature_header, payload=body.SerializeToString())
        payload = common.Payload(header=proposal._header, data=made.SerializeToString()).SerializeToString()
        return common.Envelope(payload=payload, signature=self.sign(payload))

    async def submit(self, proposal: Proposal, envelope: Any) -> blocks.Outcome:
        """What became of the transaction."""
        return await self.ledger._commit(proposal.tx_id, envelope)
