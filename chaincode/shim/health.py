"""GET /healthz and GET /metrics over plain HTTP, for the own machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

PATIENCE = 5.0  # seconds for a request's head
LINES = 100  # of a request's head


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response."""

    status: str
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class HealthEndpoint:
    """Answers GET requests from a table of paths; closes every connection after its answer."""

    def __init__(self, pages: dict[str, Callable[[], Answer]]) -> None:
        self._pages = pages
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=8192)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                answer = self._answer(await _request_line(reader))
                writer.write(_head(answer) + answer.body)
                await writer.drain()
        except (TimeoutError, OSError, ValueError):
            pass  # a client that does not speak HTTP gets nothing
        finally:
            writer.close()

    def _answer(self, line: bytes) -> Answer:
        method, _, rest = line.partition(b" ")
        path = rest.partition(b" ")[0].decode("latin-1").partition("?")[0]
        if path not in self._pages:
            return Answer("404 Not Found", b"not found\n")
        if method != b"GET":
            return Answer("405 Method Not Allowed", b"GET only\n")
        return self._pages[path]()


async def _request_line(reader: asyncio.StreamReader) -> bytes:
    first = await reader.readline()
    for _ in range(LINES):
        if (await reader.readline()).strip() == b"":
            return first
    raise ValueError("too many header lines")


def _head(answer: Answer) -> bytes:
    lines = (
        f"HTTP/1.1 {answer.status}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Connection: close",
        "\r\n",
    )
    return "\r\n".join(lines).encode("latin-1")
