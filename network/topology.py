"""The topology file: what a network consists of, checked before anything starts."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import yaml

from network.errors import BadTopology

_CHANNEL = re.compile(r"[a-z][a-z0-9.-]{0,248}")  # Fabric's own rule for channel names
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
_DURATION = re.compile(r"[1-9][0-9]*(ms|s)")


class _Part(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A part of the file: an unknown field is a mistake, not an extension."""


class Chaincode(_Part, frozen=True):
    """The chaincode, and the Python module that serves it (``python -m MODULE FACTORY …``)."""

    name: str = "candor"
    version: str = "1.0"
    module: str = "chaincode.shim"
    factory: str = "chaincode.contracts:create"
    settings: dict[str, Any] = {}  # joined by what the network knows: organisations, beacon


class Orderers(_Part, frozen=True):
    """The ordering service: Raft with ``count`` consenters."""

    count: int = 3
    domain: str = "orderer.test"
    msp_id: str = "OrdererMSP"
    tick: str = "100ms"
    batch_timeout: str = "200ms"
    max_messages: int = 500


class Organisation(_Part, frozen=True):
    """An organisation: one peer, one chaincode server, ``clients`` client identities."""

    msp_id: str
    domain: str
    clients: int = 2
    host: str = ""  # the machine its processes run on; a production network tells it

    @property
    def name(self) -> str:
        """The short name processes and directories go by: ``org1.test`` is ``org1``."""
        return self.domain.split(".")[0]

    @property
    def peer_host(self) -> str:
        """The peer's host name in its certificate."""
        return f"peer0.{self.domain}"


class Drand(_Part, frozen=True):
    """The randomness beacon: one node an organisation."""

    period: int = 1  # seconds a round
    threshold: int | None = None  # default: more than half of the organisations
    genesis_delay: int = 7  # seconds from the proposal to round 1; key generation takes 5.5


class Topology(_Part, frozen=True):
    """A network: orderers, organisations, chaincode, and what runs beside each peer."""

    name: str
    organisations: list[Organisation]
    channel: str = "candor"
    chaincode: Chaincode = msgspec.field(default_factory=Chaincode)
    orderers: Orderers = msgspec.field(default_factory=Orderers)
    drand: Drand | None = None
    ipfs: bool = False
    production: bool = False  # no development beacon, and no machine with two shares of the beacon

    @property
    def drand_threshold(self) -> int:
        """The shares a beacon signature needs (0 without drand)."""
        if self.drand is None:
            return 0
        return self.drand.threshold or len(self.organisations) // 2 + 1


def load(source: str | Path) -> Topology:
    """The topology in file ``source``, or of the profile of that name; raises BadTopology."""
    text, label = _read(source)
    try:
        topology = msgspec.convert(yaml.safe_load(text), Topology)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        what = getattr(error, "problem", None) or "it cannot be read"
        raise BadTopology(f"{label} is not YAML: {what}{where}", "Correct it there") from error
    except msgspec.ValidationError as error:
        raise BadTopology(f"{label}: {error}", "Correct or remove this field") from error
    check(topology, label)
    return topology


