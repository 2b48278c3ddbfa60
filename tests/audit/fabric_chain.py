"""A Fabric channel without Fabric: an embedded job's transactions, signed, endorsed and ordered as peers do it.

With the keys of every organisation in the test's hands, forgeries can be made that hash and sign rightly but
for one thing.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from chaincode.shim.memory import ReadWriteSet
from fl_client.audit.fabric import protos
from fl_client.audit.fabric.reader import header_bytes
from fl_client.ledger.embedded import EmbeddedIdentities, EmbeddedIdentity
from fl_client.ledger.embedded.records import BlockRecord, TransactionRecord

ORDERERS = "OrdererMSP"
_FLAGS = {"VALID": 0, "MVCC_READ_CONFLICT": 11, "PHANTOM_READ_CONFLICT": 12}


class Authorities:
    """The organisations' certificate authorities, each with its root certificate; knows all that it issued."""

    def __init__(self, identities: EmbeddedIdentities) -> None:
        self.identities = identities
        self._made: dict[str, bytes] = {}

    def root(self, msp_id: str) -> bytes:
        """The self-signed root certificate of the key that issues, always the same."""
        if msp_id not in self._made:
            self._made[msp_id] = self._make(msp_id)
        return self._made[msp_id]

    def _make(self, msp_id: str) -> bytes:
        key, name = self.identities._root(msp_id)
        now = datetime.datetime.now(datetime.UTC)
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        made = made.serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
        made = made.not_valid_after(now + datetime.timedelta(days=3650))
        signed = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), True).sign(
            key, hashes.SHA256()
        )
        return signed.public_bytes(Encoding.PEM)


class Channel:
    """Makes the blocks; `known`: whose keys are at hand, by creator."""

    def __init__(
        self, authorities: Authorities, organisations: Iterable[str], known: Mapping[bytes, EmbeddedIdentity]
    ) -> None:
        self.authorities, self.known = authorities, dict(known)
        self.organisations = list(organisations)
        issue = authorities.identities.issue
        self.peers = {org: issue(org, f"peer0.{org}", "peer") for org in self.organisations}
        self.orderer = issue(ORDERERS, "orderer0", "orderer")

    def config(self) -> bytes:
        """Block 0."""
        group = protos.configs.ConfigGroup()
        application, orderer = group.groups["Application"], group.groups["Orderer"]
        for org in self.organisations:
            self._member(application, org)
        self._member(orderer, ORDERERS)
        kind = protos.consensus.ConsensusType(type="etcdraft")
        orderer.values["ConsensusType"].value = kind.SerializeToString()
        rule = protos.policies.ImplicitMetaPolicy(sub_policy="Endorsement", rule=2)
        policy = protos.policies.Policy(type=3, value=rule.SerializeToString())
        application.policies["Endorsement"].policy.CopyFrom(policy)
        return _envelope(protos.configs.ConfigEnvelope(config=protos.configs.Config(channel_group=group)))

    def reconfigured(
        self,
        before: bytes,
        change: Callable[[Any], object],
        admins: Iterable[EmbeddedIdentity],
        *,
        signed: Callable[[Any], object] | None = None,
    ) -> bytes:
        """A config block's envelope after another's: `change` edits the channel's group, versions included.

        `signed`: what the admins have signed instead.
        """
        old = _config(before)
        new, update = protos.configs.Config(), protos.configs.ConfigUpdate(channel_id="candor")
        new.CopyFrom(old)
        new.sequence += 1
        for group in (update.read_set, update.write_set):
            group.CopyFrom(old.channel_group)
        change(new.channel_group)
        (signed or change)(update.write_set)
        made = protos.configs.ConfigEnvelope(config=new)
        made.last_update.payload = _signed(update.SerializeToString(), admins)
        return _envelope(made)

    def admits(self, msp_id: str, *, version: int = 1) -> Callable[[Any], None]:
        """The change that takes an organisation into the channel."""

        def change(group: Any) -> None:
            group.groups["Application"].version = version
            self._member(group.groups["Application"], msp_id)

        return change

    def block(self, number: int, previous: bytes, data: list[bytes], flags: bytes) -> Any:
        """A block signed by the orderer."""
        block = protos.common.Block()
        block.header.number, block.header.previous_hash = number, previous
        block.data.data.extend(data)
        block.metadata.metadata.extend([b"", b"", flags, b"", b""])
        return self.ordered(block, self.orderer)

    def ordered(self, block: Any, by: EmbeddedIdentity) -> Any:
        """The block with its data hash and that orderer's signature."""
        block.header.data_hash = hashlib.sha256(b"".join(block.data.data)).digest()
        header = protos.common.SignatureHeader(creator=by.creator, nonce=b"n").SerializeToString()
        value = protos.common.OrdererBlockMetadata().SerializeToString()
        signature = by.sign(value + header + header_bytes(block.header))
        made = protos.common.MetadataSignature(signature_header=header, signature=signature)
        metadata = protos.common.Metadata(value=value, signatures=[made])
        block.metadata.metadata[0] = metadata.SerializeToString()
        return block

    def chain(self, blocks: Iterable[BlockRecord]) -> list[Any]:
        """The whole chain of an embedded ledger's blocks."""
        made: list[Any] = []
        for each in blocks:
            previous = hashlib.sha256(header_bytes(made[-1].header)).digest() if made else b""
            data = [self.envelope(record) for record in each.transactions] or [self.config()]
            flags = bytes(_FLAGS[record.code] for record in each.transactions) or b"\0"
            made.append(self.block(each.number, previous, data, flags))
        return made

    def again(self, chain: list[Any]) -> None:
        """Hash and sign all of it again, as a whole consortium's orderers could."""
        previous = b""
        for number, block in enumerate(chain):
            block.header.number, block.header.previous_hash = number, previous
            self.ordered(block, self.orderer)
            previous = hashlib.sha256(header_bytes(block.header)).digest()

    def envelope(self, record: TransactionRecord, *, endorsers: Iterable[EmbeddedIdentity] = ()) -> bytes:
        """A transaction, endorsed by the named organisations' peers (or those given)."""
        who, nonce = self.known[record.creator], record.nonce
        extension = protos.proposals.ChaincodeHeaderExtension()
        extension.chaincode_id.name = "candor"
        channel = protos.common.ChannelHeader(
            type=protos.common.ENDORSER_TRANSACTION,
            channel_id="candor",
            tx_id=record.tx_id,
            extension=extension.SerializeToString(),
        ).SerializeToString()
        signature = protos.common.SignatureHeader(creator=record.creator, nonce=nonce).SerializeToString()
        call = protos.chaincodes.ChaincodeInvocationSpec()
        call.chaincode_spec.chaincode_id.name = "candor"
        call.chaincode_spec.input.args.extend(record.args)
        proposal = protos.proposals.ChaincodeProposalPayload(
            input=call.SerializeToString()
        ).SerializeToString()
        response = protos.responses.ProposalResponsePayload(
            proposal_hash=hashlib.sha256(channel + signature + proposal).digest(),
            extension=_action(record),
        ).SerializeToString()
        body = protos.transactions.ChaincodeActionPayload(chaincode_proposal_payload=proposal)
        body.action.proposal_response_payload = response
        for peer in list(endorsers) or [self.peers[org] for org in record.endorsers]:
            signed = peer.sign(response + peer.creator)
            body.action.endorsements.add(endorser=peer.creator, signature=signed)
        action = protos.transactions.TransactionAction(header=signature, payload=body.SerializeToString())
        payload = protos.common.Payload(
            header=protos.common.Header(channel_header=channel, signature_header=signature),
            data=protos.transactions.Transaction(actions=[action]).SerializeToString(),
        ).SerializeToString()
        return bytes(protos.common.Envelope(payload=payload, signature=who.sign(payload)).SerializeToString())

    def _member(self, group: Any, msp_id: str) -> None:
        msp = protos.msps.FabricMSPConfig(name=msp_id, root_certs=[self.authorities.root(msp_id)])
        msp.fabric_node_ous.enable = True
        for role in ("client", "peer", "admin", "orderer"):
            unit = getattr(msp.fabric_node_ous, f"{role}_ou_identifier")
            unit.organizational_unit_identifier = role
        config = protos.msps.MSPConfig(config=msp.SerializeToString())
        group.groups[msp_id].values["MSP"].value = config.SerializeToString()


