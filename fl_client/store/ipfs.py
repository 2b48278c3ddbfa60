"""The organisation's private IPFS node (kubo) and its peer in the consortium's cluster.

Bytes go into the own kubo over its unix socket, then the cluster is told to pin the CID; the other
organisations fetch it from there. The cluster's own upload is not used: over kubo's socket it hangs
above some 250 blocks, and it builds other CIDs above 174.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from chaincode import cid as cids
from fl_client.errors import BadInput, Corrupt, NotStored, Unavailable

from .base import Store, canonical, checked, corrupt, name, too_large

_ADD = {
    "cid-version": "1",
    "raw-leaves": "true",
    "chunker": "size-1048576",
    "max-file-links": "1024",
    "pin": "true",
    "quieter": "true",
}
_MISSING = ("deadline exceeded", "not found", "could not find", "no such")
_EMPTY = cids.raw_cid(b"")  # nodes do not send each other a block without bytes
_POLL = 0.1  # seconds


class IpfsStore(Store):
    """The kubo behind ``kubo_socket`` and the cluster REST interface at ``cluster_url``.

    ``credentials_file`` holds ``user:password`` for the latter. ``timeout`` (seconds) bounds each
    transfer and how long a cluster may take to start; ``find`` how long content is waited for while
    no byte of it comes.
    """

    def __init__(
        self,
        kubo_socket: Path,
        cluster_url: str,
        credentials_file: Path,
        *,
        timeout: float = 60,
        find: float = 20,
    ) -> None:
        self._socket, self._url, self._credentials = kubo_socket, cluster_url, credentials_file
        self._timeout, self._find = timeout, find
        self._kubo = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(kubo_socket)),
            base_url="http://kubo/api/v0",
            timeout=timeout,
        )
        # trust_env: a proxy for the internet has no business with the own cluster
        self._cluster = httpx.AsyncClient(base_url=cluster_url, timeout=timeout, trust_env=False)

    async def put(self, data: bytes) -> str:
        cid = await self.keep(data)
        if cid != _EMPTY:
            await self._announce(cid)
        return cid

    async def keep(self, data: bytes) -> str:
        cid = await name(data)
        if cid == _EMPTY:
            return cid
        added = await self._add(data)
        if added != cid:
            raise Corrupt(f"kubo named the content {added}, not {cid}", "Use kubo 0.43 or later")
        return cid

    async def get(self, cid: str, *, limit: int) -> bytes:
        data = bytearray()
        if canonical(cid) != _EMPTY:
            await self._cat(cid, limit, data.extend)
        return await checked(cid, bytes(data), limit)

    async def pin(self, cid: str) -> None:
        if canonical(cid) == _EMPTY:
            return
        await self._locate(cid)  # a pin of what nobody has would stay in the cluster for ever
        await self._announce(cid)
        try:
            async with asyncio.timeout(self._timeout):
                while not await self._is_pinned(cid):  # noqa: ASYNC110  # it is another process's doing
                    await asyncio.sleep(_POLL)
        except TimeoutError as error:
            raise NotStored(f"the cluster could not pin {cid} in {self._timeout:.0f} s") from error

    async def bring(self, cid: str, *, limit: int) -> None:
        """Read through once: a pin fetches whatever is linked, so only what is known to be small and canonical gets
        one."""
        if canonical(cid) == _EMPTY:
            return
        seen = cids.Hashing()
        await self._cat(cid, limit, seen.update)
        if seen.cid() != cid:
            raise corrupt(cid)
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._kubo.post("/pin/add", params={"arg": cid, "recursive": "true"})
        except (TimeoutError, httpx.HTTPError) as error:
            raise self._lost(cid, error) from error
        if answer.status_code != 200:
            raise self._kubo_error(cid, answer.text)

    async def close(self) -> None:
        await self._kubo.aclose()
        await self._cluster.aclose()

    async def _cat(self, cid: str, limit: int, take: Callable[[bytes], None]) -> None:
        """Hand over the content's bytes as they come. TooLarge: they are more than ``limit``."""
        # kubo's own time-out would cut off a transfer that goes on, and call it complete
        query = {"arg": cid, "length": str(limit + 1)}
        patience, taken = httpx.Timeout(self._timeout, read=self._find), 0
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._kubo.stream("POST", "/cat", params=query, timeout=patience) as answer,
            ):
                if answer.status_code != 200:
                    raise self._kubo_error(cid, (await answer.aread()).decode(errors="replace"))
                async for chunk in answer.aiter_bytes():
                    taken += len(chunk)
                    if taken > limit:
                        raise too_large(cid, limit)
                    take(chunk)
        except (TimeoutError, httpx.HTTPError) as error:
            raise self._lost(cid, error) from error

    async def _add(self, data: bytes) -> str:
        """Hand the bytes to kubo; returns the CID it gave them."""
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._kubo.post("/add", params=_ADD, files={"file": ("content", data)})
        except (TimeoutError, httpx.HTTPError) as error:
            raise self._silent(f"did not take {len(data)} bytes: {error!r}") from error
        if answer.status_code != 200:
            raise self._silent(f"did not take {len(data)} bytes: {_message(answer.text)}")
        try:
            return str(json.loads(answer.text.splitlines()[-1])["Hash"])
        except (ValueError, LookupError, TypeError) as error:  # it had said 200 before its disk was full
            raise self._silent(f"did not take {len(data)} bytes: {_message(answer.text)!r}") from error

    async def _locate(self, cid: str) -> None:
        """Have kubo find the content's first block."""
        query = {"arg": cid, "timeout": f"{self._find:.0f}s"}
        try:
            answer = await self._kubo.post("/block/stat", params=query)
        except httpx.HTTPError as error:
            raise self._lost(cid, error) from error
        if answer.status_code != 200:
            raise self._kubo_error(cid, answer.text)

    async def _announce(self, cid: str) -> None:
        """Have the cluster accept the pin."""
        await self._ask_cluster("POST", f"/pins/{cid}")

    async def _is_pinned(self, cid: str) -> bool:
        answer = await self._ask_cluster("GET", f"/pins/{cid}", local="true")
        try:
            peers = answer.json().get("peer_map") or {}
            return any(peer.get("status") == "pinned" for peer in peers.values())
        except (ValueError, AttributeError) as error:
            raise Unavailable(f"the IPFS cluster's answer is none: {answer.text[:80]!r}") from error

    async def _ask_cluster(self, method: str, path: str, **query: str) -> httpx.Response:
        """A cluster that starts refuses connections, then answers 500 until its kubo is there: try again."""
        auth, trouble = self._login(), ""
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    try:
                        answer = await self._cluster.request(method, path, params=query, auth=auth)
                        if answer.status_code < 500:
                            return self._accepted(answer)
                        trouble = f"{answer.status_code} {answer.text.strip()}"
                    except httpx.HTTPError as error:
                        trouble = repr(error)
                    await asyncio.sleep(_POLL)
        except TimeoutError as error:
            remedy = "Check that the organisation's ipfs-cluster is running"
            raise Unavailable(f"the IPFS cluster at {self._url} does not work: {trouble}", remedy) from error

    def _accepted(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code in (401, 403):
            raise BadInput(
                f"the IPFS cluster at {self._url} does not accept the credentials",
                f"Put its user:password into {self._credentials}",
            )
        if answer.status_code >= 400:
            raise Unavailable(f"the IPFS cluster refused: {answer.status_code} {answer.text.strip()}")
        return answer

    def _login(self) -> tuple[str, str]:
        try:
            user, colon, password = self._credentials.read_text().strip().partition(":")
        except OSError as error:
            raise BadInput(
                f"cannot read the credentials file {self._credentials}: {error.strerror}"
            ) from error
        if not colon:
            raise BadInput(f"{self._credentials} does not hold user:password")
        return user, password

    def _kubo_error(self, cid: str, text: str) -> NotStored | Unavailable:
        message = _message(text)
        if any(word in message for word in _MISSING):
            return NotStored(f"no organisation's IPFS node served {cid} in time ({message})")
        return self._silent(f"failed on {cid}: {message}")

    def _lost(self, cid: str, error: Exception) -> NotStored | Unavailable:
        if isinstance(error, httpx.ReadTimeout):
            return NotStored(f"no organisation's IPFS node served {cid} in time")
        if isinstance(error, TimeoutError | httpx.TimeoutException):
            return NotStored(f"the transfer of {cid} took more than {self._timeout:.0f} s")
        return self._silent(f"broke off the transfer of {cid}: {error!r}")

    def _silent(self, what: str) -> Unavailable:
        return Unavailable(f"kubo at {self._socket} {what}", "Check that the organisation's kubo is running")


def _message(text: str) -> str:
    try:
        answer: Any = json.loads(text)
        return str(answer["Message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()
