"""A peer's stream: registration, then transactions side by side.

    created --REGISTERED--> established --READY--> ready --> ended

The chaincode speaks first (REGISTER).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from enum import Enum

from chaincode.shim.dispatch import Chaincode
from chaincode.shim.errors import Refusal
from chaincode.shim.exchange import KIND, MESSAGE_LIMIT, Batches, Exchange, Message, MessageType, message
from chaincode.shim.metrics import Metrics
from chaincode.shim.peerstub import PeerStub
from chaincode.shim.protos import DecodeError, chaincodes, responses, shim
from chaincode.shim.report import where
from chaincode.shim.stream import Stream
from chaincode.shim.stub import Response

logger = logging.getLogger("chaincode.shim")

Handlers = dict[int, Callable[[Message], None]]  # by the message's type

FIELDS = ("channel", "tx", "transaction", "status", "ms")  # of a call, in the log
STOPPING = Response(500, "the chaincode server is shutting down")


class State(Enum):
    """Where the registration stands."""

    CREATED = "created"
    ESTABLISHED = "established"
    READY = "ready"
    ENDED = "ended"


class Connection:
    """One stream of one peer; all of it runs on the event loop."""

    def __init__(self, chaincode: Chaincode, package_id: str, metrics: Metrics, stream: Stream) -> None:
        self.state = State.CREATED
        self.draining = False
        self.tasks: set[asyncio.Task[None]] = set()
        self._chaincode, self._package_id, self._metrics = chaincode, package_id, metrics
        self._stream = stream
        self._exchanges: dict[tuple[str, str], Exchange] = {}
        self._batches = Batches()
        self._steps: dict[State, Handlers] = {
            State.CREATED: {KIND["REGISTERED"]: self._registered},
            State.ESTABLISHED: {KIND["READY"]: self._ready},
            State.READY: {
                KIND["TRANSACTION"]: self._transaction,
                KIND["INIT"]: self._transaction,
                KIND["RESPONSE"]: self._answer,
                KIND["ERROR"]: self._answer,
            },
            State.ENDED: {},
        }
        self._handlers = self._steps[State.CREATED]

    @property
    def in_flight(self) -> int:
        """Transactions that have no answer yet."""
        return len(self._exchanges)

    def start(self) -> None:
        """Register."""
        name = chaincodes.ChaincodeID(name=self._package_id)
        self._send(message("REGISTER", "", "", name.SerializeToString()))

    def close(self) -> None:
        """End the stream after what is queued."""
        self._stream.close()

    def end(self) -> None:
        """The stream has ended: fail whatever still asks the peer."""
        self.close()
        if self.state is State.READY:
            self._metrics.peers.dec()
            logger.info("a peer's stream has ended")
        self._enter(State.ENDED)
        for exchange in self._exchanges.values():
            exchange.end("the peer's stream has ended")

    def receive(self, raw: bytes) -> None:
        """Act on one message of the peer's; whatever is wrong with it, the stream goes on."""
        try:
            received = shim.ChaincodeMessage.FromString(raw)
        except DecodeError:
            logger.warning("malformed message in state %s", self.state.value)
            return
        self._handlers.get(received.type, self._illegal)(received)

    def _enter(self, state: State) -> None:
        self.state, self._handlers = state, self._steps[state]

    def _send(self, outgoing: Message) -> None:
        self._stream.send(outgoing.SerializeToString())

    def _registered(self, _: Message) -> None:
        self._enter(State.ESTABLISHED)

    def _ready(self, ready: Message) -> None:
        self._enter(State.READY)
        self._batches = _batches(ready.payload)
        self._metrics.peers.inc()
        logger.info("a peer is connected: %s", self._batches)

    def _transaction(self, request: Message) -> None:
        key = (request.channel_id, request.txid)
        if key in self._exchanges:
            self._illegal(request)
            return
        if self.draining:
            self._complete(request, STOPPING, None)
            return
        exchange = Exchange(self._send, request.channel_id, request.txid, self._batches)
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
        if received.type == MessageType.KEEPALIVE:  # legal in every state
            self._send(received)
            return
        values = MessageType.DESCRIPTOR.values_by_number
        name = values[received.type].name if received.type in values else f"of type {received.type}"
        logger.warning("illegal message %s in state %s", name, self.state.value)

    async def _serve(self, request: Message, exchange: Exchange) -> None:
        started = time.perf_counter()
        label, response, event = "unknown", STOPPING, None
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
        self._metrics.called(label, status, seconds)
        if logger.isEnabledFor(logging.INFO):
            call = (request.channel_id, request.txid[:8], label, status, seconds * 1000)
            logger.info("%s %s %s %d %.1f ms", *call, extra={"fields": dict(zip(FIELDS, call, strict=True))})


def _batches(payload: bytes) -> Batches:
    """What READY offers (nothing before Fabric 3)."""
    try:
        offered = chaincodes.ChaincodeAdditionalParams.FromString(payload)
    except DecodeError:
        logger.warning("READY carries something unknown; taking the peer for one without batches")
        return Batches()
    return Batches(
        offered.max_size_get_multiple_keys if offered.use_get_multiple_keys else 0,
        offered.max_size_write_batch if offered.use_write_batch else 0,
    )
