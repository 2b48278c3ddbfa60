"""The transport's corners that Fabric's own client does not visit."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chaincode.shim import Chaincode
from chaincode.shim.exchange import MessageType, message
from chaincode.shim.http2 import PREFACE, WINDOW
from chaincode.shim.protos import shim
from chaincode.shim.server import Server

DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, GOAWAY, UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
KEEPALIVE = message("KEEPALIVE", "", "", b"still there").SerializeToString()


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def grpc_message(raw: bytes) -> bytes:
    return struct.pack(">BI", 0, len(raw)) + raw


class Client:
    """Frames, written and read by hand, over plain TCP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.said: list[tuple[int, int, int, bytes]] = []

    def write(self, *parts: bytes) -> None:
        self._writer.write(b"".join(parts))

    async def frame(self) -> tuple[int, int, int, bytes]:
        head = await asyncio.wait_for(self._reader.readexactly(9), 5)
        payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
        found = (head[3], head[4], int.from_bytes(head[5:], "big"), payload)
        self.said.append(found)
        return found

    async def until(self, kind: int, stream: int | None = None) -> tuple[int, int, int, bytes]:
        """The next frame of that kind (and stream)."""
        while True:
            found = await self.frame()
            if found[0] == kind and stream in (None, found[2]):
                return found

    async def messages(self, count: int, stream: int = 1) -> list[Any]:
        """So many messages of the stream."""
        held, found = b"", []
        while len(found) < count:
            held += (await self.until(DATA, stream))[3]
            while len(held) >= 5 and len(held) >= 5 + (size := int.from_bytes(held[1:5], "big")):
                found.append(shim.ChaincodeMessage.FromString(held[5 : 5 + size]))
                held = held[5 + size :]
        return found

    async def ended(self) -> None:
        """The server has hung up."""
        while await asyncio.wait_for(self._reader.read(1 << 16), 5):
            pass


def play(act: Callable[[Client], Awaitable[None]], greeting: bytes = PREFACE + frame(SETTINGS, 0, 0)) -> None:
    async def scene() -> None:
        async with Server(Chaincode([]), "example:1", address="127.0.0.1:0", tls=None) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(greeting)
            try:
                await act(Client(reader, writer))
            finally:
                writer.close()

    asyncio.run(scene())


OPEN = frame(HEADERS, END_HEADERS, 1, b"whatever")


def test_a_header_block_may_come_in_parts_and_every_byte_alone() -> None:
    async def act(client: Client) -> None:
        said = (
            frame(HEADERS, 0, 1, b"what")
            + frame(CONTINUATION, 0, 1, b"ev")
            + frame(CONTINUATION, 4, 1, b"er")
        )
        for byte in said + frame(DATA, 0, 1, grpc_message(KEEPALIVE)):
            client.write(bytes([byte]))
            await asyncio.sleep(0)
        registered, kept = await client.messages(2)
        assert registered.type == MessageType.REGISTER
        assert kept.payload == b"still there"

    play(act)


def test_padding_unknown_frames_and_priorities_are_passed_over() -> None:
    async def act(client: Client) -> None:
        padded = bytes([3]) + grpc_message(KEEPALIVE) + bytes(3)
        client.write(OPEN, frame(PRIORITY, 0, 1, bytes(5)), frame(0xBE, 0, 7, b"grease"))
        client.write(frame(DATA, PADDED, 1, padded), frame(PING, 0, 0, b"12345678"))
        assert (await client.messages(2))[1].payload == b"still there"
        assert await client.until(PING) == (PING, 1, 0, b"12345678")

    play(act)


def test_several_messages_may_share_a_frame_and_one_may_fill_many() -> None:
    async def act(client: Client) -> None:
        long = grpc_message(message("KEEPALIVE", "", "", bytes(100_000)).SerializeToString())
        both = grpc_message(KEEPALIVE) * 2 + long
        client.write(
            frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 20)),
            frame(UPDATE, 0, 0, struct.pack(">I", 1 << 20)),
        )
        client.write(OPEN, *(frame(DATA, 0, 1, both[i : i + 16_384]) for i in range(0, len(both), 16_384)))
        sizes = [len(each.payload) for each in (await client.messages(4))[1:]]
        assert sizes == [11, 11, 100_000]

    play(act)


