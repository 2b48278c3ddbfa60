"""One thing wrong in Fabric's blocks, and everything else right: each forger has the keys the story says."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from chaincode.shim.memory import RangeRead, ReadWriteSet, WorldState
from fl_client.audit import Class, Expected, FileEvidence, Report, audit
from fl_client.audit.blocks import verdict
from fl_client.audit.fabric import FabricBlocks, protos
from fl_client.audit.fabric.reader import header_bytes
from fl_client.ledger.embedded import EmbeddedIdentities
from fl_client.ledger.embedded.identities import ORDERS
from tests.audit.conftest import Fabric, Played
from tests.audit.fabric_chain import Authorities, Channel
from tests.audit.fabric_forging import FabricForgery, Opened
from tests.audit.forging import Forgery
from tests.world import ORGANISATIONS

Audited = Callable[[FabricForgery], Report]
SIGNATURES = 0


@pytest.fixture
def forged(fabric: Fabric) -> FabricForgery:
    return FabricForgery(fabric.file)


@pytest.fixture
def audited(tmp_path: Path) -> Audited:
    def work(forgery: FabricForgery, known: Expected | None = None) -> Report:
        return asyncio.run(audit(FileEvidence(forgery.write(tmp_path / "forged.zip")), known))

    return work


def higher(signature: bytes) -> bytes:
    """The other signature of the same content that ECDSA has, which Fabric refuses."""
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, ORDERS["secp256r1"] - s)


# what everybody has signed, and is wrong nevertheless


def other_channel(opened: Opened) -> None:
    opened.header.channel_id = "another"


def event_of_another_transaction(opened: Opened) -> None:
    event = opened.event
    event.tx_id = "f" * 64
    opened.action.events = event.SerializeToString()


def event_of_another_chaincode(opened: Opened) -> None:
    event = opened.event
    event.chaincode_id = "another"
    opened.action.events = event.SerializeToString()


def no_reads_and_writes(opened: Opened) -> None:
    opened.action.results = b""


def an_extra_payment_in_a_second_set_of_writes(opened: Opened) -> None:
    sets = protos.rwsets.TxReadWriteSet.FromString(opened.action.results)
    rwset = protos.kv.KVRWSet()
    rwset.writes.add(key=f"credit/Org2MSP/{opened.header.tx_id}/99", value=b'{"amount":5}')
    first = protos.rwsets.TxReadWriteSet()
    first.ns_rwset.add(namespace="candor", rwset=rwset.SerializeToString())
    first.MergeFrom(sets)
    opened.action.results = first.SerializeToString()


def a_write_into_another_chaincode(opened: Opened) -> None:
    sets = protos.rwsets.TxReadWriteSet.FromString(opened.action.results)
    rwset = protos.kv.KVRWSet()
    rwset.writes.add(key="key", value=b"value")
    sets.ns_rwset.add(namespace="another", rwset=rwset.SerializeToString())
    opened.action.results = sets.SerializeToString()


def a_private_write(opened: Opened) -> None:
    sets = protos.rwsets.TxReadWriteSet.FromString(opened.action.results)
    hashed = protos.kv.HashedRWSet()
    hashed.hashed_writes.add(key_hash=b"k", value_hash=b"v")
    sets.ns_rwset[0].collection_hashed_rwset.add(
        collection_name="secrets", hashed_rwset=hashed.SerializeToString()
    )
    opened.action.results = sets.SerializeToString()


def a_policy_for_one_key(opened: Opened) -> None:
    sets = protos.rwsets.TxReadWriteSet.FromString(opened.action.results)
    rwset = protos.kv.KVRWSet.FromString(sets.ns_rwset[0].rwset)
    rwset.metadata_writes.add(key="supply").entries.add(name="VALIDATION_PARAMETER", value=b"mine")
    sets.ns_rwset[0].rwset = rwset.SerializeToString()
    opened.action.results = sets.SerializeToString()


def another_answer(opened: Opened) -> None:
    opened.action.response.payload += b" "


def another_status(opened: Opened) -> None:
    opened.action.response.status = 201


def a_message(opened: Opened) -> None:
    opened.action.response.message = "well done"


def another_chaincode_answers(opened: Opened) -> None:
    opened.action.chaincode_id.name = "another"


def another_id(opened: Opened) -> None:
    opened.header.tx_id = "f" * 64


def action_of_another_creator(opened: Opened) -> None:
    opened.transaction.actions[0].header = b"another"


def two_actions(opened: Opened) -> None:
    opened.transaction.actions.add().CopyFrom(opened.transaction.actions[0])


def no_transaction(opened: Opened) -> None:
    opened.header.type = protos.common.MESSAGE


def a_later_timestamp(opened: Opened) -> None:
    opened.header.timestamp.seconds += 30 * 86400


def another_version_of_the_chaincode(opened: Opened) -> None:
    opened.action.chaincode_id.version = "9"


def a_call_under_another_name_than_its_headers(opened: Opened) -> None:
    opened.call.chaincode_spec.chaincode_id.name = "another"


def a_call_under_no_name(opened: Opened) -> None:
    opened.call.chaincode_spec.ClearField("chaincode_id")


WRONG: list[tuple[Callable[[Opened], None], set[Class]]] = [
    (other_channel, {Class.PROPOSAL}),
    (event_of_another_transaction, {Class.RESULT}),
    (event_of_another_chaincode, {Class.RESULT}),
    (no_reads_and_writes, {Class.SCORE, Class.PARTICIPANT, Class.PAYMENT, Class.SLASH, Class.PHASE}),
    (an_extra_payment_in_a_second_set_of_writes, {Class.PAYMENT}),
    (a_write_into_another_chaincode, {Class.FOREIGN}),
    (a_private_write, {Class.FOREIGN}),
    (a_policy_for_one_key, {Class.RESULT}),
    (another_answer, {Class.RESULT}),
    (another_status, {Class.RESULT}),
    (a_message, {Class.RESULT}),
    (another_chaincode_answers, {Class.PROPOSAL}),
    (another_id, {Class.PROPOSAL}),
    (action_of_another_creator, {Class.PROPOSAL}),
    (two_actions, {Class.FORMAT}),
    (no_transaction, {Class.FORMAT}),
]


@pytest.mark.parametrize(("change", "classes"), WRONG, ids=[change.__name__ for change, _ in WRONG])
def test_what_everybody_signed_and_is_wrong_is_named(
    fabric: Fabric, forged: FabricForgery, audited, change, classes: set[Class]
):
    place = forged.find("Settlement:settle")
    forged.lie(place, change, fabric.channel)
    found = audited(forged).findings
    assert {each.kind for each in found if each.block == place.block} & classes, found
    assert found[0].kind in classes
    assert found[0].block == place.block


@pytest.mark.parametrize(
    "change",
    [
        a_later_timestamp,
        another_version_of_the_chaincode,
        a_call_under_another_name_than_its_headers,
        a_call_under_no_name,
    ],
)
def test_what_neither_peer_nor_contract_reads_changes_nothing(
    fabric: Fabric, forged: FabricForgery, audited, change
):
    """Otherwise any member could spoil the audits of everybody's jobs by one odd transfer of its own."""
    forged.lie(forged.find("Settlement:settle"), change, fabric.channel)
    assert audited(forged).findings == []


