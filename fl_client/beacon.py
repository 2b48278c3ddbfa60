"""Where a client gets the beacon's rounds from: drand nodes, or a development signer."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

import httpx
import msgspec

from chaincode import beacon as beacons
from chaincode.beacon import Beacon, BeaconInfo, DevSigner
from fl_client.connection import Connection
from fl_client.errors import BadBeacon, BadInput, CandorError, Unavailable

_log = logging.getLogger(__name__)
_LONGEST = 4096  # bytes of a node's answer


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
    """The consortium's beacon, as ``info`` describes it. Every beacon it hands out has been verified."""

    info: BeaconInfo
    clock: Clock

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

    async def close(self) -> None:  # noqa: B027  # not every source has something to close
        """Give back connections."""

    async def _until_due(self, round: int) -> None:
        """Wait until the clock says that the round's time has come."""
        due = self.info.time(round)
        while (early := due - self.clock.now()) > 0:
            await self.clock.sleep(early)


class DevBeacon(BeaconSource):
    """A chain of one signer in this process, on any clock: for tests, simulation and a first look."""

    def __init__(self, signer: DevSigner, clock: Clock) -> None:
        self._signer, self.info, self.clock = signer, signer.info, clock

    async def latest(self) -> Beacon:
        await self._until_due(1)
        return self._signer.sign(self.info.round_at(int(self.clock.now())))

    async def at(self, round: int) -> Beacon:
        await self._until_due(round)
        return self._signer.sign(round)


class DrandBeacon(BeaconSource):
    """drand nodes over HTTP, ``urls`` in order of preference.

    ``timeout`` (seconds) bounds one request; ``patience`` how long :meth:`at` goes on while no node
    at all answers. A node that answers "not yet" is waited for without end: a stalled beacon delays.
    """

    def __init__(
        self,
        urls: Sequence[str],
        info: BeaconInfo,
        clock: Clock | None = None,
        *,
        timeout: float = 5,
        patience: float = 60,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.info, self.clock = info, clock or SystemClock()
        self._urls, self._timeout, self._patience = list(urls), timeout, patience
        self._http = httpx.AsyncClient(timeout=timeout, trust_env=False, transport=transport)

    async def latest(self) -> Beacon:
        """The newest round of the first node that is not behind; of all nodes, when all are."""
        due = self.info.round_at(int(self.clock.now()))
        found: list[Beacon] = []
        errors: list[CandorError] = []
        for url in self._urls:
            try:
                found.append(await self._fetch(url, "latest"))
            except (Unavailable, BadBeacon) as error:
                errors.append(error)
            if found and found[-1].round >= due - 1:  # the current one may still be in the making
                return found[-1]
        if found:
            return max(found, key=lambda beacon: beacon.round)
        raise _worst(errors)

    async def at(self, round: int) -> Beacon:
        await self._until_due(round)
        answered = time.monotonic()
        while True:
            try:
                beacon = await self._first(round)
            except Unavailable:
                if time.monotonic() - answered > self._patience:
                    raise
            else:
                if beacon is not None:
                    return beacon
                answered = time.monotonic()
            await asyncio.sleep(min(0.5, self.info.period / 4))

    async def close(self) -> None:
        await self._http.aclose()

    async def _first(self, round: int) -> Beacon | None:
        """The round from the first node that has it; None when those that answer do not have it yet."""
        errors: list[CandorError] = []
        not_yet = False
        for url in self._urls:
            try:
                return await self._fetch(url, str(round))
            except _NotYet:
                not_yet = True
            except (Unavailable, BadBeacon) as error:
                errors.append(error)
        if not_yet:
            return None
        raise _worst(errors)

    async def _fetch(self, url: str, which: str) -> Beacon:
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.stream("GET", f"{url}/public/{which}") as answer,
            ):
                if answer.status_code != 200:
                    raise _NotYet(f"drand node {url} answers {answer.status_code} for round {which}")
                content = await _short(answer)
        except (TimeoutError, httpx.HTTPError) as error:
            raise Unavailable(f"drand node {url} does not answer: {error!r}") from error
        try:
            published = msgspec.json.decode(content, type=_Published)
            beacon = Beacon(published.round, published.signature)
            beacons.verify(self.info, beacon)
            if which not in ("latest", str(beacon.round)):
                raise ValueError(f"it sent round {beacon.round} for round {which}")
        except (
            ValueError,
            OverflowError,
        ) as error:  # msgspec's and chaincode.beacon's errors are ValueErrors
            _log.warning("drand node %s sent a beacon that cannot be used: %s", url, error)
            raise BadBeacon(f"drand node {url} sent a bad beacon: {error}") from error
        return beacon


class _NotYet(Unavailable):
    """The node answers, without a beacon."""


class _Published(msgspec.Struct):
    """drand's JSON; the randomness it also sends is derived from the signature, not believed."""

    round: int
    signature: str


async def _short(answer: httpx.Response) -> bytes:
    """The body, as far as a beacon's can go: what is longer is none."""
    data = bytearray()
    async for chunk in answer.aiter_bytes(_LONGEST):
        data += chunk
        if len(data) > _LONGEST:
            break
    return bytes(data)


def _worst(errors: Sequence[CandorError]) -> CandorError:
    """A beacon that does not verify is graver than a node that is down."""
    bad = [error for error in errors if isinstance(error, BadBeacon)]
    if bad:
        return bad[0]
    reasons = "; ".join(error.what for error in errors) or "none is configured"
    return Unavailable(f"no drand node gave a beacon ({reasons})")


def open_beacon(connection: Connection, clock: Clock | None = None) -> BeaconSource:
    """The network's drand nodes. Raises: BadInput when it has none."""
    if connection.beacon is None or not connection.beacons:
        raise BadInput("the network has no beacon", "Bring it up from a topology with a `drand` part")
    return DrandBeacon(connection.beacons, connection.beacon, clock)
