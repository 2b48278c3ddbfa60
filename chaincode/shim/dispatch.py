"""From a call to its contract's method, and from whatever happens there to a response."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn, cast

import msgspec

from chaincode.shim.arguments import decode_arguments
from chaincode.shim.contract import Contract, Transaction, name_of, transactions_of
from chaincode.shim.deadlines import Deadlines
from chaincode.shim.errors import Defect, Invalid, NotFound, PeerError, Refusal
from chaincode.shim.metadata import Metadata
from chaincode.shim.report import where
from chaincode.shim.stub import Response, Stub

logger = logging.getLogger("chaincode.shim")

DEADLINE = 25.0  # seconds; below the peer's own 30, so that a call ends with an answer
RESTART_PAUSE = 1.0  # seconds before a background task that crashed is started again

Background = Callable[[], Awaitable[None]]


class Chaincode:
    """Contracts served together.

    ``background`` are async callables that run while the chaincode is served (or inside
    ``async with chaincode.running()``); ``deadline`` is a call's limit in seconds.
    """

    def __init__(
        self,
        contracts: Sequence[Contract],
        *,
        background: Sequence[Background] = (),
        deadline: float = DEADLINE,
        title: str = "",
        version: str = "",
    ) -> None:
        self.contracts = {name_of(contract): transactions_of(contract) for contract in contracts}
        if len(self.contracts) != len(contracts):
            raise TypeError("two contracts have the same name")
        metadata = Metadata(self.contracts, title=title, version=version)
        self._transactions = {
            f"{name}:{transaction.name}": transaction
            for name, transactions in (self.contracts | {Metadata.name: transactions_of(metadata)}).items()
            for transaction in transactions.values()
        }
        self._default = next(iter(self.contracts)) if len(self.contracts) == 1 else ""
        self._background = tuple(background)
        self._deadlines = Deadlines(deadline)

    async def invoke(self, stub: Stub) -> Response:
        """Run the call that ``stub.args`` names; every outcome is a response, but cancellation."""
        try:
            return await self._in_time(stub)
        except Refusal as refusal:
            return Response(refusal.code, refusal.to_json())
        except PeerError as error:
            return Response(500, f"peer: {error}")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            return self._defect(stub, error)
        except asyncio.CancelledError as error:
            if _cancelled():
                raise
            return self._defect(stub, error)  # the contract met a cancelled future of its own

    def label(self, args: Sequence[bytes]) -> str:
        """The transaction's name for logs and metrics: never what a caller made up."""
        try:
            name, _ = self._find(args)
        except Refusal:
            return "unknown"
        return name

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Chaincode]:
        """Run the background callables until the block ends."""
        tasks = [asyncio.create_task(_supervise(task)) for task in self._background]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _in_time(self, stub: Stub) -> Response:
        with self._deadlines.limit() as limit:
            try:
                async with limit:
                    return Response(200, payload=await self._run(stub))
            except TimeoutError:
                if not limit.expired():
                    raise
                return Response(500, f"deadline: no result within {self._deadlines.seconds:g} s")

    async def _run(self, stub: Stub) -> bytes:
        _, transaction = self._find(stub.args)
        transaction.check_transient(stub.transient)
        arguments = decode_arguments(transaction.parameters, stub.args[1:])
        view = cast(Stub, ReadOnly(stub)) if transaction.reads_only else stub
        result = encode_result(await transaction.call(view, *arguments))
        await stub.flush()
        return result

    def _find(self, args: Sequence[bytes]) -> tuple[str, Transaction]:
        if not args:
            raise Invalid("the call names no transaction")
        try:
            name = args[0].decode()
        except UnicodeDecodeError:
            raise Invalid("the transaction's name is not valid UTF-8") from None
        if self._default and ":" not in name:
            name = f"{self._default}:{name}"
        if name not in self._transactions:
            raise NotFound("no such transaction", transaction=name[:100])
        return name, self._transactions[name]

    def _defect(self, stub: Stub, error: BaseException) -> Response:
        # The message of an exception may quote an argument, so the log has its type and place alone.
        logger.error(
            "%s %s %s: %s",
            stub.channel,
            stub.tx_id[:8],
            self.label(stub.args),
            where(error),
        )
        return Response(500, "internal error")


def encode_result(result: Any) -> bytes:
    """None as nothing, bytes as they are, everything else as canonical JSON."""
    if result is None:
        return b""
    if isinstance(result, bytes):
        return result
    return msgspec.json.encode(result, order="sorted")


class ReadOnly:
    """A stub whose writes are defects."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stub, name)

    def _write(self, *_: Any) -> NoReturn:
        raise Defect("a query must not write")

    put = delete = set_event = _write
    put_private = delete_private = purge_private = set_validation_parameter = _write


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _supervise(background: Background) -> None:
    while True:
        try:
            return await background()
        except Exception as error:  # noqa: BLE001 - it is logged and the task goes on
            logger.error("background task: %s", where(error))
        await asyncio.sleep(RESTART_PAUSE)
