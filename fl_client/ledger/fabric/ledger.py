"""The Ledger on Fabric."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import grpc

from fl_client.connection import Connection
from fl_client.errors import (
    CommitRejected,
    CommitTimeout,
    NotStored,
    ReadConflict,
    Refused,
    Unavailable,
)
from fl_client.ledger.base import Event, Ledger, Receipt, majority

from . import blocks, protos
from .commits import Commits
from .deliver import Follower
from .endorsing import Endorsers
from .identity import member_id, signing_user
from .ordering import Orderers
from .proposals import Proposal, propose, signed_result
from .transport import Orderer, Peer

_COMMIT_TIMEOUT = 45.0
_RESEND, _ASK = 3.0, 0.5
_STATUS_TIMEOUT = 5.0
_HEIGHT_TIMEOUT = 2.0
_CATCH_UP, _POLL = 2.0, 0.03
_DRAIN = 0.05  # grpc.aio tells the ends of cancelled calls a moment later, and not to a closed loop


class FabricLedger(Ledger):
    """One identity's access to the channel that ``connection`` describes.

    ``commit_timeout`` (seconds, at least 30: a change of the Raft leader has to fit in) is how long
    a transaction may take from the ordering service into a block.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        key: Path,
        certificate: Path,
        commit_timeout: float = _COMMIT_TIMEOUT,
    ) -> None:
        self._connection, self._commit_timeout = connection, commit_timeout
        self._user = signing_user(connection.organisation, key, certificate)
        self.msp_id, self.member_id = connection.organisation, member_id(self._user)
        self.channel, self.chaincode = connection.channel, connection.chaincode
        self.organisations = connection.organisations
        self._nodes: list[Peer | Orderer] = []
        self._heights: dict[Peer, int] = {}  # at least
        self._seen = 0  # the height after the newest transaction of this client

    async def __aenter__(self) -> Self:
        """Connect, and begin to follow the chain: before anything is submitted.

        Raises: BadInput for unusable certificates, Unavailable when no peer answers.
        """
        own = self.msp_id
        ordered = sorted(self._connection.peers, key=lambda each: each.msp_id != own)
        peers = [Peer(each) for each in ordered]
        orderers = [Orderer(each) for each in self._connection.orderers]
        self._nodes = [*peers, *orderers]
        self._peers, self._orderers = peers, Orderers(orderers)
        self._endorsers = Endorsers(peers, self._is_current)
        self._follower = Follower(self._endorsers.in_order, self.channel, self._user, self._sure_height)
        try:
            stream = functools.partial(self._follower.blocks, filtered=True)
            self._commits = Commits(stream, await self.height(), lambda: self._follower.at_home)
        except BaseException:
            await self._disconnect()
            raise
        return self

    async def close(self) -> None:
        if self._nodes:
            await self._commits.close()
            await self._disconnect()

    async def submit(
        self, transaction: str, *args: Any, transient: Mapping[str, bytes] | None = None
    ) -> Receipt:
        proposal = self._propose(transaction, args, transient)
        endorsements = await self._endorsers.most(proposal, transaction)
        outcome = await self._commit(proposal.tx_id, proposal.envelope(endorsements))
        self._seen = max(self._seen, outcome.block + 1)
        if outcome.code in blocks.READ_CONFLICTS:
            raise ReadConflict(f"{transaction} ({proposal.tx_id}) read what another transaction wrote")
        if outcome.code != blocks.VALID:
            raise CommitRejected(proposal.tx_id, outcome.name)
        return Receipt(proposal.tx_id, outcome.block, signed_result(endorsements[0]))

    async def evaluate(self, transaction: str, *args: Any) -> bytes:
        proposal = self._propose(transaction, args)
        return bytes((await self._endorsers.one(proposal, transaction)).response.payload)

    async def agree(self, transaction: str, *args: Any) -> bytes:
        proposal = self._propose(transaction, args)
        return signed_result((await self._endorsers.most(proposal, transaction, signed_result))[0])

    async def changed(self, timeout: float) -> bool:  # noqa: ASYNC109
        return await self._commits.changed(timeout)

    def events(self, start: int | None = None) -> AsyncIterator[Event]:
        return self._events(self._commits.following if start is None else start)

    async def height(self) -> int:
        raw = await self._system("GetChainInfo", self.channel)
        return int(protos.ledgers.BlockchainInfo.FromString(raw).height)

    async def block(self, number: int) -> bytes:
        """The serialised common.Block."""
        try:
            return await self._system("GetBlockByNumber", self.channel, str(number))
        except Unavailable as error:
            if 0 <= number < await self.height():
                raise
            raise NotStored(f"there is no block {number} yet") from error

    async def _commit(self, tx_id: str, envelope: Any) -> blocks.Outcome:
        """Send the envelope until it is in a block.

        Raises: Refused when the ordering service refuses it for good, CommitTimeout.
        """
        future = self._commits.expect(tx_id)
        sending = asyncio.create_task(self._send_until_cancelled(tx_id, envelope, future))
        try:
            either: set[asyncio.Future[Any]] = {future, sending}
            await asyncio.wait(either, timeout=self._commit_timeout, return_when=asyncio.FIRST_COMPLETED)
            if future.done():
                return future.result()
            if sending.done():
                sending.result()  # raises: without an outcome it ends by an error alone
            outcome = await self._outcome(tx_id)
            if outcome is None:
                raise CommitTimeout(tx_id)
            return outcome
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            self._commits.forget(tx_id)

    async def _send_until_cancelled(
        self, tx_id: str, envelope: Any, future: asyncio.Future[blocks.Outcome]
    ) -> None:
        """The SAME envelope again and again: one accepted by a Raft leader that dies is lost.

        It cannot commit twice, since a second copy is marked DUPLICATE_TXID. From the second
        time on, peers are asked too: the one whose blocks are followed may hang. Where that is
        another organisation's, they are asked all the time. Each time another orderer comes first:
        one may take everything and pass on nothing.
        """
        for turn in itertools.count(self._orderers.turn()):
            again = time.monotonic() + _RESEND
            with contextlib.suppress(Unavailable):
                await self._orderers.broadcast(envelope, turn)
            while True:
                left = max(0.0, again - time.monotonic())
                await asyncio.sleep(left if self._follower.at_home else min(left, _ASK))
                outcome = await self._outcome(tx_id)
                if outcome is not None and not future.done():
                    future.set_result(outcome)
                if future.done():
                    return
                if time.monotonic() >= again:
                    break

    async def _outcome(self, tx_id: str) -> blocks.Outcome | None:
        """What the own organisation's ledger says about the transaction, or most organisations'; else None.

        (GetBlockByTxID: like GetTransactionByID, with the block's number.)
        """
        proposal = propose(self._user, self.channel, "qscc", "GetBlockByTxID", [self.channel, tx_id])

        async def ask(peer: Peer) -> tuple[str, blocks.Outcome | None]:
            with contextlib.suppress(Exception):  # unreachable, or does not know it: the same here
                response = await peer.send_proposal(proposal.signed, _STATUS_TIMEOUT)
                if response.response.status == 200:
                    block = protos.common.Block.FromString(response.response.payload)
                    return peer.msp_id, blocks.outcome_in(block, tx_id)
            return peer.msp_id, None

        asked = [asyncio.create_task(ask(peer)) for peer in self._peers]
        said: dict[blocks.Outcome, set[str]] = {}
        try:
            for answer in asyncio.as_completed(asked):
                organisation, outcome = await answer
                if outcome is None:
                    continue
                who = said.setdefault(outcome, set())
                who.add(organisation)
                if organisation == self.msp_id or len(who) >= majority(len(self.organisations)):
                    return outcome
            return None
        finally:
            for task in asked:
                task.cancel()

    async def _events(self, start: int) -> AsyncIterator[Event]:
        async with contextlib.aclosing(self._new_follower().blocks(start, filtered=False)) as stream:
            async for block in stream:
                for event in blocks.events(block, self.chaincode):
                    yield event

    def _new_follower(self) -> Follower:
        return Follower(self._endorsers.in_order, self.channel, self._user)

    async def _is_current(self, peer: Peer) -> bool:
        """Whether the peer has all the blocks that this client knows of; waits a little for it.

        So one's own writes are read and endorsed upon, whichever peer is asked.
        """
        if peer is self._follower.peer:
            self._heights[peer] = self._commits.following
        seen = max(self._seen, self._commits.following)
        end = time.monotonic() + _CATCH_UP
        while self._heights.get(peer, 0) < seen:
            if (height := await self._height_of(peer)) < 0 or time.monotonic() > end:
                return False
            self._heights[peer] = height
            if height < seen:
                await asyncio.sleep(_POLL)
        return True

    async def _sure_height(self) -> int:
        """How many blocks peers of more than half of the organisations have."""
        heights = await asyncio.gather(*map(self._height_of, self._peers))
        found = dict.fromkeys(self.organisations, 0)
        for peer, height in zip(self._peers, heights, strict=True):
            found[peer.msp_id] = max(found[peer.msp_id], height)
        return sorted(found.values(), reverse=True)[majority(len(found)) - 1]

    async def _height_of(self, peer: Peer) -> int:
        """The peer's height; -1 when it does not tell."""
        proposal = propose(self._user, self.channel, "qscc", "GetChainInfo", [self.channel])
        with contextlib.suppress(grpc.RpcError, protos.DecodeError):
            response = await peer.send_proposal(proposal.signed, _HEIGHT_TIMEOUT)
            return int(protos.ledgers.BlockchainInfo.FromString(response.response.payload).height)
        return -1

    def _propose(
        self, function: str, args: Sequence[Any], transient: Mapping[str, bytes] | None = None
    ) -> Proposal:
        return propose(self._user, self.channel, self.chaincode, function, args, transient)

    async def _system(self, function: str, *args: str) -> bytes:
        """A query of the peer's own chaincode about its ledger."""
        proposal = propose(self._user, self.channel, "qscc", function, args)
        try:
            response = await self._endorsers.one(proposal, f"qscc {function}", at_any_height=True)
        except Refused as error:  # qscc knows no refusals, only peers in trouble
            raise Unavailable(f"qscc {function}: {error.message}") from error
        return bytes(response.response.payload)

    async def _disconnect(self) -> None:
        nodes, self._nodes = self._nodes, []
        await asyncio.gather(*(node.close() for node in nodes), return_exceptions=True)
        await asyncio.sleep(_DRAIN)
