"""The store suite on a real private IPFS network, and what only such a network can do to a client."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from store_suite import MEBI, Stores, StoreSuite, fails

from chaincode import cid as cids
from fl_client.connection import StoreAddress, read_connection
from fl_client.errors import BadInput, CandorError, NotStored, TooLarge, Unavailable
from fl_client.store import IpfsStore
from fl_client.store.base import Store
from network.network import Network
from network.topology import Chaincode, Orderers, Organisation, Topology

pytestmark = [pytest.mark.network, pytest.mark.timeout(180)]

TOPOLOGY = Topology(
    name="stores",
    organisations=[Organisation(msp_id=f"Org{i}MSP", domain=f"org{i}.test", clients=0) for i in (1, 2)],
    chaincode=Chaincode(name="counter", factory="counter:create"),
    orderers=Orderers(count=1),
    ipfs=True,
)
FIND = 2.0


class IpfsStores(Stores):
    def __init__(self, network: Network) -> None:
        self.network = network

    def open(self, organisation: int = 0) -> Store:
        address = self.address(organisation)
        return IpfsStore(address.kubo, address.cluster, address.credentials, find=FIND)

    def address(self, organisation: int = 0) -> StoreAddress:
        msp_id = TOPOLOGY.organisations[organisation].msp_id
        address = read_connection(self.network.connection_files[msp_id]).store
        assert address is not None
        return address


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IpfsStores]:
    network = Network.up(TOPOLOGY, tmp_path_factory.mktemp("ipfs") / "net")
    try:
        yield IpfsStores(network)
    finally:
        network.down()


class Hostile:
    """An organisation that puts blocks of its own making into its kubo."""

    def __init__(self, kubo: Path) -> None:
        transport = httpx.AsyncHTTPTransport(uds=str(kubo))
        self._kubo = httpx.AsyncClient(transport=transport, base_url="http://kubo/api/v0")

    async def block(self, data: bytes, codec: str = "dag-pb") -> str:
        form = {"cid-codec": codec, "mhtype": "sha2-256", "allow-big-block": "true"}
        answer = await self._kubo.post("/block/put", params=form, files={"data": data})
        return str(answer.raise_for_status().json()["Key"])

    async def has(self, cid: str) -> bool:
        """Whether the block is here, asking nobody else."""
        answer = await self._kubo.post("/block/stat", params={"arg": cid, "offline": "true"})
        return answer.status_code == 200


def node(children: list[str], sizes: list[int], inline: bytes = b"", claimed: int | None = None) -> bytes:
    """A file's node of these children: what it says of their sizes need not be true."""
    named = (cids._field(1, cids._binary(cids.parse(child))) for child in children)
    links = (cids._field(2, name + b"\x12\x00\x18" + cids._varint(1)) for name in named)
    size = len(inline) + sum(sizes) if claimed is None else claimed
    data = b"\x08\x02" + (cids._field(2, inline) if inline else b"") + b"\x18" + cids._varint(size)
    data += b"".join(b"\x20" + cids._varint(each) for each in sizes)
    return b"".join(links) + cids._field(1, data)


