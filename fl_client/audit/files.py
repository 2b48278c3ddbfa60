"""Evidence from files: what `candor export` wrote, packed or unpacked."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from chaincode import cid as cids
from fl_client.audit.archive import BLOCKS, CONTENT, MANIFEST, Entry, Manifest
from fl_client.audit.entries import MAKE_ONE, DirectoryEntries, Entries, ZipEntries
from fl_client.audit.evidence import Evidence, Subject
from fl_client.audit.findings import Class, Finding
from fl_client.errors import BadInput

_MANIFEST_LIMIT = 2**26  # bytes: hundreds of thousands of entries


class FileEvidence(Evidence):
    """An evidence file. Raises BadInput when it is none; what is wrong inside it is found, not raised."""

    def __init__(self, path: Path, job: str = "") -> None:
        self._entries: Entries = DirectoryEntries(path) if path.is_dir() else ZipEntries(path)
        made = self.manifest = _manifest(path, self._entries)
        self.subject = Subject(job or made.job, made.ledger, made.channel, made.chaincode, made.organisations)
        self.findings, self.beacon, self.exported_for = [], made.beacon, made.job
        self._check_names()

    async def blocks(self) -> AsyncIterator[bytes]:
        names, expected = sorted(name for name in self._entries.names if name.startswith(BLOCKS)), 0
        for name in names:
            if name != f"{BLOCKS}{expected:08d}":
                what = "a block is missing from the file, or named in another way"
                self.findings.append(
                    Finding(Class.EVIDENCE, what, expected, "", f"{BLOCKS}{expected:08d}", name)
                )
            digits = name.removeprefix(BLOCKS)
            expected = (int(digits) if digits.isdecimal() and len(digits) == 8 else expected) + 1
            yield self._checked(name) or b""

    async def content(self, cid: str) -> bytes | None:
        if f"{CONTENT}{cid}" not in self._entries.names:
            return None
        data = self._checked(f"{CONTENT}{cid}")
        return None if data is None else named(cid, data, self.findings)

    def _check_names(self) -> None:
        names = self._entries.names
        for name in sorted(set(names) ^ {MANIFEST, *self.manifest.files}):
            where = (
                "the file, and not in its manifest" if name in names else "its manifest, and not in the file"
            )
            self.findings.append(Finding(Class.EVIDENCE, f"{name!r} is in {where}"))
        for name in sorted(name for name, count in names.items() if count > 1):
            self.findings.append(Finding(Class.EVIDENCE, f"the file holds {names[name]} entries {name!r}"))

    def _checked(self, name: str) -> bytes | None:
        data, entry = self._entries.read(name), self.manifest.files.get(name)
        if data is None:
            _note(self.findings, Finding(Class.EVIDENCE, f"{name} cannot be read from the file"))
        elif entry and entry != Entry(len(data), hashlib.sha256(data).hexdigest()):
            _note(self.findings, Finding(Class.EVIDENCE, f"{name} is not what the manifest says"))
        return data


def named(cid: str, data: bytes, findings: list[Finding]) -> bytes | None:
    """The bytes if they hash to the name they were found under; otherwise None and a finding."""
    try:
        cids.check(cid, data)
    except ValueError:
        what = f"the file's content {cid} does not hash to its name"
        _note(findings, Finding(Class.CONTENT, what, expected=cid, found=cids.file_cid(data)))
        return None
    return data


def _manifest(path: Path, entries: Entries) -> Manifest:
    raw = entries.read(MANIFEST, _MANIFEST_LIMIT)
    if raw is None:
        what = f"{path} is not an evidence file of candor export: it has no readable {MANIFEST}"
        raise BadInput(what, "Blocks of a peer belong into a directory, as candor audit --help says")
    try:
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        raise BadInput(
            f"{path} is not an evidence file of candor export: {MANIFEST}: {fault}", MAKE_ONE
        ) from fault


def _note(findings: list[Finding], finding: Finding) -> None:
    if finding not in findings:
        findings.append(finding)
