"""Peers and orderers that leave things out, fall silent or are in trouble, before a client without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fabric_protos.peer import events_pb2
from test_fabric_client import IDENTITIES, ORGANISATIONS, FakePeer, files

from fl_client.errors import BadInput, Refused, Unavailable
from fl_client.ledger.fabric import deliver, protos
from fl_client.ledger.fabric.endorsing import Endorsers
from fl_client.ledger.fabric.identity import endorsed_by, signing_user
from fl_client.ledger.fabric.ordering import Orderers

PATIENCE = 10.0  # seconds until a test gives up


# Blocks


class Stream:
    """What a peer sends: numbers are blocks, text is the status with which it ends, None silence for ever."""

    def __init__(self, sent: Sequence[int | str | None]) -> None:
        self._sent = sent

    async def __aiter__(self) -> AsyncIterator[Any]:
        for each in self._sent:
            if each is None:
                await asyncio.Event().wait()
            elif isinstance(each, int):
                yield events_pb2.DeliverResponse(filtered_block=events_pb2.FilteredBlock(number=each))
            else:
                yield events_pb2.DeliverResponse(status=each)

    def cancel(self) -> None:
        pass


class Deliverer:
    """A peer that sends this, whatever block it is asked to begin with; then its stream ends."""

    _client_cert_path = None

    def __init__(self, name: str, *sent: int | str | None, msp_id: str = "Org1MSP") -> None:
        self.name, self._sent, self.msp_id = name, sent, msp_id

    def delivery(self, envelope: Any, scheduler: Any = None, filtered: bool = True) -> Stream:
        return Stream(self._sent)


async def followed(tmp_path: Path, count: int, *peers: Any) -> list[int]:
    """The numbers of the first blocks from 5 on."""
    user = signing_user("Org1MSP", *files(tmp_path, IDENTITIES.issue("Org1MSP", "User1")))
    follower = deliver.Follower(lambda: peers, "candor", user)
    found: list[int] = []
    async with asyncio.timeout(PATIENCE):
        async for block in follower.blocks(5, filtered=True):
            found.append(block.number)
            if len(found) == count:
                return found
    raise AssertionError("the stream of blocks has an end")


@pytest.mark.parametrize(
    "broken",
    [
        [5, 7, None],  # one is left out, and nothing else would show it
        [5, "NOT_FOUND", 6],
        [5],  # and the stream ends
        [],
    ],
)
def test_no_block_is_left_out_or_comes_twice_whichever_peer_sends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: list[int | str | None]
) -> None:
    monkeypatch.setattr(deliver, "_SHORTEST", 0.001)
    peers = Deliverer("broken", *broken), Deliverer("sound", 4, 5, 5, 6, 7, 8)
    assert asyncio.run(followed(tmp_path, 4, *peers)) == [5, 6, 7, 8]


# Endorsements


class Troubled(FakePeer):
    """Answers with this status and message, without an endorsement."""

    def __init__(self, msp_id: str, status: int, message: str) -> None:
        super().__init__(msp_id)
        self.response = protos.responses.Response(status=status, message=message)
        self.asked = 0

    async def send_proposal(self, proposal: Any, seconds: float) -> Any:
        self.asked += 1
        return protos.responses.ProposalResponse(response=self.response)


def endorsers(*peers: Any) -> Endorsers:
    async def current(peer: Any) -> bool:
        return True

    return Endorsers(peers, current)


def one(*peers: Any) -> bytes:
    proposal: Any = SimpleNamespace(signed=None)
    return bytes(asyncio.run(endorsers(*peers).one(proposal, "X:y")).payload)


TROUBLE = "make sure the chaincode candor has been successfully defined on channel candor"


def test_a_peer_in_trouble_speaks_for_nobody_and_the_next_is_asked() -> None:
    assert one(Troubled("Org1MSP", 500, TROUBLE), FakePeer("Org2MSP")) == b"same"
    assert one(Troubled("Org1MSP", 500, "internal error"), FakePeer("Org2MSP")) == b"same"
    with pytest.raises(Unavailable, match="successfully defined"):
        one(Troubled("Org1MSP", 500, TROUBLE))


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [(404, "there is no job", 404), (500, "access denied: channel [candor] creator org [Org9MSP]", 403)],
)
def test_a_refusal_is_final_for_a_query_and_no_other_peer_is_asked(
    status: int, message: str, code: int
) -> None:
    unasked = Troubled("Org2MSP", 404, "")
    with pytest.raises(Refused) as refused:
        one(Troubled("Org1MSP", status, message), unasked)
    assert (refused.value.code, unasked.asked) == (code, 0)


def test_a_chaincodes_defect_is_that_and_not_a_silent_network() -> None:
    proposal: Any = SimpleNamespace(signed=None)
    peers = [Troubled(each, 500, "internal error") for each in ORGANISATIONS]
    with pytest.raises(Refused) as refused:
        asyncio.run(endorsers(*peers).most(proposal, "X:y"))
    assert refused.value.code == 500


def with_rsa_key(msp_id: str) -> bytes:
    """A creator whose certificate has another kind of key."""
    key = rsa.generate_private_key(65537, 2048)
    own = x509.load_pem_x509_certificate(IDENTITIES.issue(msp_id, "peer0", "peer").certificate)
    builder = x509.CertificateBuilder().subject_name(own.subject).issuer_name(own.issuer)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(own.not_valid_before_utc).not_valid_after(own.not_valid_after_utc)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    return bytes(protos.identities.SerializedIdentity(mspid=msp_id, id_bytes=pem).SerializeToString())


def test_no_endorser_is_taken_for_another_nor_makes_a_client_fail() -> None:
    peer = IDENTITIES.issue("Org1MSP", "peer0", "peer")
    signature = peer.private_key.sign(b"payload" + peer.creator, ec.ECDSA(hashes.SHA256()))

    def counts(endorser: bytes, msp_id: str = "Org1MSP", payload: bytes = b"payload") -> bool:
        return endorsed_by(
            protos.responses.Endorsement(endorser=endorser, signature=signature), payload, msp_id
        )

    assert counts(peer.creator)
    assert not counts(peer.creator, payload=b"another")
    assert not counts(peer.creator, msp_id="Org2MSP")
    assert not counts(IDENTITIES.issue("Org1MSP", "peer1", "peer").creator)
    assert not counts(with_rsa_key("Org1MSP"))
    assert not counts(
        protos.identities.SerializedIdentity(mspid="Org1MSP", id_bytes=b"no PEM").SerializeToString()
    )


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)]
)
def test_a_key_that_fabric_would_not_take_is_refused_before_anything_is_signed(
    tmp_path: Path, key: Any
) -> None:
    path, certificate = files(tmp_path, IDENTITIES.issue("Org1MSP", "User1"))
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(BadInput, match="not an EC key on P-256"):
        signing_user("Org1MSP", path, certificate)


# Ordering


class FakeOrderer:
    """Answers with this status; None: nothing at all."""

    def __init__(self, name: str, status: int | None) -> None:
        self.name, self._status, self.asked = name, status, 0

    async def broadcast(self, envelope: Any, seconds: float) -> Any:
        self.asked += 1
        return None if self._status is None else SimpleNamespace(status=self._status, info="as it says")


def hand_over(*statuses: int | None) -> list[int]:
    """How often each orderer was asked."""
    nodes: list[Any] = [FakeOrderer(f"orderer{i}", status) for i, status in enumerate(statuses)]
    asyncio.run(Orderers(nodes).broadcast(b"envelope", 0))
    return [each.asked for each in nodes]


def test_one_orderer_that_takes_a_transaction_is_enough() -> None:
    assert hand_over(200, 200) == [1, 0]
    assert hand_over(503, None, 400, 200) == [1, 1, 1, 1]


def test_of_an_orderer_that_passes_nothing_on_every_transaction_gets_away_at_its_second_try() -> None:
    """Three transactions at once, and as many orderers: whoever went on from the last one asked would go in circles."""

    async def check() -> None:
        nodes: list[Any] = [FakeOrderer(f"orderer{i}", 200) for i in range(3)]
        orderers = Orderers(nodes)
        for turn in [orderers.turn() for _ in range(3)]:
            before = [node.asked for node in nodes]
            for again in range(2):
                await orderers.broadcast(b"envelope", turn + again)
            assert sum(node.asked > was for node, was in zip(nodes, before, strict=True)) == 2

    asyncio.run(check())


def test_a_transaction_is_refused_when_every_orderer_calls_it_hopeless_and_else_tried_again() -> None:
    with pytest.raises(Refused, match="as it says") as refused:
        hand_over(403, 400)
    assert refused.value.code == 403
    with pytest.raises(Refused) as too_large:
        hand_over(413)
    assert too_large.value.code == 400
    with pytest.raises(Unavailable, match="no answer"):
        hand_over(403, None)
    with pytest.raises(Unavailable, match="orderer0: 503 as it says"):
        hand_over(503)
