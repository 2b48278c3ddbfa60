"""The Fabric client's parts that need no network."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from chaincode.beacon import DevSigner
from fl_client.connection import read_connection
from fl_client.errors import BadInput, CommitTimeout, Disagreement, Refused, Unavailable
from fl_client.ledger.embedded import EmbeddedIdentities, EmbeddedIdentity
from fl_client.ledger.fabric import protos
from fl_client.ledger.fabric.breaker import Breaker
from fl_client.ledger.fabric.commits import Commits
from fl_client.ledger.fabric.endorsing import Endorsers
from fl_client.ledger.fabric.identity import member_id, signing_user
from fl_client.ledger.fabric.ordering import Orderers
from fl_client.ledger.fabric.proposals import Proposal, propose

ORGANISATIONS = ("Org1MSP", "Org2MSP", "Org3MSP")
IDENTITIES = EmbeddedIdentities()


class FakePeer:
    """Signs whatever ``payload`` it is told, as ``signs_as``."""

    def __init__(
        self, msp_id: str, payload: bytes = b"same", signs_as: EmbeddedIdentity | None = None
    ) -> None:
        self.msp_id, self.name, self.payload = msp_id, f"peer0.{msp_id}", payload
        self.identity = signs_as or IDENTITIES.issue(msp_id, self.name, "peer")
        self.tampers = False
        self.delay = 0.0
        self.current = True
        self.refuses = 0  # so many times

    async def send_proposal(self, proposal: Any, seconds: float) -> Any:
        await asyncio.sleep(self.delay)
        if self.refuses:
            self.refuses -= 1
            refusal = protos.responses.Response(status=403, message="not a member")
            return protos.responses.ProposalResponse(response=refusal)
        creator = self.identity.creator
        signed = b"something else" if self.tampers else self.payload + creator
        signature = self.identity.private_key.sign(signed, ec.ECDSA(hashes.SHA256()))
        endorsement = protos.responses.Endorsement(endorser=creator, signature=signature)
        response = protos.responses.Response(status=200)
        return protos.responses.ProposalResponse(
            payload=self.payload, endorsement=endorsement, response=response
        )


def collect(*peers: Any) -> list[str]:
    async def current(peer: Any) -> bool:
        return bool(peer.current)

    proposal: Any = SimpleNamespace(signed=None)
    responses = asyncio.run(Endorsers(peers, current).most(proposal, "X:y"))
    read = protos.identities.SerializedIdentity.FromString
    return sorted(read(each.endorsement.endorser).mspid for each in responses)


def files(tmp_path: Path, identity: EmbeddedIdentity) -> tuple[Path, Path]:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    pem = identity.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key.write_bytes(pem)
    certificate.write_bytes(identity.certificate)
    return key, certificate


def test_an_endorsement_counts_only_with_its_organisations_valid_signature() -> None:
    assert collect(*map(FakePeer, ORGANISATIONS)) == ["Org1MSP", "Org2MSP"]
    forger = FakePeer("Org2MSP")
    forger.tampers = True
    assert collect(FakePeer("Org1MSP"), forger, FakePeer("Org3MSP")) == ["Org1MSP", "Org3MSP"]
    outsider = FakePeer("Org2MSP", signs_as=IDENTITIES.issue("Org1MSP", "peer0", "peer"))
    assert collect(FakePeer("Org1MSP"), outsider, FakePeer("Org3MSP")) == ["Org1MSP", "Org3MSP"]
    with pytest.raises(Unavailable, match="not validly signed"):
        collect(FakePeer("Org1MSP"), forger, outsider)


def test_an_organisation_that_hangs_holds_nobody_up() -> None:
    hanging, two, three = map(FakePeer, ORGANISATIONS)
    hanging.delay = 3600
    began = time.monotonic()
    assert collect(hanging, two, three) == ["Org2MSP", "Org3MSP"]
    assert time.monotonic() - began < 5


def test_a_peer_that_lacks_the_newest_block_is_not_asked() -> None:
    one, lagging, three = map(FakePeer, ORGANISATIONS)
    lagging.current, lagging.refuses = False, 9
    assert collect(one, lagging, three) == ["Org1MSP", "Org3MSP"]
    lagging.current = True
    three.refuses = 9
    with pytest.raises(Refused, match="not a member"):
        collect(one, lagging, three)


def test_endorsements_that_differ_never_make_a_transaction() -> None:
    one, two, three = (FakePeer(each, each.encode()) for each in ORGANISATIONS)
    with pytest.raises(Disagreement):
        collect(one, two, three)


def test_a_node_that_failed_comes_last_for_a_growing_while() -> None:
    now = 0.0
    breaker = Breaker(shortest=1, longest=4, clock=lambda: now)
    for pause in (1, 2, 4, 4):
        breaker.failed("a")
        assert breaker.order("abc") == ["b", "c", "a"]
        now += pause
        assert breaker.order("abc") == ["a", "b", "c"]
    breaker.failed("a")
    breaker.worked("a")
    assert breaker.order("abc") == ["a", "b", "c"]


def test_waiting_for_a_commit_ends_when_the_stream_of_blocks_does() -> None:
    async def broken(_: int) -> AsyncIterator[Any]:
        await asyncio.sleep(0.01)
        raise RuntimeError("a defect")
        yield

    async def check() -> None:
        commits = Commits(broken, 7)
        with pytest.raises(CommitTimeout):
            await asyncio.wait_for(commits.expect("tx"), 2)
        with pytest.raises(Unavailable):
            await commits.changed(2)
        await commits.close()

    asyncio.run(check())


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    identity = IDENTITIES.issue("Org1MSP", "User1")
    key, certificate = files(tmp_path, identity)
    assert member_id(signing_user("Org1MSP", key, certificate)) == identity.member_id
    certificate.write_bytes(IDENTITIES.issue("Org1MSP", "User1").certificate)
    with pytest.raises(BadInput, match="is not the one in"):
        signing_user("Org1MSP", key, certificate)
    for path in (key, certificate):
        path.write_text("not PEM")
        with pytest.raises(BadInput):
            signing_user("Org1MSP", key, certificate)
        path.unlink()
        with pytest.raises(BadInput, match="cannot read"):
            signing_user("Org1MSP", key, certificate)


def test_transient_values_are_signed_and_leave_no_trace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """hfc logs whole proposals at debug level, and its module for channels turns that level on."""
    user = signing_user("Org1MSP", *files(tmp_path, IDENTITIES.issue("Org1MSP", "User1")))
    with caplog.at_level(logging.DEBUG):
        proposal = propose(user, "candor", "candor", "X:y", ["é"], {"secret": b"hush hush"})
    assert b"hush hush" in proposal.signed.proposal_bytes
    assert "hush" not in caplog.text + repr(proposal) + str(proposal)
    assert b"hush hush" not in _envelope(proposal).payload
    assert "é".encode() in _envelope(proposal).payload


def _envelope(proposal: Proposal) -> Any:
    return proposal.envelope([protos.responses.ProposalResponse(payload=b"p")])


@pytest.mark.parametrize("first", ["tensorflow", "fl_client.ledger.fabric"])
def test_hfc_imports_beside_tensorflow_in_either_order_and_in_silence(first: str) -> None:
    second = {"tensorflow": "fl_client.ledger.fabric"}.get(first, "tensorflow")
    script = f"import warnings; warnings.simplefilter('always'); import {first}, {second}; print('fine')"
    env = {"PYTHONPATH": ":".join(sys.path), "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=env, timeout=120
    )
    assert done.stdout == "fine\n", done.stderr
    assert "hfc" not in done.stderr


def connection_json() -> dict[str, Any]:
    node = {"address": "127.0.0.1:1", "host": "h", "tls_ca": "/ca.crt"}
    identity = {"name": "Admin@org1.test", "key": "/k", "certificate": "/c"}
    info = DevSigner(b"", 3, 1_700_000_000).info
    return {
        "channel": "candor",
        "chaincode": "candor",
        "organisation": "Org1MSP",
        "peers": [{"msp_id": msp_id, **node} for msp_id in ORGANISATIONS],
        "orderers": [node],
        "store": {"kubo": "/kubo.sock", "cluster": "http://127.0.0.1:3", "credentials": "/credentials"},
        "beacons": ["http://127.0.0.1:4"],
        "beacon": {name: getattr(info, name) for name in info.__struct_fields__},
        "admin": identity,
        "clients": [{**identity, "name": "User1@org1.test"}],
    }


def test_a_connection_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "connection.json"
    file.write_text(json.dumps(connection_json()))
    connection = read_connection(file)
    assert connection.organisations == ORGANISATIONS
    assert connection.identity("User1") == connection.identity("User1@org1.test") == connection.clients[0]
    assert connection.identity("Admin").key == Path("/k")
    with pytest.raises(BadInput, match="It has: Admin@org1.test, User1@org1.test"):
        connection.identity("User2")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"channel": 7}, "channel"),
        ({"surplus": 1}, "surplus"),
        ({"peers": [{}]}, "peers"),
        ({"beacon": {**connection_json()["beacon"], "period": 4}}, "chain_hash"),
    ],
)
def test_a_broken_connection_file_is_refused_with_the_place(
    tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    file = tmp_path / "connection.json"
    file.write_text(json.dumps(connection_json() | change))
    with pytest.raises(BadInput, match=complaint):
        read_connection(file)
    file.unlink()
    with pytest.raises(BadInput, match="candor network up"):
        read_connection(file)


@pytest.mark.parametrize("steps", range(6))
def test_handing_over_a_transaction_ends_when_it_is_cancelled_also_just_as_the_answer_comes(
    steps: int,
) -> None:
    """A submit whose block has come cancels it and waits for its end; it would wait for ever."""

    async def body() -> None:
        came = asyncio.get_running_loop().create_future()

        class Orderer:
            name = "orderer0"

            async def broadcast(self, *_: Any) -> Any:
                return await came

        orderer: Any = Orderer()
        sending = asyncio.create_task(Orderers([orderer]).broadcast(b"envelope", 0))
        await asyncio.sleep(0.01)
        came.set_result(SimpleNamespace(status=200, info=""))
        for _ in range(steps):
            await asyncio.sleep(0)
        if sending.cancel():
            with pytest.raises(asyncio.CancelledError):
                await sending
        else:
            assert sending.result() is None

    asyncio.run(body())
