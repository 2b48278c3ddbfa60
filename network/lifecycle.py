"""The chaincode's way onto the channel: packaged, installed and approved by each organisation, committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from pathlib import Path

from network.configuration import admin_directory
from network.errors import CommandFailed
from network.identities import Identities
from network.package import connection, package, package_id
from network.plan import Plan
from network.steps import command, each
from network.topology import Organisation

_PATIENCE = 60.0  # seconds, mostly for the orderers' first election
_TRY = 15.0  # seconds; the command waits for ever for a transaction that went down with a Raft leader
_SEQUENCE = "1"
# What a retry hears when the attempt before it was committed after all.
_DONE = ("with unchanged content", "but new definition must be sequence")


def package_file(plan: Plan, identities: Identities, org: Organisation) -> Path:
    """Where the organisation's package is."""
    return identities.chaincode(org) / "package.tgz"


def label(plan: Plan) -> str:
    """The package's label: name and version."""
    return f"{plan.topology.chaincode.name}_{plan.topology.chaincode.version}"


def installed_id(plan: Plan, identities: Identities, org: Organisation) -> str:
    """The id of the organisation's package."""
    return package_id(label(plan), package_file(plan, identities, org).read_bytes())


def write_package(plan: Plan, identities: Identities, org: Organisation) -> None:
    """Package where its chaincode server will be; the file holds a key, so it is private."""
    own = identities.chaincode(org)
    content = connection(
        plan.ports.address(f"{org.name}/chaincode/listen"),
        key=(own / "client.key").read_text(),
        certificate=(own / "client.crt").read_text(),
        server_ca=identities.tls_ca(org).read_text(),
    )
    target = package_file(plan, identities, org)
    target.touch(mode=0o600)
    target.write_bytes(package(label(plan), content))


def deploy(plan: Plan, identities: Identities) -> None:
    """Install and approve in every organisation at once, then commit the definition."""

    def approve(item: tuple[int, Organisation]) -> None:
        index, org = item
        write_package(plan, identities, org)
        _peer(plan, org, "install", package_file(plan, identities, org))
        own = ("--package-id", installed_id(plan, identities, org))
        words = ("approveformyorg", *_definition(plan), *own)
        _persist(
            lambda attempt: _peer(
                plan, org, *words, *_orderer(plan, identities, index + attempt), seconds=_TRY
            )
        )

    organisations = plan.topology.organisations
    each(approve, enumerate(organisations))
    endorsers = [flag for org in organisations for flag in _endorser(plan, identities, org)]
    words = ("commit", *_definition(plan), *endorsers)
    first = organisations[0]
    _persist(lambda attempt: _peer(plan, first, *words, *_orderer(plan, identities, attempt), seconds=_TRY))


def answers(plan: Plan, org: Organisation) -> str | None:
    """None when the organisation's peer reached its chaincode server; else why it did not.

    The call asks for a function that need not exist: a refusal of the chaincode is an answer.
    """
    code = plan.topology.chaincode.name
    query = ["chaincode", "query", "-C", plan.topology.channel, "-n", code, "-c", '{"Args":["Health:ping"]}']
    try:
        command([plan.programs.path("peer"), *query], env=_environment(plan, org))
    except CommandFailed as error:
        failed = ("could not launch", "error in simulation", "connection", "not found", "timeout", "deadline")
        return str(error) if any(sign in str(error) for sign in failed) else None
    return None


def _definition(plan: Plan) -> list[str]:
    """What the organisations agree on; the endorsement policy is the channel's, MAJORITY."""
    code = plan.topology.chaincode
    named = ["--channelID", plan.topology.channel, "--name", code.name]
    return [*named, "--version", code.version, "--sequence", _SEQUENCE]


def _orderer(plan: Plan, identities: Identities, index: int) -> list[str]:
    number = index % plan.topology.orderers.count
    address = plan.ports.address(f"orderer{number}/listen")
    return ["-o", address, "--tls", "--cafile", str(identities.orderer_tls_ca)]


def _endorser(plan: Plan, identities: Identities, org: Organisation) -> list[str]:
    address = plan.ports.address(f"{org.name}/peer/listen")
    return ["--peerAddresses", address, "--tlsRootCertFiles", str(identities.tls_ca(org))]


def _persist(action: Callable[[int], object]) -> None:
    """``action(attempt)`` until it is done: a cluster that has just started may have no leader yet.

    Each attempt asks another orderer: one may accept what it will never order (network/ordering.py).
    """
    end = time.monotonic() + _PATIENCE
    for attempt in count():
        try:
            action(attempt)
        except CommandFailed as error:
            if any(sign in str(error) for sign in _DONE):
                return
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def _peer(plan: Plan, org: Organisation, *arguments: str | Path, seconds: float = 60) -> str:
    """``peer lifecycle chaincode …`` as the organisation's admin."""
    words: Iterable[str | Path] = [plan.programs.path("peer"), "lifecycle", "chaincode", *arguments]
    return command(words, env=_environment(plan, org), seconds=seconds)


def _environment(plan: Plan, org: Organisation) -> Mapping[str, str]:
    return {"FABRIC_CFG_PATH": str(admin_directory(plan, org)), "FABRIC_LOGGING_SPEC": "error"}
