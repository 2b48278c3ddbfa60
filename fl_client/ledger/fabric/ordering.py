"""Handing transactions to the ordering service."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence
from typing import Any

import grpc
from fabric_protos.common import common_pb2

from fl_client.errors import Refused, Unavailable

from .breaker import Breaker
from .transport import Orderer

_log = logging.getLogger(__name__)
_TIMEOUT = 3.0
_HOPELESS = (400, 403, 413)  # malformed, not allowed, too large: what no orderer will take


class Orderers:
    """The ordering service's nodes, taken in turn; those that failed lately last."""

    def __init__(self, orderers: Sequence[Orderer], *, timeout: float = _TIMEOUT) -> None:
        self._orderers, self._timeout = list(orderers), timeout
        self._turn = itertools.count()
        self._breaker = Breaker()

    def turn(self) -> int:
        """Whose turn it is to be asked first."""
        return next(self._turn)

    async def broadcast(self, envelope: Any, turn: int) -> None:
        """Have one orderer take the envelope. It may still be lost with that orderer: send it again, a turn later.

        Raises: Refused when every orderer calls it hopeless, Unavailable when none took it.
        """
        refusals: list[Refused] = []
        reasons: list[str] = []
        for orderer in self._in_turn(turn):
            problem = await self._send(orderer, envelope)
            if problem is None:
                return
            if isinstance(problem, Refused):
                refusals.append(problem)
            reasons.append(f"{orderer.name}: {problem}")
        if len(refusals) == len(reasons):
            raise refusals[0]
        raise Unavailable(f"no orderer took the transaction ({'; '.join(reasons)})")

    def _in_turn(self, turn: int) -> list[Orderer]:
        first = turn % len(self._orderers)
        return self._breaker.order(self._orderers[first:] + self._orderers[:first])

    async def _send(self, orderer: Orderer, envelope: Any) -> Refused | str | None:
        """None when the orderer took it, otherwise what it said."""
        try:
            async with asyncio.timeout(
                self._timeout + 1
            ):  # wait_for may swallow a cancellation (before 3.12)
                answer = await orderer.broadcast(envelope, self._timeout)
        except (grpc.RpcError, TimeoutError) as error:
            self._breaker.failed(orderer)
            _log.info("orderer %s did not take a transaction, trying the next", orderer.name)
            return getattr(getattr(error, "code", lambda: None)(), "name", "time-out")
        if answer is not None and answer.status == common_pb2.SUCCESS:
            self._breaker.worked(orderer)
            return None
        if answer is not None and answer.status in _HOPELESS:
            status = 403 if answer.status == 403 else 400
            return Refused(status, f"the ordering service does not take the transaction: {answer.info}")
        self._breaker.failed(orderer)
        return f"{answer.status} {answer.info}" if answer is not None else "no answer"
