"""The evidence file: one zip that holds all an audit needs, the same bytes for the same evidence.

`manifest.json` names every other entry with its size and SHA-256. Nothing in it is trusted: the blocks and the
contents are checked for what they are, and the manifest only tells a damaged file from a forged one.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from chaincode import cid as cids
from chaincode.beacon import BeaconInfo
from chaincode.encoding import canonical
from fl_client.audit.evidence import LIMIT, Evidence, Kind, Subject
from fl_client.audit.findings import Class, Finding
from fl_client.errors import BadInput

MANIFEST, BLOCKS, CONTENT = "manifest.json", "blocks/", "content/"
_EPOCH = (1980, 1, 1, 0, 0, 0)
FORMAT = "candor-evidence/1"


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the archive."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the archive holds. `beacon` is a convenience: an auditor compares it with what it knows."""

    job: str
    ledger: Kind
    channel: str
    chaincode: str
    organisations: tuple[str, ...]
    beacon: BeaconInfo | None
    files: dict[str, Entry]
    format: str = FORMAT


class Writer:
    """Writes an evidence file entry by entry; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._temporary, self._path = path.with_name(f".{path.name}.part"), path
        self._files: dict[str, Entry] = {}

    def __enter__(self) -> Writer:
        try:
            self._zip = zipfile.ZipFile(self._temporary, "w", zipfile.ZIP_STORED)
        except OSError as fault:
            raise BadInput(f"cannot write {self._path}: {fault.strerror}") from fault
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._zip.close()
        if kind is None:
            self._temporary.replace(self._path)
        else:
            self._temporary.unlink(missing_ok=True)

    def block(self, number: int, data: bytes) -> None:
        """Add a block."""
        self._add(f"{BLOCKS}{number:08d}", data)

    def content(self, cid: str, data: bytes) -> None:
        """Add content by its CID."""
        self._add(f"{CONTENT}{cid}", data)

    def manifest(self, subject: Subject, beacon: BeaconInfo | None) -> None:
        """Add the manifest, last."""
        made = Manifest(
            subject.job,
            subject.kind,
            subject.channel,
            subject.chaincode,
            subject.organisations,
            beacon,
            self._files,
        )
        self._put(MANIFEST, msgspec.json.format(canonical(made), indent=1))

    def _add(self, name: str, data: bytes) -> None:
        self._files[name] = Entry(len(data), hashlib.sha256(data).hexdigest())
        self._put(name, data)

    def _put(self, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(name, _EPOCH)
        info.create_system, info.external_attr = 3, 0o644 << 16
        self._zip.writestr(info, data)


class FileEvidence(Evidence):
    """An evidence file. Raises BadInput when it is none; what is wrong inside it is found, not raised."""

    def __init__(self, path: Path, job: str = "") -> None:
        try:
            self._zip = zipfile.ZipFile(path)
            self.manifest = msgspec.json.decode(self._read(MANIFEST) or b"", type=Manifest)
        except OSError as fault:
            raise BadInput(f"cannot read {path}: {fault.strerror}", "Make one: candor export") from fault
        except (zipfile.BadZipFile, msgspec.MsgspecError) as fault:
            raise BadInput(f"{path} is not an evidence file: {fault}", "Make one: candor export") from fault
        made = self.manifest
        self.subject = Subject(job or made.job, made.ledger, made.channel, made.chaincode, made.organisations)
        self.findings, self.beacon = [], made.beacon
        self._names = self._check_names()

    async def blocks(self) -> AsyncIterator[bytes]:
        for number, name in enumerate(sorted(n for n in self._names if n.startswith(BLOCKS))):
            if name != f"{BLOCKS}{number:08d}":
                what = "a block is missing from the file, or named in another way"
                self.findings.append(Finding(Class.EVIDENCE, what, number, "", f"{BLOCKS}{number:08d}", name))
            yield self._checked(name) or b""

    async def content(self, cid: str) -> bytes | None:
        if f"{CONTENT}{cid}" not in self._names:
            return None
        data = self._checked(f"{CONTENT}{cid}")
        if data is not None and not _hashes_to(cid, data):
            what = f"the file's content {cid} does not hash to its name"
            self._note(Finding(Class.CONTENT, what, expected=cid, found=cids.file_cid(data)))
            return None
        return data

    def _check_names(self) -> set[str]:
        names = self._zip.namelist()
        for name in sorted(set(names) ^ {MANIFEST, *self.manifest.files}):
            what = f"{name} is in the file or in its manifest alone"
            self.findings.append(Finding(Class.EVIDENCE, what))
        if len(set(names)) != len(names):
            self.findings.append(Finding(Class.EVIDENCE, "the file holds two entries of one name"))
        return set(names)

    def _checked(self, name: str) -> bytes | None:
        data, entry = self._read(name), self.manifest.files.get(name)
        if data is None:
            self._note(Finding(Class.EVIDENCE, f"{name} cannot be read from the file"))
        elif entry and entry != Entry(len(data), hashlib.sha256(data).hexdigest()):
            self._note(Finding(Class.EVIDENCE, f"{name} is not what the manifest says"))
        return data

    def _read(self, name: str) -> bytes | None:
        try:
            with self._zip.open(name) as file:
                data = file.read(LIMIT + 1)
        except (KeyError, OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile, EOFError):
            return None
        return data if len(data) <= LIMIT else None

    def _note(self, finding: Finding) -> None:
        if finding not in self.findings:
            self.findings.append(finding)


def _hashes_to(cid: str, data: bytes) -> bool:
    try:
        cids.check(cid, data)
    except ValueError:
        return False
    return True