class TestIpfsStore(StoreSuite):
    """Everything in StoreSuite."""

    def test_content_is_in_the_other_organisation_when_the_first_is_gone(self, stores: IpfsStores) -> None:
        data = os.urandom(3 << 20)

        async def check(own: Store, other: Store) -> None:
            cid = await own.put(data)
            await other.pin(cid)  # waits until it is here
            stores.network.keeper.kill("org1-kubo", signal.SIGSTOP)
            try:
                assert await other.get(cid, limit=len(data)) == data
            finally:
                stores.network.keeper.kill("org1-kubo", signal.SIGCONT)

        stores.run(check)

    def test_content_of_more_leaves_than_the_cluster_itself_puts_into_a_node(
        self, stores: IpfsStores
    ) -> None:
        """Above 174 leaves of 1 MiB the cluster's own upload builds another tree than kubo and we do."""
        data = os.urandom(MEBI) * 180

        async def check(own: Store, other: Store) -> None:
            cid = await own.put(data)
            assert await other.get(cid, limit=len(data)) == data

        stores.run(check)

    def test_looking_for_content_ends_in_time(self, stores: IpfsStores) -> None:
        async def check(own: Store, other: Store) -> None:
            began = time.monotonic()
            await fails(NotStored, own.get(cids.raw_cid(os.urandom(32)), limit=10))
            assert time.monotonic() - began < FIND + 3

        stores.run(check)

    def test_wrong_credentials_are_said_with_their_file(self, stores: IpfsStores, tmp_path: Path) -> None:
        address, wrong = stores.address(), tmp_path / "credentials"

        async def put() -> None:
            async with IpfsStore(address.kubo, address.cluster, wrong) as store:
                error = await fails(BadInput, store.put(b"x"))
                assert str(wrong) in str(error)

        for content in ("org1:wrong", "no colon"):
            wrong.write_text(content)
            asyncio.run(put())
        wrong.unlink()
        asyncio.run(put())

    def test_a_node_that_is_not_there_is_unavailable(self, stores: IpfsStores, tmp_path: Path) -> None:
        address = stores.address()

        async def body() -> None:
            nowhere = tmp_path / "kubo.sock"
            async with IpfsStore(nowhere, address.cluster, address.credentials) as store:
                await fails(Unavailable, store.put(b"x"))
                await fails(Unavailable, store.get(cids.raw_cid(b"x"), limit=1))
            unused = "http://127.0.0.1:1"
            async with IpfsStore(address.kubo, unused, address.credentials, timeout=1) as store:
                await fails(Unavailable, store.put(b"x"))

        asyncio.run(body())

    def test_a_restarted_pair_goes_on(self, stores: IpfsStores) -> None:
        """The cluster answers 500 until its kubo is there again: that is waited for."""

        async def check(own: Store, other: Store) -> None:
            before = await own.put(b"before the restart")
            for name in ("org1-cluster", "org1-kubo"):
                await asyncio.to_thread(stores.network.keeper.kill, name)
            deadline = time.monotonic() + 30
            while True:
                try:
                    await own.put(b"after the restart")
                    break
                except Unavailable:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.2)
            assert await own.get(before, limit=100) == b"before the restart"

        stores.run(check)

    def test_trees_of_a_hostile_make_are_told_apart_and_fill_no_disk(self, stores: IpfsStores) -> None:
        """Links that multiply, hide, lead nowhere or on and on, and sizes that are not true."""

        async def check(own: Store, other: Store) -> None:
            hostile, honest = (Hostile(stores.address(i).kubo) for i in (0, 1))
            leaf = await hostile.block(bytes(MEBI), "raw")
            laughs, size = leaf, MEBI
            for _ in range(5):
                laughs, size = await hostile.block(node([laughs] * 100, [size] * 100)), size * 100
            hidden = [await hostile.block(os.urandom(MEBI), "raw") for _ in range(40)]
            small = await hostile.block(node(hidden, [0] * 40, b"small"))
            deep = await hostile.block(node([], [], b"deep"))
            for _ in range(500):
                deep = await hostile.block(node([deep], [4]))
            lost = await hostile.block(node([cids.raw_cid(os.urandom(32))], [MEBI]))
            other_tree = await hostile.block(node([leaf, leaf], [MEBI, MEBI], claimed=1))
            garbage = str(cids.Cid("dag-pb", cids.parse(await hostile.block(b"no node", "raw")).digest))
            endless = TooLarge, NotStored  # where a busy node is out of time before it reaches the limit
            for name, fault in {
                laughs: endless,
                small: endless,
                deep: CandorError,
                lost: NotStored,
                other_tree: CandorError,
                garbage: CandorError,
            }.items():
                async with asyncio.timeout(60):
                    await fails(fault, other.get(name, limit=3 * MEBI))
                    await fails(fault, other.bring(name, limit=3 * MEBI))
            held = [await honest.has(each) for each in hidden]
            assert sum(held) < 20, "what nobody reads is not fetched"

        stores.run(check)
