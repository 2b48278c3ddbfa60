"""Waiting for transactions to be in a block."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Callable
from typing import Any

from fl_client.errors import CommitTimeout, Unavailable

from . import blocks

_log = logging.getLogger(__name__)


class Commits:
    """Follows the chain in a task of its own and tells whoever waits for a transaction or a block.

    ``stream(start)`` must yield FilteredBlocks from ``start`` on, for ever; ``believed()``: whether the last one's
    word counts on how its transactions fared, which no signature covers.
    """

    def __init__(
        self,
        stream: Callable[[int], AsyncIterable[Any]],
        start: int,
        believed: Callable[[], bool] = lambda: True,
    ) -> None:
        self.following = start  # the number of the next block
        self._stream, self._believed = stream, believed
        self._waiting: dict[str, asyncio.Future[blocks.Outcome]] = {}
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="commits")

    def expect(self, tx_id: str) -> asyncio.Future[blocks.Outcome]:
        """A future for the transaction's outcome. Ask before submitting it, :meth:`forget` it after."""
        self._raise_if_dead()
        future = self._waiting[tx_id] = asyncio.get_running_loop().create_future()
        return future

    def forget(self, tx_id: str) -> None:
        future = self._waiting.pop(tx_id, None)
        if future is not None:
            future.cancel()

    async def changed(self, timeout: float) -> bool:  # noqa: ASYNC109
        """True when a block came since the last call returned, waiting for one up to ``timeout`` s."""
        self._raise_if_dead()
        try:
            async with asyncio.timeout(timeout):  # wait_for may swallow a cancellation (before 3.12)
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        self._raise_if_dead()
        return True

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for tx_id in list(self._waiting):
            self.forget(tx_id)

    async def _run(self) -> None:
        try:
            async for block in self._stream(self.following):
                self._take(block)
        except Exception:
            _log.exception("the stream of blocks ended")
            raise
        finally:  # nobody waits for a stream that is over
            for tx_id, future in self._waiting.items():
                if not future.done():
                    future.set_exception(CommitTimeout(tx_id))
            self._news.set()

    def _take(self, block: Any) -> None:
        for tx_id, outcome in blocks.outcomes(block) if self._believed() else ():
            future = self._waiting.get(tx_id)
            if future is not None and not future.done():  # a re-sent copy comes later, as a duplicate
                future.set_result(outcome)
        self.following = block.number + 1
        self._news.set()

    def _raise_if_dead(self) -> None:
        if self._task.done():
            raise Unavailable("the stream of blocks ended", "Open the ledger again")
