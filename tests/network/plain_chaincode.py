"""A key-value chaincode server without any of Candor: the network serves whatever speaks the protocol.

Run as ``python -m plain_chaincode FACTORY --address …`` with the options of chaincode.shim.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
from fabric_protos.peer import chaincode_pb2, chaincode_shim_pb2, proposal_response_pb2

Message = chaincode_shim_pb2.ChaincodeMessage
SETTINGS = json.loads(Path(os.environ["CANDOR_CHAINCODE_SETTINGS"]).read_text())
Pending = dict[tuple[str, str], "asyncio.Future[Message]"]


class Connection:
    """One peer's stream: registers, and answers ``put KEY VALUE``, ``get KEY`` and ``settings``."""

    def __init__(self, package: str) -> None:
        self._outgoing: asyncio.Queue[Message | None] = asyncio.Queue()
        self._pending: Pending = {}
        name = chaincode_pb2.ChaincodeID(name=package).SerializeToString()
        self._outgoing.put_nowait(Message(type=Message.REGISTER, payload=name))

    async def serve(self, incoming: AsyncIterator[Message]) -> AsyncIterator[Message]:
        reader = asyncio.create_task(self._read(incoming))
        while (message := await self._outgoing.get()) is not None:
            yield message
        await reader

    async def _read(self, incoming: AsyncIterator[Message]) -> None:
        tasks = set()
        async for message in incoming:
            if message.type in (Message.RESPONSE, Message.ERROR):
                self._pending.pop((message.channel_id, message.txid)).set_result(message)
            elif message.type == Message.TRANSACTION:
                tasks.add(asyncio.create_task(self._transaction(message)))
        self._outgoing.put_nowait(None)

    async def _transaction(self, message: Message) -> None:
        words = [arg.decode() for arg in chaincode_pb2.ChaincodeInput.FromString(message.payload).args]
        try:
            response = proposal_response_pb2.Response(status=200, payload=await self._do(message, words))
        except (LookupError, ValueError) as error:
            response = proposal_response_pb2.Response(status=404, message=str(error))
        self._send(message, Message.COMPLETED, response.SerializeToString())

    async def _do(self, message: Message, words: list[str]) -> bytes:
        if words[0] == "put":
            value = chaincode_shim_pb2.PutState(key=words[1], value=words[2].encode())
            return await self._call(message, Message.PUT_STATE, value.SerializeToString())
        if words[0] == "get":
            key = chaincode_shim_pb2.GetState(key=words[1])
            return await self._call(message, Message.GET_STATE, key.SerializeToString())
        if words[0] == "settings":
            return SETTINGS["msp_id"].encode()
        raise LookupError(f"there is no function {words[0]}")

    async def _call(self, message: Message, kind: int, payload: bytes) -> bytes:
        answer = asyncio.get_running_loop().create_future()
        self._pending[message.channel_id, message.txid] = answer
        self._send(message, kind, payload)
        return (await answer).payload

    def _send(self, message: Message, kind: int, payload: bytes) -> None:
        own = Message(type=kind, payload=payload, txid=message.txid, channel_id=message.channel_id)
        self._outgoing.put_nowait(own)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("factory")
    for name in ("address", "package-id", "tls-key", "tls-cert", "tls-client-ca", "health"):
        parser.add_argument(f"--{name}", required=True)
    return parser.parse_args()


def credentials(chosen: argparse.Namespace) -> grpc.ServerCredentials:
    pair = (Path(chosen.tls_key).read_bytes(), Path(chosen.tls_cert).read_bytes())
    return grpc.ssl_server_credentials([pair], Path(chosen.tls_client_ca).read_bytes(), True)


async def main() -> None:
    chosen = options()

    async def connect(incoming: AsyncIterator[Message], context: object) -> AsyncIterator[Message]:
        async for message in Connection(chosen.package_id).serve(incoming):
            yield message

    method = grpc.stream_stream_rpc_method_handler(connect, Message.FromString, Message.SerializeToString)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler = grpc.method_handlers_generic_handler("protos.Chaincode", {"Connect": method})
    server.add_generic_rpc_handlers((handler,))
    server.add_secure_port(chosen.address, credentials(chosen))
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
