"""Asking peers: one for a query, one of each of enough organisations for an endorsement."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import grpc

from fl_client.errors import CandorError, Disagreement, Refused, Unavailable
from fl_client.ledger import verdict
from fl_client.ledger.base import majority
from fl_client.ledger.refusal import parse_refusal

from . import protos
from .breaker import Breaker
from .identity import endorsed_by
from .proposals import Proposal
from .transport import Peer

_log = logging.getLogger(__name__)
_TIMEOUT = 35.0  # a peer gives its chaincode 30 s
_PAUSES = (0.2, 0.4, 1.0)  # seconds; for peers a block apart, and connections to one that is just back
_SLOW = 3.0  # seconds after which a further peer is asked beside one that does not answer
_PATIENCE = 5.0  # seconds after which a call is not tried again
_DEFECT = (
    "internal error"  # chaincode.shim's message for an exception in a contract; other 500s are the peer's
)
_DENIED = "access denied"


class Endorsers:
    """The channel's peers; ``peers`` holds the own organisation's first.

    ``current`` says of a peer whether it has every block it should have: one that lags refuses
    what is allowed, and endorses what is out of date.
    """

    def __init__(
        self, peers: Sequence[Peer], current: Callable[[Peer], Awaitable[bool]], *, timeout: float = _TIMEOUT
    ) -> None:
        self._peers, self._current = list(peers), current
        self._timeout = timeout
        self._turn = itertools.count()
        self._breaker = Breaker()
        self.organisations = tuple(dict.fromkeys(peer.msp_id for peer in peers))

    def in_order(self) -> list[Peer]:
        """Every peer: the own organisation's first, those that failed lately last."""
        return self._breaker.order(self._peers)

    async def one(self, proposal: Proposal, what: str, *, at_any_height: bool = False) -> Any:
        """The first peer's ProposalResponse; the next is asked when one is unreachable, ill or slow.

        Where the own organisation's peers do not answer, another's may still not refuse for good on its own.
        ``at_any_height``: also of a peer that is not current.
        Raises: Refused, Unavailable.
        """
        waiting, errors, finals = self.in_order(), list[CandorError](), dict[str, Refused]()
        ask = self._ask if at_any_height else self._ask_if_current
        asked: dict[asyncio.Task[verdict.Outcome], Peer] = {}
        try:
            while waiting or asked:
                if waiting:
                    peer = waiting.pop(0)
                    asked[asyncio.create_task(ask(peer, proposal, _content))] = peer
                limit = _SLOW if waiting else None
                done, _ = await asyncio.wait(asked, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
                for peer, outcome in [(asked.pop(task), task.result()) for task in done]:
                    if isinstance(outcome, verdict.Answer):
                        return outcome.response
                    if isinstance(outcome, Refused) and outcome.code < 500:
                        if not outcome.final or peer.msp_id == self.organisations[0]:
                            raise outcome
                        finals[peer.msp_id] = outcome
                    errors.append(outcome)
        finally:
            _cancel(asked)
        if len(finals) >= majority(len(self.organisations)):
            raise next(iter(finals.values()))
        defects = [each for each in errors if isinstance(each, Refused) and each.code >= 500]
        raise next(iter(defects), None) or Unavailable(
            f"{what}: no peer answered ({'; '.join(map(str, errors))})"
        )

    async def most(
        self, proposal: Proposal, what: str, content: Callable[[Any], bytes] | None = None
    ) -> Sequence[Any]:
        """Equal ProposalResponses from more than half of the organisations, one each.

        ``content``: what of a response has to be equal; by default all that is endorsed.
        Raises: Refused, Disagreement, Unavailable.
        """
        began = time.monotonic()
        for pause in _PAUSES:
            try:
                return await self._round(proposal, what, content or _content)
            except (Disagreement, Unavailable):
                if time.monotonic() - began > _PATIENCE:
                    raise
            await asyncio.sleep(pause)
        return await self._round(proposal, what, content or _content)

    async def _round(self, proposal: Proposal, what: str, content: Callable[[Any], bytes]) -> Sequence[Any]:
        """Ask as many organisations as could be enough, and a further one for each that does not help."""
        waiting, total = self._order_of_organisations(), len(self.organisations)
        outcomes: list[verdict.Outcome] = []
        asked: set[asyncio.Task[verdict.Outcome]] = set()
        more = majority(total)
        try:
            while asked or more:
                now, waiting = waiting[:more], waiting[more:]
                asked |= {asyncio.create_task(self._organisation(each, proposal, content)) for each in now}
                done, asked = await asyncio.wait(asked, timeout=_SLOW, return_when=asyncio.FIRST_COMPLETED)
                outcomes += [task.result() for task in done]
                if answers := verdict.agreed(outcomes, total):
                    return [each.response for each in answers]
                needed = verdict.still_needed(outcomes, total)
                if not needed:
                    break
                more = min(len(waiting), max(0, needed - len(asked)) if done else 1)
            raise verdict.failure(outcomes, total, what)
        finally:
            _cancel(asked)

    def _order_of_organisations(self) -> list[str]:
        own, *others = self.organisations
        turn = next(self._turn) % len(others) if others else 0
        ready = {peer.msp_id for peer in self._peers if not self._breaker.is_open(peer)}
        return sorted([own, *others[turn:], *others[:turn]], key=lambda each: each not in ready)

    async def _organisation(
        self, organisation: str, proposal: Proposal, content: Callable[[Any], bytes]
    ) -> verdict.Outcome:
        """The organisation's answer, from its first peer that is well."""
        outcome: verdict.Outcome = Unavailable(f"{organisation} has no peer")
        for peer in self._breaker.order(each for each in self._peers if each.msp_id == organisation):
            outcome = await self._ask_if_current(peer, proposal, content)
            if not isinstance(outcome, Unavailable) and not _is_defect(outcome):
                break
        return outcome

    async def _ask_if_current(
        self, peer: Peer, proposal: Proposal, content: Callable[[Any], bytes]
    ) -> verdict.Outcome:
        if not await self._current(peer):
            self._breaker.failed(peer)
            return Unavailable(f"{peer.name} does not have the newest block")
        return await self._ask(peer, proposal, content)

    async def _ask(self, peer: Peer, proposal: Proposal, content: Callable[[Any], bytes]) -> verdict.Outcome:
        began = time.monotonic()
        try:
            response = await peer.send_proposal(proposal.signed, self._timeout)
        except grpc.RpcError as error:
            self._breaker.failed(peer)
            return Unavailable(f"{peer.name}: {_reason(error)}")
        except asyncio.CancelledError:  # others were faster, perhaps since this one hangs
            if time.monotonic() - began > _SLOW:
                self._breaker.failed(peer)
            raise
        self._breaker.worked(peer)
        status, message = response.response.status, response.response.message
        if 400 <= status < 500 or message == _DEFECT:
            return parse_refusal(status, message)
        if _DENIED in message:  # the peer does not know the identity, or not any more
            return Refused(403, message)
        if not 200 <= status < 400:
            return Unavailable(f"{peer.name}: {status} {message}")
        if not endorsed_by(response.endorsement, response.payload, peer.msp_id):
            _log.warning("peer %s sent an endorsement that is not signed by its organisation", peer.name)
            return Unavailable(f"{peer.name}: its endorsement is not validly signed")
        try:
            return verdict.Answer(peer.msp_id, content(response), response)
        except protos.DecodeError:
            return Unavailable(f"{peer.name}: what it endorsed is no chaincode's answer")


def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()


def _content(response: Any) -> bytes:
    payload: bytes = response.payload
    return payload


def _is_defect(outcome: verdict.Outcome) -> bool:
    return isinstance(outcome, Refused) and outcome.code >= 500


def _reason(error: grpc.RpcError) -> str:
    code = getattr(error, "code", lambda: None)()
    details = getattr(error, "details", lambda: "")() or ""
    return f"{getattr(code, 'name', 'RPC error')} {details}".strip()
