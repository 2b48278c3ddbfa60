"""The beacon: a real key generation, a threshold, and a chain that survives restarts and crashes."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from part_helpers import organisations, readable_by_others, running
from py_arkworks_bls12381 import GT, G1Point, G2Point

from network import drand
from network.plan import Plan
from network.steps import begin, each, until
from network.topology import Drand

pytestmark = [pytest.mark.network, pytest.mark.timeout(120)]

DST = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
DRAND = Drand(period=1, threshold=None, genesis_delay=7)


@dataclass
class Beacon:
    """A running beacon under test."""

    plan: Plan
    nodes: drand.DrandNodes

    def round(self, org: str, number: int | str = "latest") -> dict[str, Any]:
        return drand.fetch(f"{self.nodes.urls[org]}/public/{number}")

    def latest(self, org: str) -> int:
        return int(self.round(org)["round"])

    def await_round(self, org: str, number: int) -> None:
        until(lambda: self.latest(org) >= number, 15, f"round {number} at {org}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drand") / "net"


@pytest.fixture(scope="module")
def beacon(home: Path) -> Iterator[Beacon]:
    with running(home, organisations(3, drand=DRAND)) as plan:
        yield Beacon(plan, drand.start(plan))


def verifies(public_key: str, number: int, signature: str) -> bool:
    """The scheme written down a second time, so that no code of ours is believed."""
    message = G1Point.hash_to_curve(hashlib.sha256(struct.pack(">Q", number)).digest(), DST)
    point = G1Point.from_compressed_bytes(bytes.fromhex(signature))
    key = G2Point.from_compressed_bytes(bytes.fromhex(public_key))
    return point != G1Point.identity() and GT.pairing_check([point, -message], [G2Point(), key])


def test_a_round_verifies_under_the_group_key_and_no_other_round_does(beacon: Beacon) -> None:
    key = beacon.nodes.info["public_key"]
    found = beacon.round("Org2MSP")
    assert verifies(key, found["round"], found["signature"])
    assert not verifies(key, found["round"] + 1, found["signature"])
    assert hashlib.sha256(bytes.fromhex(found["signature"])).hexdigest() == found["randomness"]


def test_all_nodes_serve_the_chain_that_its_hash_names(beacon: Beacon) -> None:
    info = beacon.nodes.info
    fields = {"public_key", "period", "genesis_time", "genesis_seed", "scheme", "id", "chain_hash"}
    assert set(info) == fields
    assert (info["scheme"], info["period"], info["id"]) == ("bls-unchained-g1-rfc9380", 1, "default")
    message = struct.pack(">Iq", info["period"], info["genesis_time"])
    message += bytes.fromhex(info["public_key"]) + bytes.fromhex(info["genesis_seed"])
    assert hashlib.sha256(message).hexdigest() == info["chain_hash"]
    for url in beacon.nodes.urls.values():
        assert drand.fetch(f"{url}/info")["hash"] == info["chain_hash"]


def test_the_chain_hash_covers_an_id_other_than_default(beacon: Beacon) -> None:
    named = {**beacon.nodes.info, "id": "another"}
    assert drand.chain_hash(named) != beacon.nodes.info["chain_hash"]


def test_keys_are_readable_by_their_owner_only(beacon: Beacon, home: Path) -> None:
    assert list((home / "drand").rglob("dist_key.private"))
    assert readable_by_others(home / "drand") == []


def test_rounds_go_on_while_a_killed_node_comes_back(beacon: Beacon) -> None:
    beacon.plan.keeper.kill("org1-drand")
    due = drand.round_now(beacon.nodes.info)
    beacon.await_round("Org2MSP", due + 2)
    beacon.await_round("Org1MSP", due + 2)
    assert beacon.plan.keeper.status()["org1-drand"].restarts == 1


def test_two_of_three_make_rounds_and_one_alone_does_not(beacon: Beacon) -> None:
    keeper = beacon.plan.keeper
    specs = {spec.name: spec for spec in drand.specs(beacon.plan)}
    keeper.stop("org1-drand")
    beacon.await_round("Org2MSP", drand.round_now(beacon.nodes.info) + 2)
    keeper.stop("org2-drand")
    last = beacon.latest("Org3MSP")
    until(lambda: drand.round_now(beacon.nodes.info) > last + 3, 10, "the clock")
    assert beacon.latest("Org3MSP") <= last + 1  # one more if it was made as the second stopped
    keeper.spawn(specs["org1-drand"])
    beacon.await_round("Org3MSP", last + 4)
    keeper.spawn(specs["org2-drand"])
    beacon.await_round("Org2MSP", last + 4)


def test_a_restart_goes_on_with_the_same_chain(tmp_path: Path) -> None:
    told: list[str] = []
    alone = organisations(1, drand=DRAND)  # one organisation: threshold 1, for development
    with running(tmp_path / "net", alone) as plan:
        first = Beacon(plan, drand.start(plan))
        early = first.round("Org1MSP", 1)
    with running(tmp_path / "net", alone, told) as plan:
        again = Beacon(plan, drand.start(plan))
        assert again.nodes == first.nodes
        assert again.round("Org1MSP", 1) == early
        assert verifies(first.nodes.info["public_key"], 1, early["signature"])
    assert not [line for line in told if "key generation" in line]


def test_the_key_generation_waits_for_a_node_that_is_still_loading(tmp_path: Path) -> None:
    with running(tmp_path / "net", organisations(2, drand=DRAND)) as plan:
        members = [drand.node(plan, org) for org in plan.topology.organisations]
        (tmp_path / "net" / "drand").mkdir(mode=0o700)
        each(drand.Node.generate_key, members)
        prompt, late = drand.specs(plan)
        plan.keeper.spawn(prompt)
        proposal = tmp_path / "proposal.toml"
        group = begin(
            lambda path: drand.generate_group(members, str(path), threshold=2, period=1, delay=20), proposal
        )
        with pytest.raises(TimeoutError):
            group.result(timeout=2)
        plan.keeper.spawn(late)
        group.result(timeout=30)
        assert drand.chain_info(members, 40)["period"] == 1
