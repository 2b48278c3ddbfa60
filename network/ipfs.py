"""Private storage: one kubo and one ipfs-cluster peer an organisation.

The swarm key keeps strangers out, the cluster's secret keeps them out of the pin set, and each
organisation's REST interface asks for a password of its own. All are random, and kept in
``<network>/ipfs`` in files of mode 600.
"""

from __future__ import annotations

import itertools
import json
import secrets
import shutil
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from network import ipfs_config
from network.ipfs_config import Listen, Member
from network.plan import Plan
from network.processes import PortOpen, ProcessSpec, UnixSocket
from network.steps import command, each, private_directory, until, write_private
from network.topology import Organisation

_SECONDS = 30.0
_PIN_SECONDS = 90.0  # a kubo that misses a message repeats what it wants once a minute
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # unused; the default one takes 30 ms each time
_PROBE = b"candor: this block is everywhere\n"


@dataclass(frozen=True)
class Pair:
    """One organisation's kubo and cluster peer: where their files, sockets and ports are."""

    org: Organisation
    home: Path
    kubo_socket: str
    kubo_swarm: str  # HOST:PORT, as the next two
    cluster_swarm: str
    cluster_rest: str

    @property
    def kubo(self) -> Path:
        """kubo's repository."""
        return self.home / "kubo"

    @property
    def cluster(self) -> Path:
        """The cluster peer's directory."""
        return self.home / "cluster"

    @property
    def credentials(self) -> Path:
        """The file with ``user:password`` of the cluster's REST interface."""
        return self.home / "cluster.credentials"

    @property
    def url(self) -> str:
        """The cluster's REST interface."""
        return f"http://{self.cluster_rest}"

    @property
    def listen(self) -> Listen:
        """Where both listen."""
        return Listen(
            kubo_api=f"/unix{self.kubo_socket}",
            kubo_swarm=ipfs_config.listening(self.kubo_swarm),
            cluster_swarm=ipfs_config.listening(self.cluster_swarm),
            cluster_rest=ipfs_config.listening(self.cluster_rest),
        )

    def member(self) -> Member:
        """Who both are; they exist once they were initialised."""
        kubo = json.loads((self.kubo / "config").read_text())
        cluster = json.loads((self.cluster / "identity.json").read_text())
        return Member(
            name=self.org.name,
            kubo_id=kubo["Identity"]["PeerID"],
            kubo_address=ipfs_config.multiaddr(self.kubo_swarm),
            cluster_id=cluster["id"],
            cluster_address=ipfs_config.multiaddr(self.cluster_swarm),
        )

    @contextmanager
    def kubo_api(self) -> Iterator[httpx.Client]:
        """kubo's RPC interface."""
        transport = httpx.HTTPTransport(uds=self.kubo_socket, verify=_NO_TLS)
        with httpx.Client(transport=transport, base_url="http://kubo/api/v0/", timeout=15) as client:
            yield client

    @contextmanager
    def cluster_api(self) -> Iterator[httpx.Client]:
        """The cluster's REST interface, with this organisation's credentials."""
        user, _, password = self.credentials.read_text().strip().partition(":")
        transport = httpx.HTTPTransport(verify=_NO_TLS)
        with httpx.Client(
            transport=transport, base_url=self.url, auth=(user, password), timeout=15
        ) as client:
            yield client


def start(plan: Plan) -> dict[str, dict[str, str]]:
    """Start every organisation's pair; the connection file's "store" of each MSP id.

    Returns when every cluster peer sees all others and a block of one organisation is pinned by
    all. Raises NetworkError.
    """
    private_directory(plan.directory / "ipfs")
    all_pairs = pairs(plan)
    prepare(plan, all_pairs)
    plan.progress(f"ipfs: starting {len(all_pairs)} kubo and {len(all_pairs)} cluster nodes")
    each(lambda pair: plan.keeper.spawn(_kubo_spec(plan, pair)), all_pairs)
    connect(all_pairs)
    each(lambda pair: plan.keeper.spawn(_cluster_spec(plan, pair)), all_pairs)
    each(lambda pair: _await_members(pair, len(all_pairs)), all_pairs)
    replicate(all_pairs, _PROBE)
    return {pair.org.msp_id: store(pair) for pair in all_pairs}


