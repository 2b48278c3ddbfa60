"""The store suite on a directory, and what only a directory can do."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest
from store_suite import Stores, StoreSuite, fails

from chaincode import cid as cids
from fl_client.errors import Corrupt, TooLarge, Unavailable
from fl_client.store import DirectoryStore
from fl_client.store.base import Store, checked


class Directories(Stores):
    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, organisation: int = 0) -> Store:
        return DirectoryStore(self.path)


@pytest.fixture
def stores(tmp_path: Path) -> Directories:
    return Directories(tmp_path / "blocks")


class TestDirectoryStore(StoreSuite):
    """Everything in StoreSuite."""

    def test_changed_content_is_noticed(self, stores: Directories) -> None:
        async def check(own: Store, other: Store) -> None:
            cid = await own.put(b"content")
            (stores.path / cid).write_bytes(b"contenT")
            await fails(Corrupt, other.get(cid, limit=10))

        stores.run(check)

    def test_too_much_is_neither_read_nor_taken_from_a_store_that_hands_it_over(
        self, stores: Directories, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cid = asyncio.run(stores.open().put(b"content"))
        assert asyncio.run(checked(cid, b"content", 7)) == b"content"
        asyncio.run(fails(TooLarge, checked(cid, b"content", 6)))
        monkeypatch.delattr(Path, "read_bytes")
        asyncio.run(fails(TooLarge, stores.open().get(cid, limit=6)))

    def test_a_full_disk_is_said_and_leaves_nothing(
        self, stores: Directories, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        error = asyncio.run(fails(Unavailable, stores.open().put(b"content")))
        assert "No space left" in str(error)
        assert "Free some space" in error.remedy
        assert list(stores.path.iterdir()) == []

    def test_a_write_that_was_cut_off_is_not_content(self, stores: Directories) -> None:
        """What a crash leaves is a temporary file, never half a content under a CID."""
        asyncio.run(stores.open().put(b"one"))
        (stores.path / ".writing-crashed").write_bytes(b"tw")
        assert [each.name for each in stores.path.iterdir() if not each.name.startswith(".")] == [
            cids.raw_cid(b"one")
        ]
