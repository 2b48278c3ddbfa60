"""A copy of an embedded ledger's evidence that can be changed at will, and sealed again as if it were honest.

The forger holds every key that was issued while `keys_of` watched: it signs what it changes.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from chaincode.shim.memory import ReadWriteSet
from fl_client.audit.archive import BLOCKS, CONTENT, MANIFEST, Manifest, Writer
from fl_client.audit.evidence import Subject
from fl_client.ledger.embedded import EmbeddedIdentities, EmbeddedIdentity
from fl_client.ledger.embedded.records import BlockRecord, TransactionRecord, proposed

replace = msgspec.structs.replace
Keys = Mapping[bytes, EmbeddedIdentity]  # by creator


@contextmanager
def keys_of() -> Iterator[dict[bytes, EmbeddedIdentity]]:
    """Every identity that is issued meanwhile."""
    issued: dict[bytes, EmbeddedIdentity] = {}
    issue = EmbeddedIdentities.issue

    def recorded(self: EmbeddedIdentities, *args: Any, **options: Any) -> EmbeddedIdentity:
        made = issue(self, *args, **options)
        issued[made.creator] = made
        return made

    EmbeddedIdentities.issue = recorded  # type: ignore[method-assign]
    try:
        yield issued
    finally:
        EmbeddedIdentities.issue = issue  # type: ignore[method-assign]


class Forgery:
    """Blocks and contents of an evidence file; `write` makes a new one with a right manifest."""

    def __init__(self, file: Path, keys: Keys | None = None) -> None:
        self.keys = keys or {}
        with zipfile.ZipFile(file) as archive:
            self.manifest = msgspec.json.decode(archive.read(MANIFEST), type=Manifest)
            names = sorted(archive.namelist())
            self.raw = [archive.read(name) for name in names if name.startswith(BLOCKS)]
            self.contents = {
                name.removeprefix(CONTENT): archive.read(name) for name in names if name.startswith(CONTENT)
            }

    def write(self, path: Path) -> Path:
        """The evidence file as it is now."""
        made = self.manifest
        subject = Subject(made.job, made.ledger, made.channel, made.chaincode, made.organisations)
        with Writer(path) as writer:
            for number, raw in enumerate(self.raw):
                writer.block(number, raw)
            for cid, data in sorted(self.contents.items()):
                writer.content(cid, data)
            writer.manifest(subject, made.beacon)
        return path

    # the embedded ledger's blocks

    @property
    def blocks(self) -> list[BlockRecord]:
        """Every block, decoded."""
        return [BlockRecord.from_bytes(raw) for raw in self.raw]

    def seal(self, blocks: list[BlockRecord]) -> None:
        """Put the blocks in place, their hashes made right again."""
        self.raw, previous = [], ""
        for number, block in enumerate(blocks):
            made = replace(block, number=number, previous=previous)
            self.raw.append(made.to_bytes())
            previous = made.hash()

    def signed(self, record: TransactionRecord, nonce: bytes = b"") -> TransactionRecord:
        """The record signed by its creator again, under another id where a nonce is given."""
        if nonce:
            record = replace(record, nonce=nonce, tx_id=hashlib.sha256(nonce + record.creator).hexdigest())
        content = proposed(self.manifest.channel, self.manifest.chaincode, record.tx_id, record.args)
        return replace(record, signature=self.keys[record.creator].sign(content))

    def find(self, name: str, nth: int = 0) -> tuple[int, int, TransactionRecord]:
        """The n-th transaction of that name: block, place in it, record."""
        places = [
            (b.number, index, each)
            for b in self.blocks
            for index, each in enumerate(b.transactions)
            if each.args[0].decode() == name
        ]
        return places[nth]

    def change(self, name: str, nth: int = 0, **changes: Any) -> TransactionRecord:
        """Change a transaction and seal."""
        number, index, record = self.find(name, nth)
        blocks, made = self.blocks, replace(record, **changes)
        transactions = list(blocks[number].transactions)
        transactions[index] = made
        blocks[number] = replace(blocks[number], transactions=tuple(transactions))
        self.seal(blocks)
        return record

    def rewrite(self, name: str, edit: Callable[[dict[str, bytes | None]], object], nth: int = 0) -> None:
        """Change what a transaction writes."""
        _, _, record = self.find(name, nth)
        rwset = msgspec.msgpack.decode(record.read_write_set, type=ReadWriteSet)
        writes = dict(rwset.writes)
        edit(writes)
        made = replace(rwset, writes=tuple(sorted(writes.items())))
        self.change(name, nth, read_write_set=made.to_bytes())

    def arguments(self, name: str, nth: int = 0, **at: bytes) -> None:
        """Change arguments by their places: `_3=b"..."`."""
        args = list(self.find(name, nth)[2].args)
        for place, value in at.items():
            args[int(place[1:])] = value
        made = self.signed(replace(self.find(name, nth)[2], args=tuple(args)))
        self.change(name, nth, args=made.args, signature=made.signature)

    def add(self, *records: TransactionRecord) -> None:
        """A further block."""
        blocks = self.blocks
        self.seal([*blocks, BlockRecord(len(blocks), "", records)])


def edit_json(writes: dict[str, bytes | None], prefix: str, edit: Callable[[dict[str, Any]], object]) -> str:
    """Change the first record under a prefix; returns its key."""
    key = next(each for each in sorted(writes) if each.startswith(prefix) and writes[each])
    record = msgspec.json.decode(writes[key] or b"")
    edit(record)
    writes[key] = msgspec.json.encode(record, order="sorted")
    return key
