"""A copy of a Fabric network's evidence that can be changed: everything can be hashed again, nothing signed again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fl_client.audit.fabric import protos
from fl_client.audit.fabric.reader import header_bytes
from tests.audit.fabric_chain import Channel
from tests.audit.forging import Forgery


class Place(NamedTuple):
    """Where a transaction is."""

    block: int
    index: int
    tx_id: str


class FabricForgery(Forgery):
    """Blocks as protocol buffers."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.chain = [protos.common.Block.FromString(raw) for raw in self.raw]

    def write(self, path: Path) -> Path:
        self.raw = [block.SerializeToString() for block in self.chain]
        return super().write(path)

    def seal_hashes(self) -> None:
        """Make every data hash and previous hash right again."""
        previous = b""
        for block in self.chain:
            block.header.previous_hash = previous
            block.header.data_hash = hashlib.sha256(b"".join(block.data.data)).digest()
            previous = hashlib.sha256(header_bytes(block.header)).digest()

    def transactions(self) -> Iterator[tuple[Place, str]]:
        """Every endorser transaction with the name it calls."""
        for block in self.chain:
            for index, raw in enumerate(block.data.data):
                payload = protos.common.Payload.FromString(protos.common.Envelope.FromString(raw).payload)
                header = protos.common.ChannelHeader.FromString(payload.header.channel_header)
                if header.type == protos.common.ENDORSER_TRANSACTION:
                    name = Opened(raw).args[0].decode()
                    yield Place(block.header.number, index, header.tx_id), name

    def find(self, name: str, nth: int = 0) -> Place:  # type: ignore[override]
        """The n-th valid transaction of that name."""
        found = [
            place
            for place, called in self.transactions()
            if called == name and self.flags(place.block)[place.index] == 0
        ]
        return found[nth]

    def flags(self, number: int) -> bytearray:
        """The block's validation flags."""
        return bytearray(self.chain[number].metadata.metadata[2])

    def flag(self, place: Place, code: int) -> None:
        """Give a transaction another flag: that is in no hash."""
        flags = self.flags(place.block)
        flags[place.index] = code
        self.chain[place.block].metadata.metadata[2] = bytes(flags)

    def edit(self, place: Place, change: Callable[[Opened], object]) -> None:
        """Change an envelope from within."""
        opened = Opened(self.chain[place.block].data.data[place.index])
        change(opened)
        self.chain[place.block].data.data[place.index] = opened.closed()

    def lie(self, place: Place, change: Callable[[Opened], object], channel: Channel) -> None:
        """Change an envelope from within; creator, endorsers and orderers sign what they did not see."""
        opened = Opened(self.chain[place.block].data.data[place.index])
        change(opened)
        self.chain[place.block].data.data[place.index] = opened.signed(channel)
        channel.again(self.chain)

    def edit_writes(self, place: Place, change: Callable[[dict[str, bytes]], object]) -> None:
        """Change what a transaction of the chaincode writes."""
        self.edit(place, lambda opened: opened.edit_writes(self.manifest.chaincode, change))


class Opened:
    """A transaction's envelope taken apart."""

    def __init__(self, raw: bytes) -> None:
        self.envelope = protos.common.Envelope.FromString(raw)
        self.payload = protos.common.Payload.FromString(self.envelope.payload)
        self.header = protos.common.ChannelHeader.FromString(self.payload.header.channel_header)
        self.transaction = protos.transactions.Transaction.FromString(self.payload.data)
        self.body = protos.transactions.ChaincodeActionPayload.FromString(self.transaction.actions[0].payload)
        self.response = protos.responses.ProposalResponsePayload.FromString(
            self.body.action.proposal_response_payload
        )
        self.action = protos.proposals.ChaincodeAction.FromString(self.response.extension)
        self.proposal = protos.proposals.ChaincodeProposalPayload.FromString(
            self.body.chaincode_proposal_payload
        )
        self.call: Any = protos.chaincodes.ChaincodeInvocationSpec.FromString(self.proposal.input)

    @property
    def args(self) -> Any:
        """The call's arguments, which can be changed."""
        return self.call.chaincode_spec.input.args

    def edit_writes(self, namespace: str, change: Callable[[dict[str, bytes]], object]) -> None:
        """Change the writes in one namespace (deletes stay as they are)."""
        sets = protos.rwsets.TxReadWriteSet.FromString(self.action.results)
        for each in sets.ns_rwset:
            if each.namespace == namespace:
                rwset = protos.kv.KVRWSet.FromString(each.rwset)
                deleted = [write for write in rwset.writes if write.is_delete]
                writes = {write.key: write.value for write in rwset.writes if not write.is_delete}
                change(writes)
                made = [protos.kv.KVWrite(key=key, value=value) for key, value in writes.items()]
                del rwset.writes[:]
                rwset.writes.extend(sorted([*deleted, *made], key=lambda write: write.key))
                each.rwset = rwset.SerializeToString()
        self.action.results = sets.SerializeToString()

    @property
    def event(self) -> Any:
        """The chaincode's event, as a copy."""
        return protos.events.ChaincodeEvent.FromString(self.action.events)

    def signed(self, channel: Channel) -> bytes:
        """The envelope again, signed by its creator and by the peers of those who endorsed it."""
        self.proposal.input = self.call.SerializeToString()
        header = self.header.SerializeToString() + self.payload.header.signature_header
        proposed = header + self.proposal.SerializeToString()
        self.response.proposal_hash = hashlib.sha256(proposed).digest()
        self.response.extension = self.action.SerializeToString()
        answer = self.response.SerializeToString()
        for each in self.body.action.endorsements:
            org = protos.identities.SerializedIdentity.FromString(each.endorser).mspid
            each.signature = channel.peers[org].sign(answer + each.endorser)
        self.closed()
        creator = protos.common.SignatureHeader.FromString(self.payload.header.signature_header).creator
        self.envelope.signature = channel.known[creator].sign(self.envelope.payload)
        return bytes(self.envelope.SerializeToString())

    def closed(self) -> bytes:
        """The envelope again, with the signatures it had."""
        self.proposal.input = self.call.SerializeToString()
        self.body.chaincode_proposal_payload = self.proposal.SerializeToString()
        self.response.extension = self.action.SerializeToString()
        self.body.action.proposal_response_payload = self.response.SerializeToString()
        self.transaction.actions[0].payload = self.body.SerializeToString()
        self.payload.data = self.transaction.SerializeToString()
        self.payload.header.channel_header = self.header.SerializeToString()
        self.envelope.payload = self.payload.SerializeToString()
        return bytes(self.envelope.SerializeToString())
