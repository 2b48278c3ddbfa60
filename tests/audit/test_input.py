"""What is given to the commands: files of every kind are read, and what cannot be used is refused in one sentence."""

from __future__ import annotations

import asyncio
import socket
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
from typer.testing import CliRunner

from chaincode.cid import raw_cid
from fl_client.audit import Class, FileEvidence, audit, export
from fl_client.audit.archive import MANIFEST
from fl_client.audit.blockfiles import BlockFiles
from fl_client.audit.evidence import Evidence, Watched
from fl_client.audit.fabric import protos
from fl_client.cli.app import app
from fl_client.errors import BadInput
from fl_client.store import DirectoryStore
from tests.audit.conftest import Fabric, Played
from tests.audit.fabric_forging import FabricForgery
from tests.audit.forging import Forgery
from tests.audit.honest import INITIAL, PUBLIC, play

runner = CliRunner()


def command(*arguments: object) -> tuple[int, str]:
    """Exit code and message of a command that fails, or 0 and what it printed."""
    done = runner.invoke(app, [*map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        return getattr(done.exception, "exit_code", -1), str(done.exception)
    return done.exit_code, done.output


# a peer's own files


@pytest.fixture
def contents(fabric: Fabric, tmp_path: Path) -> Path:
    """Content under names that say nothing."""
    directory = tmp_path / "contents"
    directory.mkdir()
    for place, data in enumerate(Forgery(fabric.file).contents.values()):
        (directory / f"file{place}").write_bytes(data)
    return directory


def test_blocks_as_a_peer_gives_them_and_content_under_any_name_audit_clean(blocks: Path, contents: Path):
    newest = max(blocks.iterdir(), key=lambda file: int(file.stem.partition("_")[2]))
    (blocks / "candor_config.block").write_bytes(newest.read_bytes())  # `fetch newest`: the same once more
    code, printed = command("audit", "job", "--from-blocks", blocks, "--contents", contents)
    assert (code, "nothing differs" in printed) == (0, True), printed


def serialized(block) -> bytes:
    """As a peer's ledger keeps it (fabric, blkstorage/block_serialization.go)."""
    sized = [block.header.data_hash, block.header.previous_hash]
    made = varint(block.header.number) + b"".join(varint(len(each)) + each for each in sized)
    for items in (block.data.data, block.metadata.metadata):
        made += varint(len(items)) + b"".join(varint(len(each)) + each for each in items)
    return varint(len(made)) + made


def varint(value: int) -> bytes:
    made = b""
    while value > 0x7F:
        made, value = made + bytes([value & 0x7F | 0x80]), value >> 7
    return made + bytes([value])


def test_a_peers_ledger_file_audits_clean_and_one_cut_short_is_refused(
    fabric: Fabric, contents: Path, tmp_path: Path
):
    chain, file = FabricForgery(fabric.file).chain, tmp_path / "blockfile_000000"
    file.write_bytes(b"".join(map(serialized, chain)))
    assert command("audit", "job", "--from-blocks", file, "--contents", contents)[0] == 0
    file.write_bytes(file.read_bytes()[:-5])
    code, message = command("audit", "job", "--from-blocks", file)
    assert (code, "ends within a block" in message) == (2, True)


def test_a_block_that_is_missing_damaged_or_there_twice_is_named(
    blocks: Path, contents: Path, tmp_path: Path
):
    def found() -> set[Class]:
        return set(asyncio.run(audit(BlockFiles(blocks, "job", contents=contents))).classes)

    file = blocks / "candor_9.block"
    whole = file.read_bytes()
    file.unlink()
    assert {Class.EVIDENCE, Class.CHAIN} <= found()
    file.write_bytes(b"\xff" + whole)
    assert {Class.EVIDENCE, Class.CHAIN} <= found()
    file.write_bytes(whole)
    other = protos.common.Block.FromString(whole)
    other.header.data_hash = b"another"
    (blocks / "again.block").write_bytes(other.SerializeToString())
    assert Class.EVIDENCE in found()


def test_without_its_content_a_job_is_not_clean(blocks: Path):
    code, message = command("audit", "job", "--from-blocks", blocks)
    assert (code, message.startswith("missing content:")) == (8, True)


def test_an_unpacked_evidence_file_is_read_like_a_packed_one(evidence_file: Path, tmp_path: Path):
    with zipfile.ZipFile(evidence_file) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert command("audit", "job", "--from-blocks", tmp_path / "unpacked")[0] == 0


def test_an_evidence_file_packed_again_by_another_program_is_clean(evidence_file: Path, tmp_path: Path):
    file = tmp_path / "again.zip"
    with zipfile.ZipFile(evidence_file) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in reversed(old.namelist()):
            new.writestr(name, old.read(name))
    assert command("audit", "job", "--from-blocks", file)[0] == 0


# what cannot be used


def test_what_is_not_there_or_is_no_evidence_is_refused_with_the_remedy(tmp_path: Path, evidence_file: Path):
    (tmp_path / "empty").mkdir()
    cases = {
        tmp_path / "none.zip": "there is no such file",
        tmp_path / "empty": "holds neither *.block nor blockfile_*",
    }
    for path, words in cases.items():
        code, message = command("audit", "job", "--from-blocks", path)
        assert (code, words in message) == (2, True), message


@pytest.mark.parametrize("option", ["--beacon-key", "--first-block", "--last-block"])
@pytest.mark.parametrize("value", ["12", "xyz", "ab cd", "g" * 64])
def test_a_key_or_hash_that_is_none_is_refused(evidence_file: Path, option: str, value: str):
    code, message = command("audit", "job", "--from-blocks", evidence_file, option, value)
    assert (code, "is not a value in hex" in message) == (2, True)


def test_a_job_that_is_not_there_is_refused_and_the_others_named(evidence_file: Path):
    code, message = command("audit", "jbo", "--from-blocks", evidence_file)
    assert (code, message) == (2, "there is no job 'jbo' on channel candor. It has: job")


def test_the_evidence_of_another_job_says_so(forgery: Forgery, tmp_path: Path):
    forgery.manifest = msgspec.structs.replace(forgery.manifest, job="another")
    code, message = command("audit", "job", "--from-blocks", forgery.write(tmp_path / "other.zip"))
    assert (code, "exported for another job" in message) == (8, True)


def test_a_connection_file_that_is_not_there_is_refused(tmp_path: Path):
    code, message = command("audit", "job", "--connection", tmp_path / "none.json")
    assert (code, "cannot read the connection file" in message) == (2, True)


def test_peers_out_of_reach_are_named(played: Played, tmp_path: Path):
    who = next(who for who in played.keys.values() if who.name == "Admin@Org1MSP")
    certificate, key, port = tmp_path / "cert.pem", tmp_path / "key.pem", unused_tcp_port()
    certificate.write_bytes(who.certificate)
    key.write_bytes(
        who.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    node = {"address": f"127.0.0.1:{port}", "host": "peer0.org1.test", "tls_ca": str(certificate)}
    admin = {"name": "Admin", "certificate": str(certificate), "key": str(key)}
    file = tmp_path / "connection.json"
    connection = {
        **{"organisation": "Org1MSP", "channel": "candor", "chaincode": "candor", "admin": admin},
        **{"clients": [], "peers": [{**node, "msp_id": "Org1MSP"}], "orderers": [node], "beacons": []},
        "beacon": msgspec.to_builtins(played.honest.world.signer.info),
        "store": {"cluster": "http://127.0.0.1:1", "credentials": str(key), "kubo": str(tmp_path / "sock")},
    }
    file.write_bytes(msgspec.json.encode(connection))
    for arguments in (("audit", "job"), ("export", "job", "--out", tmp_path / "job.zip")):
        code, message = command(*arguments, "--connection", file, "--identity", "Admin")
        assert code == 5, message
        assert all(words in message for words in ("no peer answered", "peer0.org1.test", "--from-blocks"))
    assert not (tmp_path / "job.zip").exists()


def unused_tcp_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_file_that_would_unpack_to_a_thousand_times_its_size_is_refused(
    evidence_file: Path, tmp_path: Path
):
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(evidence_file) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        with new.open("content/bomb", "w", force_zip64=True) as entry:
            for _ in range(400):
                entry.write(bytes(2**20))
    code, message = command("audit", "job", "--from-blocks", file)
    assert (code, "claims to hold" in message) == (2, True)


@pytest.mark.parametrize("name", ["../../outside", "/etc/outside", "content/../../outside", "blocks/x"])
def test_names_in_the_file_lead_nowhere(evidence_file: Path, tmp_path: Path, name: str):
    file = tmp_path / "below" / "names.zip"
    file.parent.mkdir()
    file.write_bytes(evidence_file.read_bytes())
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(name, b"data")
    code, message = command("audit", "job", "--from-blocks", file)
    assert (code, message.startswith("evidence file:")) == (8, True)
    assert {path.name for path in tmp_path.rglob("*")} == {"below", "names.zip"}


def test_two_entries_of_one_name_are_named(evidence_file: Path, tmp_path: Path):
    file = tmp_path / "twice.zip"
    file.write_bytes(evidence_file.read_bytes())
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("blocks/00000004", b"another")
    assert command("audit", "job", "--from-blocks", file)[0] == 8


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"[" * 100_000, b'{"job": 7}'])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, raw: bytes):
    with zipfile.ZipFile(tmp_path / "file.zip", "w") as archive:
        archive.writestr(MANIFEST, raw)
    with pytest.raises(BadInput, match="not an evidence file"):
        FileEvidence(tmp_path / "file.zip")