# signatures


def test_the_other_signature_of_the_same_content_does_not_count(fabric, forged: FabricForgery, audited):
    place = forged.find("Rounds:commit")

    def creator(opened: Opened) -> None:
        opened.envelope.signature = higher(opened.envelope.signature)

    forged.edit(place, creator)
    fabric.channel.again(forged.chain)
    assert audited(forged).classes == [Class.CREATOR]


def test_two_of_three_endorsements_in_the_form_fabric_refuses(fabric, forged: FabricForgery, audited):
    def change(opened: Opened) -> None:
        for each in opened.body.action.endorsements[:2]:
            each.signature = higher(each.signature)
        opened.closed()
        creator = protos.common.SignatureHeader.FromString(opened.payload.header.signature_header).creator
        opened.envelope.signature = fabric.channel.known[creator].sign(opened.envelope.payload)

    forged.edit(forged.find("Rounds:commit"), change)
    fabric.channel.again(forged.chain)
    assert audited(forged).classes == [Class.ENDORSEMENT]


def metadata(block: Any) -> Any:
    return protos.common.Metadata.FromString(block.metadata.metadata[SIGNATURES])


def no_signature(block: Any, fabric: Fabric) -> None:
    block.metadata.metadata[SIGNATURES] = b""


def another_form(block: Any, fabric: Fabric) -> None:
    made = metadata(block)
    made.signatures[0].signature = higher(made.signatures[0].signature)
    block.metadata.metadata[SIGNATURES] = made.SerializeToString()


def other_metadata_than_was_signed(block: Any, fabric: Fabric) -> None:
    made = metadata(block)
    made.value = b"\x0a\x02\x08\x07"
    block.metadata.metadata[SIGNATURES] = made.SerializeToString()


def of_a_client(block: Any, fabric: Fabric) -> None:
    fabric.channel.ordered(block, fabric.channel.authorities.identities.issue("Org1MSP", "liar", "client"))


