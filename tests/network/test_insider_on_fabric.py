"""A member with a legitimate certificate and a client of its own making, on a real network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from consortium import Parties
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from insider import UNKNOWN, Insider, common, proposals

from fl_client.audit.fabric import FabricBlocks, protos
from network.network import Network
from network.topology import load as load_topology

pytestmark = [pytest.mark.network, pytest.mark.timeout(300)]
SECRET = b"a-salt-that-no-log-may-hold"
LONG = 30 << 20  # bytes; a peer takes 100 MiB

Change = Callable[[Any], None]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    topology = msgspec.structs.replace(load_topology("three-orgs"), ipfs=False)
    started = Network.up(topology, tmp_path_factory.mktemp("insider"))
    try:
        yield started
    finally:
        started.down()


async def paying(insider: Insider, memo: str = "") -> list[bytes]:
    """The arguments of a payment of 1 out of the newest credit."""
    own = insider.ledger.member_id
    (credit,) = json.loads(await insider.ledger.evaluate("Token:credits", own))
    return [
        b"Token:transfer",
        own.encode(),
        own.encode(),
        b"1",
        json.dumps([credit["id"]]).encode(),
        memo.encode(),
    ]


def test_odd_proposals_are_refused_and_the_servers_live_on(network: Network) -> None:
    calls: dict[str, list[bytes]] = {
        "nothing": [],
        "an empty name": [b""],
        "a name that is no text": [b"\xff\xfe"],
        "a name with a line of its own": [b"Token:balance\nERROR " + SECRET],
        "a long name": [b"T" * LONG],
        "a long argument": [b"Token:balance", b"1" * LONG],
        "ten thousand arguments": [b"Token:balance", *[SECRET] * 10_000],
        "another encoding": [b"Token:balance", "Org1MSP".encode("utf-16")],
        "a byte order mark": [b"Token:balance", b'\xef\xbb\xbf"Org1MSP"'],
        "half a character": [b"Token:balance", b'"\\ud800"'],
    }
    transients = {"unknown": SECRET, "": SECRET, "reports": SECRET + bytes(LONG)}

    async def story() -> None:
        async with Parties(network) as all:
            await all.found()
            insider = Insider(await all.member("Org2MSP", 0, 1_000))
            for name, args in calls.items():
                assert 400 <= await insider.status(insider.propose(*args)) < 500, name
            for name, value in transients.items():
                call = insider.propose(b"Token:balance", b"Org1MSP", transient={name: value})
                assert await insider.status(call) == 400, name
            many = {f"key{number}": SECRET for number in range(10_000)}
            assert await insider.status(insider.propose(b"Registry:leave", transient=many)) == 400
            for place in ({"channel": "other"}, {"channel": ""}, {"named": "other"}, {"named": ""}):
                assert await insider.status(insider.propose(b"Token:supply", **place)) in (0, 500), place
            holdings = await all.view.holdings()
            assert holdings.minted == holdings.held

    asyncio.run(story())
    assert {each.restarts for each in network.status().values()} == {0}
    logs = b"".join(path.read_bytes() for path in network.logs().values())
    assert SECRET not in logs


def takes_more(body: Any) -> None:
    """Another amount in the writes than was endorsed."""
    answer = proposals_response(body)
    action = proposals.ChaincodeAction.FromString(answer.extension)
    sets = rwset_pb2.TxReadWriteSet.FromString(action.results)
    own = next(each for each in sets.ns_rwset if each.namespace == "candor")
    rwset = kv_rwset_pb2.KVRWSet.FromString(own.rwset)
    paid = next(
        write for write in rwset.writes if b'"amount":1,' in write.value or b'"amount":1}' in write.value
    )
    paid.value = paid.value.replace(b'"amount":1', b'"amount":999', 1)
    own.rwset = rwset.SerializeToString()
    action.results = sets.SerializeToString()
    answer.extension = action.SerializeToString()
    body.action.proposal_response_payload = answer.SerializeToString()


def proposals_response(body: Any) -> Any:
    return protos.responses.ProposalResponsePayload.FromString(body.action.proposal_response_payload)


def one_endorsement(body: Any) -> None:
    del body.action.endorsements[1:]


def the_same_endorsement_three_times(body: Any) -> None:
    first = body.action.endorsements[0]
    del body.action.endorsements[:]
    body.action.endorsements.extend([first] * 3)


def no_endorsement(body: Any) -> None:
    del body.action.endorsements[:]


def other_arguments(body: Any) -> None:
    body.chaincode_proposal_payload = body.chaincode_proposal_payload.replace(
        b"Token:transfer", b"Token:transfes"
    )


def the_transient_map_in_the_open(body: Any) -> None:
    payload = proposals.ChaincodeProposalPayload.FromString(body.chaincode_proposal_payload)
    payload.TransientMap["key"] = b"value"
    body.chaincode_proposal_payload = payload.SerializeToString()


FORGED: dict[Change, str] = {
    takes_more: "ENDORSEMENT_POLICY_FAILURE",
    one_endorsement: "ENDORSEMENT_POLICY_FAILURE",
    the_same_endorsement_three_times: "ENDORSEMENT_POLICY_FAILURE",
    no_endorsement: "ENDORSEMENT_POLICY_FAILURE",
    other_arguments: "INVALID_ENDORSER_TRANSACTION",
    the_transient_map_in_the_open: "INVALID_ENDORSER_TRANSACTION",
}


def noise_among_the_endorsements(body: Any) -> None:
    body.action.endorsements.insert(0, protos.responses.Endorsement(endorser=b"noise", signature=b"none"))


def test_what_a_member_changes_after_the_endorsement_is_invalid_and_what_is_merely_odd_spoils_no_audit(
    network: Network,
) -> None:
    async def story() -> None:
        async with Parties(network) as all:
            await all.found()
            insider = Insider(await all.member("Org2MSP", 1, 1_000))
            for change, code in FORGED.items():
                proposal = insider.propose(*await paying(insider))
                envelope = insider.envelope(proposal, await insider.endorsed(proposal), change)
                assert (await insider.submit(proposal, envelope)).name == code, change
            late = insider.propose(*await paying(insider, "late"))
            kept = insider.envelope(late, await insider.endorsed(late))
            await odd(insider)
            assert (await insider.submit(late, kept)).name == "MVCC_READ_CONFLICT"
            query = insider.propose(b"GetChainInfo", b"candor", named="qscc", called="qscc")
            asked = insider.envelope(query, (await insider.endorsed(query))[:1])
            assert (await insider.submit(query, asked)).name == "INVALID_CHAINCODE"
            holdings = await all.view.holdings()
            assert holdings.minted == holdings.held
            reader = FabricBlocks("candor")
            for number in range(await all.admin.height()):
                assert not [
                    finding
                    for each in [reader.read(await all.admin.block(number))]
                    for finding in (*each.findings, *(f for tx in each.transactions for f in tx.findings))
                ], number

    asyncio.run(story())


async def odd(insider: Insider) -> None:
    """Valid transactions that no client would send."""
    renamed = insider.propose(*await paying(insider), called="other")
    envelope = insider.envelope(renamed, await insider.endorsed(renamed))
    assert (await insider.submit(renamed, envelope)).name == "VALID"
    noisy = insider.propose(*await merged(insider))
    envelope = insider.envelope(noisy, await insider.endorsed(noisy), noise_among_the_endorsements)
    assert (await insider.submit(noisy, envelope)).name == "VALID"
    marked = insider.propose(*await merged(insider))
    envelope = insider.envelope(marked, await insider.endorsed(marked))
    envelope = common.Envelope.FromString(envelope.SerializeToString() + UNKNOWN)
    assert (await insider.submit(marked, envelope)).name == "VALID"


async def merged(insider: Insider) -> list[bytes]:
    """The arguments of a payment to oneself out of all credits."""
    own = insider.ledger.member_id
    credits = json.loads(await insider.ledger.evaluate("Token:credits", own))
    names = json.dumps([each["id"] for each in credits]).encode()
    return [b"Token:transfer", own.encode(), own.encode(), b"1", names, b"merge"]
