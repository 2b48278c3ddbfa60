"""Transactions that no client would send and peers take for what they are: none of them spoils anybody's audit."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from fl_client.audit import Class, FileEvidence, Report, audit
from fl_client.audit.fabric import protos
from tests.audit.conftest import Fabric
from tests.audit.fabric_forging import FabricForgery, Opened

Audited = Callable[[FabricForgery], Report]


@pytest.fixture
def forged(fabric: Fabric) -> FabricForgery:
    return FabricForgery(fabric.file)


@pytest.fixture
def audited(tmp_path: Path) -> Audited:
    return lambda forgery: asyncio.run(audit(FileEvidence(forgery.write(tmp_path / "odd.zip"))))


@pytest.mark.parametrize(
    "endorser", [b"nobody", b"\x0a\x07Org1MSP\x12\x07nothing"], ids=["noise", "no certificate"]
)
@pytest.mark.parametrize("place", [0, 3], ids=["before the others", "after them"])
def test_an_endorsement_that_is_none_spoils_no_audit(
    fabric: Fabric, forged: FabricForgery, audited, endorser: bytes, place: int
):
    def change(opened: Opened) -> None:
        opened.body.action.endorsements.insert(
            place, protos.responses.Endorsement(endorser=endorser, signature=b"none")
        )
        opened.closed()
        creator = protos.common.SignatureHeader.FromString(opened.payload.header.signature_header).creator
        opened.envelope.signature = fabric.channel.known[creator].sign(opened.envelope.payload)

    forged.edit(forged.find("Token:transfer"), change)
    fabric.channel.again(forged.chain)
    assert audited(forged).findings == []


@pytest.mark.parametrize(("earlier", "classes"), [(0, []), (1, [Class.DUPLICATE])], ids=["its", "an earlier"])
def test_a_broken_copy_before_a_transaction_takes_its_place_in_an_earlier_block_alone(
    fabric: Fabric, forged: FabricForgery, audited, earlier: int, classes: list[Class]
):
    """As peers have it; so nobody spoils an audit by sending its transaction unendorsed first."""
    *_, (place, _) = forged.transactions()  # the last one: nothing reads what it writes, whatever its place
    opened = Opened(forged.chain[place.block].data.data[place.index])
    del opened.body.action.endorsements[1:]
    opened.closed()
    creator = protos.common.SignatureHeader.FromString(opened.payload.header.signature_header).creator
    opened.envelope.signature = fabric.channel.known[creator].sign(opened.envelope.payload)
    block = forged.chain[place.block - earlier]
    at = len(block.data.data) if earlier else place.index
    flags = bytearray(block.metadata.metadata[2])
    flags.insert(at, protos.transactions.TxValidationCode.Value("ENDORSEMENT_POLICY_FAILURE"))
    block.metadata.metadata[2] = bytes(flags)
    block.data.data.insert(at, opened.envelope.SerializeToString())
    fabric.channel.again(forged.chain)
    found = audited(forged).classes
    assert found[:1] == classes, found


def test_an_envelopes_unknown_field_spoils_no_audit_and_a_second_envelope_does(
    fabric: Fabric, forged: FabricForgery, audited
):
    place = forged.find("Token:transfer")
    data = forged.chain[place.block].data.data
    honest = data[place.index]
    data[place.index] = honest + b"\xfa\x01\x03abc"  # field 31, three bytes
    fabric.channel.again(forged.chain)
    assert audited(forged).findings == []
    data[place.index] = honest + honest
    fabric.channel.again(forged.chain)
    assert audited(forged).classes == [Class.FORMAT]


@pytest.mark.parametrize(("marked", "classes"), [("INVALID_CHAINCODE", []), ("VALID", [Class.PROPOSAL])])
def test_a_query_of_the_peer_itself_that_somebody_submits_counts_for_nothing(
    fabric: Fabric, forged: FabricForgery, audited, marked: str, classes: list[Class]
):
    place, last = forged.find("Token:transfer"), forged.chain[-1]
    opened = Opened(forged.chain[place.block].data.data[place.index])
    signature = protos.common.SignatureHeader.FromString(opened.payload.header.signature_header)
    signature.nonce = b"another"
    opened.header.tx_id = hashlib.sha256(signature.nonce + signature.creator).hexdigest()
    opened.payload.header.signature_header = signature.SerializeToString()
    opened.transaction.actions[0].header = opened.payload.header.signature_header
    extension = protos.proposals.ChaincodeHeaderExtension()
    extension.chaincode_id.name = opened.action.chaincode_id.name = "qscc"
    opened.header.extension = extension.SerializeToString()
    opened.action.results = opened.action.events = b""
    last.data.data.append(opened.signed(fabric.channel))
    last.metadata.metadata[2] += bytes([protos.transactions.TxValidationCode.Value(marked)])
    fabric.channel.again(forged.chain)
    assert audited(forged).classes == classes
