"""A peer's stream on grpcio's server, and the way of its messages to the event loop and back.

grpcio's public interfaces pass every message through two or three threads, and that costs more than all
the rest of a state request (docs/decisions/grpc-server.md). ``Direct`` does without: the server's own
thread, which waits for the network, hands what it has received to the event loop, and the event loop sends.
For that it starts the same two operations as grpcio's server does, which are not public. ``Queued`` needs
public interfaces only; it serves where a grpcio has not got the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import grpc

try:
    from grpc._cython.cygrpc import ReceiveMessageOperation, SendMessageOperation
except ImportError:  # a grpcio that is built otherwise
    ReceiveMessageOperation = SendMessageOperation = None

_NO_FLAGS = 0

Receive = Callable[[bytes | None], None]  # a message's bytes, or None: the stream has ended


class Stream(Protocol):
    """Both directions of a stream; ``send`` and ``close`` are for the event loop."""

    def send(self, raw: bytes) -> None:
        """Send one message after those before it; does not wait."""

    def close(self) -> None:
        """End the stream after what is to be sent."""

    def responses(self, requests: Iterator[bytes]) -> Iterator[bytes]:
        """What grpcio is to send; runs in a thread of its own until the stream ends."""


class Inbox:
    """From any thread to the event loop: one wake-up for all that has come since the last."""

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Receive) -> None:
        self._loop, self._receive = loop, receive
        self._waiting: deque[bytes | None] = deque()
        self._awake = False

    def put(self, raw: bytes | None) -> None:
        """Let the event loop receive it."""
        self._waiting.append(raw)  # before the look at the flag: a pass that ends just now has seen it
        if not self._awake:
            self._awake = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to receive
                self._loop.call_soon_threadsafe(self._pass_on)

    def _pass_on(self) -> None:
        self._awake = False
        while self._waiting:
            self._receive(self._waiting.popleft())


def open_stream(context: Any, receive: Receive) -> Stream:
    """The stream of a call that grpcio's server has taken; ``receive`` is called from other threads."""
    call = getattr(getattr(context, "_rpc_event", None), "call", None)
    if ReceiveMessageOperation is None or not hasattr(call, "start_server_batch"):
        return Queued(receive)
    return Direct(context, call, receive)


class Direct:
    """Receives in the thread of grpcio that waits for the network, sends from the event loop's.

    An operation is started on the call together with a function of its event, which grpcio's thread calls;
    one of each kind at a time.
    """

    def __init__(self, context: Any, call: Any, receive: Receive) -> None:
        self._context, self._call, self._receive = context, call, receive
        self._outgoing: deque[bytes] = deque()
        self._sending = self._closing = self._over = False
        self._lock = threading.Lock()  # of the four above
        self._ended = threading.Event()

    def send(self, raw: bytes) -> None:
        with self._lock:
            if (
                self._over
            ):  # nobody reads it; and once its server has stopped, grpcio aborts the process for it
                return
            self._outgoing.append(raw)
            if not self._sending:
                self._send_next()

    def close(self) -> None:
        with self._lock:
            self._closing = True
            if not self._sending:
                self._ended.set()

    def responses(self, requests: Iterator[bytes]) -> Iterator[bytes]:
        """Nothing: what is sent goes past grpcio's server. Its end makes the server end the stream."""
        if self._context.add_callback(self._terminated):
            with contextlib.suppress(grpc.RpcError):  # the peer has given up already
                self._context.send_initial_metadata(())
            self._receive_next()
            self._ended.wait()
        else:
            self._terminated()
        return iter(())

    def _receive_next(self) -> None:
        if self._call.start_server_batch((ReceiveMessageOperation(_NO_FLAGS),), self._received):
            self._receive(None)

    def _received(self, event: Any) -> tuple[None, tuple[()]]:
        raw = event.batch_operations[0].message()
        if raw is not None:
            self._receive_next()
        self._receive(raw)
        return None, ()  # grpcio's server has nothing to do after it

    def _send_next(self) -> None:
        operation = SendMessageOperation(self._outgoing.popleft(), _NO_FLAGS)
        self._sending = not self._call.start_server_batch((operation,), self._sent)

    def _sent(self, event: Any) -> tuple[None, tuple[()]]:
        with self._lock:
            self._sending = False
            if self._outgoing:
                self._send_next()
            elif self._closing:
                self._ended.set()
        return None, ()

    def _terminated(self) -> None:
        with self._lock:
            self._over = True
            self._outgoing.clear()
        self._receive(None)
        self._ended.set()


class Queued:
    """A thread that reads and one that writes, as grpcio's server offers them."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def send(self, raw: bytes) -> None:
        self._outgoing.put(raw)

    def close(self) -> None:
        self._outgoing.put(None)

    def responses(self, requests: Iterator[bytes]) -> Iterator[bytes]:
        threading.Thread(target=self._read, args=(requests,), daemon=True).start()
        return iter(self._outgoing.get, None)

    def _read(self, requests: Iterator[bytes]) -> None:
        try:
            for raw in requests:
                self._receive(raw)
        except Exception:  # noqa: BLE001, S110 - grpcio's way to say that the stream broke
            pass
        finally:
            self._receive(None)
