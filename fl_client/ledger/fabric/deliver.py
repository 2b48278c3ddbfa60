"""An endless stream of blocks that survives the peer it comes from."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc

from fl_client.errors import Unavailable

from . import protos, sdk
from .transport import Peer

_log = logging.getLogger(__name__)
_SHORTEST, _LONGEST = 0.2, 2.0  # seconds between attempts
_AWAY = 10.0  # seconds before the preferred peer is tried again


class _Hub(sdk.ChannelEventHub):  # type: ignore[misc]
    """hfc's seek, read raw: its own reader ends without a word when the peer sends a bad status."""

    async def blocks(self, start: int, filtered: bool) -> AsyncGenerator[Any, None]:
        self._filtered, wanted = filtered, "filtered_block" if filtered else "block"
        self.check_start_stop_connect(start, None)
        self.stream = self._get_stream()
        try:
            async for response in self.stream:
                kind = response.WhichOneof("Type")
                if kind != wanted:
                    raise Unavailable(f"the peer ended the stream: {kind} {_status(response.status)}")
                yield getattr(response, wanted)
        finally:
            self.stream.cancel()
        raise Unavailable("the peer ended the stream")


def _status(number: int) -> str:
    known = protos.common.Status.DESCRIPTOR.values_by_number
    return known[number].name if number in known else str(number)


class Follower:
    """Blocks from peers, one after the other when they fail.

    ``peers()`` gives them in order of preference; ``peer`` is where the blocks come from now. ``height()``: how
    many blocks there are for sure; what another organisation's peer sends beyond them is not taken.
    """

    def __init__(
        self,
        peers: Callable[[], Sequence[Peer]],
        channel: str,
        user: Any,
        height: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self.peer: Peer | None = None
        self._peers, self._channel, self._user = peers, channel, user
        self._height, self._sure = height, 0

    @property
    def at_home(self) -> bool:
        """Whether the blocks come from the own organisation."""
        return self.peer is not None and self.peer.msp_id == self._user.msp_id

    async def blocks(self, start: int, *, filtered: bool) -> AsyncGenerator[Any, None]:
        """FilteredBlocks or Blocks from number ``start`` on, for ever; none is left out or comes twice."""
        following, pause, choice = start, _SHORTEST, 0
        while True:
            order = self._peers()
            peer = self.peer = order[choice % len(order)]
            try:
                async for block in self._some(peer, following, filtered):
                    yield block
                    following, pause = following + 1, _SHORTEST
                choice = 0
                continue
            except (grpc.RpcError, Unavailable) as error:
                reason = getattr(error, "details", lambda: "")() or str(error)
                _log.info("stream of blocks from %s broke at %d: %s", peer.name, following, reason)
            choice += 1
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST)

    async def _some(self, peer: Peer, following: int, filtered: bool) -> AsyncIterator[Any]:
        """Blocks of one peer, without gaps; for ever from the preferred one, else for a while."""
        end = time.monotonic() + _AWAY
        async with contextlib.aclosing(
            _Hub(peer, self._channel, self._user).blocks(following, filtered)
        ) as sent:
            while True:
                try:  # another organisation's may have nothing to send, or mean to send nothing
                    async with asyncio.timeout(None if self.at_home else _AWAY):
                        block = await anext(sent)
                except TimeoutError:
                    return
                number = block.number if filtered else block.header.number
                if number > following:
                    raise Unavailable(f"block {following} is missing")
                if number == following:
                    await self._check(number)
                    yield block
                    following += 1
                if time.monotonic() > end and peer is not self._peers()[0]:
                    return

    async def _check(self, number: int) -> None:
        """A peer that counts on and on would leave a client waiting for blocks that no other peer ever has."""
        if self._height is None or self.at_home or number < self._sure:
            return
        self._sure = await self._height()
        if number >= self._sure:
            raise Unavailable(f"most organisations do not have block {number} yet")
