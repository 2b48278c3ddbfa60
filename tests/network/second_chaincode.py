"""Another chaincode on a running network's channel, in the way an organisation's administrator adds one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peer_commands import orderer_words, peer, until

from network.identities import Identities
from network.network import Network
from network.package import connection, package, package_id
from network.ports import is_free
from network.topology import Organisation


@contextmanager
def second_chaincode(
    network: Network, org: Organisation, name: str, factory: str, directory: Path
) -> Iterator[None]:
    """The chaincode ``name`` of the one organisation's network, served by MODULE:FACTORY of ``directory``."""
    port = next(port for port in range(17_100, 17_900) if is_free(port))
    material = Identities(network.directory, network.topology).chaincode(org)
    package_file = network.directory / f"{name}.tgz"
    identifier = _package(network, org, name, f"127.0.0.1:{port}", package_file)
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "chaincode.shim", factory, "--address", f"127.0.0.1:{port}"),
            *("--package-id", identifier, "--tls-key", str(material / "server.key")),
            *("--tls-cert", str(material / "server.crt")),
            *("--tls-client-ca", str(Identities(network.directory, network.topology).tls_ca(org))),
        ],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.DEVNULL,
    )
    try:
        _define(network, org, name, package_file, identifier)
        until(lambda: peer(network, org, "chaincode", "query", *_ping(network, name)))
        yield
    finally:
        server.terminate()
        server.wait(30)


def _package(network: Network, org: Organisation, name: str, address: str, file: Path) -> str:
    identities = Identities(network.directory, network.topology)
    own = identities.chaincode(org)
    content = package(
        name,
        connection(
            address,
            key=(own / "client.key").read_text(),
            certificate=(own / "client.crt").read_text(),
            server_ca=identities.tls_ca(org).read_text(),
        ),
    )
    file.touch(mode=0o600)  # the package has a key in it
    file.write_bytes(content)
    return package_id(name, content)


def _define(network: Network, org: Organisation, name: str, file: Path, identifier: str) -> None:
    lifecycle = ("lifecycle", "chaincode")
    peer(network, org, *lifecycle, "install", str(file))
    definition = [
        "--channelID",
        network.topology.channel,
        "--name",
        name,
        "--version",
        "1",
        "--sequence",
        "1",
    ]
    definition += orderer_words(network)
    peer(network, org, *lifecycle, "approveformyorg", *definition, "--package-id", identifier)
    peer(network, org, *lifecycle, "commit", *definition)


def _ping(network: Network, name: str) -> list[str]:
    call = '{"Args":["org.hyperledger.fabric:GetMetadata"]}'
    return ["-C", network.topology.channel, "-n", name, "-c", call]
