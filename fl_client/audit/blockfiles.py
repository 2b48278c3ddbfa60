"""Evidence from a peer's own files: blocks as `peer channel fetch` or a peer's ledger keeps them, and content.

Blocks come as files `*.block`, one block each, or as `blockfile_*` of a peer's or an orderer's ledger directory;
content is a directory of files, whatever their names: what counts is what they hash to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from chaincode import cid as cids
from fl_client.audit.entries import as_text
from fl_client.audit.evidence import LIMIT, Evidence, Subject
from fl_client.audit.fabric import protos
from fl_client.audit.files import named
from fl_client.audit.findings import Class, Finding
from fl_client.errors import BadInput

_SINGLE, _LEDGER = "*.block", "blockfile_*"


class BlockFiles(Evidence):
    """A Fabric channel's blocks in `path` (a directory or one file), content in `contents`.

    Raises: BadInput when there are no blocks, or the first of them does not name its channel.
    """

    def __init__(self, path: Path, job: str, chaincode: str = "candor", contents: Path | None = None) -> None:
        self.findings = []
        self._blocks = self._read(path)
        if 0 not in self._blocks:
            raise BadInput(f"{path} does not hold block 0", "Fetch it too: everything is judged from it on")
        self.subject = Subject(job, "fabric", _channel(path, self._blocks[0]), chaincode)
        self._contents = _Contents(contents)

    async def blocks(self) -> AsyncIterator[bytes]:
        for place, number in enumerate(sorted(self._blocks)):
            if place and number - 1 not in self._blocks:
                what = f"no file holds block {number - 1}"
                self.findings.append(Finding(Class.EVIDENCE, what, number - 1))
            yield self._blocks[number]

    async def content(self, cid: str) -> bytes | None:
        data = self._contents.get(cid)
        return None if data is None else named(cid, data, self.findings)

    def _read(self, path: Path) -> dict[int, bytes]:
        """The blocks by their numbers. One that comes twice must be the same (`fetch config` gives a second)."""
        found: dict[int, bytes] = {}
        for file, raw in _raws(path):
            try:
                header = protos.common.Block.FromString(raw).header
            except protos.DecodeError as fault:
                self.findings.append(
                    Finding(Class.EVIDENCE, f"{as_text(Path(file.name))} does not hold a block: {fault}")
                )
                continue
            first = protos.common.Block.FromString(found.setdefault(header.number, raw)).header
            if first != header:
                what = f"{as_text(Path(file.name))} holds another block {header.number} than a file before it"
                self.findings.append(Finding(Class.EVIDENCE, what, header.number))
        return found


class _Contents:
    """A directory's files by what they hash to; those that bear a CID as their name are found without hashing."""

    def __init__(self, path: Path | None) -> None:
        if path is not None and not path.is_dir():
            raise BadInput(f"cannot read content from {path}: it is no directory")
        files = [each for each in sorted(path.rglob("*")) if each.is_file()] if path else []
        self._named = {each.name: each for each in files}
        self._unnamed = [each for each in files if each.stat().st_size <= LIMIT]

    def get(self, cid: str) -> bytes | None:
        """The bytes, or those that claim to be it by their name."""
        if cid not in self._named:
            self._hash()
        return self._named[cid].read_bytes() if cid in self._named else None

    def _hash(self) -> None:
        for each in self._unnamed:
            self._named.setdefault(cids.file_cid(each.read_bytes()), each)
        self._unnamed = []


def _raws(path: Path) -> Iterator[tuple[Path, bytes]]:
    """Every block of the files, and where it was. Raises: BadInput."""
    files = [*sorted(path.glob(_SINGLE)), *sorted(path.glob(_LEDGER))] if path.is_dir() else [path]
    files = [file for file in files if file.is_file()]
    for file in files:
        try:
            data = file.read_bytes()
        except OSError as fault:
            raise BadInput(f"cannot read {file}: {fault.strerror}") from fault
        if not file.match(_LEDGER):
            yield file, data
            continue
        try:
            for raw in _split(data):
                yield file, raw
        except IndexError as fault:
            raise BadInput(f"{file} ends within a block, or is no ledger file of Fabric") from fault
    if not files:
        raise BadInput(
            f"{path} holds neither {_SINGLE} nor {_LEDGER}", "Fetch blocks with peer channel fetch"
        )


def _split(data: bytes) -> Iterator[bytes]:
    """The blocks of a ledger file, as protocol buffers (Fabric, blkstorage/block_serialization.go).

    Raises: IndexError when it ends too early.
    """
    outer = _Cursor(data)
    while not outer.done:
        inner = _Cursor(outer.bytes())
        block = protos.common.Block()
        block.header.number = inner.varint()
        block.header.data_hash, block.header.previous_hash = inner.bytes(), inner.bytes()
        block.data.data.extend([inner.bytes() for _ in range(inner.varint())])
        block.metadata.metadata.extend([inner.bytes() for _ in range(inner.varint())])
        yield block.SerializeToString()


class _Cursor:
    """Reads varints and byte strings with their length in front."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def done(self) -> bool:
        return self._at >= len(self._data)

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value & (2**64 - 1)
            if shift > 63:
                raise IndexError("a number of more than 64 bits")

    def bytes(self) -> bytes:
        size = self.varint()
        found = self._data[self._at : self._at + size]
        if len(found) < size:
            raise IndexError("it ends within a value")
        self._at += size
        return found


def _channel(path: Path, raw: bytes) -> str:
    """The channel's name, from its first block."""
    try:
        (envelope,) = protos.common.Block.FromString(raw).data.data
        payload = protos.common.Payload.FromString(protos.common.Envelope.FromString(envelope).payload)
        return str(protos.common.ChannelHeader.FromString(payload.header.channel_header).channel_id)
    except (protos.DecodeError, ValueError) as fault:
        raise BadInput(f"block 0 in {path} does not name its channel: {fault}") from fault
