"""One ordered chain in this process, with an endorser for each simulated organisation."""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import NamedTuple, Self

from chaincode.shim import Chaincode, Identity
from chaincode.shim.memory import Endorsement, MemoryStub, WorldState, endorse, validate
from fl_client.errors import Refused, Unavailable
from fl_client.ledger import verdict
from fl_client.ledger.refusal import parse_refusal

from .records import BlockRecord, TransactionRecord

_log = logging.getLogger(__name__)
_BATCH_SECONDS = 0.005


class Call(NamedTuple):
    """A proposal, as every endorser gets it."""

    tx_id: str
    nonce: bytes
    creator: bytes
    args: Sequence[bytes]
    transient: Mapping[str, bytes]
    signature: bytes


class _Ordered(NamedTuple):
    call: Call
    endorsers: Sequence[str]
    endorsement: Endorsement
    placed: asyncio.Future[tuple[int, TransactionRecord]]


class EmbeddedNetwork:
    """Runs ``chaincodes`` (one an MSP id) on one shared committed state.

    Transactions that come within ``batch`` seconds share a block, so concurrent ones can conflict
    as on Fabric. ``clock`` gives proposals their (untrusted) timestamps. Organisations in
    ``offline`` do not answer. As an async context manager it runs the chaincodes' background tasks.
    """

    def __init__(
        self,
        chaincodes: Mapping[str, Chaincode],
        channel: str = "candor",
        chaincode: str = "candor",
        *,
        batch: float = _BATCH_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.channel, self.chaincode = channel, chaincode
        self.organisations = tuple(sorted(chaincodes))
        self.offline: set[str] = set()
        self.state = WorldState()
        self.blocks: list[BlockRecord] = [BlockRecord(0, "", ())]
        self._chaincodes, self._batch, self._clock = dict(chaincodes), batch, clock
        self._queue: list[_Ordered] = []
        self._cutting: asyncio.Task[None] | None = None
        self._listeners: weakref.WeakSet[asyncio.Event] = weakref.WeakSet()
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for chaincode in self._chaincodes.values():
            await self._running.enter_async_context(chaincode.running())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._running.aclose()

    def listen(self) -> asyncio.Event:
        """An event that is set with every new block, for as long as somebody keeps it."""
        event = asyncio.Event()
        self._listeners.add(event)
        return event

    async def ask(self, call: Call, organisations: Sequence[str]) -> dict[str, Endorsement | Unavailable]:
        """The organisations' endorsements of ``call``, all on the state as it is now."""
        self._admit(call)
        asked = [(each, self._stub(call)) for each in organisations]
        answers = await asyncio.gather(*(self._endorse(each, stub) for each, stub in asked))
        return dict(zip(organisations, answers, strict=True))

    async def order(
        self, call: Call, endorsers: Sequence[str], endorsement: Endorsement
    ) -> tuple[int, TransactionRecord]:
        """Put the transaction into a block, valid or not; returns the block's number and the record."""
        placed: asyncio.Future[tuple[int, TransactionRecord]] = asyncio.get_running_loop().create_future()
        self._queue.append(_Ordered(call, endorsers, endorsement, placed))
        if self._cutting is None or self._cutting.done():
            self._cutting = asyncio.create_task(self._cut())
        return await asyncio.shield(placed)

    async def _endorse(self, organisation: str, stub: MemoryStub) -> Endorsement | Unavailable:
        if organisation in self.offline:
            return Unavailable(f"{organisation} is offline")
        return await endorse(self._chaincodes[organisation], stub)

    def _stub(self, call: Call) -> MemoryStub:
        return MemoryStub(
            self.state,
            channel=self.channel,
            tx_id=call.tx_id,
            chaincode=self.chaincode,
            args=call.args,
            transient=call.transient,
            creator=Identity.parse(call.creator),
            timestamp=int(self._clock()),
        )

    def _admit(self, call: Call) -> None:
        """As a peer does before it runs anything."""
        creator = Identity.parse(call.creator)
        if creator.msp_id not in self.organisations:
            raise Refused(403, f"access denied: {creator.msp_id} is not an organisation of the channel")
        if creator.not_after <= self._clock():
            raise Refused(403, "access denied: the creator's certificate has expired")

    async def _cut(self) -> None:
        await asyncio.sleep(self._batch)
        batch, self._queue = self._queue, []
        number = len(self.blocks)
        try:
            records = tuple(self._commit(each, (number, index)) for index, each in enumerate(batch))
        except Exception as error:  # a defect here must not leave anybody waiting
            for each in batch:
                each.placed.set_exception(error)
            return
        self.blocks.append(BlockRecord(number, self.blocks[-1].hash(), records))
        for each, record in zip(batch, records, strict=True):
            each.placed.set_result((number, record))
        for listener in self._listeners:
            listener.set()

    def _commit(self, ordered: _Ordered, version: tuple[int, int]) -> TransactionRecord:
        call, endorsement = ordered.call, ordered.endorsement
        code = validate(self.state, endorsement.read_write_set, version[0])
        if code == "VALID":
            writes = endorsement.read_write_set.writes
            self.state.apply(writes, version, call.tx_id, int(self._clock()))
        return TransactionRecord(
            tx_id=call.tx_id,
            nonce=call.nonce,
            creator=call.creator,
            args=tuple(call.args),
            signature=call.signature,
            endorsers=tuple(ordered.endorsers),
            read_write_set=endorsement.read_write_set.to_bytes(),
            payload=endorsement.payload,
            event=endorsement.event,
            code=code,
        )


def outcomes(
    answers: Mapping[str, Endorsement | Unavailable], content: Callable[[Endorsement], bytes]
) -> list[verdict.Outcome]:
    """Endorsements as :mod:`fl_client.ledger.verdict` weighs them, equal when ``content`` is."""
    return [_outcome(organisation, answer, content) for organisation, answer in answers.items()]


def _outcome(
    organisation: str, answer: Endorsement | Unavailable, content: Callable[[Endorsement], bytes]
) -> verdict.Outcome:
    if isinstance(answer, Unavailable):
        return answer
    if answer.status >= 400:
        return parse_refusal(answer.status, answer.message)
    return verdict.Answer(organisation, content(answer), answer)