def pairs(plan: Plan) -> list[Pair]:
    """Every organisation's pair, in the topology's order."""
    return [_pair(plan, org) for org in plan.topology.organisations]


def store(pair: Pair) -> dict[str, str]:
    """The pair as the connection file has it."""
    return {"kubo": pair.kubo_socket, "cluster": pair.url, "credentials": str(pair.credentials)}


def _pair(plan: Plan, org: Organisation) -> Pair:
    return Pair(
        org=org,
        home=plan.directory / "ipfs" / org.name,
        kubo_socket=str(plan.runtime / f"{org.name}-kubo.sock"),
        kubo_swarm=plan.ports.address(f"{org.name}/kubo/swarm"),
        cluster_swarm=plan.ports.address(f"{org.name}/cluster/swarm"),
        cluster_rest=plan.ports.address(f"{org.name}/cluster/rest"),
    )


def prepare(plan: Plan, ours: Sequence[Pair]) -> None:
    """Make what is missing, and write every configuration anew: sockets move at each start."""
    home = plan.directory / "ipfs"
    swarm, cluster = _secret(home / "swarm.secret"), _secret(home / "cluster.secret")
    each(lambda pair: initialise(pair, _programs(plan), swarm, cluster), ours)
    members = [pair.member() for pair in ours]
    for pair, own in zip(ours, members, strict=True):
        configure(pair.kubo, pair.cluster, pair.listen, own, members, plan.topology.name)


def _programs(plan: Plan) -> tuple[str, str]:
    return str(plan.programs.path("ipfs")), str(plan.programs.path("ipfs-cluster-service"))


def _secret(path: Path) -> str:
    """32 random bytes in hexadecimal, the same ones every time."""
    if not path.exists():
        write_private(path, secrets.token_hex(32))
    return path.read_text()


def initialise(pair: Pair, programs: tuple[str, str], swarm: str, cluster: str) -> None:
    """Make an organisation's keys, repositories and password, unless they are there."""
    private_directory(pair.home)
    if not pair.credentials.exists():
        write_private(pair.credentials, f"{pair.org.name}:{secrets.token_hex(16)}\n")
    _initialised(pair.kubo, [programs[0], *ipfs_config.INIT_KUBO], {}, "IPFS_PATH")
    write_private(pair.kubo / "swarm.key", ipfs_config.swarm_key(swarm))
    words = [programs[1], *ipfs_config.INIT_CLUSTER]
    _initialised(pair.cluster, words, {"CLUSTER_SECRET": cluster}, "IPFS_CLUSTER_PATH")