def profiles() -> list[str]:
    """The names of the packaged topology files."""
    found = (entry.name for entry in resources.files("network").joinpath("profiles").iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def _read(source: str | Path) -> tuple[str, str]:
    """The text of a file or profile, and how to name it in messages."""
    path = Path(source)
    if path.is_file():
        return path.read_text(), str(path)
    if str(source) in profiles():
        profile = resources.files("network").joinpath("profiles", f"{source}.yaml")
        return profile.read_text(), f"profile {source}"
    raise BadTopology(
        f"there is no topology file {source}", f"Name a file, or a profile: {', '.join(profiles())}"
    )


def check(topology: Topology, label: str = "the topology") -> None:
    """Refuse values that parse but cannot work, naming the field and the remedy."""
    for field, ok, remedy in [
        *_channel_rules(topology),
        *_orderer_rules(topology.orderers),
        *_organisation_rules(topology),
        *_drand_rules(topology),
        *_production_rules(topology),
    ]:
        if not ok:
            raise BadTopology(f"{label}: `{field}` cannot be used", remedy)


def check_one_machine(topology: Topology) -> None:
    """Refuse what would start every organisation's processes on this machine though it is for production."""
    if topology.production:
        raise BadTopology(
            "a production network must not have two shares of its beacon on one machine, and this starts them all here",
            "Run each organisation's processes on its own host, or take `production` out to try the network out",
        )


_Rule = tuple[str, bool, str]


def _channel_rules(topology: Topology) -> list[_Rule]:
    name = "Use letters, digits, '_', '.' and '-', at most 64"
    code = topology.chaincode
    return [
        ("name", bool(_NAME.fullmatch(topology.name)), name),
        ("channel", bool(_CHANNEL.fullmatch(topology.channel)), "Use lower case letters, digits, '.', '-'"),
        ("chaincode.name", bool(_NAME.fullmatch(code.name)), name),
        ("chaincode.version", bool(_NAME.fullmatch(code.version)), name),
        ("chaincode.module", bool(code.module), "Name the module that serves it"),
        ("chaincode.factory", code.factory.count(":") == 1, "Write it as MODULE:FUNCTION"),
    ]


def _orderer_rules(orderers: Orderers) -> list[_Rule]:
    duration = "Write it as a number and a unit: 100ms, 2s"
    return [
        ("orderers.count", 1 <= orderers.count <= 25, "Use 1 to 25; 3 survive the loss of one"),
        ("orderers.domain", bool(_DOMAIN.fullmatch(orderers.domain)), "Use a domain name: orderer.test"),
        ("orderers.msp_id", bool(_NAME.fullmatch(orderers.msp_id)), "Use a name: OrdererMSP"),
        ("orderers.tick", bool(_DURATION.fullmatch(orderers.tick)), duration),
        ("orderers.batch_timeout", bool(_DURATION.fullmatch(orderers.batch_timeout)), duration),
        ("orderers.max_messages", orderers.max_messages > 0, "Use at least 1"),
    ]


def _organisation_rules(topology: Topology) -> list[_Rule]:
    rules: list[_Rule] = [("organisations", bool(topology.organisations), "List at least one")]
    msps, names = {topology.orderers.msp_id}, {topology.orderers.domain.split(".")[0]}
    for index, org in enumerate(topology.organisations):
        field = f"organisations[{index}]"
        rules += [
            (f"{field}.msp_id", bool(_NAME.fullmatch(org.msp_id)), "Use a name: Org1MSP"),
            (f"{field}.msp_id", org.msp_id not in msps, "Give every organisation an own one"),
            (f"{field}.domain", bool(_DOMAIN.fullmatch(org.domain)), "Use a domain name: org1.test"),
            (f"{field}.domain", org.name not in names, "The first labels of domains must differ"),
            (f"{field}.clients", 0 <= org.clients <= 1000, "Use 0 to 1000"),
        ]
        msps.add(org.msp_id)
        names.add(org.name)
    return rules


def _drand_rules(topology: Topology) -> list[_Rule]:
    if topology.drand is None:
        return []
    total = len(topology.organisations)
    least = total // 2 + 1
    return [
        ("drand.period", topology.drand.period >= 1, "Use at least 1 second"),
        ("drand.genesis_delay", topology.drand.genesis_delay >= 5, "Key generation needs 5 seconds or more"),
        (
            "drand.threshold",
            least <= topology.drand_threshold <= total,
            f"With {total} organisations use {least} to {total}, or leave it out",
        ),
    ]


def _production_rules(topology: Topology) -> list[_Rule]:
    if not topology.production:
        return []
    shares = "A production network draws from its organisations' own beacon, of at least two shares"
    rules: list[_Rule] = [("drand", topology.drand_threshold >= 2, shares)]
    hosts: set[str] = set()
    for index, org in enumerate(topology.organisations):
        field = f"organisations[{index}].host"
        rules += [
            (field, bool(org.host), "Name the machine that its processes run on"),
            (
                field,
                org.host not in hosts,
                "Two shares of the beacon on one host: use a host an organisation",
            ),
        ]
        hosts.add(org.host)
    return rules