# what is written


def test_an_export_overwrites_nothing_unasked_and_leaves_nothing_half_written(played: Played, tmp_path: Path):
    file = tmp_path / "job.zip"
    file.write_bytes(b"mine")
    evidence = played.honest.evidence()
    with pytest.raises(BadInput, match="exists already"):
        asyncio.run(export(evidence, file))
    assert file.read_bytes() == b"mine"
    with pytest.raises(BadInput, match="its directory does not exist"):
        asyncio.run(export(evidence, tmp_path / "none" / "job.zip"))
    with pytest.raises(RuntimeError, match="the network is gone"):
        asyncio.run(export(Breaking(evidence), file, overwrite=True))
    assert [path.name for path in tmp_path.iterdir()] == ["job.zip"]
    assert file.read_bytes() == b"mine"
    asyncio.run(export(evidence, file, overwrite=True))
    assert asyncio.run(audit(FileEvidence(file))).clean


class Breaking(Evidence):
    """A network that goes away while content is fetched."""

    def __init__(self, evidence: Evidence) -> None:
        self.subject, self.findings, self._evidence = evidence.subject, evidence.findings, evidence

    def blocks(self) -> AsyncIterator[bytes]:
        return self._evidence.blocks()

    async def content(self, cid: str) -> bytes | None:
        raise RuntimeError("the network is gone")


