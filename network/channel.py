"""The channel: its configuration, its first block, and everybody's joining."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from network.configuration import admin_directory
from network.identities import Identities
from network.plan import Plan
from network.steps import command, each, private_directory
from network.topology import Organisation

_PROFILE = "Channel"


def genesis_block(plan: Plan) -> Path:
    """Where the channel's first block is."""
    return plan.directory / "channel" / "genesis.block"


def create(plan: Plan, identities: Identities) -> None:
    """Write configtx.yaml and make the first block of it."""
    directory = private_directory(plan.directory / "channel")
    (directory / "configtx.yaml").write_text(yaml.safe_dump(configtx(plan, identities), sort_keys=False))
    options = ["-profile", _PROFILE, "-channelID", plan.topology.channel]
    output = ["-outputBlock", genesis_block(plan), "-configPath", directory]
    command([plan.programs.path("configtxgen"), *options, *map(str, output)])


def join(plan: Plan, identities: Identities) -> None:
    """Every orderer and every peer joins, all at once."""

    def orderer(index: int) -> Callable[[], object]:
        return lambda: _join_orderer(plan, identities, index)

    def peer(org: Organisation) -> Callable[[], object]:
        return lambda: _join_peer(plan, org)

    joins = [orderer(index) for index in range(plan.topology.orderers.count)]
    joins += [peer(org) for org in plan.topology.organisations]
    each(lambda join: join(), joins)


def _join_orderer(plan: Plan, identities: Identities, index: int) -> None:
    tls = identities.orderer(index) / "tls"
    command(
        [
            *(plan.programs.path("osnadmin"), "channel", "join"),
            *("--channelID", plan.topology.channel, "--config-block", str(genesis_block(plan))),
            *("-o", plan.ports.address(f"orderer{index}/admin"), "--ca-file", str(tls / "ca.crt")),
            *("--client-cert", str(tls / "server.crt"), "--client-key", str(tls / "server.key")),
        ]
    )


def _join_peer(plan: Plan, org: Organisation) -> None:
    argv = [plan.programs.path("peer"), "channel", "join", "-b", str(genesis_block(plan))]
    command(argv, env={"FABRIC_CFG_PATH": str(admin_directory(plan, org)), "FABRIC_LOGGING_SPEC": "error"})


def configtx(plan: Plan, identities: Identities) -> dict[str, Any]:
    """configtx.yaml: one profile of an application channel ordered by Raft."""
    topology = plan.topology
    members = [_organisation(plan, identities, org) for org in topology.organisations]
    profile = {
        "Policies": _meta(Readers="ANY Readers", Writers="ANY Writers", Admins="MAJORITY Admins"),
        "Capabilities": {"V2_0": True},
        "Orderer": _orderer(plan, identities),
        "Application": {
            "Organizations": members,
            "Policies": _meta(
                Readers="ANY Readers",
                Writers="ANY Writers",
                Admins="MAJORITY Admins",
                Endorsement="MAJORITY Endorsement",
                LifecycleEndorsement="MAJORITY Endorsement",
            ),
            "Capabilities": {"V2_5": True},
        },
    }
    return {"Profiles": {_PROFILE: profile}}


def _orderer(plan: Plan, identities: Identities) -> dict[str, Any]:
    ordering = plan.topology.orderers
    return {
        "OrdererType": "etcdraft",
        "BatchTimeout": ordering.batch_timeout,
        "BatchSize": {
            "MaxMessageCount": ordering.max_messages,
            "AbsoluteMaxBytes": "16 MB",
            "PreferredMaxBytes": "2 MB",
        },
        "Organizations": [_ordering_organisation(plan, identities)],
        "Policies": _meta(
            Readers="ANY Readers",
            Writers="ANY Writers",
            Admins="MAJORITY Admins",
            BlockValidation="ANY Writers",
        ),
        "Capabilities": {"V2_0": True},
        "EtcdRaft": {
            "Consenters": [_consenter(plan, identities, index) for index in range(ordering.count)],
            "Options": {
                "TickInterval": ordering.tick,
                "ElectionTick": 10,
                "HeartbeatTick": 1,
                "MaxInflightBlocks": 5,
                # Small on purpose: with the usual 16 MB, an orderer of Fabric 2.5.0 that restarts
                # under load may lock up for good while it reports good health (fabric #4199).
                "SnapshotIntervalSize": "4 KB",
            },
        },
    }


def _consenter(plan: Plan, identities: Identities, index: int) -> dict[str, Any]:
    certificate = str(identities.orderer(index) / "tls" / "server.crt")
    return {
        "Host": plan.ports.host(f"orderer{index}/listen"),
        "Port": plan.ports.get(f"orderer{index}/listen"),
        "ClientTLSCert": certificate,
        "ServerTLSCert": certificate,
    }


def _ordering_organisation(plan: Plan, identities: Identities) -> dict[str, Any]:
    ordering = plan.topology.orderers
    endpoints = [plan.ports.address(f"orderer{index}/listen") for index in range(ordering.count)]
    return {**_msp(ordering.msp_id, identities.ordering), "OrdererEndpoints": endpoints}


def _organisation(plan: Plan, identities: Identities, org: Organisation) -> dict[str, Any]:
    name = f"{org.name}/peer/listen"
    anchor = {"Host": plan.ports.host(name), "Port": plan.ports.get(name)}
    return {**_msp(org.msp_id, identities.organisation(org)), "AnchorPeers": [anchor]}


def _msp(msp_id: str, directory: Path) -> dict[str, Any]:
    """An organisation: its members read and write, its admins administrate, its peers endorse."""
    rules = {"Readers": "member", "Writers": "member", "Admins": "admin", "Endorsement": "peer"}
    return {
        "Name": msp_id,
        "ID": msp_id,
        "MSPDir": str(directory / "msp"),
        "Policies": {
            policy: {"Type": "Signature", "Rule": f"OR('{msp_id}.{role}')"} for policy, role in rules.items()
        },
    }


def _meta(**rules: str) -> dict[str, dict[str, str]]:
    return {policy: {"Type": "ImplicitMeta", "Rule": rule} for policy, rule in rules.items()}
