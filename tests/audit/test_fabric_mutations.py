"""Tampering with Fabric's blocks, by forgers with every key, with some, and with none.

Whatever the audit calls clean says, transaction by transaction and flag by flag, what the honest blocks say.
CANDOR_MUTATIONS takes more of each, CANDOR_SEED others.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fl_client.audit import Class, FileEvidence, Report, audit
from fl_client.audit.fabric import protos
from fl_client.audit.fabric.reader import header_bytes
from tests.audit.conftest import Fabric, Played
from tests.audit.fabric_forging import FabricForgery
from tests.audit.forging import Forgery
from tests.audit.mutations import mutations

SAMPLE, SEED = int(os.environ.get("CANDOR_MUTATIONS", "12")), int(os.environ.get("CANDOR_SEED", "1"))
MVCC, PHANTOM = 11, 12
FLAGS = [1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 24, 35, 254, 255]  # of TxValidationCode, beside VALID


@pytest.fixture
def forged(fabric: Fabric) -> FabricForgery:
    return FabricForgery(fabric.file)


@pytest.fixture
def audited(tmp_path: Path) -> Callable[[FabricForgery], Report]:
    def work(forgery: FabricForgery) -> Report:
        return asyncio.run(audit(FileEvidence(forgery.write(tmp_path / "forged.zip"))))

    return work


def test_a_lie_that_a_majority_endorsed_and_every_orderer_signed_is_named(
    fabric: Fabric, played: Played, audited
):
    chance = random.Random(SEED)  # noqa: S311
    kinds = [
        each
        for each in mutations(Forgery(played.file).blocks, chance)
        if "endorse" not in each.what and "flag" not in each.what and "made up" not in each.what
    ]
    for mutation in chance.sample(kinds, min(SAMPLE, len(kinds))):
        forgery = FabricForgery(fabric.file)
        block, index = mutation.place
        changed = mutation.change(mutation.place.of(Forgery(played.file).blocks))
        forgery.chain[block].data.data[index] = fabric.channel.envelope(changed)
        fabric.channel.again(forgery.chain)
        report = audited(forgery)
        named = {each.kind for each in report.findings if each.tx_id == changed.tx_id}
        assert named & mutation.classes, f"{mutation.what}: {named}, not {mutation.classes}"


def test_a_flag_that_is_not_the_transactions_is_named(fabric: Fabric, audited):
    chance = random.Random(SEED)  # noqa: S311
    places = [place for place, _ in FabricForgery(fabric.file).transactions()]
    for _ in range(SAMPLE):
        forgery, place = FabricForgery(fabric.file), chance.choice(places)
        code = chance.choice(FLAGS) if forgery.flags(place.block)[place.index] == 0 else 0
        forgery.flag(place, code)
        report = audited(forgery)
        assert (report.findings[0].kind, report.findings[0].tx_id) == (Class.VALIDITY, place.tx_id)


def test_a_conflict_marked_as_anything_else_is_named(
    fabric: Fabric, played: Played, forged: FabricForgery, audited
):
    plain = Forgery(played.file, played.keys)
    late = plain.signed(plain.find("Rounds:close")[2], b"another")
    previous = hashlib.sha256(header_bytes(forged.chain[-1].header)).digest()
    envelope = fabric.channel.envelope(late)
    forged.chain.append(fabric.channel.block(len(forged.chain), previous, [envelope], bytes([MVCC])))
    assert audited(forged).findings == []
    for code in (0, 4, 10, PHANTOM):
        forged.chain[-1].metadata.metadata[2] = bytes([code])
        assert [each.kind for each in audited(forged).findings] == [Class.VALIDITY]


def said(blocks: list[Any]) -> list[Any]:
    """All that a chain says: headers, transactions and flags; the signatures were verified by the audit."""
    return [
        (each.header.SerializeToString(), list(each.data.data), list(each.metadata.metadata)[2:3])
        for each in blocks
    ]


def test_a_changed_byte_anywhere_is_found_or_says_the_same(fabric: Fabric, audited):
    chance = random.Random(SEED)  # noqa: S311
    honest = said(FabricForgery(fabric.file).chain)
    for _ in range(2 * SAMPLE):
        forgery = FabricForgery(fabric.file)
        number = chance.randrange(len(forgery.chain))
        raw = bytearray(forgery.chain[number].SerializeToString())
        place = chance.randrange(len(raw))
        raw[place] ^= 1 << chance.randrange(8)
        try:
            forgery.chain[number] = protos.common.Block.FromString(bytes(raw))
        except protos.DecodeError:
            continue  # tests/audit/test_fabric_blocks.py writes what cannot be read
        if said(forgery.chain) != honest:
            assert not audited(forgery).clean, (number, place)


def test_what_is_under_no_signature_and_says_nothing_changes_nothing(forged: FabricForgery, audited):
    """Fabric's other metadata: the last configuration's index, the commit hash; and fields nobody knows."""
    for index in (1, 3, 4):
        forged.chain[3].metadata.metadata[index] = b"anything"
    forged.chain[4].metadata.metadata.append(b"more of it")
    assert audited(forged).findings == []
