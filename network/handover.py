"""What the network hands to others: connection files for clients, settings files for chaincode servers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from network.configuration import orderer_entries
from network.fabric import settings_file
from network.identities import Identities
from network.plan import Plan
from network.steps import private_directory, write_private
from network.topology import Organisation


@dataclass(frozen=True)
class Beacon:
    """The randomness beacon as others see it; empty in a network without one."""

    info: Mapping[str, Any] | None = None
    urls: Mapping[str, str] = field(default_factory=dict)  # of each MSP id's own node


def connection_file(directory: Path, msp_id: str) -> Path:
    """An organisation's way into the network in ``directory``."""
    return directory / "connections" / f"{msp_id}.json"


def write_settings(plan: Plan, identities: Identities, beacon: Beacon) -> None:
    """One settings file an organisation, beside its chaincode server's keys."""
    for org in plan.topology.organisations:
        write_private(settings_file(identities, org), _json(settings(plan, org, beacon)))


def settings(plan: Plan, org: Organisation, beacon: Beacon) -> dict[str, Any]:
    """The topology's settings of the chaincode, and what the network knows itself."""
    return {
        **({"production": True} if plan.topology.production else {}),
        **plan.topology.chaincode.settings,
        "msp_id": org.msp_id,
        "organisations": [member.msp_id for member in plan.topology.organisations],
        "chaincode": plan.topology.chaincode.name,
        "beacon": beacon.info,
        "drand": beacon.urls.get(org.msp_id, ""),
    }


def write_connections(
    plan: Plan, identities: Identities, beacon: Beacon, stores: Mapping[str, Mapping[str, str]]
) -> None:
    """One connection file an organisation."""
    private_directory(plan.directory / "connections")
    for org in plan.topology.organisations:
        content = connection(plan, identities, org, beacon, stores.get(org.msp_id))
        write_private(connection_file(plan.directory, org.msp_id), _json(content))


def connection(
    plan: Plan,
    identities: Identities,
    org: Organisation,
    beacon: Beacon,
    store: Mapping[str, str] | None,
) -> dict[str, Any]:
    """An organisation's connection file, as docs/architecture.md has it; its own nodes come first."""
    topology = plan.topology
    members = sorted(topology.organisations, key=lambda member: member.msp_id != org.msp_id)
    return {
        "channel": topology.channel,
        "chaincode": topology.chaincode.name,
        "organisation": org.msp_id,
        "peers": [_peer(plan, identities, member) for member in members],
        "orderers": orderer_entries(plan, identities),
        "store": store,
        "beacons": [beacon.urls[member.msp_id] for member in members if member.msp_id in beacon.urls],
        "beacon": beacon.info,
        "admin": identities.entry(org, "Admin"),
        "clients": [identities.entry(org, f"User{number + 1}") for number in range(org.clients)],
    }


def _peer(plan: Plan, identities: Identities, org: Organisation) -> dict[str, str]:
    return {
        "msp_id": org.msp_id,
        "address": plan.ports.address(f"{org.name}/peer/listen"),
        "host": org.peer_host,
        "tls_ca": str(identities.tls_ca(org)),
    }


def _json(document: object) -> str:
    return json.dumps(document, indent=2, sort_keys=True) + "\n"
