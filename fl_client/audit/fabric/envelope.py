"""One transaction's envelope: who signed what, who endorsed it, and what it reads and writes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chaincode.shim.memory import ReadWriteSet
from fl_client.audit.blocks import VALID, Transaction
from fl_client.audit.findings import Class, Finding

from . import protos
from .config import Config, verifies
from .rwset import read_rwsets

SYSTEM = frozenset({"qscc", "cscc", "lscc"})  # answer queries alone: peers take no transaction of theirs
APPROVALS = "_lifecycle$_implicit_org_"  # where an organisation approves a chaincode's definition


@dataclass
class _Faults:
    """Collects what is wrong; the first flag is the transaction's."""

    block: int
    tx_id: str
    code: str
    flag: str = ""
    found: list[Finding] = field(default_factory=list)

    def add(self, kind: Class, flag: str, what: str, expected: str = "", found: str = "") -> None:
        self.flag = self.flag or flag
        if self.code == VALID:  # what is marked invalid changes nothing, and may be as wrong as it likes
            self.found.append(Finding(kind, what, self.block, self.tx_id, expected, found))


class Envelopes:
    """Reads the transactions of one channel, in their order."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._block = -1
        self._seen = set[str]()  # ids in blocks before
        self._here, self._passed = set[str](), set[str]()  # ids in this block; those with nothing wrong

    def read(self, raw: bytes, config: Config, block: int, index: int, code: str) -> Transaction:
        """The transaction in an envelope; what cannot be read of it is a finding."""
        if block != self._block:
            self._block, self._seen = block, self._seen | self._here
            self._here, self._passed = set(), set()
        faults = _Faults(block, "", code)
        try:
            found = self._read(raw, config, index, faults)
            if not faults.flag:
                self._passed.add(faults.tx_id)
            return found
        except (protos.DecodeError, ValueError, IndexError, UnicodeDecodeError) as fault:
            faults.add(Class.FORMAT, "BAD_PAYLOAD", f"the transaction cannot be read: {fault}")
            return Transaction(
                block, index, faults.tx_id, code, fault=faults.flag, findings=tuple(faults.found)
            )

    def _read(self, raw: bytes, config: Config, index: int, faults: _Faults) -> Transaction:
        envelope = protos.common.Envelope.FromString(raw)
        payload = protos.common.Payload.FromString(envelope.payload)
        header = protos.common.ChannelHeader.FromString(payload.header.channel_header)
        signature = protos.common.SignatureHeader.FromString(payload.header.signature_header)
        faults.tx_id = header.tx_id
        self._check_header(header, signature, faults)
        _check_creator(envelope, signature.creator, config, faults)
        (action,) = protos.transactions.Transaction.FromString(payload.data).actions
        if action.header != payload.header.signature_header:
            faults.add(Class.PROPOSAL, "BAD_RESPONSE_PAYLOAD", "its action is of another creator or nonce")
        body = protos.transactions.ChaincodeActionPayload.FromString(action.payload)
        endorsed = body.action.proposal_response_payload
        response = protos.responses.ProposalResponsePayload.FromString(endorsed)
        proposed = hashlib.sha256(
            payload.header.channel_header + payload.header.signature_header + body.chaincode_proposal_payload
        ).digest()
        if response.proposal_hash != proposed:
            what = "what was endorsed is an answer to another proposal"
            faults.add(
                Class.PROPOSAL, "BAD_RESPONSE_PAYLOAD", what, proposed.hex(), response.proposal_hash.hex()
            )
        result = protos.proposals.ChaincodeAction.FromString(response.extension)
        name, args = self._called(header, body, result, faults)
        rwsets = read_rwsets(result.results)
        endorsers = _endorsers(body.action.endorsements, endorsed, config)
        _check_policy(rwsets, endorsers, config, faults)
        event = protos.events.ChaincodeEvent.FromString(result.events)
        if result.events and (event.chaincode_id, event.tx_id) != (name, header.tx_id):
            what, given = "its event is of another transaction", f"{event.chaincode_id} {event.tx_id}"
            faults.add(Class.RESULT, "", what, f"{name} {header.tx_id}", given)
        return Transaction(
            block=faults.block,
            index=index,
            tx_id=header.tx_id,
            code=faults.code,
            channel=header.channel_id,
            chaincode=name,
            creator=signature.creator,
            args=args,
            timestamp=header.timestamp.seconds,
            rwsets=rwsets,
            status=result.response.status,
            message=result.response.message,
            payload=result.response.payload,
            event=(event.event_name, event.payload) if result.events else None,
            endorsers=endorsers,
            fault=faults.flag,
            findings=tuple(faults.found),
        )

    def _check_header(self, header: Any, signature: Any, faults: _Faults) -> None:
        if header.type != protos.common.ENDORSER_TRANSACTION:
            raise ValueError(f"it is of type {header.type}, which does not belong into a channel's block")
        own = hashlib.sha256(signature.nonce + signature.creator).hexdigest()
        if header.tx_id != own:
            what = "its id is not the hash of nonce and creator"
            faults.add(Class.PROPOSAL, "BAD_PROPOSAL_TXID", what, own, header.tx_id)
        if header.channel_id != self._channel:
            what = "it is another channel's"
            faults.add(Class.PROPOSAL, "TARGET_CHAIN_NOT_FOUND", what, self._channel, header.channel_id)
        if (
            header.tx_id in self._seen or header.tx_id in self._passed
        ):  # a broken copy in the same block takes nobody's place
            faults.add(Class.DUPLICATE, "DUPLICATE_TXID", "the transaction was in a block before")
        self._here.add(header.tx_id)

    @staticmethod
    def _called(header: Any, body: Any, result: Any, faults: _Faults) -> tuple[str, tuple[bytes, ...]]:
        """The chaincode the signed proposal names, and the arguments.

        It names it in its header. A call carries a name once more, which peers do not read: whoever writes
        something else there has made a valid transaction.
        """
        extension = protos.proposals.ChaincodeHeaderExtension.FromString(header.extension)
        proposal = protos.proposals.ChaincodeProposalPayload.FromString(body.chaincode_proposal_payload)
        call = protos.chaincodes.ChaincodeInvocationSpec.FromString(proposal.input).chaincode_spec
        name = extension.chaincode_id.name
        if name != result.chaincode_id.name:
            what = "proposal and answer name different chaincodes"
            faults.add(Class.PROPOSAL, "INVALID_CHAINCODE", what, name, result.chaincode_id.name)
        elif name in SYSTEM:
            faults.add(
                Class.PROPOSAL, "INVALID_CHAINCODE", f"{name} is a part of the peer and changes nothing"
            )
        return str(name), tuple(call.input.args)


def _check_creator(envelope: Any, creator: bytes, config: Config, faults: _Faults) -> None:
    identity = protos.identities.SerializedIdentity.FromString(creator)
    msp = config.organisations.get(identity.mspid)
    if msp is None or not msp.vouches_for(identity.id_bytes):
        what = f"its creator is no member of {identity.mspid} as the channel knows it"
        faults.add(Class.CREATOR, "BAD_CREATOR_SIGNATURE", what)
    elif not verifies(identity.id_bytes, envelope.signature, envelope.payload):
        what = "its creator's signature is not of this content"
        faults.add(Class.CREATOR, "BAD_CREATOR_SIGNATURE", what)


def _endorsers(endorsements: Any, endorsed: bytes, config: Config) -> tuple[str, ...]:
    """The organisations whose peers validly signed exactly this answer.

    Whoever submits a transaction can add to its endorsements what is none. Peers pass over it.
    """
    found = set()
    for each in endorsements:
        try:
            identity = protos.identities.SerializedIdentity.FromString(each.endorser)
        except protos.DecodeError:
            continue
        msp, pem = config.organisations.get(identity.mspid), identity.id_bytes
        if (
            msp
            and msp.vouches_for(pem)
            and msp.role(pem) == "peer"
            and verifies(pem, each.signature, endorsed + each.endorser)
        ):
            found.add(str(identity.mspid))
    return tuple(sorted(found))


def _check_policy(
    rwsets: Mapping[str, ReadWriteSet], endorsers: tuple[str, ...], config: Config, faults: _Faults
) -> None:
    """More than half of the organisations; an organisation's own approval of a chaincode needs its own alone."""
    written = {name for name, rwset in rwsets.items() if rwset.writes}
    owners = {name.removeprefix(APPROVALS) for name in written if name.startswith(APPROVALS)}
    if written and len(owners) == len(written):
        right, needed = owners <= set(endorsers), ", ".join(sorted(owners))
    else:
        count = len(config.organisations) // 2 + 1
        right, needed = len(endorsers) >= count, f"{count} of {len(config.organisations)} organisations"
    if not right:
        signers = ", ".join(endorsers) or "nobody"
        what = f"validly endorsed by {signers}"
        faults.add(Class.ENDORSEMENT, "ENDORSEMENT_POLICY_FAILURE", what, needed, signers)
