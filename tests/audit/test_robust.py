"""Whatever an evidence file holds, the audit comes to an end with findings, and never with a traceback."""

from __future__ import annotations

import asyncio
import io
import random
import zipfile
from pathlib import Path

import pytest
from rich.console import Console

from fl_client.audit import Class, Expected, FileEvidence, audit, export
from fl_client.audit.archive import MANIFEST
from fl_client.audit.text import text
from fl_client.errors import BadInput
from tests.audit.conftest import Fabric
from tests.audit.fabric_forging import FabricForgery
from tests.audit.forging import Forgery, replace


@pytest.mark.parametrize("seed", range(40))
def test_a_changed_byte_anywhere_in_a_block(forgery: Forgery, audited, seed: int):
    chance = random.Random(seed)  # noqa: S311
    number = chance.randrange(1, len(forgery.raw))
    raw = bytearray(forgery.raw[number])
    raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    forgery.raw[number] = bytes(raw)
    report = audited(forgery)
    # the newest block's hash is in no other block: only what is in it can be judged, or its hash compared
    assert not report.clean or number == len(forgery.raw) - 1


@pytest.mark.parametrize("seed", range(10))
def test_a_block_of_noise(forgery: Forgery, audited, seed: int):
    chance = random.Random(seed)  # noqa: S311
    forgery.raw[chance.randrange(len(forgery.raw))] = chance.randbytes(chance.randrange(200))
    assert not audited(forgery).clean


def test_the_newest_block_cut_off_is_found_by_who_knows_its_hash(
    forgery: Forgery, evidence_file, audited, tmp_path
):
    whole = audited(forgery)
    del forgery.raw[-1]
    cut = forgery.write(tmp_path / "cut.zip")
    assert asyncio.run(audit(FileEvidence(cut))).clean
    report = asyncio.run(audit(FileEvidence(cut), Expected(last_hash=whole.last_hash)))
    assert report.classes == [Class.TERMS]


def test_evidence_that_ends_within_a_round_is_clean_and_says_how_far_it_came(forgery: Forgery, audited):
    del forgery.raw[forgery.find("Rounds:reveal", 5)[0] + 1 :]
    report = audited(forgery)
    assert report.findings == []
    assert "the round is in phase reveal" in [line.text for line in report.lines if line.round == 2]


@pytest.mark.parametrize("ledger", ["embedded", "fabric"])
def test_a_forged_block_number_is_not_counted_up_to(forgery: Forgery, fabric: Fabric, audited, ledger: str):
    far, places = 2**62, (4, 6)
    if ledger == "embedded":
        for place in places:
            block = replace(forgery.blocks[place], number=far + place, previous="0" * 64)
            forgery.raw[place] = block.to_bytes()
    else:
        forgery = FabricForgery(fabric.file)
        for place in places:
            header = forgery.chain[place].header
            header.number, header.previous_hash = far + place, bytes(32)
    report = audited(forgery)
    assert report.findings[0].kind is Class.CHAIN
    assert far + 4 in [each.block for each in report.totals]
    Console(file=io.StringIO()).print(text(report))


def test_a_damaged_file_is_told_from_a_forged_one(evidence_file: Path, tmp_path: Path):
    damaged = tmp_path / "damaged.zip"
    with zipfile.ZipFile(evidence_file) as old, zipfile.ZipFile(damaged, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data + b"!" if name.endswith("7") else data)
    report = asyncio.run(audit(FileEvidence(damaged)))
    assert report.findings[0].kind is Class.EVIDENCE


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", b"\x00" * 500])
def test_what_is_no_evidence_file_is_refused(tmp_path: Path, content: bytes):
    file = tmp_path / "file.zip"
    file.write_bytes(content)
    with pytest.raises(BadInput, match="not an evidence file"):
        FileEvidence(file)


def test_a_zip_without_a_manifest_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "file.zip", "w") as archive:
        archive.writestr("something", b"else")
    with pytest.raises(BadInput, match="not an evidence file"):
        FileEvidence(tmp_path / "file.zip")


def test_a_manifest_with_a_wrong_field_is_refused(evidence_file: Path, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "file.zip", "w") as archive:
        archive.writestr(MANIFEST, b'{"job": 7}')
    with pytest.raises(BadInput, match="not an evidence file"):
        FileEvidence(tmp_path / "file.zip")


def test_another_job_is_not_there(evidence_file: Path):
    with pytest.raises(BadInput, match="there is no job 'other' on channel candor. It has: job"):
        asyncio.run(audit(FileEvidence(evidence_file, "other")))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("job/job", b'{"spec":[]}'),
        ("round/job/000001", b'{"attempt":1000000000000,"next_view":"x"}'),
        ("round/job/000001", b'{"attempt":"x","set_aside":3}'),
        ("reveal/job/000001/x", b'{"report":3,"update":[]}'),
    ],
)
def test_what_a_lying_peer_has_in_its_blocks_can_be_exported(
    forgery: Forgery, tmp_path: Path, key: str, value: bytes
):
    """Nothing is run again for an export, so it takes forged records as they come; the audit finds them."""
    forgery.rewrite("Token:transfer", lambda writes: writes.update({key: value}), 4)
    lying = FileEvidence(forgery.write(tmp_path / "lying.zip"))
    asyncio.run(export(lying, tmp_path / "exported.zip"))
    report = asyncio.run(audit(FileEvidence(tmp_path / "exported.zip")))
    assert key in " ".join(each.what for each in report.findings)
