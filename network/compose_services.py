"""The services of docker-compose.yaml: one function a kind of container, each a pure rendering."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from network import containers, fabric, ipfs_config
from network.containers import NETWORK, chaincode_host
from network.identities import Identities, orderer_host
from network.ipfs import Pair
from network.plan import Plan
from network.topology import Organisation

Service = dict[str, Any]

IMAGES = {
    "peer": "hyperledger/fabric-peer:2.5.12",
    "orderer": "hyperledger/fabric-orderer:2.5.12",
    "tools": "hyperledger/fabric-tools:2.5.12",
    "kubo": "ipfs/kubo:v0.43.0",
    "cluster": "ipfs/ipfs-cluster:v1.1.6",
}
OWN = {  # the Dockerfile's targets
    "runtime": "candor:0.1.0",
    "setup": "candor-setup:0.1.0",
    "drand": "candor-drand:2.1.4",
}
VOLUME = "network"
TOPOLOGY = "/candor/topology.yaml"
_COMPOSE = ["python", "-m", "network.compose"]
_DONE, _HEALTHY = "service_completed_successfully", "service_healthy"


@dataclass(frozen=True)
class Services:
    """All services of one network."""

    plan: Plan

    def all(self) -> dict[str, Service]:
        """By name: set-up, orderers, then organisation by organisation, then the clients."""
        topology = self.plan.topology
        services = self._setup()
        for index in range(topology.orderers.count):
            services[f"orderer{index}"] = self._orderer(index)
        for place, org in enumerate(topology.organisations):
            services |= self._organisation(org, place)
        for org in topology.organisations:
            services[f"{org.name}-client"] = self._client(org)
        return services

    def _organisation(self, org: Organisation, place: int) -> dict[str, Service]:
        services = {f"{org.name}-peer": self._peer(org, place), f"{org.name}-chaincode": self._chaincode(org)}
        if self.plan.topology.ipfs:
            pair = next(pair for pair in containers.pairs(self.plan) if pair.org == org)
            services |= {f"{org.name}-kubo": _kubo(pair), f"{org.name}-cluster": _cluster(pair)}
        if self.plan.topology.drand is not None:
            services[f"{org.name}-drand"] = self._drand(org, place)
        return services

    @property
    def _identities(self) -> Identities:
        return Identities(self.plan.directory, self.plan.topology)

    def _setup(self) -> dict[str, Service]:
        """The one-shot services, in the order they run; each is repeatable."""
        topology = self.plan.topology
        fabric_nodes = [f"orderer{index}" for index in range(topology.orderers.count)]
        fabric_nodes += [f"{org.name}-peer" for org in topology.organisations]
        beacons = [f"{org.name}-drand" for org in topology.organisations if topology.drand is not None]
        return {
            "setup-create": _step("create", {}),
            "setup-channel": _step("channel", _when(_HEALTHY, fabric_nodes)),
            "setup-beacon": _step("beacon", _when(_DONE, ["setup-create"]) | _when(_HEALTHY, beacons)),
        }

    def _orderer(self, index: int) -> Service:
        spec = fabric.orderer(self.plan, index)
        host = orderer_host(self.plan.topology, index)
        return {
            "image": IMAGES["orderer"],
            "command": _command(spec.argv),
            **_host(host),
            "environment": spec.env,
            "volumes": [_share(spec.directory), _share(self._identities.orderer(index), read_only=True)],
            "ports": [f"127.0.0.1:{7050 + 1000 * index}:7050"],
            "depends_on": _when(_DONE, ["setup-create"]),
            "healthcheck": _bash_get(host, 9443, "/healthz"),
            "restart": "unless-stopped",
        }

    def _peer(self, org: Organisation, place: int) -> Service:
        spec = fabric.peer(self.plan, org)
        return {
            "image": IMAGES["peer"],
            "command": _command(spec.argv),
            **_host(org.peer_host),
            "environment": spec.env,
            "volumes": [
                _share(spec.directory),
                _share(self._identities.peer(org), read_only=True),
                _share(NETWORK / "builder", read_only=True),
            ],
            "ports": [f"127.0.0.1:{7051 + 1000 * place}:7051"],
            "depends_on": _when(_DONE, ["setup-create"]),
            "healthcheck": _bash_get(org.peer_host, 9443, "/healthz"),
            "restart": "unless-stopped",
        }

    def _chaincode(self, org: Organisation) -> Service:
        host = chaincode_host(org)
        return {
            **_own("runtime"),
            "command": [*_COMPOSE, "chaincode", org.name, "--topology", TOPOLOGY],
            **_host(host),
            "volumes": [
                _share(self._identities.chaincode(org), read_only=True),
                _share(self._identities.tls_ca(org).parent, read_only=True),
            ],
            "configs": _topology_config(),
            "depends_on": _when(_DONE, ["setup-channel", "setup-beacon"]),
            "healthcheck": _python_get(f"http://{host}:8080/healthz"),
            "restart": "unless-stopped",
        }

    def _drand(self, org: Organisation, place: int) -> Service:
        node = containers.node(self.plan, org)
        words = " ".join(node.start_words()[1:])
        return {
            **_own("drand"),
            # A killed node leaves its socket, and could not listen again.
            "entrypoint": _shell(f"rm -f {node.control}; exec drand {words}"),
            "init": True,
            **_host(f"{org.name}-drand"),
            "environment": {"DRAND_HOME": node.folder, "GOMEMLIMIT": "96MiB"},
            "volumes": [_share(node.folder)],
            "ports": [f"127.0.0.1:{8881 + place}:8080"],
            "depends_on": _when(_DONE, ["setup-create"]),
            "healthcheck": _healthy(["CMD", "drand", "util", "ping", "--control", f"unix://{node.control}"]),
            "restart": "unless-stopped",
        }

    def _client(self, org: Organisation) -> Service:
        """Not started by ``up``: ``docker compose run --rm org1-client …`` with a command of one's own."""
        identities, topology = self._identities, self.plan.topology
        others = [identities.tls_ca(other).parent for other in topology.organisations if other != org]
        shared = [NETWORK / "connections", identities.organisation(org), *others]
        shared.append(identities.orderer_tls_ca.parent)
        storage = [_share(NETWORK / "ipfs" / org.name)] if topology.ipfs else []
        return {
            **_own("runtime"),
            "command": ["python", "-m", "fl_client.cli", "--help"],
            "volumes": [
                *(_share(path, read_only=True) for path in shared),
                *storage,
                {"type": "volume", "source": f"{org.name}-client", "target": "/home/candor"},
            ],
            "networks": ["candor"],
            "depends_on": _when(_HEALTHY, [f"{org.name}-chaincode"]),
            "profiles": ["client"],
        }