def of_a_peer_of_the_ordering_organisation(block: Any, fabric: Fabric) -> None:
    fabric.channel.ordered(block, fabric.channel.authorities.identities.issue("OrdererMSP", "liar", "peer"))


@pytest.mark.parametrize(
    "change",
    [
        no_signature,
        another_form,
        other_metadata_than_was_signed,
        of_a_client,
        of_a_peer_of_the_ordering_organisation,
    ],
)
def test_a_block_without_a_signature_that_counts(fabric: Fabric, forged: FabricForgery, audited, change):
    block = forged.chain[7]
    change(block, fabric)
    assert [(each.kind, each.block) for each in audited(forged).findings] == [(Class.ORDERER, 7)]


def test_the_signature_of_another_block(forged: FabricForgery, audited):
    forged.chain[7].metadata.metadata[SIGNATURES] = forged.chain[6].metadata.metadata[SIGNATURES]
    assert [(each.kind, each.block) for each in audited(forged).findings] == [(Class.ORDERER, 7)]


def test_one_organisation_with_all_its_own_keys_writes_history_anew(
    fabric: Fabric, played: Played, forged: FabricForgery, audited
):
    """It hashes everything again, endorses alone and orders with certificates of its own."""
    place, own = forged.find("Token:transfer"), fabric.channel.peers["Org1MSP"]
    _, _, record = Forgery(played.file).find("Token:transfer")
    forged.chain[place.block].data.data[place.index] = fabric.channel.envelope(record, endorsers=[own, own])
    previous = b""
    for block in forged.chain:
        block.header.previous_hash = previous
        fabric.channel.ordered(block, own)
        previous = hashlib.sha256(header_bytes(block.header)).digest()
    report = audited(forged)
    assert set(report.classes) == {Class.ORDERER, Class.ENDORSEMENT}
    assert {each.block for each in report.findings if each.kind is Class.ORDERER} == set(
        range(1, report.blocks)
    )


def test_a_whole_network_made_anew_is_another_one(fabric: Fabric, played: Played, forged, audited):
    """Its certificates say so: the hash of the first block is what an auditor compares."""
    honest = audited(forged)
    strangers = Channel(Authorities(EmbeddedIdentities()), ORGANISATIONS, played.keys)
    forged.chain[0].data.data[0] = strangers.config()
    strangers.ordered(forged.chain[0], strangers.orderer)
    report = audited(forged)
    assert report.findings[0].kind is Class.CHAIN
    assert {Class.ORDERER, Class.CREATOR, Class.ENDORSEMENT} <= set(report.classes)
    assert audited(FabricForgery(fabric.file), Expected(first_hash=report.first_hash)).classes == [
        Class.TERMS
    ]
    assert audited(FabricForgery(fabric.file), Expected(first_hash=honest.first_hash)).clean


# transactions moved about


def test_a_block_taken_out_and_hashed_again(fabric: Fabric, forged: FabricForgery, audited):
    del forged.chain[9]
    broken = [each.block for each in audited(forged).findings if each.kind is Class.CHAIN]
    assert broken == [9, 9]  # another number, and another block before it: what follows is in order
    fabric.channel.again(forged.chain)
    assert Class.VALIDITY in audited(forged).classes


def test_two_blocks_in_another_order(fabric: Fabric, forged: FabricForgery, audited):
    forged.chain[9], forged.chain[10] = forged.chain[10], forged.chain[9]
    assert audited(forged).findings[0].kind is Class.CHAIN
    fabric.channel.again(forged.chain)
    assert Class.VALIDITY in audited(forged).classes


def test_a_read_of_what_the_same_block_wrote_is_a_conflict():
    """No endorser can have read it: a majority of liars would have to name a version that is to come."""
    state, reader = WorldState(), FabricBlocks("candor")
    state.apply([("key", b"value"), ("gone", None)], (5, 0))
    for reads in ((("key", (5, 0)),), (("gone", None),)):
        rwset = ReadWriteSet(reads=reads)
        assert verdict(reader, state, rwset) == "VALID"
        assert verdict(reader, state, rwset, {"key", "gone"}) == "MVCC_READ_CONFLICT"
    seen = RangeRead("a", "z", True, (("key", (5, 0)),))
    assert verdict(reader, state, ReadWriteSet(ranges=(seen,))) == "VALID"
    assert verdict(reader, state, ReadWriteSet(ranges=(seen,)), {"key"}) == "PHANTOM_READ_CONFLICT"


