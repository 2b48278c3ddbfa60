"""HTTP/2 as far as a peer's stream needs it, on asyncio's own TLS.

gRPC's server for Python hands every message from thread to thread, which costs many times what the message
itself does. A chaincode server has one method, called by one peer: no more of HTTP/2 is here. Header blocks
are skipped, not decoded, so whatever is called is ``protos.Chaincode/Connect``.

Source: RFC 9113; "gRPC over HTTP2" (length-prefixed messages, trailers).
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from typing import Protocol

logger = logging.getLogger("chaincode.shim")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW = 16 << 20  # bytes the peer may send before it hears of us
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = (
    0,
    1,
    3,
    4,
    6,
    7,
    8,
    9,
)
_ACK = _END_STREAM = 0x1
_END_HEADERS, _PADDED, _HAS_PRIORITY = 0x4, 0x8, 0x20
_MAX_STREAMS, _INITIAL_WINDOW, _MAX_FRAME = 3, 4, 5  # settings
_DEFAULT_WINDOW, _LARGEST_WINDOW, _DEFAULT_FRAME = 65_535, (1 << 31) - 1, 16_384
_HEAD = struct.Struct(">BHBBI")
_SETTING = struct.Struct(">HI")
_PREFIX = struct.Struct(">BI")  # of a gRPC message: compressed or not, length


def _text(name: bytes, value: bytes) -> bytes:
    """A header field as HPACK's literal that is not indexed."""
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


_OK = b"\x88" + _text(b"content-type", b"application/grpc")  # \x88: :status 200 in HPACK's static table
_TRAILERS = _text(b"grpc-status", b"0")


class Receiver(Protocol):
    """Who takes a stream's messages."""

    def receive(self, raw: bytes) -> None:
        """One message."""

    def ended(self) -> None:
        """There will be no more, and none can be sent."""


class Broken(Exception):
    """The other side does not speak HTTP/2 as it should: the connection ends."""


class Stream:
    """One call: messages in both directions."""

    def __init__(self, connection: Http2, number: int, window: int) -> None:
        self.number, self.window = number, window
        self.receiver: Receiver | None = None
        self.received = 0  # bytes since the last WINDOW_UPDATE
        self.ended = False
        self._connection = connection
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._ending = False

    def send(self, raw: bytes) -> None:
        """Send a message, at once where the peer's windows allow it; nothing on a stream that has ended."""
        if self.ended or self._ending:
            return
        self._outgoing += _PREFIX.pack(0, len(raw))
        self._outgoing += raw
        self.pump()

    def end(self) -> None:
        """End the call, status OK, after what is to be sent."""
        self._ending = True
        self.pump()

    def pump(self) -> None:
        """Send what waits, as far as the windows go."""
        while self._outgoing and (size := self._connection.room(self.window)) > 0:
            part = bytes(self._outgoing[:size])
            del self._outgoing[:size]
            self.window -= len(part)
            self._connection.send_data(self.number, part)
        if self._ending and not self._outgoing and not self.ended:
            self._connection.send(_HEADERS, _END_HEADERS | _END_STREAM, self.number, _TRAILERS)
            self._connection.send(_RST_STREAM, 0, self.number, bytes(4))  # NO_ERROR: no need to say more
            self._connection.forget(self)

    def take(self, data: bytes, limit: int) -> None:
        """Bytes of messages, cut anywhere."""
        self._incoming += data
        while len(self._incoming) >= _PREFIX.size:
            compressed, length = _PREFIX.unpack_from(self._incoming)
            if compressed or length > limit:
                raise Broken("a message is compressed or too long")
            end = _PREFIX.size + length
            if len(self._incoming) < end:
                return
            raw = bytes(self._incoming[_PREFIX.size : end])
            del self._incoming[:end]
            if self.receiver is not None:
                self.receiver.receive(raw)


