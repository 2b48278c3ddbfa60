"""The Ledger in process."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from chaincode.shim.memory import Endorsement
from fl_client.errors import CandorError, NotStored, ReadConflict, Refused, Unavailable
from fl_client.ledger import verdict
from fl_client.ledger.base import Event, Ledger, Receipt, encode_argument

from .identities import EmbeddedIdentity
from .network import Call, EmbeddedNetwork, outcomes
from .records import proposed

_log = logging.getLogger(__name__)
_NONCE_BYTES = 24


class EmbeddedLedger(Ledger):
    """One identity's access to an :class:`EmbeddedNetwork`."""

    def __init__(self, network: EmbeddedNetwork, identity: EmbeddedIdentity) -> None:
        self._network, self._identity, self._creator = network, identity, identity.creator
        self.msp_id, self.member_id = identity.msp_id, identity.member_id
        self.channel, self.chaincode = network.channel, network.chaincode
        self.organisations = network.organisations
        self._news = network.listen()

    async def submit(
        self, transaction: str, *args: Any, transient: Mapping[str, bytes] | None = None
    ) -> Receipt:
        call = self._call(transaction, args, transient)
        answers = await self._agreed(transaction, call, Endorsement.to_bytes)
        endorsers = [each.organisation for each in answers]
        block, record = await self._network.order(call, endorsers, answers[0].response)
        if record.code != "VALID":
            raise ReadConflict(f"{transaction} ({call.tx_id}) read what another transaction wrote")
        return Receipt(call.tx_id, block, record.payload)

    async def evaluate(self, transaction: str, *args: Any) -> bytes:
        call, errors = self._call(transaction, args), list[CandorError]()
        for organisation in sorted(self.organisations, key=lambda each: each != self.msp_id):
            (outcome,) = outcomes(await self._network.ask(call, [organisation]), _result)
            if isinstance(outcome, verdict.Answer):
                return outcome.content
            if isinstance(outcome, Refused) and outcome.code < 500:
                raise outcome
            errors.append(outcome)
        defect = next((each for each in errors if isinstance(each, Refused)), None)
        raise defect or Unavailable(f"{transaction}: no organisation answered")

    async def agree(self, transaction: str, *args: Any) -> bytes:
        return (await self._agreed(transaction, self._call(transaction, args), _result))[0].content

    async def changed(self, timeout: float) -> bool:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):  # wait_for may swallow a cancellation (before 3.12)
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True

    def events(self, start: int | None = None) -> AsyncIterator[Event]:
        return self._events(len(self._network.blocks) if start is None else start)

    async def height(self) -> int:
        return len(self._network.blocks)

    async def block(self, number: int) -> bytes:
        """The block's BlockRecord as MessagePack."""
        if not 0 <= number < len(self._network.blocks):
            raise NotStored(f"there is no block {number} yet")
        return self._network.blocks[number].to_bytes()

    async def _agreed(
        self, transaction: str, call: Call, content: Callable[[Endorsement], bytes]
    ) -> Sequence[verdict.Answer]:
        total = len(self.organisations)
        weighed = outcomes(await self._network.ask(call, self.organisations), content)
        answers = verdict.agreed(weighed, total)
        if not answers:
            raise verdict.failure(weighed, total, transaction)
        if len(answers) < total:
            agreeing = ", ".join(each.organisation for each in answers)
            _log.warning("%s: only %s agree", transaction, agreeing)
        return answers

    async def _events(self, start: int) -> AsyncIterator[Event]:
        news, following = self._network.listen(), start
        while True:
            for block in self._network.blocks[following:]:
                following = block.number + 1
                for each in block.transactions:
                    if each.code == "VALID" and each.event is not None:
                        yield Event(block.number, each.tx_id, *each.event)
            if following >= len(self._network.blocks):
                await news.wait()
            news.clear()

    def _call(
        self, transaction: str, args: Sequence[Any], transient: Mapping[str, bytes] | None = None
    ) -> Call:
        """A new proposal; its id is Fabric's, SHA-256 of nonce and creator."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        tx_id = hashlib.sha256(nonce + self._creator).hexdigest()
        encoded = (transaction.encode(), *map(encode_argument, args))
        signature = self._identity.sign(proposed(self.channel, self.chaincode, tx_id, encoded))
        return Call(tx_id, nonce, self._creator, encoded, dict(transient or {}), signature)


def _result(endorsement: Endorsement) -> bytes:
    return endorsement.payload
