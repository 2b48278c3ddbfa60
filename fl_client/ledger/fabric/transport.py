"""hfc's peers and orderers over grpc.aio, TLS always.

hfc's own transport, aiogrpc, holds an executor thread for each open stream: eight streams hang a
process on two cores.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from fl_client.connection import OrdererAddress, PeerAddress
from fl_client.errors import BadInput

from . import sdk

_MEBI = 1 << 20
OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.max_receive_message_length", 100 * _MEBI),  # the peer's own limit
    ("grpc.max_send_message_length", 100 * _MEBI),
    ("grpc.keepalive_time_ms", 65_000),  # a peer closes connections that ping more than once a minute
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


def _secure_channel(
    target: str, cert_file: Any = None, client_key: Any = None, client_cert: Any = None, opts: Any = None
) -> grpc.aio.Channel:
    """In place of hfc's create_grpc_channel, which without a certificate falls back to plain text."""
    if not cert_file:
        raise BadInput(f"no TLS root certificate for {target}", "Name it as tls_ca in the connection file")
    root, key, chain = (_pem(each) for each in (cert_file, client_key, client_cert))
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(root, key, chain), opts)


def _pem(source: Any) -> bytes | None:
    if source is None or isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read the TLS certificate {source}: {error.strerror}") from error


sdk.peer_module.create_grpc_channel = _secure_channel
sdk.orderer_module.create_grpc_channel = _secure_channel


class Peer(sdk.peer_module.Peer):  # type: ignore[misc]
    """A peer. hfc's methods format every message for a debug line first; these do not.

    Create it inside the running event loop.
    """

    def __init__(self, address: PeerAddress) -> None:
        super().__init__(address.host, address.address, str(address.tls_ca), opts=_options(address.host))
        self.msp_id = address.msp_id

    async def send_proposal(self, proposal: Any, seconds: float) -> Any:
        """The peer's ProposalResponse; grpc.RpcError when there is none within ``seconds``."""
        return await self._endorser_client.ProcessProposal(proposal, timeout=seconds)

    def delivery(self, envelope: Any, scheduler: Any = None, filtered: bool = True) -> AsyncIterable[Any]:
        """The raw stream of DeliverResponses."""
        deliver = self._event_client.DeliverFiltered if filtered else self._event_client.Deliver
        stream: AsyncIterable[Any] = deliver(sdk.stream_envelope(envelope))
        return stream

    async def close(self) -> None:
        await self._channel.close()


class Orderer(sdk.orderer_module.Orderer):  # type: ignore[misc]
    """An orderer. Create it inside the running event loop."""

    def __init__(self, address: OrdererAddress) -> None:
        super().__init__(address.host, address.address, str(address.tls_ca), opts=_options(address.host))

    async def broadcast(self, envelope: Any, seconds: float) -> Any:
        """The orderer's last BroadcastResponse, None if it sent none; grpc.RpcError as above.

        Read to the end: cancelling the call makes the orderer log a warning for every transaction.
        """
        answer = None
        call = self._orderer_client.Broadcast(sdk.stream_envelope(envelope), timeout=seconds)
        async for response in call:
            answer = response
        return answer

    async def close(self) -> None:
        await self._channel.close()


def _options(host: str) -> list[tuple[str, Any]]:
    # nodes listen on addresses, their certificates have names
    return [*OPTIONS, ("grpc.ssl_target_name_override", host)]
