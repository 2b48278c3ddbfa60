"""What kubo and ipfs-cluster are told: pure functions from an initial configuration to ours.

Used with loopback addresses by :mod:`network.ipfs` and with host names by :mod:`network.compose`.
Addresses are multiaddrs: ``/ip4/127.0.0.1/tcp/4001``, ``/dns4/kubo-org1/tcp/4001``, ``/unix/run/kubo.sock``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]

INIT_KUBO = ("init", "--empty-repo", "--profile=test,unixfs-v1-2025")
INIT_CLUSTER = ("init", "--consensus", "crdt", "--datastore", "leveldb")

# Without the first, a node that has lost its swarm key would join the public network.
KUBO_ENVIRONMENT = {
    "LIBP2P_FORCE_PNET": "1",
    "GOMEMLIMIT": "128MiB",
    "GOGC": "50",
    "IPFS_TELEMETRY": "off",
}
CLUSTER_ENVIRONMENT = {"GOMEMLIMIT": "128MiB", "GOGC": "50"}


@dataclass(frozen=True)
class Member:
    """An organisation's pair of nodes: who they are, and where the others dial them."""

    name: str
    kubo_id: str
    kubo_address: str
    cluster_id: str
    cluster_address: str


@dataclass(frozen=True)
class Listen:
    """Where an organisation's pair of nodes listens."""

    kubo_api: str
    kubo_swarm: str
    cluster_swarm: str
    cluster_rest: str


def multiaddr(address: str) -> str:
    """``HOST:PORT`` as others dial it."""
    host, _, port = address.rpartition(":")
    kind = "ip4" if host.replace(".", "").isdigit() else "dns4"
    return f"/{kind}/{host}/tcp/{port}"


def listening(address: str) -> str:
    """``HOST:PORT`` as its owner listens: libp2p listens on addresses, not on names."""
    own = multiaddr(address)
    return own if own.startswith("/ip4/") else f"/ip4/0.0.0.0/tcp/{own.rpartition('/')[2]}"


def swarm_key(secret: str) -> str:
    """The swarm.key file of a private swarm; ``secret`` is 64 hexadecimal digits."""
    return f"/key/swarm/psk/1.0.0/\n/base16/\n{secret}\n"


def kubo_config(initial: Document, listen: Listen, others: Iterable[Member]) -> Document:
    """kubo's configuration: private, TCP only, peered with ``others``, found by nobody else."""
    config = copy.deepcopy(initial)
    config["Addresses"] = {
        "API": listen.kubo_api,
        "Gateway": [],
        "Swarm": [listen.kubo_swarm],
        "Announce": [],
        "AppendAnnounce": [],
        "NoAnnounce": [],
    }
    config["Bootstrap"] = []
    config["Routing"] = {"Type": "none"}
    config["Peering"] = {"Peers": [{"ID": peer.kubo_id, "Addrs": [peer.kubo_address]} for peer in others]}
    config["AutoNAT"] = {"ServiceMode": "disabled"}
    config["Provide"] = {"Enabled": False}
    config["Version"] = {"SwarmCheckEnabled": False}
    config["Gateway"]["NoFetch"] = True
    config["Swarm"].update(_swarm())
    return config


def _swarm() -> Document:
    """One transport, no relays, no connection manager: a handful of known peers."""
    off = ("QUIC", "Websocket", "WebTransport", "WebRTCDirect", "Relay")
    return {
        "Transports": {"Network": {"TCP": True, **dict.fromkeys(off, False)}},
        "RelayClient": {"Enabled": False},
        "RelayService": {"Enabled": False},
        "EnableHolePunching": False,
        "DisableNatPortMap": True,
        "ConnMgr": {"Type": "none"},
        "ResourceMgr": {"MaxMemory": "256MiB"},
    }


def cluster_config(
    initial: Document, listen: Listen, own: Member, everyone: Sequence[Member], name: str
) -> Document:
    """ipfs-cluster's configuration: CRDT over the members alone, everything pinned by everyone.

    The secret and the REST credentials come from the environment (CLUSTER_SECRET,
    CLUSTER_RESTAPI_BASICAUTHCREDENTIALS), so that this file holds none.
    """
    config = copy.deepcopy(initial)
    config["cluster"].update(_cluster_peer(listen, own, everyone))
    config["cluster"]["pubsub"]["heartbeat_interval"] = "1s"
    config["consensus"]["crdt"].update(
        cluster_name=name,
        trusted_peers=[peer.cluster_id for peer in everyone],
        rebroadcast_interval="5s",
    )
    config["api"] = {
        "restapi": {**config["api"]["restapi"], "http_listen_multiaddress": [listen.cluster_rest]}
    }
    config["ipfs_connector"]["ipfshttp"].update(
        node_multiaddress=listen.kubo_api,
        connect_swarms_delay="0s",
        unpin_disable=True,  # or any trusted peer could remove what another organisation pinned
    )
    return config


def _cluster_peer(listen: Listen, own: Member, everyone: Sequence[Member]) -> Document:
    """Who this peer is and whom it talks to, with pings short enough to be ready in seconds."""
    others = [peer for peer in everyone if peer != own]
    return {
        "peername": own.name,
        "secret": "",
        "listen_multiaddress": [listen.cluster_swarm],
        "peer_addresses": [f"{peer.cluster_address}/p2p/{peer.cluster_id}" for peer in others],
        "mdns_interval": "0s",
        "enable_relay_hop": False,
        "monitor_ping_interval": "2s",
        "replication_factor_min": -1,
        "replication_factor_max": -1,
    }
