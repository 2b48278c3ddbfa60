"""Fabric's processes: orderers, peers, and a chaincode server beside each peer."""

from __future__ import annotations

from pathlib import Path

from network.configuration import orderer_directory, peer_directory
from network.identities import Identities
from network.lifecycle import installed_id
from network.plan import Plan
from network.processes import HttpOk, Listening, ProcessSpec, python_environment
from network.topology import Organisation

ORDERERS, PEERS, CHAINCODES = 1, 2, 3  # layers: taken down from the last to the first
SETTINGS = "CANDOR_CHAINCODE_SETTINGS"
_LOG_FORMAT = "%{time:2006-01-02T15:04:05.000Z07:00} %{level} %{module}: %{message}"


def log_file(plan: Plan, name: str) -> str:
    """Where a process's output goes."""
    return str(plan.directory / "logs" / f"{name}.log")


def _go(memory: int) -> dict[str, str]:
    """Go's collector set for small processes that mostly idle; ``memory`` (MiB) is a soft limit."""
    return {"GOGC": "40", "GOMEMLIMIT": f"{memory}MiB", "GOMAXPROCS": "2"}


def _fabric(directory: Path, memory: int) -> dict[str, str]:
    logging = {"FABRIC_LOGGING_SPEC": "warning", "FABRIC_LOGGING_FORMAT": _LOG_FORMAT}
    return {"FABRIC_CFG_PATH": str(directory), **logging, **_go(memory)}


def orderer(plan: Plan, index: int) -> ProcessSpec:
    """An orderer; ready when it reports good health and listens, to administrators too."""
    name, directory = f"orderer{index}", orderer_directory(plan, index)
    return ProcessSpec(
        name=name,
        argv=[plan.programs.path("orderer")],
        directory=str(directory),
        log=log_file(plan, name),
        env=_fabric(directory, 64),
        ready=[
            HttpOk(f"http://{plan.ports.address(f'{name}/operations')}/healthz"),
            Listening(plan.ports.address(f"{name}/listen")),
            Listening(
                plan.ports.address(f"{name}/admin")
            ),  # on a busy machine some time after its good health
        ],
        layer=ORDERERS,
    )


def peer(plan: Plan, org: Organisation) -> ProcessSpec:
    """An organisation's peer; ready when it reports good health."""
    name, directory = f"{org.name}-peer", peer_directory(plan, org)
    return ProcessSpec(
        name=name,
        argv=[plan.programs.path("peer"), "node", "start"],
        directory=str(directory),
        log=log_file(plan, name),
        env=_fabric(directory, 96),
        ready=[
            HttpOk(f"http://{plan.ports.address(f'{org.name}/peer/operations')}/healthz"),
            Listening(plan.ports.address(f"{org.name}/peer/listen")),  # later than its good health
        ],
        layer=PEERS,
    )


def settings_file(identities: Identities, org: Organisation) -> Path:
    """The file that tells a chaincode server what it is to assume."""
    return identities.chaincode(org) / "settings.json"


def chaincode(plan: Plan, identities: Identities, org: Organisation) -> ProcessSpec:
    """An organisation's chaincode server; only its own peer's certificate gets in."""
    name, own, code = f"{org.name}-chaincode", identities.chaincode(org), plan.topology.chaincode
    address = plan.ports.address(f"{org.name}/chaincode/listen")
    argv = [plan.python, "-m", code.module, code.factory]
    argv += ["--address", address, "--package-id", installed_id(plan, identities, org)]
    argv += ["--tls-key", str(own / "server.key"), "--tls-cert", str(own / "server.crt")]
    argv += ["--tls-client-ca", str(identities.tls_ca(org))]
    argv += ["--health", plan.ports.address(f"{org.name}/chaincode/health")]
    return ProcessSpec(
        name=name,
        argv=argv,
        directory=str(own),
        log=log_file(plan, name),
        env={SETTINGS: str(settings_file(identities, org)), **python_environment()},
        ready=[Listening(address)],
        layer=CHAINCODES,
    )
