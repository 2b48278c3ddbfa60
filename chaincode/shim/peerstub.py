"""The stub of a transaction that a peer has sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from chaincode.shim.errors import Forbidden, PeerError
from chaincode.shim.exchange import Exchange, Message
from chaincode.shim.identity import Identity
from chaincode.shim.keys import LAST, check_key, check_range, check_value
from chaincode.shim.protos import chaincodes, common, proposals, responses, results, shim
from chaincode.shim.stub import Modification, Page, Response, Stub

_WRITES = {
    "PUT_STATE": shim.PutState,
    "DEL_STATE": shim.DelState,
    "PURGE_PRIVATE_DATA": shim.PurgePrivateState,
    "PUT_STATE_METADATA": shim.PutStateMetadata,
}
_BATCH_BYTES = 16 << 20  # of values in one request
_VALIDATION_PARAMETER = "VALIDATION_PARAMETER"  # the metadata key Fabric reads


class PeerStub(Stub):
    """Asks the peer for everything. DecodeError if the message is malformed."""

    def __init__(self, request: Message, exchange: Exchange) -> None:
        self._exchange = exchange
        self.channel, self.tx_id = request.channel_id, request.txid
        self.event: tuple[str, bytes] | None = None
        self._writes: list[tuple[str, dict[str, Any]]] = []  # held until the end: see flush
        self._reads_only = False
        self.args = tuple(chaincodes.ChaincodeInput.FromString(request.payload).args)
        self._read_proposal(request.proposal.proposal_bytes)

    def _read_proposal(self, raw: bytes) -> None:
        if not raw:
            raise Forbidden("the call carries no signed proposal")
        proposal = proposals.Proposal.FromString(raw)
        header = common.Header.FromString(proposal.header)
        channel = common.ChannelHeader.FromString(header.channel_header)
        extension = proposals.ChaincodeHeaderExtension.FromString(channel.extension)
        payload = proposals.ChaincodeProposalPayload.FromString(proposal.payload)
        self.chaincode = extension.chaincode_id.name
        self.timestamp = channel.timestamp.seconds
        self.transient = dict(payload.TransientMap)
        self.creator = Identity.parse(common.SignatureHeader.FromString(header.signature_header).creator)

    async def get(self, key: str) -> bytes | None:
        check_key(key)
        return await self._get(key, "")

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        for key in keys:
            check_key(key)
        size = self._exchange.batches.reads
        if not size:
            return [await self._get(key, "") for key in keys]
        values: list[bytes | None] = []
        for first in range(0, len(keys), size):
            values += await self._get_batch(keys[first : first + size])
        return values

    async def put(self, key: str, value: bytes) -> None:
        await self._put(key, value, "")

    async def delete(self, key: str) -> None:
        check_key(key)
        await self._write("DEL_STATE", key=key)

    async def range(self, start: str, end: str) -> AsyncIterator[tuple[str, bytes]]:
        async for item in self._range(*check_range(start, end), ""):
            yield item

    async def _composites(self, start: str) -> AsyncIterator[tuple[str, bytes]]:
        async for item in self._range(start, start + LAST, ""):
            yield item

    async def page(self, start: str, end: str, size: int, bookmark: str = "") -> Page:
        if size < 1:
            raise ValueError("a page has at least one key")
        first, last = check_range(start, end)
        self._begin_reading_only("a paginated query")
        options = shim.QueryMetadata(pageSize=size, bookmark=bookmark).SerializeToString()
        query = shim.GetStateByRange(startKey=first, endKey=last, metadata=options)
        raw = await self._exchange.ask("GET_STATE_BY_RANGE", query.SerializeToString())
        response = shim.QueryResponse.FromString(raw)
        following = shim.QueryResponseMetadata.FromString(response.metadata).bookmark
        return Page([_pair(result.resultBytes) for result in response.results], following)

    async def rich_query(self, query: str) -> AsyncIterator[tuple[str, bytes]]:
        request = shim.GetQueryResult(query=query).SerializeToString()
        async for raw in self._results("GET_QUERY_RESULT", request):
            yield _pair(raw)

    async def history(self, key: str) -> AsyncIterator[Modification]:
        check_key(key)
        request = shim.GetHistoryForKey(key=key).SerializeToString()
        async for raw in self._results("GET_HISTORY_FOR_KEY", request):
            change = results.KeyModification.FromString(raw)
            value = None if change.is_delete else change.value
            yield Modification(change.tx_id, value, change.timestamp.seconds)

    def set_event(self, name: str, payload: bytes) -> None:
        if not name:
            raise ValueError("an event needs a name")
        self.event = (name, bytes(payload))

    async def get_private(self, collection: str, key: str) -> bytes | None:
        check_key(key)
        return await self._get(key, _named(collection))

    async def private_hash(self, collection: str, key: str) -> bytes | None:
        check_key(key)
        request = shim.GetState(key=key, collection=_named(collection)).SerializeToString()
        return await self._exchange.ask("GET_PRIVATE_DATA_HASH", request) or None

    async def put_private(self, collection: str, key: str, value: bytes) -> None:
        await self._put(key, value, _named(collection))

    async def delete_private(self, collection: str, key: str) -> None:
        check_key(key)
        await self._write("DEL_STATE", key=key, collection=_named(collection))

    async def purge_private(self, collection: str, key: str) -> None:
        check_key(key)
        await self._write("PURGE_PRIVATE_DATA", key=key, collection=_named(collection))

    async def range_private(self, collection: str, start: str, end: str) -> AsyncIterator[tuple[str, bytes]]:
        first, last = check_range(start, end)
        self._begin_reading_only("a range of private data")
        async for item in self._range(first, last, _named(collection)):
            yield item

    async def validation_parameter(self, key: str) -> bytes | None:
        check_key(key)
        request = shim.GetStateMetadata(key=key).SerializeToString()
        raw = await self._exchange.ask("GET_STATE_METADATA", request)
        entries = shim.StateMetadataResult.FromString(raw).entries
        return next((entry.value for entry in entries if entry.metakey == _VALIDATION_PARAMETER), None)

    async def set_validation_parameter(self, key: str, policy: bytes) -> None:
        check_key(key)
        metadata = shim.StateMetadata(metakey=_VALIDATION_PARAMETER, value=policy)
        await self._write("PUT_STATE_METADATA", key=key, metadata=metadata)

    async def invoke_chaincode(self, name: str, args: Sequence[bytes], channel: str = "") -> Response:
        target = chaincodes.ChaincodeID(name=f"{name}/{channel}" if channel else name)
        call = chaincodes.ChaincodeInput(args=args)
        spec = chaincodes.ChaincodeSpec(chaincode_id=target, input=call)
        raw = await self._exchange.ask("INVOKE_CHAINCODE", spec.SerializeToString())
        completed = shim.ChaincodeMessage.FromString(raw)
        if completed.type != shim.ChaincodeMessage.COMPLETED:
            return Response(500, completed.payload.decode("utf-8", "replace"))
        response = responses.Response.FromString(completed.payload)
        return Response(response.status, response.message, response.payload)

    async def _get(self, key: str, collection: str) -> bytes | None:
        request = shim.GetState(key=key, collection=collection).SerializeToString()
        return await self._exchange.ask("GET_STATE", request) or None

    async def _get_batch(self, keys: Sequence[str]) -> list[bytes | None]:
        request = shim.GetStateMultiple(keys=keys).SerializeToString()
        raw = await self._exchange.ask("GET_STATE_MULTIPLE", request)
        return [value or None for value in shim.GetStateMultipleResult.FromString(raw).values]

    async def _put(self, key: str, value: bytes, collection: str) -> None:
        check_key(key)
        check_value(value)
        await self._write("PUT_STATE", key=key, value=bytes(value), collection=collection)

    async def _write(self, kind: str, **fields: Any) -> None:
        if self._reads_only:
            raise PeerError("the transaction has made a query after which a peer takes no writes")
        self._writes.append((kind, fields))

    def _begin_reading_only(self, what: str) -> None:
        """What the peer would refuse when the writes reach it is refused where the contract does it."""
        if self._writes:
            raise PeerError(f"a peer does not allow {what} after a write")
        self._reads_only = True

    async def flush(self) -> None:
        """Send the writes, together where the peer takes them so.

        They are held until the transaction has succeeded: what is refused then writes nothing, also where
        another chaincode has called it and goes on, and no transaction sees a write of its own anyway.
        """
        writes, self._writes = self._writes, []
        size = self._exchange.batches.writes
        if not size:
            for kind, fields in writes:
                await self._exchange.ask(kind, _WRITES[kind](**fields).SerializeToString())
            return
        for batch in _batches(writes, size):
            records = [shim.WriteRecord(type=kind, **fields) for kind, fields in batch]
            request = shim.WriteBatchState(rec=records).SerializeToString()
            await self._exchange.ask("WRITE_BATCH_STATE", request)

    async def _range(self, start: str, end: str, collection: str) -> AsyncIterator[tuple[str, bytes]]:
        query = shim.GetStateByRange(startKey=start, endKey=end, collection=collection)
        async for raw in self._results("GET_STATE_BY_RANGE", query.SerializeToString()):
            yield _pair(raw)

    async def _results(self, kind: str, request: bytes) -> AsyncIterator[bytes]:
        # A query that is left early is closed by the peer when the transaction ends.
        response = shim.QueryResponse.FromString(await self._exchange.ask(kind, request))
        while True:
            for result in response.results:
                yield result.resultBytes
            if not response.has_more:
                return
            following = shim.QueryStateNext(id=response.id).SerializeToString()
            response = shim.QueryResponse.FromString(await self._exchange.ask("QUERY_STATE_NEXT", following))


def _batches(
    writes: Sequence[tuple[str, dict[str, Any]]], size: int
) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The writes in order, in parts of at most ``size`` writes and about _BATCH_BYTES."""
    batch: list[tuple[str, dict[str, Any]]] = []
    room = _BATCH_BYTES
    for write in writes:
        room -= len(write[1].get("value", b""))
        if batch and (len(batch) == size or room < 0):
            yield batch
            batch, room = [], _BATCH_BYTES - len(write[1].get("value", b""))
        batch.append(write)
    if batch:
        yield batch


def _pair(raw: bytes) -> tuple[str, bytes]:
    item = results.KV.FromString(raw)
    return item.key, item.value


def _named(collection: str) -> str:
    if not collection:
        raise ValueError("a collection needs a name")  # without one the peer would use the public state
    return collection
