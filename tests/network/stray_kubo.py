"""A kubo node beside the network's own, as anybody can run one: with the swarm key or without."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from network import ipfs, ipfs_config
from network.binaries import Binaries
from network.errors import NotRunning
from network.ipfs_config import Listen, Member
from network.network import Network
from network.processes import Keeper, ProcessSpec, UnixSocket
from network.steps import command, private_directory, write_private


@contextmanager
def another_kubo(
    keeper: Keeper, directory: Path, key: str | None, peers: Sequence[Member] = ()
) -> Iterator[str]:
    """A running node; the path of its socket. `key`: a swarm key's 64 digits; `peers`: whom it stays connected to."""
    repository = private_directory(directory / "kubo")
    program, socket = str(Binaries().path("ipfs")), str(keeper.runtime / "stranger.sock")
    command([program, *ipfs_config.INIT_KUBO], env={"IPFS_PATH": str(repository)})
    listen = Listen(f"/unix{socket}", "/ip4/127.0.0.1/tcp/0", "", "")
    ipfs.rewrite(repository / "config", lambda old: ipfs_config.kubo_config(old, listen, peers))
    if key:
        write_private(repository / "swarm.key", ipfs_config.swarm_key(key))
    spec = ProcessSpec(
        name="stranger",
        argv=[program, "daemon"],
        directory=str(repository),
        log=str(directory / "log"),
        env={"IPFS_PATH": str(repository), "IPFS_TELEMETRY": "off"},
        ready=[UnixSocket(socket)],
        unlink=[socket],
    )
    keeper.spawn(spec)
    try:
        yield socket
    finally:
        with suppress(NotRunning):  # the network went down before, and took it with it
            keeper.stop("stranger")


def kubo_of(network: Network, organisation: str) -> Member:
    """One organisation's node, as others dial it."""
    config = json.loads((network.directory / "ipfs" / organisation / "kubo" / "config").read_text())
    address = config["Addresses"]["Swarm"][0]
    return Member(organisation, config["Identity"]["PeerID"], address, "", "")


def dial(socket: str, member: Member) -> httpx.Response:
    """Have the node behind the socket connect to another."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=socket), timeout=15) as client:
        address = f"{member.kubo_address}/p2p/{member.kubo_id}"
        return client.post("http://kubo/api/v0/swarm/connect", params={"arg": address})


def connected(socket: str) -> set[str]:
    """The ids of the nodes it is connected to."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=socket), timeout=15) as client:
        peers = client.post("http://kubo/api/v0/swarm/peers").json()["Peers"]
    return {peer["Peer"] for peer in peers or ()}
