"""The evidence file: one zip that holds all an audit needs, the same bytes for the same evidence.

`manifest.json` names every other entry with its size and SHA-256. Nothing in it is trusted: the blocks and the
contents are checked for what they are, and the manifest only tells a damaged file from a forged one.
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from pathlib import Path

import msgspec

from chaincode.beacon import BeaconInfo
from chaincode.encoding import canonical
from fl_client.audit.evidence import Kind, Subject
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


def free(path: Path, *, overwrite: bool = False) -> None:
    """Whether a file can be written there. Raises: BadInput, before anything else is done."""
    if path.is_dir() or not path.parent.is_dir():
        where = "is a directory" if path.is_dir() else "its directory does not exist"
        raise BadInput(f"cannot write {path}: {where}", "Name a file in an existing directory")
    if path.exists() and not overwrite:
        raise BadInput(f"{path} exists already", "Name another file, or add --overwrite")


class Writer:
    """Writes an evidence file entry by entry, all of it or nothing; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: dict[str, Entry] = {}

    def __enter__(self) -> Writer:
        try:
            name = f".{self._path.name}-"
            with tempfile.NamedTemporaryFile(dir=self._path.parent, prefix=name, delete=False) as file:
                self._temporary = Path(file.name)
            self._temporary.chmod(0o644)
            self._zip = zipfile.ZipFile(self._temporary, "w", zipfile.ZIP_STORED)
        except OSError as fault:
            raise BadInput(f"cannot write {self._path}: {fault.strerror}") from fault
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self._zip.close()
            if kind is None:
                self._temporary.replace(self._path)
        except OSError as fault:
            raise BadInput(f"cannot write {self._path}: {fault.strerror}") from fault
        finally:
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
        try:
            self._zip.writestr(info, data)
        except OSError as fault:
            raise BadInput(f"cannot write {self._path}: {fault.strerror}") from fault
