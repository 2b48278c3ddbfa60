"""Fabric's blocks without Fabric: what signs rightly is clean, and each thing that does not is named."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaincode.shim.memory import RangeRead
from fl_client.audit import Class, FileEvidence, Report, audit
from fl_client.audit.fabric import protos
from fl_client.audit.fabric.reader import header_bytes
from fl_client.audit.fabric.rwset import summarised
from fl_client.ledger.embedded import EmbeddedIdentities, EmbeddedIdentity
from tests.audit import fabric_cases
from tests.audit.conftest import Fabric, Played
from tests.audit.fabric_chain import Channel
from tests.audit.fabric_forging import FabricForgery
from tests.audit.forging import Forgery, replace
from tests.world import ORGANISATIONS


@pytest.fixture
def channel(fabric: Fabric) -> Fabric:
    return fabric


@pytest.fixture
def forged(channel: Fabric) -> FabricForgery:
    return FabricForgery(channel[1])


@pytest.fixture
def audited(tmp_path: Path) -> Callable[[FabricForgery], Report]:
    def work(forgery: FabricForgery) -> Report:
        return asyncio.run(audit(FileEvidence(forgery.write(tmp_path / "forged.zip"))))

    return work


def test_the_honest_chain_is_clean(forged: FabricForgery, audited):
    report = audited(forged)
    assert report.findings == []
    assert report.executed == report.transactions > 40


@pytest.mark.parametrize("case", fabric_cases.CASES, ids=lambda case: case.__name__)
def test_a_forgery_is_named(forged: FabricForgery, audited, case: fabric_cases.Case):
    wanted = case(forged)
    assert wanted <= set(audited(forged).classes)


def test_a_block_signed_by_no_orderer_of_the_channel(channel, forged: FabricForgery, audited):
    made, _ = channel
    stranger = EmbeddedIdentities().issue("OrdererMSP", "orderer0", "orderer")
    made.ordered(forged.chain[-1], stranger)
    report = audited(forged)
    assert [(each.kind, each.block) for each in report.findings] == [(Class.ORDERER, len(forged.chain) - 1)]


def test_a_block_that_follows_another_than_the_one_before(channel, forged: FabricForgery, audited):
    made, _ = channel
    forged.chain[-1].header.previous_hash = b"f" * 32
    made.ordered(forged.chain[-1], made.orderer)
    report = audited(forged)
    assert [(each.kind, each.block) for each in report.findings] == [(Class.CHAIN, len(forged.chain) - 1)]


def reconfigure(made: Channel, forged: FabricForgery, data: bytes) -> None:
    """A further block, ordered as it must be."""
    previous = hashlib.sha256(header_bytes(forged.chain[-1].header)).digest()
    forged.chain.append(made.block(len(forged.chain), previous, [data], b"\0"))


def admins(made: Channel, *organisations: str) -> list[EmbeddedIdentity]:
    return [made.authorities.identities.issue(org, f"Admin@{org}", "admin") for org in organisations]


def genesis(forged: FabricForgery) -> bytes:
    return bytes(forged.chain[0].data.data[0])


def test_a_change_of_the_configuration_is_listed_with_who_signed_it(channel, forged: FabricForgery, audited):
    made, _ = channel
    two = admins(made, *ORGANISATIONS[:2])
    reconfigure(made, forged, made.reconfigured(genesis(forged), made.admits("Org4MSP"), two))
    report = audited(forged)
    assert report.findings == []
    listed = [line.text for line in report.lines if line.text.startswith("configuration")]
    assert len(listed) == 2
    assert "Org4MSP" in listed[1]
    assert listed[1].endswith("signed by Org1MSP, Org2MSP")
    made.ordered(forged.chain[-1], EmbeddedIdentities().issue("OrdererMSP", "orderer0", "orderer"))
    assert audited(forged).classes == [Class.ORDERER]


def recertified(org: str) -> Callable[[Any], None]:
    """An organisation changes its own certificates."""

    def change(group: Any) -> None:
        group.groups["Application"].groups[org].values["MSP"].version += 1

    return change


def reordered(group: Any) -> None:
    group.groups["Orderer"].values["BatchSize"].version = 0
    group.groups["Orderer"].version += 1


@pytest.mark.parametrize(
    ("change", "signers"),
    [
        (recertified("Org2MSP"), ["Org2MSP"]),
        (reordered, ["OrdererMSP"]),
    ],
)
def test_a_change_takes_the_signature_of_whom_it_concerns(channel, forged, audited, change, signers):
    made, _ = channel
    right = made.reconfigured(genesis(forged), change, admins(made, *signers))
    reconfigure(made, forged, right)
    assert audited(forged).findings == []
    wrong = made.reconfigured(genesis(forged), change, admins(made, "Org1MSP"))
    del forged.chain[-1]
    reconfigure(made, forged, wrong)
    assert audited(forged).classes == [Class.CONFIGURATION]


def widened(group: Any) -> None:
    group.groups["Application"].policies["Endorsement"].version += 1
    group.groups["Application"].policies["Endorsement"].policy.type = 1


def test_a_configuration_that_its_signed_update_does_not_lead_to(channel, forged, audited):
    made, _ = channel
    admitted = made.admits("Org4MSP")
    data = made.reconfigured(genesis(forged), widened, admins(made, *ORGANISATIONS), signed=admitted)
    reconfigure(made, forged, data)
    assert audited(forged).classes == [Class.CONFIGURATION]


def test_an_update_signed_once_does_not_serve_twice(channel, forged, audited):
    made, _ = channel
    two = admins(made, *ORGANISATIONS[:2])
    reconfigure(made, forged, made.reconfigured(genesis(forged), made.admits("Org4MSP"), two))
    reconfigure(made, forged, bytes(forged.chain[-1].data.data[0]))
    assert [(each.kind, each.block) for each in audited(forged).findings] == [
        (Class.CONFIGURATION, len(forged.chain) - 1)
    ]


@pytest.mark.parametrize("signers", [0, 1, 2])
def test_a_wider_channel_takes_the_signatures_of_more_than_half(channel, forged, audited, signers: int):
    made, _ = channel
    who = admins(made, *ORGANISATIONS[:signers])
    reconfigure(made, forged, made.reconfigured(genesis(forged), made.admits("Org4MSP"), who))
    assert audited(forged).classes == ([] if signers > 1 else [Class.CONFIGURATION])


def test_a_configuration_marked_invalid(channel, forged, audited):
    made, _ = channel
    two = admins(made, *ORGANISATIONS[:2])
    reconfigure(made, forged, made.reconfigured(genesis(forged), made.admits("Org4MSP"), two))
    forged.chain[-1].metadata.metadata[2] = b"\x0b"
    assert audited(forged).classes == [Class.VALIDITY]


def test_a_block_signed_by_an_administrator_of_the_ordering_organisation(channel, forged, audited):
    made, _ = channel
    made.ordered(forged.chain[-1], admins(made, "OrdererMSP")[0])
    assert audited(forged).classes == [Class.ORDERER]


def test_orderers_alone_cannot_change_a_score(channel, forged: FabricForgery, audited):
    made, _ = channel
    fabric_cases.changed_score(forged)
    made.again(forged.chain)
    assert set(audited(forged).classes) == {Class.CREATOR, Class.ENDORSEMENT, Class.SCORE}


def test_a_majority_of_lying_endorsers_is_found_by_running_again(
    channel, played: Played, forged: FabricForgery, audited
):
    made, _ = channel
    record = next(place for place in [forged.find("Settlement:settle")])
    plain = Forgery(played.file)
    plain.rewrite("Settlement:settle", lambda writes: _raise_score(writes))
    _, _, lie = plain.find("Settlement:settle")
    forged.chain[record.block].data.data[record.index] = made.envelope(lie)
    made.again(forged.chain)
    report = audited(forged)
    assert report.classes == [Class.SCORE]
    assert (report.findings[0].block, report.findings[0].tx_id) == (record.block, record.tx_id)


def _raise_score(writes) -> None:
    from tests.audit.forging import edit_json

    edit_json(writes, "outcome/", lambda outcome: outcome.update(score=outcome["score"] + 1))


@pytest.mark.parametrize(
    "who",
    ["one organisation twice", "clients instead of peers", "a stranger's certificates", "nobody valid"],
)
def test_endorsements_that_do_not_count(channel, played, forged: FabricForgery, audited, who: str):
    made, _ = channel
    issue = made.authorities.identities.issue
    endorsers = {
        "one organisation twice": [made.peers["Org1MSP"], issue("Org1MSP", "peer1", "peer")],
        "clients instead of peers": [issue(org, "liar", "client") for org in ORGANISATIONS],
        "a stranger's certificates": [
            EmbeddedIdentities().issue(org, "peer0", "peer") for org in ORGANISATIONS
        ],
        "nobody valid": [issue("OrdererMSP", "peer0", "peer")],
    }[who]
    place = forged.find("Jobs:create")
    _, _, record = Forgery(played.file).find("Jobs:create")
    forged.chain[place.block].data.data[place.index] = made.envelope(record, endorsers=endorsers)
    made.again(forged.chain)
    report = audited(forged)
    assert [(each.kind, each.tx_id) for each in report.findings] == [(Class.ENDORSEMENT, place.tx_id)]


def test_a_creator_from_a_forged_authority(channel, played, forged: FabricForgery, audited):
    made, _ = channel
    _, _, record = Forgery(played.file).find("Token:transfer")
    stranger = EmbeddedIdentities().issue("Org1MSP", "Admin@Org1MSP", "admin")
    nonce = b"0" * 24
    tx_id = hashlib.sha256(nonce + stranger.creator).hexdigest()
    made.known[stranger.creator] = stranger
    place = forged.find("Token:transfer")
    forged.chain[place.block].data.data[place.index] = made.envelope(
        replace(record, creator=stranger.creator, tx_id=tx_id, nonce=nonce)
    )
    made.again(forged.chain)
    assert Class.CREATOR in audited(forged).classes


def test_an_answer_endorsed_for_another_proposal(channel, forged: FabricForgery, audited):
    made, _ = channel

    def change(opened) -> None:
        opened.args[3] = b"[]"

    place = forged.find("Rounds:commit")
    forged.edit(place, change)
    made.again(forged.chain)
    assert {Class.PROPOSAL, Class.CREATOR} <= set(audited(forged).classes)


def test_a_block_without_its_first_configuration(forged: FabricForgery, audited):
    forged.chain[0].data.data[0] = protos.common.Envelope(payload=b"x").SerializeToString()
    report = audited(forged)
    assert not report.clean
    assert Class.ORDERER in report.classes


@pytest.mark.parametrize("place", range(0, 400, 13))
def test_a_changed_byte_anywhere_never_ends_in_a_traceback(forged: FabricForgery, audited, place: int):
    place = place * 7919
    number = place % len(forged.chain)
    raw = bytearray(forged.chain[number].SerializeToString())
    raw[place % len(raw)] ^= 1 << (place % 8)
    path_raw = bytes(raw)
    forged.chain[number] = _Raw(path_raw)  # type: ignore[assignment]
    audited(forged)


class _Raw:
    """Bytes where a block was."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def SerializeToString(self) -> bytes:  # noqa: N802
        return self._data