def test_nothing_is_sent_beyond_the_peers_windows() -> None:
    """The stream's window first, then the connection's; a smaller initial window counts for open streams too."""

    async def act(client: Client) -> None:
        client.write(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 100)), OPEN)
        client.write(
            frame(DATA, 0, 1, grpc_message(message("KEEPALIVE", "", "", bytes(500)).SerializeToString()))
        )
        client.write(frame(PING, 0, 0, bytes(8)))
        await client.until(PING)
        sent = sum(len(each[3]) for each in client.said if each[0] == DATA)
        assert sent == 100
        client.write(frame(UPDATE, 0, 1, struct.pack(">I", 50)), frame(PING, 0, 0, bytes(8)))
        await client.until(PING)
        assert sum(len(each[3]) for each in client.said if each[0] == DATA) == 150
        client.write(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 10_000)))
        while sum(len(each[3]) for each in client.said if each[0] == DATA) < 500:
            await client.frame()

    play(act)


def test_what_was_received_is_granted_anew() -> None:
    async def act(client: Client) -> None:
        client.write(OPEN)
        part = frame(DATA, 0, 1, struct.pack(">BI", 0, WINDOW) + bytes(16_379))
        more = frame(DATA, 0, 1, bytes(16_384))
        client.write(part, more * (WINDOW // 2 // 16_384))
        assert int.from_bytes((await client.until(UPDATE, 1))[3], "big") >= WINDOW // 2
        granted = [each for each in client.said if each[0] == UPDATE and each[2] == 0]
        assert len(granted) == 2  # at the beginning, and now

    play(act)


def test_the_end_of_the_peers_side_ends_the_call_with_status_ok() -> None:
    async def act(client: Client) -> None:
        client.write(OPEN, frame(DATA, END_STREAM, 1))
        while True:
            kind, flags, _, payload = await client.until(HEADERS, 1)
            if flags & END_STREAM:
                break
        assert b"grpc-status\x010" in payload
        client.write(frame(HEADERS, END_HEADERS, 3, b"again"))
        assert (await client.messages(1, stream=3))[0].type == MessageType.REGISTER

    play(act)


def test_a_stream_that_is_reset_leaves_the_connection_alive() -> None:
    async def act(client: Client) -> None:
        client.write(OPEN, frame(RST, 0, 1, bytes(4)), frame(DATA, 0, 1, grpc_message(KEEPALIVE)))
        client.write(frame(HEADERS, END_HEADERS, 3, b"again"))
        assert (await client.messages(1, stream=3))[0].type == MessageType.REGISTER

    play(act)


@pytest.mark.parametrize(
    "said",
    [
        OPEN + frame(DATA, 0, 1, b"\x01" + bytes(4)),
        OPEN + frame(DATA, 0, 1, b"\x00\xff\xff\xff\xff"),
        OPEN + frame(DATA, PADDED, 1, b"\x05123"),
        OPEN + frame(DATA, PADDED, 1),
        frame(HEADERS, END_HEADERS, 2),
        frame(HEADERS, END_HEADERS, 0),
        frame(CONTINUATION, END_HEADERS, 1),
        frame(HEADERS, 0, 1) + frame(PING, 0, 0, bytes(8)),
        frame(SETTINGS, 0, 0, b"123"),
        frame(UPDATE, 0, 0, b"1"),
        b"\xff\xff\xff" + bytes(6),
        OPEN + frame(UPDATE, 0, 0, b"\x7f\xff\xff\xff"),
    ],
    ids=[
        "compressed",
        "endless",
        "padding",
        "empty padding",
        "even",
        "zero",
        "continuation",
        "interrupted",
        "settings",
        "update",
        "frame",
        "overflow",
    ],
)
def test_what_breaks_the_protocol_ends_the_connection(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def act(client: Client) -> None:
        client.write(said)
        assert (await client.until(GOAWAY))[3][4:] == (1).to_bytes(4, "big")
        await client.ended()

    play(act)
    assert "a connection ends" in caplog.text


def test_who_does_not_speak_http2_is_hung_up_on() -> None:
    async def act(client: Client) -> None:
        await client.until(GOAWAY)
        await client.ended()

    play(act, greeting=b"GET / HTTP/1.1\r\n\r\n")
