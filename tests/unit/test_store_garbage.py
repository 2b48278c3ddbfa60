"""A kubo that answers with what is no answer: its disk was full after it had said 200, or something else listens."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chaincode import cid
from fl_client.errors import Corrupt, Unavailable
from fl_client.store import IpfsStore


async def served(directory: Path, body: bytes) -> IpfsStore:
    """A store whose kubo answers everything with this."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [
            line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-len")
        ]
        await reader.readexactly(int(lengths[0]) if lengths else 0)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    await asyncio.start_unix_server(answer, directory / "kubo.sock")
    return IpfsStore(directory / "kubo.sock", "http://127.0.0.1:1", directory / "credentials", timeout=5)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"[]",
        b"{}",
        b'{"Message":"write: no space left on device","Code":0,"Type":"error"}',
    ],
)
def test_an_answer_that_names_no_content_is_a_node_in_trouble(tmp_path: Path, body: bytes) -> None:
    async def check() -> None:
        async with await served(tmp_path, body) as store:
            with pytest.raises(Unavailable, match="did not take 4 bytes"):
                await store.keep(b"data")
            with pytest.raises(Corrupt):
                await store.get(cid.raw_cid(b"data"), limit=100)
            with pytest.raises(Corrupt):
                await store.bring(cid.raw_cid(b"data"), limit=100)

    asyncio.run(check())
