"""A peer's stream: registration, then transactions side by side.

    created --REGISTERED--> established --READY--> ready

The chaincode speaks first (REGISTER). Only ``run`` writes to the stream; everything else queues.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

import grpc

from chaincode.shim.dispatch import Chaincode
from chaincode.shim.errors import Refusal
from chaincode.shim.exchange import MESSAGE_LIMIT, Exchange, Message, MessageType, message
from chaincode.shim.metrics import Metrics
from chaincode.shim.peerstub import PeerStub
from chaincode.shim.protos import DecodeError, chaincodes, responses, shim
from chaincode.shim.report import where
from chaincode.shim.stub import Response

logger = logging.getLogger("chaincode.shim")

END = grpc.aio.EOF
STOPPING = Response(500, "the chaincode server is shutting down")


class Stream(Protocol):
    """Both directions of a stream, as gRPC's context has them."""

    async def read(self) -> Any:
        """The next message's bytes, or END."""

    async def write(self, raw: bytes) -> None:
        """Send one message; only one at a time."""


class State(Enum):
    """Where the registration stands."""

    CREATED = "created"
    ESTABLISHED = "established"
    READY = "ready"


class Connection:
    """One stream of one peer."""

    def __init__(self, chaincode: Chaincode, package_id: str, metrics: Metrics) -> None:
        self.state = State.CREATED
        self.draining = False
        self.tasks: set[asyncio.Task[None]] = set()
        self._chaincode, self._package_id, self._metrics = chaincode, package_id, metrics
        self._outgoing: asyncio.Queue[Message | None] = asyncio.Queue()
        self._exchanges: dict[tuple[str, str], Exchange] = {}
        self._batch = 0
        self._handlers: dict[tuple[State, int], Callable[[Message], None]] = {
            (State.CREATED, MessageType.REGISTERED): self._registered,
            (State.ESTABLISHED, MessageType.READY): self._ready,
            (State.READY, MessageType.TRANSACTION): self._transaction,
            (State.READY, MessageType.INIT): self._transaction,
            (State.READY, MessageType.RESPONSE): self._answer,
            (State.READY, MessageType.ERROR): self._answer,
        }

    async def run(self, stream: Stream) -> None:
        """Speak until either side ends the stream."""
        name = chaincodes.ChaincodeID(name=self._package_id)
        self._send(message("REGISTER", "", "", name.SerializeToString()))
        reader = asyncio.create_task(self._read(stream))
        try:
            while (outgoing := await self._outgoing.get()) is not None:
                await stream.write(outgoing.SerializeToString())
        finally:
            reader.cancel()
            self._end()

    def close(self) -> None:
        """End the stream after what is queued."""
        self._outgoing.put_nowait(None)

    def receive(self, raw: bytes) -> None:
        """Act on one message of the peer's; whatever is wrong with it, the stream goes on."""
        try:
            received = shim.ChaincodeMessage.FromString(raw)
        except DecodeError:
            logger.warning("malformed message in state %s", self.state.value)
            return
        if received.type == MessageType.KEEPALIVE:
            self._send(received)
        else:
            self._handlers.get((self.state, received.type), self._illegal)(received)

    async def _read(self, stream: Stream) -> None:
        try:
            while (raw := await stream.read()) is not END:
                self.receive(raw)
        except Exception as error:  # noqa: BLE001 - the transport failed: the stream ends, the server goes on
            logger.warning("a peer's stream broke: %s", where(error))
        finally:
            self.close()

    def _send(self, outgoing: Message) -> None:
        self._outgoing.put_nowait(outgoing)

    def _registered(self, _: Message) -> None:
        self.state = State.ESTABLISHED

    def _ready(self, ready: Message) -> None:
        self.state = State.READY
        self._batch = _batch(ready.payload)
        self._metrics.peers.inc()
        logger.info("a peer is connected (batch reads: %s)", self._batch or "no")

    def _transaction(self, request: Message) -> None:
        key = (request.channel_id, request.txid)
        if key in self._exchanges:
            self._illegal(request)
            return
        if self.draining:
            self._complete(request, STOPPING, None)
            return
        exchange = Exchange(self._send, request.channel_id, request.txid, self._batch)
        self._exchanges[key] = exchange
        task = asyncio.create_task(self._serve(request, exchange))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _answer(self, answer: Message) -> None:
        exchange = self._exchanges.get((answer.channel_id, answer.txid))
        if exchange is None or not exchange.answer(answer):
            # A call that ran into its deadline has left; its last answer comes later.
            logger.debug("an answer nobody waits for, transaction %s", answer.txid[:8])

    def _illegal(self, received: Message) -> None:
        values = MessageType.DESCRIPTOR.values_by_number
        name = values[received.type].name if received.type in values else f"of type {received.type}"
        logger.warning("illegal message %s in state %s", name, self.state.value)

    async def _serve(self, request: Message, exchange: Exchange) -> None:
        started = time.perf_counter()
        label, response, event = "unknown", STOPPING, None
        self._metrics.in_flight.inc()
        try:
            stub = PeerStub(request, exchange)
            label = self._chaincode.label(stub.args)
            response = await self._chaincode.invoke(stub)
            event = stub.event if response.ok else None
        except DecodeError:
            response = Response(400, "the call is malformed")
        except Refusal as refusal:
            response = Response(refusal.code, refusal.to_json())
        except Exception as error:  # noqa: BLE001 - a call without an answer hangs for the peer's time-out
            logger.error("%s: %s", request.txid[:8], where(error))
            response = Response(500, "internal error")
        finally:
            exchange.end("the transaction has ended")
            self._exchanges.pop((request.channel_id, request.txid), None)
            self._complete(request, response, event)
            self._report(request, label, response.status, time.perf_counter() - started)

    def _complete(self, request: Message, response: Response, event: tuple[str, bytes] | None) -> None:
        if len(response.payload) + len(event[1] if event else b"") > MESSAGE_LIMIT // 2:
            response, event = Response(500, "the result is too long"), None
        body = responses.Response(status=response.status, message=response.message, payload=response.payload)
        completed = message("COMPLETED", request.channel_id, request.txid, body.SerializeToString())
        if event:
            completed.chaincode_event.event_name, completed.chaincode_event.payload = event
        self._send(completed)

    def _report(self, request: Message, label: str, status: int, seconds: float) -> None:
        self._metrics.in_flight.dec()
        self._metrics.called(label, status, seconds)
        milliseconds = seconds * 1000
        logger.info("%s %s %s %d %.1f ms", request.channel_id, request.txid[:8], label, status, milliseconds)

    def _end(self) -> None:
        if self.state is State.READY:
            self._metrics.peers.dec()
            logger.info("a peer's stream has ended")
        for exchange in self._exchanges.values():
            exchange.end("the peer's stream has ended")


def _batch(payload: bytes) -> int:
    """How many keys the peer reads at once, from READY (empty before Fabric 3)."""
    try:
        offered = chaincodes.ChaincodeAdditionalParams.FromString(payload)
    except DecodeError:
        logger.warning("READY carries something unknown; taking the peer for one without batch reads")
        return 0
    return int(offered.max_size_get_multiple_keys) if offered.use_get_multiple_keys else 0
