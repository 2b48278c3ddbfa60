"""A fake peer: dials the real server over mutual TLS, speaks the chaincode protocol, keeps a state."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import ipaddress
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from shim_helpers import CREATOR, wire

from chaincode.shim.exchange import MESSAGE_LIMIT, MessageType, message
from chaincode.shim.protos import chaincodes, common, proposals, responses, results, shim
from chaincode.shim.server import Tls

PATIENCE = 10.0  # seconds until a test gives up
BATCH = 100
WRITES = {
    "PUT_STATE": shim.PutState,
    "DEL_STATE": shim.DelState,
    "PURGE_PRIVATE_DATA": shim.PurgePrivateState,
    "PUT_STATE_METADATA": shim.PutStateMetadata,
}


@dataclass(frozen=True)
class Authority:
    """A CA for one test."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @staticmethod
    def new(name: str = "ca.test") -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, name, key).add_extension(x509.BasicConstraints(True, None), critical=True)
        return Authority(key, builder.sign(key, hashes.SHA256()))

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(self, name: str) -> tuple[bytes, bytes]:
        """A key and a certificate for localhost, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        issuer = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        builder = _builder(name, str(issuer), key)
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        signed = builder.sign(self.key, hashes.SHA256())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem, signed.public_bytes(Encoding.PEM)

    def server_tls(self) -> Tls:
        return Tls(*self.issue("chaincode"), self.pem)


def _builder(name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
    )


def proposal(
    *args: object, transient: Mapping[str, bytes] | None = None, creator: bytes = CREATOR
) -> tuple[bytes, bytes]:
    """The ChaincodeInput of a call and the proposal that a client signed for it."""
    extension = proposals.ChaincodeHeaderExtension(chaincode_id=chaincodes.ChaincodeID(name="example"))
    channel = common.ChannelHeader(channel_id="candor", extension=extension.SerializeToString())
    channel.timestamp.seconds = 1_700_000_000
    header = common.Header(
        channel_header=channel.SerializeToString(),
        signature_header=common.SignatureHeader(creator=creator).SerializeToString(),
    )
    payload = proposals.ChaincodeProposalPayload(TransientMap=transient or {})
    body = proposals.Proposal(header=header.SerializeToString(), payload=payload.SerializeToString())
    return chaincodes.ChaincodeInput(args=wire(*args)).SerializeToString(), body.SerializeToString()


class FakePeer:
    """One stream. Answers state requests from ``state`` unless told to ``hold`` them."""

    def __init__(self, stream: Any) -> None:
        self.state: dict[str, bytes] = {}
        self.events: dict[str, tuple[str, bytes]] = {}
        self.requests: list[str] = []
        self.hold = False
        self.failing = ""  # answer requests with this ERROR
        self.held: asyncio.Queue[Any] = asyncio.Queue()
        self.other: asyncio.Queue[Any] = asyncio.Queue()
        self.ended: asyncio.Future[None]  # when the stream has
        self._stream, self._writing = stream, asyncio.Lock()
        self._completed: dict[str, asyncio.Future[Any]] = {}
        self._queries: dict[str, list[Any]] = {}

    async def send(self, outgoing: Any) -> None:
        raw = outgoing if isinstance(outgoing, bytes) else outgoing.SerializeToString()
        async with self._writing:
            await self._stream.write(raw)

    async def register(self, ready: bytes = b"") -> str:
        """Go through the registration; returns the package id."""
        registering = await self.other.get()
        assert registering.type == MessageType.REGISTER
        await self.send(message("REGISTERED", "", "", b""))
        await self.send(message("READY", "", "", ready))
        return str(chaincodes.ChaincodeID.FromString(registering.payload).name)

    async def start(self, tx_id: str, *args: object, **options: Any) -> asyncio.Future[Any]:
        """Send a TRANSACTION; the future is its Response."""
        payload, signed = proposal(*args, **options)
        request = message("TRANSACTION", "candor", tx_id, payload)
        request.proposal.proposal_bytes = signed
        return await self.start_raw(request)

    async def start_raw(self, request: Any) -> asyncio.Future[Any]:
        future = self._completed[request.txid] = asyncio.get_running_loop().create_future()
        await self.send(request)
        return future

    async def invoke(self, tx_id: str, *args: object, **options: Any) -> Any:
        """One whole call."""
        return await (await self.start(tx_id, *args, **options))

    async def read(self) -> None:
        """Take what the chaincode sends until the stream ends."""
        async for raw in self._stream:
            received = shim.ChaincodeMessage.FromString(raw)
            if received.type == MessageType.COMPLETED:
                self._complete(received)
            elif received.type in (MessageType.REGISTER, MessageType.KEEPALIVE):
                self.other.put_nowait(received)
            elif self.hold:
                self.held.put_nowait(received)
            else:
                await self.answer(received)

    async def answer(self, request: Any) -> None:
        """Answer one request as a peer of Fabric 2.5 would (and batches as 3.x)."""
        kind = MessageType.Name(request.type)
        self.requests.append(kind)
        if self.failing:
            await self.send(message("ERROR", request.channel_id, request.txid, self.failing.encode()))
            return
        payload = getattr(self, f"_{kind.lower()}")(request.payload)
        await self.send(message("RESPONSE", request.channel_id, request.txid, payload))

    def _complete(self, received: Any) -> None:
        if received.HasField("chaincode_event"):
            event = received.chaincode_event
            self.events[received.txid] = (event.event_name, event.payload)
        self._completed[received.txid].set_result(responses.Response.FromString(received.payload))

    @staticmethod
    def _name(request: Any) -> str:
        return f"~{request.collection}|{request.key}" if request.collection else str(request.key)

    def _get_state(self, payload: bytes) -> bytes:
        return self.state.get(self._name(shim.GetState.FromString(payload)), b"")

    def _get_private_data_hash(self, payload: bytes) -> bytes:
        value = self._get_state(payload)
        return hashlib.sha256(value).digest() if value else b""

    def _get_state_multiple(self, payload: bytes) -> bytes:
        keys = shim.GetStateMultiple.FromString(payload).keys
        values = [self.state.get(key, b"") for key in keys]
        return bytes(shim.GetStateMultipleResult(values=values).SerializeToString())

    def _put_state(self, payload: bytes) -> bytes:
        request = shim.PutState.FromString(payload)
        self.state[self._name(request)] = request.value
        return b""

    def _del_state(self, payload: bytes) -> bytes:
        self.state.pop(self._name(shim.DelState.FromString(payload)), None)
        return b""

    _purge_private_data = _del_state

    def _write_batch_state(self, payload: bytes) -> bytes:
        for record in shim.WriteBatchState.FromString(payload).rec:
            kind = shim.WriteRecord.Type.Name(record.type)
            names = WRITES[kind].DESCRIPTOR.fields_by_name
            request = WRITES[kind](**{name: getattr(record, name) for name in names})
            getattr(self, f"_{kind.lower()}")(request.SerializeToString())
        return b""

    def _put_state_metadata(self, payload: bytes) -> bytes:
        request = shim.PutStateMetadata.FromString(payload)
        self.state[f"{request.key}|{request.metadata.metakey}"] = request.metadata.value
        return b""

    def _get_state_metadata(self, payload: bytes) -> bytes:
        key = shim.GetStateMetadata.FromString(payload).key
        value = self.state.get(f"{key}|VALIDATION_PARAMETER")
        entries = [shim.StateMetadata(metakey="VALIDATION_PARAMETER", value=value)] if value else []
        return bytes(shim.StateMetadataResult(entries=entries).SerializeToString())

    def _get_history_for_key(self, payload: bytes) -> bytes:
        value = self.state.get(shim.GetHistoryForKey.FromString(payload).key, b"")
        changes = [
            results.KeyModification(tx_id="tx2", is_delete=True),
            results.KeyModification(tx_id="tx1", value=value, timestamp={"seconds": 7}),
        ]
        return self._page("history", [change.SerializeToString() for change in changes])

    def _get_state_by_range(self, payload: bytes) -> bytes:
        query = shim.GetStateByRange.FromString(payload)
        options = shim.QueryMetadata.FromString(query.metadata)
        start = options.bookmark or query.startKey
        found = [
            results.KV(key=key, value=self.state[key]).SerializeToString()
            for key in sorted(self.state)
            if key >= start and (not query.endKey or key < query.endKey)
        ]
        if not options.pageSize:
            return self._page(f"range-{len(self._queries)}", found)
        return self._bookmarked(found, options.pageSize)

    def _bookmarked(self, found: list[bytes], size: int) -> bytes:
        bookmark = results.KV.FromString(found[size]).key if len(found) > size else ""
        metadata = shim.QueryResponseMetadata(bookmark=bookmark).SerializeToString()
        page = [shim.QueryResultBytes(resultBytes=raw) for raw in found[:size]]
        return bytes(shim.QueryResponse(results=page, metadata=metadata).SerializeToString())

    def _query_state_next(self, payload: bytes) -> bytes:
        name = shim.QueryStateNext.FromString(payload).id
        return self._page(name, self._queries.pop(name))

    def _page(self, name: str, found: list[bytes]) -> bytes:
        page, self._queries[name] = found[:BATCH], found[BATCH:]
        batch = [shim.QueryResultBytes(resultBytes=raw) for raw in page]
        more = bool(self._queries[name])
        return bytes(shim.QueryResponse(results=batch, has_more=more, id=name).SerializeToString())

    def _invoke_chaincode(self, payload: bytes) -> bytes:
        spec = chaincodes.ChaincodeSpec.FromString(payload)
        called = f"{spec.chaincode_id.name} {b' '.join(spec.input.args).decode()}"
        response = responses.Response(status=200, payload=called.encode()).SerializeToString()
        return bytes(message("COMPLETED", "", "", response).SerializeToString())


@asynccontextmanager
async def dialled(port: int, authority: Authority) -> AsyncIterator[FakePeer]:
    """A peer connected to the server on ``port``; not yet registered."""
    credentials = grpc.ssl_channel_credentials(authority.pem, *authority.issue("peer0"))
    size = ("grpc.max_receive_message_length", MESSAGE_LIMIT)
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials, options=[size]) as channel:
        peer = FakePeer(channel.stream_stream("/protos.Chaincode/Connect")())
        peer.ended = asyncio.create_task(peer.read())
        try:
            yield peer
        finally:
            peer.ended.cancel()
            with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
                await peer.ended