def _initialised(directory: Path, argv: Sequence[str], env: Mapping[str, str], variable: str) -> None:
    """Have a program make its directory, unless it did: whole or not at all."""
    if directory.exists():
        return
    scratch = directory.with_name(f"{directory.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    private_directory(scratch)
    command(argv, env={**env, variable: str(scratch)})
    scratch.rename(directory)


def configure(
    kubo: Path, cluster: Path, listen: Listen, own: Member, everyone: Sequence[Member], name: str
) -> None:
    """Write both nodes' configuration files."""
    others = [member for member in everyone if member != own]
    rewrite(kubo / "config", lambda old: ipfs_config.kubo_config(old, listen, others))
    service = cluster / "service.json"
    rewrite(service, lambda old: ipfs_config.cluster_config(old, listen, own, everyone, name))


def rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    """Replace a JSON file by what ``change`` makes of it."""
    write_private(path, json.dumps(change(json.loads(path.read_text())), indent=1))


def _kubo_spec(plan: Plan, pair: Pair) -> ProcessSpec:
    return ProcessSpec(
        name=f"{pair.org.name}-kubo",
        argv=[_programs(plan)[0], "daemon"],
        directory=str(pair.kubo),
        log=str(plan.directory / "logs" / f"{pair.org.name}-kubo.log"),
        env={**ipfs_config.KUBO_ENVIRONMENT, "IPFS_PATH": str(pair.kubo)},
        ready=[UnixSocket(pair.kubo_socket), PortOpen(pair.kubo_swarm)],
        unlink=[pair.kubo_socket],  # a killed node leaves it, and could not listen again
    )


def _cluster_spec(plan: Plan, pair: Pair) -> ProcessSpec:
    """The cluster peer; its secrets are in its environment, which only its user can read."""
    return ProcessSpec(
        name=f"{pair.org.name}-cluster",
        argv=[_programs(plan)[1], "daemon"],
        directory=str(pair.cluster),
        log=str(plan.directory / "logs" / f"{pair.org.name}-cluster.log"),
        env={
            **ipfs_config.CLUSTER_ENVIRONMENT,
            "IPFS_CLUSTER_PATH": str(pair.cluster),
            **cluster_secrets(plan, pair),
        },
        ready=[PortOpen(pair.cluster_rest)],
        layer=1,
    )


def cluster_secrets(plan: Plan, pair: Pair) -> dict[str, str]:
    """What keeps strangers out of the pin set, and others out of the organisation's REST interface."""
    return {
        "CLUSTER_SECRET": _secret(plan.directory / "ipfs" / "cluster.secret"),
        "CLUSTER_RESTAPI_BASICAUTHCREDENTIALS": pair.credentials.read_text().strip(),
    }


def connect(nodes: Sequence[Pair]) -> None:
    """Have the kubo nodes dial each other now; by themselves they take ten seconds."""
    each(lambda two: _dial(*two), itertools.combinations(nodes, 2))


def _dial(one: Pair, other: Pair) -> None:
    member = other.member()
    address = f"{member.kubo_address}/p2p/{member.kubo_id}"

    def dialled() -> bool:
        with one.kubo_api() as api:
            return _ok(api, "POST", "swarm/connect", params={"arg": address}).is_success

    until(dialled, _SECONDS, f"kubo of {one.org.name} reaches kubo of {other.org.name}")


def _await_members(pair: Pair, count: int) -> None:
    """Wait until a cluster peer reaches all members and their kubo nodes."""

    def complete() -> bool:
        with pair.cluster_api() as api:
            lines = _ok(api, "GET", "/peers").text.splitlines()
        peers = [json.loads(line) for line in lines]
        return sum(not peer["error"] and not peer["ipfs"]["error"] for peer in peers) == count

    until(complete, _SECONDS, f"the cluster peer of {pair.org.name} sees all {count}")


def replicate(nodes: Sequence[Pair], data: bytes) -> str:
    """Put a block at the first organisation and wait until all have pinned it; its CID."""
    first = nodes[0]
    with first.kubo_api() as api:
        parameters = {"cid-codec": "raw", "mhtype": "sha2-256", "pin": "true"}
        answer = _ok(api, "POST", "block/put", params=parameters, files={"data": data})
    cid = str(answer.json()["Key"])
    ask = _Asking(first, cid)
    until(ask.pinned_by(len(nodes)), _PIN_SECONDS, f"all {len(nodes)} organisations pin {cid}")
    return cid


class _Asking:
    """Pins of one CID: asked for again once a second, looked at in between."""

    def __init__(self, pair: Pair, cid: str) -> None:
        self._pair, self._cid, self._again = pair, cid, 0.0

    def pinned_by(self, count: int) -> Callable[[], bool]:
        """A condition for ``until``, which says what is still missing."""

        def pinned() -> bool:
            states = self._states()
            if states.count("pinned") != count:
                raise ValueError(f"the cluster peers say: {', '.join(states)}")
            return True

        return pinned

    def _states(self) -> list[str]:
        with self._pair.cluster_api() as api:
            if time.monotonic() >= self._again:
                _ok(api, "POST", f"/pins/{self._cid}")
                self._again = time.monotonic() + 1
            status: Mapping[str, Any] = _ok(api, "GET", f"/pins/{self._cid}").json()
        return [peer["status"] for peer in status["peer_map"].values()]


def _ok(api: httpx.Client, method: str, path: str, **arguments: Any) -> httpx.Response:
    """A successful answer; OSError ("not yet") for anything else."""
    try:
        answer = api.request(method, path, **arguments)
    except httpx.HTTPError as error:
        raise OSError(f"{path}: {error}") from error
    if not answer.is_success:
        raise OSError(f"{path}: status {answer.status_code}: {answer.text[:200]}")
    return answer
