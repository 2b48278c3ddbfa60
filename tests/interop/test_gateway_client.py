"""Fabric's official JavaScript gateway client calls the contracts of a running network."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from founding import terms

from benchmarks.node import lacking, modules
from chaincode.encoding import canonical
from network.network import Network
from network.pytest_plugin import network_fixture
from network.topology import Chaincode, Orderers, Organisation, Topology

pytestmark = [
    pytest.mark.network,
    pytest.mark.timeout(120),
    pytest.mark.skipif(bool(lacking()), reason=f"the JavaScript client needs Node 20 ({lacking()})"),
]

HERE = Path(__file__).parent
ORGANISATIONS = ["Org1MSP", "Org2MSP"]
TWO = Topology(
    name="two",
    organisations=[
        Organisation(msp_id=msp_id, domain=f"{msp_id[:4].lower()}.test", clients=1)
        for msp_id in ORGANISATIONS
    ],
    orderers=Orderers(count=1, batch_timeout="100ms"),
    chaincode=Chaincode(name="candor", factory="founding:create"),
)
network = network_fixture(TWO, scope="module")

METADATA = ("evaluate", "org.hyperledger.fabric", "GetMetadata")
KEY = "ab" * 32

Calls = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def gateway(network: Network) -> Calls:
    """Run calls as an identity of Org1MSP, in one Node process."""

    def call(identity: str, *calls: tuple[str, ...]) -> list[dict[str, Any]]:
        connection = str(network.connection_files["Org1MSP"])
        told = json.dumps({"connection": connection, "identity": identity, "calls": calls})
        done = subprocess.run(
            ["node", str(HERE / "gateway.js")],  # noqa: S607
            input=told,
            env={**os.environ, "NODE_PATH": str(modules(HERE))},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        outcomes: list[dict[str, Any]] = json.loads(done.stdout)
        return outcomes

    return call


def refusal(outcome: dict[str, Any]) -> dict[str, Any]:
    """The refusal inside what the gateway client threw: our JSON, as any JavaScript caller can find it."""
    message = outcome["messages"][0]
    assert message.startswith("chaincode response ")
    found: dict[str, Any] = json.loads(message[message.index("{") :])
    return found


def test_the_metadata_lists_every_transaction_with_the_schemas_of_its_parameters(gateway: Calls) -> None:
    (answer,) = gateway("User1", METADATA)
    contracts = json.loads(answer["result"])["contracts"]
    assert {"Governance", "Registry", "Token", "Jobs", "Rounds", "Settlement"} <= set(contracts)
    found = {f"{name}:{each['name']}": each for name in contracts for each in contracts[name]["transactions"]}
    assert [each["name"] for each in found["Governance:init"]["parameters"]] == [
        "organisations",
        "beacon",
        "freshness",
        "margin",
        "registration",
    ]
    assert all("schema" in each for one in found.values() for each in one.get("parameters", []))


def test_it_founds_the_consortium_and_reads_what_it_wrote(gateway: Calls) -> None:
    own = terms(ORGANISATIONS)
    founding = [
        canonical(each).decode()
        for each in (own.organisations, own.beacon, own.freshness, own.margin, own.registration)
    ]
    before, founded, allowed, supply, again = gateway(
        "Admin",
        ("submit", "Registry", "allow", KEY),
        ("submit", "Governance", "init", *founding),
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
