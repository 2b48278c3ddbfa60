"""What every Store does. A test class for an implementation inherits StoreSuite and gives it ``stores``."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chaincode import cid as cids
from fl_client.errors import BadInput, CandorError, NotStored, TooLarge
from fl_client.store.base import Store

MEBI = 1 << 20
Check = Callable[[Store, Store], Awaitable[Any]]


class Stores(ABC):
    """The stores of two organisations which share their content."""

    @abstractmethod
    def open(self, organisation: int = 0) -> Store:
        """A store, not entered yet, of organisation 0 or 1."""

    def run(self, check: Check) -> Any:
        """Run ``check`` on the entered stores of both, in a loop of its own."""

        async def body() -> Any:
            async with asyncio.timeout(100), self.open(0) as own, self.open(1) as other:
                return await check(own, other)

        return asyncio.run(body())


async def fails(kind: type[CandorError] | tuple[type[CandorError], ...], work: Awaitable[Any]) -> Any:
    """The error of that kind (or one of those) which ``work`` must raise."""
    with pytest.raises(kind) as caught:
        await work
    return caught.value


class StoreSuite:
    """Inherit it, and define the fixture ``stores``."""

    @pytest.mark.parametrize("size", [0, 1, 12_345, MEBI, MEBI + 1, 3 * MEBI + 7])
    def test_what_one_puts_the_other_gets(self, stores: Stores, size: int) -> None:
        data = os.urandom(size)

        async def check(own: Store, other: Store) -> None:
            cid = await own.put(data)
            assert cid == cids.file_cid(data)
            assert (cid == cids.raw_cid(data)) == (size <= MEBI)
            assert await own.get(cid, limit=size) == data
            assert await other.get(cid, limit=size + 1) == data

        stores.run(check)

    def test_putting_twice_is_putting_once(self, stores: Stores) -> None:
        data = os.urandom(1000)

        async def check(own: Store, other: Store) -> None:
            assert await own.put(data) == await own.put(data) == await other.put(data)

        stores.run(check)

    def test_more_than_the_limit_is_not_read(self, stores: Stores) -> None:
        async def check(own: Store, other: Store) -> None:
            for size in (1000, 2 * MEBI):
                cid = await own.put(os.urandom(size))
                await fails(TooLarge, own.get(cid, limit=size - 1))
                await fails(TooLarge, other.get(cid, limit=0))
                await fails(TooLarge, other.bring(cid, limit=size - 1))

        stores.run(check)

    def test_what_nobody_has_is_not_stored(self, stores: Stores) -> None:
        async def check(own: Store, other: Store) -> None:
            missing = cids.raw_cid(os.urandom(32))
            error = await fails(NotStored, own.get(missing, limit=10))
            assert missing in str(error)
            await fails(NotStored, own.pin(missing))
            await fails(NotStored, own.bring(missing, limit=10))

        stores.run(check)

    @pytest.mark.parametrize(
        "cid", ["", "x", "../../etc/passwd", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"]
    )
    def test_only_canonical_cids_are_looked_for(self, stores: Stores, cid: str) -> None:
        async def check(own: Store, other: Store) -> None:
            await fails(BadInput, own.get(cid, limit=10))
            await fails(BadInput, own.pin(cid))
            upper = cids.raw_cid(b"x").upper()
            await fails(BadInput, own.get(upper, limit=10))

        stores.run(check)

    def test_another_organisations_content_can_be_pinned(self, stores: Stores) -> None:
        async def check(own: Store, other: Store) -> None:
            for size in (100, 3 * MEBI):
                data = os.urandom(size)
                cid = await own.put(data)
                await other.pin(cid)
                await other.pin(cid)
                assert await other.get(cid, limit=size) == data

        stores.run(check)

    def test_what_one_organisation_keeps_another_can_bring_home(self, stores: Stores) -> None:
        async def check(own: Store, other: Store) -> None:
            for size in (0, 100, 3 * MEBI):
                data = os.urandom(size)
                cid = await own.keep(data)
                assert cid == cids.file_cid(data)
                await other.bring(cid, limit=len(data))
                assert await other.get(cid, limit=size) == data

        stores.run(check)

    def test_many_at_once(self, stores: Stores) -> None:
        contents = [os.urandom(5000) for _ in range(20)]

        async def check(own: Store, other: Store) -> None:
            names = await asyncio.gather(*(own.put(each) for each in contents))
            assert await asyncio.gather(*(other.get(each, limit=5000) for each in names)) == contents

        stores.run(check)
