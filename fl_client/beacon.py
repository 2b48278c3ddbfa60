"""Where a client gets the beacon's rounds from: drand nodes, or a development signer."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType

    from chaincode.beacon import Beacon


class Clock(Protocol):
    """Time as the beacon counts it."""

    def now(self) -> float:
        """Unix seconds."""

    async def sleep(self, seconds: float) -> None:
        """Let that much of this clock's time pass."""


class SystemClock:
    """The time of this machine."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FastClock:
    """Runs ``speed`` times as fast as this machine's clock, from ``start`` (default: now) on."""

    def __init__(self, speed: float, start: float | None = None) -> None:
        self._speed, self._began = speed, time.monotonic()
        self._start = time.time() if start is None else start

    def now(self) -> float:
        return self._start + (time.monotonic() - self._began) * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)


class BeaconSource(ABC):
    """The consortium's beacon. Every beacon it hands out has been verified."""

    @abstractmethod
    async def latest(self) -> Beacon:
        """The newest round.

        Raises: Unavailable, BadBeacon.
        """

    @abstractmethod
    async def at(self, round: int) -> Beacon:
        """That round; waits until it exists.

        Raises: Unavailable, BadBeacon.
        """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give back connections."""
