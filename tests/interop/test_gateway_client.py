"""Fabric's official JavaScript gateway client calls the contracts of a running network."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from founding import SIGNER, terms
from jsonschema.validators import validator_for

from benchmarks.node import lacking, modules
from chaincode import cid, commitment, report
from chaincode.encoding import canonical, domain
from chaincode.mtpp import RULES
from chaincode.mtpp.payment import best_gain, worst_loss
from chaincode.proposals import Mint
from chaincode.records import JobSpec
from network.network import Network
from network.pytest_plugin import network_fixture
from network.topology import Chaincode, Orderers, Organisation, Topology

pytestmark = [
    pytest.mark.network,
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(lacking()), reason=f"the JavaScript client needs Node 20 ({lacking()})"),
]

HERE = Path(__file__).parent
ORGANISATIONS = ["Org1MSP", "Org2MSP"]
TWO = Topology(
    name="two",
    organisations=[
        Organisation(msp_id=msp_id, domain=f"{msp_id[:4].lower()}.test", clients=2)
        for msp_id in ORGANISATIONS
    ],
    orderers=Orderers(count=1, batch_timeout="100ms"),
    chaincode=Chaincode(name="candor", factory="founding:create"),
)
network = network_fixture(TWO, scope="module")

Calls = Callable[..., list[dict[str, Any]]]
METADATA = ("evaluate", "org.hyperledger.fabric", "GetMetadata")
CONTRACTS = {"Governance", "Registry", "Token", "Jobs", "Rounds", "Settlement", "Aggregation", "Beacon"}
KEY = "ab" * 32
MODEL, PUBLIC, UPDATE = (cid.raw_cid(name) for name in (b"model", b"public", b"update"))


@pytest.fixture
def gateway(network: Network) -> Calls:
    """Make calls one after the other, in one Node process.

    A call is (how, contract, transaction, arguments …), as an identity of Org1MSP by name; or a dictionary as
    `told` makes it.
    """

    def call(identity: str, *calls: tuple[str, ...] | dict[str, Any]) -> list[dict[str, Any]]:
        told_of = [each if isinstance(each, dict) else told(f"Org1MSP/{identity}", *each) for each in calls]
        connections = {msp_id: str(path) for msp_id, path in network.connection_files.items()}
        done = subprocess.run(
            ["node", str(HERE / "gateway.js")],  # noqa: S607
            input=json.dumps({"connections": connections, "calls": told_of}),
            env={**os.environ, "NODE_PATH": str(modules(HERE))},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        outcomes: list[dict[str, Any]] = json.loads(done.stdout)
        return outcomes

    return call


def told(
    who: str, how: str, contract: str, transaction: str, *args: Any, transient: dict[str, bytes] | None = None
) -> dict[str, Any]:
    """A call by ORGANISATION/NAME; arguments that are no text travel as JSON."""
    texts = [each if isinstance(each, str) else canonical(each).decode() for each in args]
    beside = {key: base64.b64encode(value).decode() for key, value in (transient or {}).items()}
    call = {"as": who, "how": how, "contract": contract, "transaction": transaction, "args": texts}
    return {**call, "transient": beside} if beside else call


def refusal(outcome: dict[str, Any]) -> dict[str, Any]:
    """The refusal inside what the gateway client threw: our JSON, as any JavaScript caller can find it."""
    message = outcome["messages"][0]
    assert message.startswith("chaincode response ")
    found: dict[str, Any] = json.loads(message[message.index("{") :])
    return found


def patiently(gateway: Calls, identity: str, call: tuple[str, ...]) -> dict[str, Any]:
    """The outcome of a call, made again until the peer's gateway has heard of enough peers to endorse it.

    Gossip tells it of the other organisations' peers; before that it answers for itself, without a peer's word.
    """
    end = time.monotonic() + 60
    while True:
        (outcome,) = gateway(identity, call)
        if "result" in outcome or outcome["messages"] or time.monotonic() > end:
            return outcome


def test_the_metadata_is_what_fabrics_own_schema_says(gateway: Calls) -> None:
    (answer,) = gateway("User1", METADATA)
    document = json.loads(answer["result"])
    shipped = (
        modules(HERE.parents[1] / "benchmarks/shim/node") / "fabric-contract-api/schema/contract-schema.json"
    )
    schema = json.loads(shipped.read_text())
    assert [fault.message for fault in validator_for(schema)(schema).iter_errors(document)] == []
    contracts = document["contracts"]
    assert {*CONTRACTS, "org.hyperledger.fabric"} == set(contracts)
    found = {f"{name}:{each['name']}": each for name in contracts for each in contracts[name]["transactions"]}
    assert [each["name"] for each in found["Governance:init"]["parameters"]] == [
        "organisations",
        "beacon",
        "freshness",
        "margin",
        "registration",
    ]
    described = [each for one in found.values() for each in one["parameters"]]
    assert all({"type", "$ref"} & set(each["schema"]) for each in described), (
        "Fabric's data marshaller wants one"
    )
    optional = {each["name"]: each["required"] for each in found["Governance:approve"]["parameters"]}
    assert optional == {"proposal": True, "beacon": False}


def test_it_founds_the_consortium_and_reads_what_it_wrote(gateway: Calls) -> None:
    own = terms(ORGANISATIONS)
    founding = [
        canonical(each).decode()
        for each in (own.organisations, own.beacon, own.freshness, own.margin, own.registration)
    ]
    (before,) = gateway("Admin", ("submit", "Registry", "allow", KEY))
    founded = patiently(gateway, "Admin", ("submit", "Governance", "init", *founding))
    allowed, supply, again = gateway(
        "Admin",
        ("submit", "Registry", "allow", KEY),
        ("evaluate", "Token", "supply"),
        ("submit", "Governance", "init", *founding),
    )
    assert refusal(before)["code"] == 409
    assert founded == {"result": ""}
    assert allowed == {"result": ""}
    assert supply == {"result": "0"}
    assert again["error"] == "EndorseError"
    assert refusal(again) == {"code": 409, "details": {}, "message": "the consortium is founded already"}


def test_a_refusal_arrives_with_its_code_its_details_and_its_message(gateway: Calls) -> None:
    stranger, unknown, untyped, short = gateway(
        "User1",
        ("submit", "Registry", "allow", KEY),
        ("evaluate", "Token", "no-such-thing"),
        ("evaluate", "Rounds", "get", "job", "one"),
        ("evaluate", "Rounds", "get", "job"),
    )
    assert refusal(stranger)["code"] == 403
    assert stranger["error"] == "EndorseError"
    assert refusal(unknown)["code"] == 404
    assert refusal(untyped)["code"] == 400
    assert refusal(untyped)["details"] == {"argument": "round"}
    assert refusal(short)["code"] == 400
    assert unknown["error"] == "GatewayError"


def test_a_whole_round_is_played_by_the_javascript_client_alone(gateway: Calls) -> None:
    """After the test that founds: money by vote, three members, a job, commit, reveal, settlement, model."""
    spec, members = job_spec(), ["Org1MSP/User1", "Org1MSP/User2", "Org2MSP/User1"]
    admin, other = "Org1MSP/Admin", "Org2MSP/Admin"

    def fresh(ahead: int = 0) -> Any:
        return SIGNER.sign(SIGNER.info.round_at(int(time.time())) + ahead)

    def done(*calls: dict[str, Any]) -> list[Any]:
        outcomes = gateway("", *calls)
        assert all("result" in each for each in outcomes), outcomes
        return [json.loads(each["result"]) if each["result"] else None for each in outcomes]

    amounts = [spec.pool, *[spec.lock] * 3]
    votes = [
        vote
        for number, amount in enumerate(amounts)
        for vote in (
            told(
                admin,
                *("submit", "Governance", "propose", f"mint-{number}"),
                Mint(account="Org1MSP", amount=amount),
                fresh(),
            ),
            told(other, "submit", "Governance", "approve", f"mint-{number}"),
        )
    ]
    asked = gateway("", *(told(who, "submit", "Registry", "me") for who in members))
    ids = [f"{who[:7]}:{refusal(each)['details']['key']}" for who, each in zip(members, asked, strict=True)]
    allow = [(admin, ids[0]), (admin, ids[1]), (other, ids[2])]
    done(
        *votes,
        *(told(by, "submit", "Registry", "allow", each.partition(":")[2]) for by, each in allow),
        *(told(who, "submit", "Registry", "register", []) for who in members),
    )
    (minted,) = done(told(admin, "evaluate", "Token", "credits", "Org1MSP"))
    pool, *locks = [each["id"] for each in sorted(minted, key=lambda each: -each["amount"])]
    spec = msgspec.structs.replace(spec, allow_list=sorted(ids))
    transfers = [
        told(admin, "submit", "Token", "transfer", "Org1MSP", to, spec.lock, [credit])
        for to, credit in zip(ids, locks, strict=True)
    ]
    *_, first, second, third = done(
        *transfers,
        told(admin, "submit", "Jobs", "create", "js", spec, "Org1MSP", [pool]),
        told(admin, "submit", "Rounds", "open", "js", 1, fresh()),
        *(told(who, "evaluate", "Token", "credits", each) for who, each in zip(members, ids, strict=True)),
    )
    symbols = [[0, 1, 2, 3] * 4, [0, 1, 2, 3] * 4, [3, 1, 2, 0] * 4]
    data = [report.pack(np.array(each), spec.alphabet) for each in symbols]
    salts = [bytes([number] * 32) for number in range(3)]
    base = domain("candor", "candor", "js", 1)
    commits = []
    for who, each, packed, salt, own in zip(members, ids, data, salts, (first, second, third), strict=True):
        digest = commitment.digest(base, each, cid.raw_cid(packed), UPDATE, salt).hex()
        commits.append(told(who, "submit", "Rounds", "commit", "js", 1, digest, [own[0]["id"]]))
    *_, closed = done(*commits, told(other, "submit", "Rounds", "close", "js", 1, fresh()))
    pairing = SIGNER.sign(closed["pairing_round"])  # a development signer knows it already
    reveal = ("submit", "Rounds", "reveal", "js", 1)
    reveals = [
        told(who, *reveal, cid.raw_cid(packed), UPDATE, salt.hex(), transient={"report": packed})
        for who, packed, salt in zip(members, data, salts, strict=True)
    ]
    done(told(other, "submit", "Rounds", "pair", "js", 1, pairing, fresh()), *reveals)
    (sealed,) = done(told(admin, "submit", "Rounds", "seal", "js", 1, fresh()))
    sampling = SIGNER.sign(sealed["sampling_round"])
    reports = {f"report/{each}": packed for each, packed in zip(ids, data, strict=True)}
    settle = told(members[2], "submit", "Settlement", "settle", "js", 1, sampling, transient=reports)
    _, outcomes, begun = done(
        settle,
        told(members[0], "evaluate", "Settlement", "outcomes", "js", 1),
        told(members[0], "submit", "Aggregation", "begin", "js", 1, fresh()),
    )
    assert [outcomes[each]["payment"] > 0 for each in ids] == [True, True, True]
    assert outcomes[ids[2]]["payment"] < outcomes[ids[0]]["payment"]
    drawn = members[ids.index(begun["committee"][0])]
    final, holdings, statement = done(
        told(drawn, "submit", "Aggregation", "aggregate", "js", 1, begun["attempt"], MODEL, {}),
        told(admin, "evaluate", "Token", "holdings"),
        told(members[0], "evaluate", "Token", "statement", ids[0]),
    )
    assert (final["phase"], final["result"]) == ("final", MODEL)
    assert holdings["minted"] == sum(holdings[each] for each in ("credits", "deposits", "locks", "escrows"))
    assert {line["kind"] for line in statement} >= {"transfer", "lock", "payment", "stake-returned"}


def job_spec() -> JobSpec:
    """A job for three, of one round, whose roster closes it early."""
    rule, own = RULES["dasgupta-ghosh"], terms(ORGANISATIONS)
    gap = (2 * own.freshness + own.margin) // own.beacon.period + 1
    window = 2 * gap * own.beacon.period + 300
    return JobSpec(
        model=MODEL,
        public_set=PUBLIC,
        model_bytes=1 << 16,
        public_items=16,
        tasks=16,
        scored_tasks=16,
        alphabet=4,
        rounds=1,
        mechanism="paper",
        combine="mean",
        price=1000,
        stake=worst_loss(rule, 16, 4, 1000),
        round_pool=3 * best_gain(rule, 16, 4, 1000),
        min_participants=3,
        max_participants=3,
        max_members_per_org=2,
        gap=gap,
        commit_seconds=window,
        reveal_seconds=window,
        missing_seconds=window,
        aggregate_seconds=window,
    )
