"""A real Fabric network: it comes up, survives its processes' deaths, and keeps its data."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import stat
import sys
from pathlib import Path

import msgspec
import pytest
from peer_commands import THREE, processes, put, query, until

from network import ordering
from network.binaries import Binaries
from network.errors import AlreadyRunning, BadTopology, CommandFailed
from network.identities import Identities
from network.network import Network
from network.plan import Plan
from network.ports import Ports
from network.progress import silent
from network.pytest_plugin import attach, network_fixture
from network.topology import Organisation, load

pytestmark = [pytest.mark.network, pytest.mark.timeout(120)]
network = network_fixture(THREE, scope="module")
ORGS = THREE.organisations


def test_every_organisation_has_a_chaincode_server_of_its_own(network: Network) -> None:
    assert [query(network, org, "settings") for org in ORGS] == ["Org1MSP", "Org2MSP", "Org3MSP"]


def test_a_write_that_all_endorse_is_read_everywhere(network: Network) -> None:
    put(network, "colour", "green")
    until(lambda: [query(network, org, "get", "colour") for org in ORGS] == ["green"] * 3)


def test_it_works_in_nine_processes_that_all_run(network: Network) -> None:
    assert len(network.status()) == 9
    assert {status.state for status in network.status().values()} == {"running"}


def test_a_killed_peer_comes_back_and_catches_up(network: Network) -> None:
    before = network.status()["org2-peer"].restarts
    network.keeper.kill("org2-peer")
    until(lambda: network.status()["org2-peer"].restarts == before + 1)
    until(lambda: query(network, ORGS[1], "settings") == "Org2MSP")


def test_a_killed_chaincode_server_comes_back_and_its_peer_finds_it(network: Network) -> None:
    network.keeper.kill("org3-chaincode")
    until(lambda: query(network, ORGS[2], "settings") == "Org3MSP")


def test_two_of_three_orderers_go_on(network: Network) -> None:
    network.keeper.stop("orderer0")
    until(lambda: put(network, "shape", "round", orderer=1) is None)
    assert network.heights()["orderer0"] == -1
    network.keeper.restart("orderer0")
    until(lambda: put(network, "shape", "square", orderer=0) is None)
    until(lambda: len(set(network.heights().values())) == 1)


def test_an_orderer_that_hangs_is_started_again(network: Network) -> None:
    hung = network.status()["orderer2"].pid
    network.keeper.kill("orderer2", signal.SIGSTOP)
    ordering.follow(plan_of(network), Identities(network.directory, network.topology))
    assert network.status()["orderer2"].pid != hung
    until(lambda: put(network, "shape", "oval", orderer=2) is None)


def plan_of(network: Network) -> Plan:
    """What the network's parts were given when it came up, as far as the orderers need it."""
    names = [f"orderer{index}/admin" for index in range(network.topology.orderers.count)]
    return Plan(
        topology=network.topology,
        directory=network.directory,
        runtime=network.keeper.runtime,
        keeper=network.keeper,
        programs=Binaries(),
        ports=Ports({name: network.port(name) for name in names}),
        progress=silent,
        python=sys.executable,
        fresh=False,
    )


def test_a_chaincode_server_talks_to_its_own_peer_only(network: Network) -> None:
    port = network.port("org1/chaincode/listen")
    assert greeting(port, certificate_of(network, ORGS[0]))
    assert not greeting(port, certificate_of(network, ORGS[1]))


def certificate_of(network: Network, org: Organisation) -> ssl.SSLContext:
    """TLS as the organisation's peer would speak it to the first organisation's server."""
    identities = Identities(network.directory, network.topology)
    context = ssl.create_default_context(cafile=str(identities.tls_ca(ORGS[0])))
    context.set_alpn_protocols(["h2"])
    own = identities.chaincode(org)
    context.load_cert_chain(own / "client.crt", own / "client.key")
    return context


def greeting(port: int, context: ssl.SSLContext) -> bytes:
    """What a TLS server says first, nothing when it refuses (TLS 1.3 tells so only after the handshake)."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            return connection.recv(1024)
    except (ssl.SSLError, ConnectionError):
        return b""


def test_the_connection_files_are_private_and_start_with_the_own_peer(network: Network) -> None:
    for msp_id, path in network.connection_files.items():
        content = json.loads(path.read_text())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert content["organisation"] == content["peers"][0]["msp_id"] == msp_id
        assert len(content["peers"]) == len(content["orderers"]) == 3
        assert Path(content["clients"][0]["key"]).is_file()
        assert Path(content["admin"]["certificate"]).is_file()


def test_nobody_else_can_read_a_key(network: Network) -> None:
    private = [path for path in network.directory.rglob("*") if path.name in ("priv_sk", "package.tgz")]
    private += list(network.directory.rglob("*.key"))
    assert len(private) > 20
    for path in private:
        closed = [part.stat().st_mode & 0o077 == 0 for part in (path, *path.parents)]
        assert any(closed), f"{path} is open to others"


def test_a_second_start_of_a_running_network_is_refused(network: Network) -> None:
    with pytest.raises(AlreadyRunning):
        Network.up(THREE, network.directory)


def test_another_process_can_attach(network: Network) -> None:
    assert attach(network.directory).status().keys() == network.status().keys()


def test_a_restart_keeps_the_data(network: Network) -> None:
    put(network, "kept", "yes")
    network.down()
    network.down()
    assert processes(network.directory) == []
    again = Network.up(THREE, network.directory)
    try:
        assert [query(again, org, "get", "kept") for org in ORGS] == ["yes"] * 3
        until(lambda: put(again, "kept", "still") is None)
    finally:
        again.down()


def test_a_directory_is_not_reused_for_another_topology(network: Network) -> None:
    network.down()
    with pytest.raises(BadTopology, match="another directory"):
        Network.up("fabric", network.directory)


def test_a_network_of_one_organisation_works(tmp_path: Path) -> None:
    small = msgspec.structs.replace(load("fabric"), chaincode=THREE.chaincode)
    network = Network.up(small, tmp_path)
    try:
        put(network, "a", "b")
        assert query(network, small.organisations[0], "get", "a") == "b"
        with pytest.raises(CommandFailed, match="no function"):
            query(network, small.organisations[0], "nonsense")
    finally:
        network.down()
