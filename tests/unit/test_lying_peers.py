"""What a peer of another organisation can send to a client whose own peer is away: garbage, lies, nothing at all."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fabric_protos.common import common_pb2
from fabric_protos.peer import events_pb2
from test_fabric_client import IDENTITIES, ORGANISATIONS, FakePeer, files
from test_fabric_nodes import PATIENCE, Deliverer, Stream, Troubled, endorsers, one

from fl_client.connection import Connection, IdentityFiles
from fl_client.errors import Refused, Unavailable
from fl_client.ledger.fabric import FabricLedger, blocks, deliver, protos
from fl_client.ledger.fabric.commits import Commits
from fl_client.ledger.fabric.identity import endorsed_by, signing_user
from fl_client.ledger.fabric.proposals import signed_result
from fl_client.ledger.refusal import parse_refusal


def certificate(old: bytes, new: bytes) -> bytes:
    """An endorser whose certificate has other bytes somewhere."""
    issued = x509.load_pem_x509_certificate(IDENTITIES.issue("Org2MSP", "peer0", "peer").certificate)
    der = issued.public_bytes(Encoding.DER)
    assert old in der
    text = base64.encodebytes(der.replace(old, new))
    pem = b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"
    return bytes(protos.identities.SerializedIdentity(mspid="Org2MSP", id_bytes=pem).SerializeToString())


P256 = bytes.fromhex("06082a8648ce3d030107")
ODD = {
    "no message": b"\xff\xff",
    "of a curve that there is not": certificate(P256, P256[:-1] + b"\x63"),
    "of version 8": certificate(bytes.fromhex("a003020102"), bytes.fromhex("a003020107")),
}


class Odd(FakePeer):
    """Endorses as this."""

    def __init__(self, msp_id: str, endorser: bytes) -> None:
        super().__init__(msp_id)
        self.endorser = endorser

    async def send_proposal(self, proposal: Any, seconds: float) -> Any:
        answer = await super().send_proposal(proposal, seconds)
        answer.endorsement.endorser = self.endorser
        return answer


def most(*peers: Any, content: Any = None) -> list[Any]:
    proposal: Any = SimpleNamespace(signed=None)
    return list(asyncio.run(endorsers(*peers).most(proposal, "X:y", content)))


@pytest.mark.parametrize("endorser", ODD.values(), ids=ODD)
def test_whatever_an_endorser_calls_itself_ends_no_client(endorser: bytes) -> None:
    endorsement = protos.responses.Endorsement(endorser=endorser, signature=b"signature")
    assert not endorsed_by(endorsement, b"payload", "Org2MSP")
    one_, three = FakePeer("Org1MSP"), FakePeer("Org3MSP")
    assert len(most(one_, Odd("Org2MSP", endorser), three)) == 2


def answered(result: bytes) -> bytes:
    action = protos.proposals.ChaincodeAction(response=protos.responses.Response(payload=result))
    inside = protos.responses.ProposalResponsePayload(extension=action.SerializeToString())
    return bytes(inside.SerializeToString())


def test_an_endorsed_answer_that_is_none_counts_as_no_answer() -> None:
    sound = answered(b"result")
    peers = FakePeer("Org1MSP", sound), FakePeer("Org2MSP", b"\xff"), FakePeer("Org3MSP", sound)
    assert [signed_result(each) for each in most(*peers, content=signed_result)] == [b"result"] * 2


def test_a_refusal_as_deep_as_a_well_is_a_refusal() -> None:
    deep = '{"code":400,"message":"x","details":{"a":' + "[" * 100_000 + "]" * 100_000 + "}}"
    assert parse_refusal(404, deep).code == 404


def test_where_the_own_peers_are_silent_one_other_organisation_refuses_nothing_for_good() -> None:
    own = Troubled("Org1MSP", 503, "away")
    liar = Troubled("Org2MSP", 403, "you are no member")
    assert one(own, liar, FakePeer("Org3MSP")) == b"same"
    with pytest.raises(Unavailable):
        one(own, liar, Troubled("Org3MSP", 503, "away"))
    with pytest.raises(Refused, match="no member"):
        one(own, liar, Troubled("Org3MSP", 403, "no member"))


# Blocks


class Garbled(Deliverer):
    """Sends this and falls silent."""

    def __init__(self, response: Any) -> None:
        super().__init__("garbled", msp_id="Org2MSP")
        self._response = response

    def delivery(self, envelope: Any, scheduler: Any = None, filtered: bool = True) -> Any:
        stream = Stream([])

        async def sent() -> AsyncIterator[Any]:
            yield self._response
            await asyncio.Event().wait()

        stream.__class__ = type("Sent", (Stream,), {"__aiter__": lambda _: sent()})
        return stream


async def followed(
    tmp_path: Path, count: int, *peers: Any, height: Any = None
) -> tuple[list[int], deliver.Follower]:
    user = signing_user("Org1MSP", *files(tmp_path, IDENTITIES.issue("Org1MSP", "User1")))
    follower = deliver.Follower(lambda: peers, "candor", user, height)
    found: list[int] = []
    async with asyncio.timeout(PATIENCE):
        async for block in follower.blocks(5, filtered=True):
            found.append(block.number)
            if len(found) == count:
                break
    return found, follower


@pytest.mark.parametrize(
    "response",
    [
        events_pb2.DeliverResponse(),
        events_pb2.DeliverResponse(block=common_pb2.Block()),
        events_pb2.DeliverResponse(status=12345),
    ],
)
def test_a_stream_that_sends_what_nobody_asked_for_is_left_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, response: Any
) -> None:
    monkeypatch.setattr(deliver, "_SHORTEST", 0.001)
    sound = Deliverer("sound", 5, 6, 7, msp_id="Org3MSP")
    assert asyncio.run(followed(tmp_path, 3, Garbled(response), sound))[0] == [5, 6, 7]


class Restarted(Deliverer):
    """Ends its first stream, and sends blocks when it is asked again."""

    def delivery(self, envelope: Any, scheduler: Any = None, filtered: bool = True) -> Any:
        sent, self._sent = self._sent[:1], self._sent[1:]
        return Stream(["SERVICE_UNAVAILABLE"] if sent == ("away",) else [*sent, None])


def test_another_organisations_peer_that_sends_nothing_does_not_keep_a_client_from_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "_SHORTEST", 0.001)
    monkeypatch.setattr(deliver, "_AWAY", 0.05)
    silent = Deliverer("silent", None, msp_id="Org2MSP")
    assert asyncio.run(followed(tmp_path, 1, Restarted("own", "away", 5), silent))[0] == [5]


def test_a_peer_that_counts_on_and_on_takes_nobody_beyond_what_most_organisations_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "_SHORTEST", 0.001)

    async def height() -> int:
        return 7

    liar = Deliverer("liar", *range(5, 100), msp_id="Org2MSP")
    own = Deliverer("own", 7, None)
    found, follower = asyncio.run(followed(tmp_path, 3, liar, own, height=height))
    assert found == [5, 6, 7]
    assert follower.at_home


def test_how_a_transaction_fared_is_not_believed_of_every_peer() -> None:
    async def check() -> None:
        home = asyncio.Event()
        filtered = events_pb2.FilteredTransaction(txid="mine", tx_validation_code=blocks.VALID)

        async def stream(start: int) -> AsyncIterator[Any]:
            for number in (start, start + 1):
                yield events_pb2.FilteredBlock(number=number, filtered_transactions=[filtered])
                await home.wait()
            await asyncio.Event().wait()

        commits = Commits(stream, 5, home.is_set)
        future = commits.expect("mine")
        assert await commits.changed(PATIENCE)
        assert not future.done()
        home.set()
        assert (await asyncio.wait_for(future, PATIENCE)).block == 6
        await commits.close()

    asyncio.run(check())


class Knowing:
    """A peer that says of every transaction that it is in this block, with this code."""

    def __init__(self, msp_id: str, block: int | None, code: int = 0) -> None:
        self.msp_id, self._block, self._code = msp_id, block, code

    async def send_proposal(self, proposal: Any, seconds: float) -> Any:
        if self._block is None:
            return protos.responses.ProposalResponse(response=protos.responses.Response(status=500))
        channel = protos.common.ChannelHeader(tx_id="mine").SerializeToString()
        payload = protos.common.Payload(header=protos.common.Header(channel_header=channel))
        envelope = protos.common.Envelope(payload=payload.SerializeToString())
        block = protos.common.Block(
            header=protos.common.BlockHeader(number=self._block),
            data=protos.common.BlockData(data=[envelope.SerializeToString()]),
            metadata=protos.common.BlockMetadata(metadata=[b"", b"", bytes([self._code])]),
        )
        response = protos.responses.Response(status=200, payload=block.SerializeToString())
        return protos.responses.ProposalResponse(response=response)


@pytest.mark.parametrize(
    ("own", "two", "three", "outcome"),
    [
        ((7, 0), (9, 11), None, (7, 0)),
        (None, (9, 0), None, None),  # one word against silence
        (None, (9, 0), (7, 0), None),
        (None, (7, 0), (7, 0), (7, 0)),
    ],
)
def test_that_a_transaction_is_in_a_block_the_own_peer_says_or_most_organisations(
    tmp_path: Path, own: Any, two: Any, three: Any, outcome: Any
) -> None:
    key, file = files(tmp_path, IDENTITIES.issue("Org1MSP", "User1"))
    nobody = IdentityFiles("Admin", key, file)
    connection = Connection(
        channel="candor", chaincode="candor", organisation="Org1MSP", peers=(), orderers=(), admin=nobody
    )
    ledger = FabricLedger(connection, key=key, certificate=file)
    ledger.organisations = ORGANISATIONS
    said = zip(ORGANISATIONS, (own, two, three), strict=True)
    peers: Any = [Knowing(each, *(what or (None,))) for each, what in said]
    ledger._peers = peers
    found = asyncio.run(ledger._outcome("mine"))
    assert found == (outcome and blocks.Outcome(*outcome))
