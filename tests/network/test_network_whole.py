"""The default network, with everything beside the peers: up, handed over, down, up again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import httpx
import msgspec
import pytest
from peer_commands import THREE, processes, query

from network.network import Network
from network.topology import load

pytestmark = [pytest.mark.network, pytest.mark.timeout(180)]


def answers(network: Network) -> None:
    """Everything a connection file names is there and answers."""
    for path in network.connection_files.values():
        content = json.loads(path.read_text())
        rounds = [httpx.get(f"{url}/public/latest").json()["round"] for url in content["beacons"]]
        assert len(rounds) == 3
        assert min(rounds) > 0
        assert content["beacon"]["scheme"] == "bls-unchained-g1-rfc9380"
        assert Path(content["store"]["kubo"]).is_socket()
        user, password = Path(content["store"]["credentials"]).read_text().strip().split(":")
        assert httpx.get(f"{content['store']['cluster']}/id", auth=(user, password)).status_code == 200


def test_the_whole_network_comes_up_and_again(tmp_path: Path) -> None:
    plain = msgspec.structs.replace(load("three-orgs"), chaincode=THREE.chaincode)
    seen = []
    for _ in range(2):
        network = Network.up(plain, tmp_path)
        try:
            answers(network)
            seen.append(json.loads(network.connection_files["Org1MSP"].read_text())["beacon"])
            assert query(network, plain.organisations[2], "settings") == "Org3MSP"
            assert len(network.status()) == 18
        finally:
            network.down()
        assert processes(tmp_path) == []
    assert seen[0] == seen[1]  # the same beacon goes on
    print(network.seconds, file=sys.stderr)
