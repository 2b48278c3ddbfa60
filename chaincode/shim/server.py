"""Chaincode as a service: peers dial in over mutual TLS, and each opens one stream.

A peer that lost its stream dials again by itself, so the server has nothing to reconnect.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from chaincode.shim.connection import Connection, State
from chaincode.shim.dispatch import Chaincode
from chaincode.shim.exchange import MESSAGE_LIMIT
from chaincode.shim.health import Answer, HealthEndpoint
from chaincode.shim.metrics import Metrics
from chaincode.shim.report import where
from chaincode.shim.stream import Inbox, open_stream

Loaded = TypeVar("Loaded")
logger = logging.getLogger("chaincode.shim")

STREAMS = 64  # at once, a thread each that sleeps; an organisation has as many peers
GRACE = 25.0  # seconds for calls in flight when the server stops
OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
    # The peer pings an idle stream every 60 s; gRPC's default takes that for abuse and hangs up.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),  # a second server on the port must fail, not share it
)


@dataclass(frozen=True, slots=True, repr=False)
class Tls:
    """PEM: the server's key and certificate, and the CA whose client certificates are let in."""

    key: bytes
    certificate: bytes
    client_ca: bytes

    def credentials(self) -> grpc.ServerCredentials:
        """What gRPC takes; ValueError if the parts do not fit together."""
        key = _loaded("TLS key", lambda pem: load_pem_private_key(pem, password=None), self.key)
        certificate = _loaded("TLS certificate", x509.load_pem_x509_certificate, self.certificate)
        _loaded("file of client CAs", x509.load_pem_x509_certificates, self.client_ca)
        if certificate.public_key() != key.public_key():
            raise ValueError("the TLS key is not the certificate's")
        pair = (self.key, self.certificate)
        return grpc.ssl_server_credentials([pair], root_certificates=self.client_ca, require_client_auth=True)


def _loaded(what: str, load: Callable[[bytes], Loaded], pem: bytes) -> Loaded:
    try:
        return load(pem)
    except (ValueError, TypeError):  # TypeError: a key behind a password
        raise ValueError(f"the {what} cannot be read as PEM") from None


def listening(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT; ValueError if it is not that, OSError if nobody could listen there now."""
    host, _, digits = address.rpartition(":")
    if not digits.isdecimal() or int(digits) >= 2**16:
        raise ValueError(f"{address!r} is not HOST:PORT")
    host, port, fault = host.strip("[]"), int(digits), OSError("no such host")
    try:
        for family, *_, found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(found)
                except OSError as error:
                    fault = error
                else:
                    return host, port
    except OSError as error:  # of the name
        fault = error
    raise OSError(f"cannot listen on {address}: {fault.strerror or fault}") from None


class Server:
    """Serves ``chaincode`` as ``package_id`` while entered.

    ``address`` and ``health`` are HOST:PORT; with port 0 the system chooses, see ``port`` and
    ``health_port``. Without ``tls`` anyone who reaches the port can pose as a peer. Entering raises ValueError or
    OSError, in a sentence, where it cannot serve.
    """

    def __init__(
        self,
        chaincode: Chaincode,
        package_id: str,
        *,
        address: str,
        tls: Tls | None,
        health: str = "",
        grace: float = GRACE,
    ) -> None:
        self._connections: set[Connection] = set()
        self.metrics = Metrics(lambda: sum(connection.in_flight for connection in self._connections))
        self.port = self.health_port = 0
        self._chaincode, self._package_id, self._grace = chaincode, package_id, grace
        self._address, self._tls, self._health = address, tls, health
        self._stopping = False
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Server:
        async with AsyncExitStack() as resources:
            await resources.enter_async_context(self._chaincode.running())
            await self._start_health(resources)
            await self._start_grpc(resources)
            resources.push_async_callback(self._drain)
            self._resources = resources.pop_all()
        logger.info("serving %s on port %d", self._package_id, self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    async def _start_grpc(self, resources: AsyncExitStack) -> None:
        listening(self._address)  # gRPC would say in several lines that it cannot, and cut a port to 16 bits
        threads = ThreadPoolExecutor(STREAMS, thread_name_prefix="stream")
        resources.callback(threads.shutdown, wait=False)
        server = grpc.server(threads, options=OPTIONS, maximum_concurrent_rpcs=STREAMS)
        serve = partial(self._connect, asyncio.get_running_loop())
        connect = grpc.stream_stream_rpc_method_handler(serve)  # bytes: see Connection.receive
        handler = grpc.method_handlers_generic_handler("protos.Chaincode", {"Connect": connect})
        server.add_generic_rpc_handlers((handler,))
        if self._tls is None:
            logger.warning("no TLS: whoever reaches this port can pose as a peer")
            self.port = server.add_insecure_port(self._address)
        else:
            self.port = server.add_secure_port(self._address, self._tls.credentials())
        server.start()
        resources.push_async_callback(asyncio.to_thread, lambda: server.stop(1.0).wait())

    async def _start_health(self, resources: AsyncExitStack) -> None:
        if not self._health:
            return
        host, port = listening(self._health)
        endpoint = HealthEndpoint({"/healthz": self._healthz, "/metrics": self._metrics_page})
        self.health_port = await endpoint.start(host, port)
        resources.push_async_callback(endpoint.stop)

    def _connect(
        self, loop: asyncio.AbstractEventLoop, requests: Iterator[bytes], context: Any
    ) -> Iterator[bytes]:
        """One stream; in a thread of its own, so all it does itself is to hand over to the event loop."""
        inbox = Inbox(loop, lambda raw: self._received(connection, raw))
        stream = open_stream(context, inbox.put)
        connection = Connection(self._chaincode, self._package_id, self.metrics, stream)
        loop.call_soon_threadsafe(self._opened, connection)
        return stream.responses(requests)

    def _opened(self, connection: Connection) -> None:
        connection.draining = self._stopping
        self._connections.add(connection)
        connection.start()

    def _received(self, connection: Connection, raw: bytes | None) -> None:
        if raw is None:
            connection.end()
            self._forget(connection)
            return
        try:
            connection.receive(raw)
        except Exception as error:  # noqa: BLE001 - this stream ends, the server goes on
            logger.error("a peer's stream broke: %s", where(error))
            connection.close()

    def _forget(self, connection: Connection) -> None:
        """Let an ended stream go with the last of its calls: until then they are in flight, and stopping waits."""
        if connection.tasks:
            next(iter(connection.tasks)).add_done_callback(lambda _: self._forget(connection))
        else:
            self._connections.discard(connection)

    async def _drain(self) -> None:
        """Refuse new calls, let those in flight end, then end the streams."""
        self._stopping = True
        for connection in self._connections:
            connection.draining = True
        tasks = {task for connection in self._connections for task in connection.tasks}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in self._connections:
            connection.close()

    def _healthz(self) -> Answer:
        peers = sum(connection.state is State.READY for connection in self._connections)
        status = "stopping" if self._stopping else "OK"
        body = json.dumps({"status": status, "peers_connected": peers}).encode() + b"\n"
        code = "503 Service Unavailable" if self._stopping else "200 OK"
        return Answer(code, body, "application/json")

    def _metrics_page(self) -> Answer:
        return Answer("200 OK", self.metrics.text(), "text/plain; version=0.0.4; charset=utf-8")
