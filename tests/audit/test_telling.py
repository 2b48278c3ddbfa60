"""Whatever an evidence file holds, every form of the report can tell it: as JSON, as a page, on a terminal."""

from __future__ import annotations

import asyncio
import io
import os
import zipfile
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from chaincode.shim import Identity
from chaincode.shim.memory import ReadWriteSet
from fl_client.audit import Class, FileEvidence, Report, audit
from fl_client.audit.audit import arguments
from fl_client.audit.blockfiles import BlockFiles
from fl_client.audit.blocks import VALID, Transaction
from fl_client.audit.page import html
from fl_client.audit.text import text, to_json
from fl_client.errors import BadInput
from tests.audit.forging import Forgery, replace

STEERING = "\x1b[31m\u202e"  # it colours what follows, and turns it round


def told(report: Report) -> str:
    """In all three forms; returns what a terminal shows."""
    assert msgspec.json.decode(to_json(report))["findings"]
    assert "<h2>Discrepancies</h2>" in html(report)
    screen = io.StringIO()
    Console(file=screen).print(text(report))
    return screen.getvalue()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("supply", b"1" + b"0" * 400),  # no axis goes as far
        ("credit/Org1MSP/0/0", b'{"amount":1e300}'),
        ("outcome/job/000001/Org1$x^{$MSP:x", b'{"score":1,"norm":1,"payment":1,"slashed":0}'),
        ("outcome/job/000001/Org1MSP:x", b'{"score":1%s,"norm":1,"payment":1}' % (b"0" * 400)),
        (STEERING, b"1"),
        ("ACTING", msgspec.json.encode(STEERING)),
        ("ACTING", b'"\\ud800"'),  # half a character: it cannot be written
    ],
)
def test_whatever_a_forged_record_says(forgery: Forgery, audited, key: str, value: bytes):
    who = Identity.parse(forgery.find("Rounds:commit")[2].creator)
    key = key.replace("ACTING", f"key/{who.msp_id}:{who.key_sha256}")
    record = forgery.signed(forgery.find("Governance:approve")[2], b"another")
    forgery.add(replace(record, read_write_set=ReadWriteSet(writes=((key, value),)).to_bytes()))
    assert not {"\x1b", "\u202e"} & set(told(audited(forgery))), "it steers no terminal"


def test_a_record_that_the_contracts_cannot_read_is_a_finding_and_nothing_beside_it(
    forgery: Forgery, audited, caplog: pytest.LogCaptureFixture
):
    forgery.rewrite("Rounds:close", lambda writes: writes.update({"round/job/000001": b"null"}))
    forgery.arguments("Rounds:close", _1=b"nobodys-job")  # it is refused, so that what it says it wrote stays
    report = audited(forgery)
    assert any("ValidationError" in each.found + each.expected for each in report.findings), report.findings
    assert caplog.records == []


@pytest.mark.parametrize("tx_id", ["[/bold]", STEERING, "", "a" * 10**5])
def test_whatever_a_transaction_calls_itself(forgery: Forgery, audited, tx_id: str):
    forgery.change("Rounds:commit", tx_id=tx_id)
    assert "\x1b" not in told(audited(forgery))


METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@pytest.mark.parametrize("method", METHODS)
def test_a_damaged_entry_however_it_is_packed(evidence_file: Path, tmp_path: Path, method: int):
    file, name = tmp_path / "packed.zip", "blocks/00000005"
    with zipfile.ZipFile(evidence_file) as old, zipfile.ZipFile(file, "w", method) as new:
        for each in old.namelist():
            new.writestr(each, old.read(each))
        entry = new.getinfo(name)
    assert asyncio.run(audit(FileEvidence(file))).clean
    raw = bytearray(file.read_bytes())
    start = entry.header_offset + 30 + len(name)
    raw[start + 9 : start + 30] = bytes(21)
    file.write_bytes(raw)
    report = asyncio.run(audit(FileEvidence(file)))
    assert name in next(each for each in report.findings if each.kind is Class.EVIDENCE).what


def test_a_file_whose_name_is_no_text(evidence_file: Path, blocks: Path, tmp_path: Path):
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(evidence_file) as archive:
        archive.extractall(unpacked)
    for directory, name in ((unpacked / "blocks", b"\xff"), (blocks, b"\xff.block")):
        Path(os.fsdecode(os.fsencode(directory) + b"/" + name)).write_bytes(b"\xff")
    for evidence in (FileEvidence(unpacked), BlockFiles(blocks, "job")):
        report = asyncio.run(audit(evidence))
        told(report)
        assert "\ufffd" in next(each.what for each in report.findings if each.kind is Class.EVIDENCE)


def test_what_is_no_file_is_not_waited_for(blocks: Path):
    """A pipe that nobody writes into would be read for ever."""
    os.mkfifo(blocks / "pipe.block")
    os.mkfifo(blocks / "blockfile_000000")
    assert BlockFiles(blocks, "job").findings == []
    with pytest.raises(BadInput, match="holds neither"):
        BlockFiles(blocks / "pipe.block", "job")


def test_arguments_that_are_no_text_are_told_in_hex_and_command_no_terminal():
    given = (b"Registry:rotate", b"\x1b[2J", b"0Y0\x13", "März".encode(), b"\xff")
    assert arguments(Transaction(1, 0, "tx", VALID, args=given)) == "1b5b324a 30593013 März ff"