@pytest.mark.parametrize(
    ("count", "level", "nodes", "digest"),
    [
        (51, 1, 1, "a8a2e2d23f8f4aa515723580a6ba493b0b5b5c8f53a65945fe63d388d72e4c89"),
        (60, 1, 2, "2d48f499f6888693ba29363987a576c3451966538a08f01cf1c847cbe35f631f"),
        (103, 1, 3, "27de0e0c0a3e28e292b317493a42960f30d7e25351b4a80e607d248e671f19a9"),
        (2601, 2, 1, "6a8069122973f0bd5fe0309fc6e5af72493e016107b63ec2947264133a2fa374"),
        (2653, 2, 2, "35a43a8c4cec6711a00dfe7909fccc02301f0748810aacca797c253241922733"),
        (7000, 2, 3, "052453e82d7f7515b31b2887496d8cf499244c9e98d5fa388426a686b9abe653"),
    ],
)
def test_a_long_range_is_summarised_as_fabrics_own_code_does(count: int, level: int, nodes: int, digest: str):
    """Vectors made with rwsetutil.NewRangeQueryResultsHelper(true, 50, sha256) of Fabric 2.5."""
    results = tuple((f"key{i:05d}", (i // 7, i % 7)) for i in range(count))
    ((summary, _),) = summarised(RangeRead("a", "z", True, results)).results
    _, degree, top, *found = summary.split("/")
    assert (degree, top, len(found)) == ("50", str(level), nodes)
    assert hashlib.sha256(bytes.fromhex("".join(found))).hexdigest() == digest


def test_a_short_range_is_recorded_as_it_is():
    read = RangeRead("a", "z", True, tuple((f"key{i}", (1, i)) for i in range(50)))
    assert summarised(read) == read