def test_two_transactions_glued_together_are_not_taken_for_the_second(
    fabric: Fabric, played: Played, forged: FabricForgery, audited
):
    """Nobody's key is needed for that: the block's hash, which the orderers sign, is the same."""
    plain = Forgery(played.file, played.keys)
    late = [plain.signed(plain.find("Rounds:close")[2], nonce) for nonce in (b"one", b"two")]
    envelopes = [fabric.channel.envelope(each) for each in late]
    previous = hashlib.sha256(header_bytes(forged.chain[-1].header)).digest()
    block = fabric.channel.block(len(forged.chain), previous, envelopes, bytes([11, 11]))
    forged.chain.append(block)
    assert audited(forged).findings == []
    for data in ([b"".join(envelopes)], [envelopes[0] + envelopes[1][:4], envelopes[1][4:]]):
        del block.data.data[:]
        block.data.data.extend(data)
        block.metadata.metadata[2] = bytes([11] * len(data))
        report = audited(forged)
        assert (report.findings[0].kind, report.findings[0].block) == (Class.FORMAT, report.blocks - 1)


# certificates


def again(forged: FabricForgery, fabric: Fabric, played: Played, channel: Channel) -> None:
    """The honest records as that channel has them."""
    forged.chain = channel.chain(Forgery(played.file).blocks)


def test_certificates_that_have_expired_since_are_as_good_as_they_were(
    fabric: Fabric, played: Played, forged: FabricForgery, audited
):
    issue = played.honest.world.identities.issue
    channel = Channel(Authorities(played.honest.world.identities), ORGANISATIONS, played.keys)
    channel.peers = {org: issue(org, f"peer0.{org}", "peer", days=0) for org in ORGANISATIONS}
    channel.orderer = issue("OrdererMSP", "orderer0", "orderer", days=0)
    ended = x509.load_pem_x509_certificate(channel.orderer.certificate).not_valid_after_utc
    assert ended <= datetime.datetime.now(datetime.UTC)
    again(forged, fabric, played, channel)
    assert audited(forged).findings == []


def test_a_certificate_that_was_revoked_counts_until_the_configuration_says_so(
    fabric: Fabric, played: Played, forged: FabricForgery, audited
):
    """Org1's administrator is on its organisation's list from a configuration block on."""
    made, authorities = fabric.channel, fabric.channel.authorities
    admin = next(who for who in played.keys.values() if who.name == "Admin@Org1MSP")
    revoked = _revocation(authorities, "Org1MSP", admin.certificate)

    def change(group: Any) -> None:
        value = group.groups["Application"].groups["Org1MSP"].values["MSP"]
        msp = protos.msps.MSPConfig.FromString(value.value)
        config = protos.msps.FabricMSPConfig.FromString(msp.config)
        config.revocation_list.append(revoked)
        msp.config = config.SerializeToString()
        value.value, value.version = msp.SerializeToString(), value.version + 1

    signer = authorities.identities.issue("Org1MSP", "second", "admin")
    data = made.reconfigured(bytes(forged.chain[0].data.data[0]), change, [signer])
    previous = hashlib.sha256(header_bytes(forged.chain[-1].header)).digest()
    forged.chain.append(made.block(len(forged.chain), previous, [data], b"\0"))
    assert audited(forged).findings == []
    forged.chain.insert(1, forged.chain.pop())
    for number, block in enumerate(forged.chain):
        block.header.number = number
    made.again(forged.chain)
    assert audited(forged).findings[0].kind is Class.CREATOR


def _revocation(authorities: Authorities, msp_id: str, pem: bytes) -> bytes:
    key, name = authorities.identities._root(msp_id)
    now = datetime.datetime.now(datetime.UTC)
    serial = x509.load_pem_x509_certificate(pem).serial_number
    entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
    made = x509.CertificateRevocationListBuilder().issuer_name(name).last_update(now)
    made = made.next_update(now + datetime.timedelta(days=1)).add_revoked_certificate(entry)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_a_transaction_of_an_organisation_that_has_left_the_channel(
    fabric: Fabric, forged: FabricForgery, audited
):
    made = fabric.channel

    def change(group: Any) -> None:
        del group.groups["Application"].groups["Org1MSP"]
        group.groups["Application"].version += 1

    signers = [made.authorities.identities.issue(org, f"Admin@{org}", "admin") for org in ORGANISATIONS]
    data = made.reconfigured(bytes(forged.chain[0].data.data[0]), change, signers)
    place = forged.find("Rounds:close", 1)
    forged.chain.insert(place.block, made.block(place.block, b"", [data], b"\0"))
    made.again(forged.chain)
    report = audited(forged)
    assert (report.findings[0].kind, report.findings[0].block) == (Class.CREATOR, place.block + 1)