def test_a_page_that_cannot_be_written_is_refused_before_the_work(evidence_file: Path, tmp_path: Path):
    where = tmp_path / "none" / "page.html"
    code, message = command("audit", "job", "--from-blocks", evidence_file, "--html", where)
    assert (code, "its directory does not exist" in message) == (2, True)


def test_an_audit_that_takes_long_says_how_far_it_is(evidence_file: Path):
    times, told = iter(range(10**6)), list[str]()
    evidence = Watched(FileEvidence(evidence_file), told.append, lambda: float(next(times)))
    assert asyncio.run(audit(evidence)).clean
    assert told[0].startswith("read so far:")
    assert len(told) > 5
    quick = list[str]()
    asyncio.run(audit(Watched(FileEvidence(evidence_file), quick.append, lambda: 0.0)))
    assert quick == []


# other jobs


def test_a_settlement_of_another_job_that_cannot_be_run_again_may_write_that_jobs_keys_alone(tmp_path: Path):
    """Its reports are not in the evidence; a majority of liars must not hide this job's forgery in it."""
    file = tmp_path / "second.zip"

    async def work() -> None:
        honest = await play(DirectoryStore(tmp_path / "store"))
        await honest.world.create("second", model=raw_cid(INITIAL), public_set=raw_cid(PUBLIC))
        await export(honest.evidence("second"), file)

    asyncio.run(work())
    report = asyncio.run(audit(FileEvidence(file)))
    assert report.findings == []
    assert {line.ok for line in report.lines if "taken as endorsed" in line.text} == {None}
    for key, value in (
        ("escrow/second", b"1"),
        ("supply", b"1"),
        ("credit/Org1MSP/" + "0" * 64 + "/0", None),
    ):
        forgery = Forgery(file)
        forgery.rewrite("Settlement:settle", lambda writes, key=key, value=value: writes.update({key: value}))
        found = asyncio.run(audit(FileEvidence(forgery.write(tmp_path / "forged.zip")))).findings
        assert found[0].kind is Class.FOREIGN
        assert key in found[0].what
