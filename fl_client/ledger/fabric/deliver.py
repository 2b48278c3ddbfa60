"""An endless stream of blocks that survives the peer it comes from."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any

import grpc

from fl_client.errors import Unavailable

from . import protos, sdk
from .transport import Peer

_log = logging.getLogger(__name__)
_SHORTEST, _LONGEST = 0.2, 2.0  # seconds between attempts


class _Hub(sdk.ChannelEventHub):  # type: ignore[misc]
    """hfc's seek, read raw: its own reader ends without a word when the peer sends a bad status."""

    async def blocks(self, start: int, filtered: bool) -> AsyncIterator[Any]:
        self._filtered = filtered
        self.check_start_stop_connect(start, None)
        self.stream = self._get_stream()
        try:
            async for response in self.stream:
                kind = response.WhichOneof("Type")
                if kind == "status":
                    raise Unavailable(
                        f"the peer ended the stream: {protos.common.Status.Name(response.status)}"
                    )
                yield getattr(response, kind)
        finally:
            self.stream.cancel()
        raise Unavailable("the peer ended the stream")


async def follow(
    peers: Callable[[], Sequence[Peer]], channel: str, user: Any, start: int, *, filtered: bool
) -> AsyncGenerator[Any, None]:
    """Blocks from number ``start`` on, for ever; none is left out or comes twice.

    When the stream breaks it goes on from the next block, on the next peer (of ``peers()``, tried
    in that order). Yields FilteredBlocks or Blocks.
    """
    following, attempt, pause = start, 0, _SHORTEST
    while True:
        order = peers()
        peer = order[attempt % len(order)]
        try:
            async for block in _Hub(peer, channel, user).blocks(following, filtered):
                number = block.number if filtered else block.header.number
                if number == following:
                    yield block
                    following, pause = number + 1, _SHORTEST
                elif number > following:
                    raise Unavailable(f"block {following} is missing")
        except (grpc.RpcError, Unavailable) as error:
            reason = getattr(error, "details", lambda: "")() or str(error)
            _log.info("stream of blocks from %s broke at %d: %s", peer.name, following, reason)
        attempt += 1
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST)