class Http2(asyncio.Protocol):
    """One connection of a peer; ``accept`` is told of each stream, and ``limit`` bounds a message's bytes."""

    def __init__(self, accept: Callable[[Stream], Receiver], limit: int) -> None:
        self._accept, self._limit = accept, limit
        self._streams: dict[int, Stream] = {}
        self._incoming = bytearray()
        self._greeted = False
        self._newest = 0  # the highest number of a stream
        self._header_of = 0  # the stream whose header block goes on
        self._received = 0
        self._window, self._initial_window, self._frame = _DEFAULT_WINDOW, _DEFAULT_WINDOW, _DEFAULT_FRAME
        self._transport: asyncio.Transport | None = None
        self._outgoing: list[bytes] = []
        self._handlers: dict[int, Callable[[int, int, bytes], None]] = {
            _DATA: self._data,
            _HEADERS: self._headers,
            _RST_STREAM: self._reset,
            _SETTINGS: self._settings,
            _PING: self._ping,
            _WINDOW_UPDATE: self._window_update,
            _CONTINUATION: self._continuation,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        settings = _SETTING.pack(_INITIAL_WINDOW, WINDOW) + _SETTING.pack(_MAX_STREAMS, 100)
        self.send(_SETTINGS, 0, 0, settings)
        self._grant(0, WINDOW - _DEFAULT_WINDOW)

    def data_received(self, data: bytes) -> None:
        self._incoming += data
        try:
            self._parse()
        except Broken as error:
            logger.warning("a connection ends: %s", error)
            self.close(1)  # PROTOCOL_ERROR

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        for stream in list(self._streams.values()):
            self.forget(stream)

    def close(self, code: int = 0) -> None:
        """Say good-bye, and end the connection after what is to be sent."""
        if self._transport is not None:
            self.send(_GOAWAY, 0, 0, struct.pack(">II", self._newest, code))
            self._flush()
            self._transport.close()

    def room(self, window: int) -> int:
        """How long a DATA frame of a stream with that window may be."""
        return min(window, self._window, self._frame)

    def send(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """Send a frame, together with all others of this turn of the event loop: a system call costs most."""
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        size = len(payload)
        self._outgoing += (_HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, number), payload)

    def send_data(self, number: int, part: bytes) -> None:
        """Send a DATA frame that ``room`` allowed."""
        self._window -= len(part)
        self.send(_DATA, 0, number, part)

    def forget(self, stream: Stream) -> None:
        """The stream is over."""
        self._streams.pop(stream.number, None)
        if not stream.ended:
            stream.ended = True
            if stream.receiver is not None:
                stream.receiver.ended()

    def _flush(self) -> None:
        frames, self._outgoing = self._outgoing, []
        if frames and self._transport is not None:
            self._transport.write(b"".join(frames))

    def _parse(self) -> None:
        buffer = self._incoming
        if not self._greeted:
            if not PREFACE.startswith(buffer[: len(PREFACE)]):
                raise Broken("it does not begin as HTTP/2 does")
            if len(buffer) < len(PREFACE):
                return
            del buffer[: len(PREFACE)]
            self._greeted = True
        while len(buffer) >= _HEAD.size:
            high, low, kind, flags, number = _HEAD.unpack_from(buffer)
            size = high << 16 | low
            if size > _DEFAULT_FRAME:
                raise Broken("a frame is too long")
            end = _HEAD.size + size
            if len(buffer) < end:
                return
            payload = bytes(buffer[_HEAD.size : end])
            del buffer[:end]
            self._frame_came(kind, flags, number & _LARGEST_WINDOW, payload)

    def _frame_came(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._header_of and (kind != _CONTINUATION or number != self._header_of):
            raise Broken("a header block is interrupted")
        handler = self._handlers.get(kind)
        if handler is not None:  # others, such as GOAWAY, need no answer
            handler(flags, number, payload)

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        self._received = self._used(0, self._received + len(payload))
        stream = self._streams.get(number)
        if stream is None:
            return  # it ended while this was on its way
        stream.received = self._used(number, stream.received + len(payload))
        stream.take(_without_padding(flags, payload), self._limit)
        if flags & _END_STREAM:
            stream.end()

    def _used(self, number: int, received: int) -> int:
        """Grant anew what has been used of a window, once it is half of it; what remains unsaid."""
        if received < WINDOW // 2:
            return received
        self._grant(number, received)
        return 0

    def _grant(self, number: int, size: int) -> None:
        self.send(_WINDOW_UPDATE, 0, number, struct.pack(">I", size))

    def _headers(self, flags: int, number: int, _: bytes) -> None:
        if not flags & _END_HEADERS:
            self._header_of = number
        if number in self._streams:
            return  # trailers
        if number <= self._newest or number % 2 == 0:
            raise Broken("a stream has a wrong number")
        self._newest = number
        stream = self._streams[number] = Stream(self, number, self._initial_window)
        self.send(_HEADERS, _END_HEADERS, number, _OK)
        stream.receiver = self._accept(stream)

    def _continuation(self, flags: int, number: int, _: bytes) -> None:
        if number != self._header_of:
            raise Broken("a header block goes on that did not begin")
        if flags & _END_HEADERS:
            self._header_of = 0

    def _reset(self, _: int, number: int, __: bytes) -> None:
        if number in self._streams:
            self.forget(self._streams[number])

    def _settings(self, flags: int, _: int, payload: bytes) -> None:
        if flags & _ACK:
            return
        if len(payload) % _SETTING.size:
            raise Broken("settings are cut off")
        for name, value in _SETTING.iter_unpack(payload):
            if name == _INITIAL_WINDOW:
                self._widen(value)
            elif name == _MAX_FRAME:
                self._frame = max(_DEFAULT_FRAME, min(value, 1 << 20))
        self.send(_SETTINGS, _ACK, 0, b"")
        self._pump()

    def _widen(self, window: int) -> None:
        for stream in self._streams.values():
            stream.window = _widened(stream.window, window - self._initial_window)
        self._initial_window = window

    def _ping(self, flags: int, _: int, payload: bytes) -> None:
        if not flags & _ACK:
            self.send(_PING, _ACK, 0, payload)

    def _window_update(self, _: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Broken("a window update has a wrong length")
        size = int.from_bytes(payload, "big") & _LARGEST_WINDOW
        if number == 0:
            self._window = _widened(self._window, size)
        elif number in self._streams:
            self._streams[number].window = _widened(self._streams[number].window, size)
        self._pump()

    def _pump(self) -> None:
        for stream in list(self._streams.values()):
            stream.pump()


def _widened(window: int, by: int) -> int:
    if window + by > _LARGEST_WINDOW:
        raise Broken("a window is too large")
    return window + by


def _without_padding(flags: int, payload: bytes) -> bytes:
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Broken("a frame is longer padded than it is")
    return payload[1 : len(payload) - payload[0]]