def _config(envelope: bytes) -> Any:
    payload = protos.common.Payload.FromString(protos.common.Envelope.FromString(envelope).payload)
    return protos.configs.ConfigEnvelope.FromString(payload.data).config


def _envelope(config: Any) -> bytes:
    header = protos.common.ChannelHeader(type=protos.common.CONFIG, channel_id="candor")
    payload = protos.common.Payload(
        header=protos.common.Header(channel_header=header.SerializeToString()),
        data=config.SerializeToString(),
    )
    return bytes(protos.common.Envelope(payload=payload.SerializeToString()).SerializeToString())


def _signed(update: bytes, admins: Iterable[EmbeddedIdentity]) -> bytes:
    """The payload of an update with the signatures of these."""
    made = protos.configs.ConfigUpdateEnvelope(config_update=update)
    for admin in admins:
        header = protos.common.SignatureHeader(creator=admin.creator).SerializeToString()
        made.signatures.add(signature_header=header, signature=admin.sign(header + update))
    return bytes(protos.common.Payload(data=made.SerializeToString()).SerializeToString())


def _action(record: TransactionRecord) -> bytes:
    action = protos.proposals.ChaincodeAction(results=_results(record))
    action.chaincode_id.name = "candor"
    action.response.status, action.response.payload = 200, record.payload
    if record.event:
        name, payload = record.event
        event = protos.events.ChaincodeEvent(
            chaincode_id="candor", tx_id=record.tx_id, event_name=name, payload=payload
        )
        action.events = event.SerializeToString()
    return bytes(action.SerializeToString())


def _results(record: TransactionRecord) -> bytes:
    own = msgspec.msgpack.decode(record.read_write_set, type=ReadWriteSet)
    rwset = protos.kv.KVRWSet()
    for key, version in own.reads:
        rwset.reads.append(_read(key, version))
    for read in own.ranges:
        info = rwset.range_queries_info.add(
            start_key=read.start, end_key=read.end, itr_exhausted=read.exhausted
        )
        info.raw_reads.kv_reads.extend(_read(key, version) for key, version in read.results)
    for key, value in own.writes:
        rwset.writes.add(key=key, is_delete=value is None, value=value or b"")
    sets = protos.rwsets.TxReadWriteSet()
    sets.ns_rwset.add(namespace="candor", rwset=rwset.SerializeToString())
    return bytes(sets.SerializeToString())


def _read(key: str, version: tuple[int, int] | None) -> Any:
    read = protos.kv.KVRead(key=key)
    if version:
        read.version.block_num, read.version.tx_num = version
    return read
