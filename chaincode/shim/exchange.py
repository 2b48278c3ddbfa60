"""One transaction's conversation with the peer: a request, its answer, the next request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from chaincode.shim.errors import PeerError
from chaincode.shim.protos import shim

MESSAGE_LIMIT = 100 << 20  # bytes, the peer's own limit
_ROOM = 1 << 16  # what a message has around its payload

Message = Any  # protos.ChaincodeMessage
MessageType = shim.ChaincodeMessage.Type
KIND: dict[str, int] = dict(MessageType.items())  # protobuf's own look-up by name is slow
_ERROR = KIND["ERROR"]


@dataclass(frozen=True, slots=True)
class Batches:
    """Keys that a peer reads and writes in one request; 0 where it knows no such request (before Fabric 3)."""

    reads: int = 0
    writes: int = 0

    def __str__(self) -> str:
        return f"reads {self.reads or 'one by one'}, writes {self.writes or 'one by one'}"


class Exchange:
    """Requests of one transaction, at most one at a time: the peer drops a second one silently."""

    def __init__(
        self, send: Callable[[Message], None], channel: str, tx_id: str, batches: Batches | None = None
    ) -> None:
        self.channel, self.tx_id = channel, tx_id
        self.batches = batches or Batches()
        self._send = send
        self._turn = asyncio.Lock()
        self._pending: asyncio.Future[Message] | None = None
        self._ended = ""

    async def ask(self, kind: str, payload: bytes) -> bytes:
        """The peer's answer to one request, or PeerError."""
        if len(payload) > MESSAGE_LIMIT - _ROOM:
            raise PeerError(f"a request is longer than {MESSAGE_LIMIT} bytes")
        await self._turn.acquire()
        try:
            answer = await self._round_trip(message(kind, self.channel, self.tx_id, payload))
        finally:
            self._turn.release()
        if answer.type == _ERROR:
            raise PeerError(answer.payload.decode("utf-8", "replace"))
        return cast(bytes, answer.payload)

    def answer(self, message: Message) -> bool:
        """Take the peer's answer; False if nothing was asked."""
        if self._pending is None or self._pending.done():
            return False
        self._pending.set_result(message)
        return True

    def end(self, reason: str) -> None:
        """Fail the pending request and all later ones."""
        self._ended = self._ended or reason
        if self._pending is not None and not self._pending.done():
            self._pending.set_exception(PeerError(reason))

    async def _round_trip(self, request: Message) -> Message:
        if self._ended:
            raise PeerError(self._ended)
        self._pending = asyncio.get_running_loop().create_future()
        self._send(request)
        try:
            return await self._pending
        except asyncio.CancelledError:
            # Its answer will still come, and would be taken for the next request's.
            self.end("an earlier request of this transaction was given up")
            raise
        finally:
            self._pending = None


def message(kind: str, channel: str, tx_id: str, payload: bytes) -> Message:
    """A ChaincodeMessage of that type."""
    return shim.ChaincodeMessage(type=KIND[kind], channel_id=channel, txid=tx_id, payload=payload)
