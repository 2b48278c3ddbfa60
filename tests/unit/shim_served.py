"""A served chaincode and a fake peer that calls it over mutual TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from shim_peer import PATIENCE, Authority, FakePeer, dialled

from chaincode.shim import Chaincode, Contract, PeerError, Stub, query, transaction
from chaincode.shim.errors import Conflict
from chaincode.shim.protos import chaincodes
from chaincode.shim.server import Server


class Assets(Contract):
    """What the tests call."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.outcomes: asyncio.Queue[str] = asyncio.Queue()

    @transaction
    async def put(self, stub: Stub, key: str, value: bytes) -> str:
        await stub.put(key, value)
        stub.set_event("put", key.encode())
        return stub.tx_id

    @query
    async def get(self, stub: Stub, key: str) -> bytes | None:
        return await stub.get(key)

    @query
    async def list(self, stub: Stub, prefix: str = "") -> list[str]:
        return [key async for key, _ in stub.prefix(prefix)]

    @query
    async def many(self, stub: Stub, keys: list[str]) -> list[bool]:
        return [value is not None for value in await stub.get_many(keys)]

    @query
    async def together(self, stub: Stub, keys: list[str]) -> list[str]:
        return [(value or b"").decode() for value in await asyncio.gather(*map(stub.get, keys))]

    @query
    async def who(self, stub: Stub) -> list[str]:
        creator = stub.creator
        return [creator.msp_id, creator.common_name, stub.chaincode, stub.channel, str(stub.timestamp)]

    @transaction
    async def fill(self, stub: Stub, keys: list[str], value: bytes) -> None:
        for number, key in enumerate(keys):
            await stub.put(key, value + b"%d" % number)

    @transaction
    async def refuse(self, stub: Stub) -> None:
        await stub.put("never", b"written")
        stub.set_event("never", b"sent")
        raise Conflict("not now", phase="reveal")

    @transaction
    async def crash(self, stub: Stub, secret: str) -> None:
        raise KeyError(secret)

    @transaction
    async def leave(self, stub: Stub) -> None:
        raise SystemExit(1)

    @query
    async def wait(self, stub: Stub) -> str:
        await self.gate.wait()
        return "waited"

    @query
    async def fail_softly(self, stub: Stub) -> None:
        try:
            await stub.get("a")
        except PeerError as error:
            self.outcomes.put_nowait(str(error))
            raise

    @query
    async def impatient(self, stub: Stub) -> bytes | None:
        try:
            return await asyncio.wait_for(stub.get("slow"), 0.01)
        except TimeoutError:
            return await stub.get("next")

    @query
    async def long(self, stub: Stub, size: int) -> bytes:
        return bytes(size)

    @transaction
    async def huge(self, stub: Stub) -> bytes:
        return bytes(60 << 20)

    @transaction
    async def rest(self, stub: Stub) -> dict[str, Any]:
        """Every other call of the stub."""
        await stub.put_private("pair", "k", b"secret")
        await stub.set_validation_parameter("k", b"policy")
        answer = await stub.invoke_chaincode("other", [b"do", b"it"], "channel2")
        found = {
            "private": str(await stub.get_private("pair", "k")),
            "hash": len(await stub.private_hash("pair", "k") or b""),
            "policy": str(await stub.validation_parameter("k")),
            "none": await stub.validation_parameter("unknown"),
            "history": [str(change) async for change in stub.history("p1")],
            "composites": [key async for key, _ in stub.composites("colour", "red")],
            "invoked": [answer.status, answer.payload.decode()],
        }
        await stub.purge_private("pair", "old")
        await stub.delete("p1")
        return found

    @query
    async def pages(self, stub: Stub) -> list[Any]:
        first = await stub.page("p", "q", 2)
        second = await stub.page("p", "q", 2, first.bookmark)
        return [[key for key, _ in first.items], first.bookmark, [key for key, _ in second.items]]

    @transaction
    async def forbidden(self, stub: Stub, order: list[str]) -> None:
        for step in order:
            await {"put": lambda: stub.put("a", b"1"), "page": lambda: stub.page("p", "q", 2)}[step]()


@dataclass
class Scene:
    """A served chaincode and one registered peer."""

    contract: Assets
    server: Server
    peer: FakePeer
    authority: Authority


@asynccontextmanager
async def scene(*, ready: bytes = b"", deadline: float = 25.0, grace: float = 5.0) -> AsyncIterator[Scene]:
    contract, authority = Assets(), Authority.new()
    server = Server(
        Chaincode([contract], deadline=deadline),
        "example:abc",
        address="localhost:0",
        tls=authority.server_tls(),
        health="127.0.0.1:0",
        grace=grace,
    )
    async with asyncio.timeout(PATIENCE), server, dialled(server.port, authority) as peer:
        assert await peer.register(ready) == "example:abc"
        yield Scene(contract, server, peer, authority)


def play(act: Callable[[Scene], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with scene(**options) as set_up:
            await act(set_up)

    asyncio.run(run())


def offer(writes: int) -> bytes:
    """READY of a peer that takes so many writes together."""
    offered = chaincodes.ChaincodeAdditionalParams(use_write_batch=bool(writes), max_size_write_batch=writes)
    return bytes(offered.SerializeToString())


async def page(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body