def _kubo(pair: Pair) -> Service:
    return {
        "image": IMAGES["kubo"],
        "entrypoint": _shell(
            f"rm -f {pair.kubo_socket}; exec /sbin/tini -- /usr/local/bin/start_ipfs daemon"
        ),
        **_host(f"{pair.org.name}-kubo"),
        "environment": {**ipfs_config.KUBO_ENVIRONMENT, "IPFS_PATH": str(pair.kubo)},
        "volumes": [_share(pair.home)],
        "depends_on": _when(_DONE, ["setup-create"]),
        "healthcheck": _healthy(["CMD", "ipfs", f"--api=/unix{pair.kubo_socket}", "diag", "healthy"]),
        "restart": "unless-stopped",
    }


def _cluster(pair: Pair) -> Service:
    """Its secrets come from a file in the volume: this file has none, nor has any command line."""
    environment = containers.cluster_environment(pair)
    return {
        "image": IMAGES["cluster"],
        "entrypoint": _shell(
            f"set -a; . {environment}; exec /sbin/tini -- /usr/local/bin/entrypoint.sh daemon"
        ),
        **_host(f"{pair.org.name}-cluster"),
        "environment": {**ipfs_config.CLUSTER_ENVIRONMENT, "IPFS_CLUSTER_PATH": str(pair.cluster)},
        "volumes": [_share(pair.home)],
        "depends_on": _when(_HEALTHY, [f"{pair.org.name}-kubo"]),
        "healthcheck": _healthy(["CMD", "nc", "-z", "127.0.0.1", "9094"]),
        "restart": "unless-stopped",
    }


def _step(name: str, depends: dict[str, Any]) -> Service:
    """A one-shot service of the set-up; it alone sees the whole volume."""
    service: Service = {
        **_own("setup"),
        "command": [*_COMPOSE, "setup", name, "--topology", TOPOLOGY],
        "volumes": [{"type": "volume", "source": VOLUME, "target": str(NETWORK)}],
        "configs": _topology_config(),
        "networks": ["candor"],
        "restart": "no",
    }
    return {**service, "depends_on": depends} if depends else service


def _own(target: str) -> Service:
    return {"image": OWN[target], "build": {"context": ".", "target": target}, "pull_policy": "build"}


def _topology_config() -> list[dict[str, str]]:
    return [{"source": "topology", "target": TOPOLOGY}]


def _host(name: str) -> Service:
    """A container the others, and itself, know by this name."""
    return {"hostname": name, "networks": {"candor": {"aliases": [name]}}}


def _share(path: object, *, read_only: bool = False) -> dict[str, Any]:
    """A directory of the network's volume, at the same place: nobody sees more than it needs."""
    subpath = str(path).removeprefix(f"{NETWORK}/")
    mount: dict[str, Any] = {"type": "volume", "source": VOLUME, "target": str(path)}
    if read_only:
        mount["read_only"] = True
    return {**mount, "volume": {"nocopy": True, "subpath": subpath}}


def _when(condition: str, names: Iterable[str]) -> dict[str, Any]:
    return {name: {"condition": condition} for name in names}


def _command(argv: Sequence[str]) -> list[str]:
    return [str(word) for word in argv]


def _shell(script: str) -> list[str]:
    return ["/bin/sh", "-ec", script]


def _healthy(test: list[str]) -> dict[str, Any]:
    times = {"interval": "2s", "timeout": "5s", "retries": 30, "start_period": "30s"}
    return {"test": test, **times}


def _bash_get(host: str, port: int, path: str) -> dict[str, Any]:
    """Fabric's images have neither curl nor wget, but bash."""
    request = f"exec 3<>/dev/tcp/{host}/{port}; printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3; "
    return _healthy(["CMD", "bash", "-c", request + "read -r line <&3; [[ $line == *' 200 '* ]]"])


def _python_get(url: str) -> dict[str, Any]:
    script = f"import urllib.request as r; r.build_opener(r.ProxyHandler({{}})).open('{url}', timeout=3)"
    return _healthy(["CMD", "python", "-c", script])
