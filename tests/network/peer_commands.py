"""What a test asks of a running network: the official ``peer`` command, and what is left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from fl_client.audit.fabric import protos
from fl_client.audit.fabric.update import raw_config
from network.binaries import Binaries
from network.identities import Identities
from network.network import Network
from network.steps import command
from network.topology import Chaincode, Organisation, Topology

THREE = Topology(
    name="three",
    organisations=[Organisation(msp_id=f"Org{n}MSP", domain=f"org{n}.test", clients=1) for n in (1, 2, 3)],
    chaincode=Chaincode(name="plain", module="plain_chaincode", factory="plain:create"),
)


def peer(
    network: Network, org: Organisation, *words: str, environment: Mapping[str, str] | None = None
) -> str:
    """``peer …`` as the organisation's admin, at its own peer."""
    env = {"FABRIC_CFG_PATH": str(network.directory / "nodes" / f"{org.name}-admin")}
    env |= {"FABRIC_LOGGING_SPEC": "error"} | dict(environment or {})
    return command([Binaries().path("peer"), *words], env=env).strip()


def orderer_words(network: Network, orderer: int = 0) -> list[str]:
    """The orderer that ``peer`` is to send to."""
    authority = Identities(network.directory, network.topology).orderer_tls_ca
    address = f"127.0.0.1:{network.port(f'orderer{orderer}/listen')}"
    return ["-o", address, "--tls", "--cafile", str(authority)]


def _call(network: Network, *words: str) -> list[str]:
    arguments = ", ".join(f'"{word}"' for word in words)
    topology = network.topology
    return ["-C", topology.channel, "-n", topology.chaincode.name, "-c", f'{{"Args":[{arguments}]}}']


def query(network: Network, org: Organisation, *words: str) -> str:
    """What the organisation's peer and chaincode answer."""
    return peer(network, org, "chaincode", "query", *_call(network, *words))


def put(network: Network, key: str, value: str, *, orderer: int = 0) -> None:
    """Write, endorsed by every organisation; returns when it is committed."""
    identities = Identities(network.directory, network.topology)
    words = [*orderer_words(network, orderer), "--waitForEvent"]
    for org in network.topology.organisations:
        words += ["--peerAddresses", f"127.0.0.1:{network.port(f'{org.name}/peer/listen')}"]
        words += ["--tlsRootCertFiles", str(identities.tls_ca(org))]
    org = network.topology.organisations[0]
    peer(network, org, "chaincode", "invoke", *words, *_call(network, "put", key, value))


def reconfigure(network: Network) -> str:
    """The first organisation changes its own group of the channel's configuration (it names no anchor peer)."""
    org, channel = network.topology.organisations[0], network.topology.channel
    identities = Identities(network.directory, network.topology)
    orderer = ["-o", f"127.0.0.1:{network.port('orderer0/listen')}", "--tls"]
    orderer += ["--cafile", str(identities.orderer_tls_ca)]
    block, update = (network.directory / name for name in ("config.block", "update.pb"))
    peer(network, org, "channel", "fetch", "config", str(block), "-c", channel, *orderer)
    update.write_bytes(_without_anchor_peers(block.read_bytes(), channel, org.msp_id))
    return peer(network, org, "channel", "update", "-f", str(update), "-c", channel, *orderer)


def _without_anchor_peers(block: bytes, channel: str, msp_id: str) -> bytes:
    """The update's envelope: the organisation's group as it is, but for an anchor peers' value that is empty."""
    (envelope,) = protos.common.Block.FromString(block).data.data
    group = raw_config(protos.common.Envelope.FromString(envelope)).channel_group
    made = protos.configs.ConfigUpdate(channel_id=channel)
    for each in (made.read_set, made.write_set):
        each.groups["Application"].version = group.groups["Application"].version
        each.groups["Application"].groups[msp_id].CopyFrom(group.groups["Application"].groups[msp_id])
    value = made.write_set.groups["Application"].groups[msp_id].values["AnchorPeers"]
    value.value, value.version = b"", value.version + 1
    header = protos.common.ChannelHeader(type=protos.common.CONFIG_UPDATE, channel_id=channel)
    change = protos.configs.ConfigUpdateEnvelope(config_update=made.SerializeToString())
    payload = protos.common.Payload(data=change.SerializeToString())
    payload.header.channel_header = header.SerializeToString()
    return bytes(protos.common.Envelope(payload=payload.SerializeToString()).SerializeToString())


def processes(directory: Path) -> list[str]:
    """Every process on this machine that works in ``directory`` or was told of it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if str(directory) in words or (entry / "cwd").resolve().is_relative_to(directory):
                    found.append(words)
            except OSError:
                continue  # it ended just now
    return found


def until(met: Callable[[], object], seconds: float = 15) -> None:
    """Ask until it is so; an exception of ``met`` counts as no."""
    end = time.monotonic() + seconds
    while True:
        try:
            if met():
                return
        except Exception:
            if time.monotonic() > end:
                raise
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
