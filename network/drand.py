"""The randomness beacon: one drand node an organisation, after a real distributed key generation.

No organisation ever holds the whole key: ``threshold`` nodes must sign each round together.
Measured on drand 2.1.4: key generation takes 5.2 to 5.5 s, 5 of which are a pause drand makes
for slow nodes; periods of 1 s work, shorter ones do not exist.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from network.errors import CommandFailed, NetworkError
from network.plan import Plan
from network.processes import PortOpen, ProcessSpec, UnixSocket
from network.steps import command, each, private_directory, until, write_private
from network.topology import Organisation

SCHEME = "bls-unchained-g1-rfc9380"
BEACON_ID = "default"
_INFO = "beacon.json"
_LOADING_SECONDS = 30.0  # for a node to load its keys once its ports are open (idle: well below 1)
_KEY_GENERATION_SECONDS = 40.0
_FIRST_ROUND_SECONDS = 5.0  # after the genesis time
_CATCH_UP_RATE = 5.0  # missed rounds made up a second, at the least (measured: 12 to 40)

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class DrandNodes:
    """The running beacon: what verifies it, and every organisation's own node."""

    info: dict[str, Any]
    urls: dict[str, str]  # MSP id -> http://127.0.0.1:PORT


@dataclass(frozen=True)
class Node:
    """One organisation's drand node, and how to command it."""

    program: str
    folder: str
    control: str  # its unix socket: only this user may command it
    private: str  # host:port the other nodes dial
    public: str  # host:port of its HTTP interface

    def generate_key(self) -> None:
        """Make its long-term key, which carries its address."""
        private_directory(Path(self.folder))
        self._run("generate-keypair", "--folder", self.folder, "--scheme", SCHEME, self.private)

    def start_words(self) -> list[str]:
        """The command that runs it."""
        listen = ["--private-listen", self.private, "--public-listen", self.public]
        return [self.program, "start", "--folder", self.folder, "--control", self._control, *listen]

    def dkg(self, verb: str, *words: str) -> str:
        """A command of the key generation."""
        return self._run("dkg", verb, "--control", self._control, *words)

    def get(self, path: str) -> dict[str, Any]:
        """A JSON document of its HTTP interface; raises ValueError or OSError while there is none."""
        return fetch(f"http://{self.public}{path}")

    @property
    def _control(self) -> str:
        return f"unix://{self.control}"

    def _run(self, *words: str) -> str:
        return command([self.program, *words])


def start(plan: Plan) -> DrandNodes:
    """Start every organisation's node; on a new directory make the keys, else go on with the chain.

    Returns when every node has the current round. Raises NetworkError.
    """
    kept = private_directory(plan.directory / "drand") / _INFO
    nodes = {org.msp_id: node(plan, org) for org in _drand_organisations(plan)}
    members = list(nodes.values())
    fresh = not kept.exists()
    if fresh:
        _make_keys(plan, members)
    plan.progress(f"drand: starting {len(members)} nodes")
    each(plan.keeper.spawn, specs(plan))
    if fresh:
        info = _first_start(plan, members)
        write_private(kept, json.dumps(info, indent=1))
    else:
        info = json.loads(kept.read_text())
    _await_current(plan, members, info)
    return DrandNodes(info, {msp_id: f"http://{node.public}" for msp_id, node in nodes.items()})


def specs(plan: Plan) -> list[ProcessSpec]:
    """Every organisation's node as a process, in the topology's order."""
    return [_spec(plan, org, node(plan, org)) for org in plan.topology.organisations]


def _drand_organisations(plan: Plan) -> Sequence[Organisation]:
    if plan.topology.drand is None:
        raise NetworkError("this topology has no `drand` part", "Add one, or do not start drand")
    return plan.topology.organisations


def node(plan: Plan, org: Organisation) -> Node:
    """An organisation's node."""
    return Node(
        program=str(plan.programs.path("drand")),
        folder=str(plan.directory / "drand" / org.name),
        control=str(plan.runtime / f"{org.name}-drand.sock"),
        private=plan.ports.address(f"{org.name}/drand/private"),
        public=plan.ports.address(f"{org.name}/drand/public"),
    )


def _spec(plan: Plan, org: Organisation, node: Node) -> ProcessSpec:
    return ProcessSpec(
        name=f"{org.name}-drand",
        argv=node.start_words(),
        directory=node.folder,
        log=str(plan.directory / "logs" / f"{org.name}-drand.log"),
        env={"GOMEMLIMIT": "96MiB"},
        ready=[UnixSocket(node.control), PortOpen(node.private), PortOpen(node.public)],
        unlink=[node.control],  # a killed node leaves it, and could not listen again
    )


def _make_keys(plan: Plan, members: Sequence[Node]) -> None:
    """Every node's own key pair; what an interrupted first start left is no use to anybody."""
    for node in members:
        shutil.rmtree(node.folder, ignore_errors=True)
    each(Node.generate_key, members)


def _first_start(plan: Plan, members: Sequence[Node]) -> dict[str, Any]:
    """Generate the distributed key and wait for the chain's first round."""
    assert plan.topology.drand is not None
    settings = plan.topology.drand
    plan.progress("drand: distributed key generation")
    proposal = plan.directory / "drand" / "proposal.toml"
    generate_group(
        members,
        str(proposal),
        threshold=plan.topology.drand_threshold,
        period=settings.period,
        delay=settings.genesis_delay,
    )
    info = chain_info(members, _KEY_GENERATION_SECONDS)
    if not _begins(members, info):
        plan.progress("drand: the key came after the chain's beginning, starting the nodes again")
        _restart(plan)
    return info


def generate_group(
    members: Sequence[Node], proposal: str, *, threshold: int, period: int, delay: int
) -> None:
    """Have the running nodes begin the key generation; the first one leads.

    ``period`` is in seconds; ``delay`` are the seconds from now to round 1. The key exists when
    ``chain_info`` has an answer.
    """
    leader, *others = members
    joiners = [word for node in members for word in ("--joiner", node.private)]
    until(
        lambda: _proposes(leader, *joiners, "--out", proposal),
        _LOADING_SECONDS,
        "all drand nodes ready for the key generation",
    )
    terms = ["--threshold", str(threshold), "--period", f"{period}s", "--scheme", SCHEME]
    pace = ["--catchup-period", "0s", "--genesis-delay", f"{delay}s"]
    try:
        leader.dkg("init", "--proposal", proposal, *terms, *pace)
    except CommandFailed as error:
        # A lone node tells of a failure to gossip to nobody, after it has begun in order.
        if others or "gossip recipients was empty" not in str(error):
            raise
    each(lambda node: node.dkg("join"), others)
    leader.dkg("execute")


def _proposes(leader: Node, *words: str) -> bool:
    """Whether the leader could write a proposal, for which it asks every node who it is.

    A node opens its ports before it has loaded its key, and answers that it "is not running" until
    it has: "not yet" to ``until``.
    """
    try:
        leader.dkg("generate-proposal", *words)
    except CommandFailed as error:
        raise OSError(str(error)) from error
    return True


def chain_info(members: Sequence[Node], seconds: float) -> dict[str, Any]:
    """What verifies the chain, when all nodes have the key and agree; raises NetworkError."""
    infos = each(lambda node: _info(node, seconds), members)
    if any(info != infos[0] for info in infos):
        raise NetworkError(
            "drand nodes disagree on their chain", "Remove the network's directory, start anew"
        )
    return infos[0]


def _info(node: Node, seconds: float) -> dict[str, Any]:
    return describe(until(lambda: node.get("/info"), seconds, f"the beacon's key at {node.private}"))


def describe(answer: Mapping[str, Any]) -> dict[str, Any]:
    """drand's ``/info`` in the connection file's terms; its chain hash is recomputed, not believed."""
    info = {
        "public_key": answer["public_key"],
        "period": answer["period"],
        "genesis_time": answer["genesis_time"],
        "genesis_seed": answer["groupHash"],
        "scheme": answer["schemeID"],
        "id": answer["metadata"]["beaconID"],
    }
    info["chain_hash"] = chain_hash(info)
    if info["chain_hash"] != answer["hash"] or info["scheme"] != SCHEME:
        raise NetworkError(f"a drand node describes another chain than it should: {dict(answer)}")
    return info


def chain_hash(info: Mapping[str, Any]) -> str:
    """SHA-256 of period (u32), genesis time (i64), public key, genesis seed, and the id unless "default"."""
    digest = hashlib.sha256(struct.pack(">Iq", info["period"], info["genesis_time"]))
    digest.update(bytes.fromhex(info["public_key"]))
    digest.update(bytes.fromhex(info["genesis_seed"]))
    digest.update(b"" if info["id"] == BEACON_ID else info["id"].encode())
    return digest.hexdigest()


def _begins(members: Sequence[Node], info: Mapping[str, Any]) -> bool:
    """Whether the first round appears: a node whose key came after the genesis time waits for ever."""
    left = max(0.0, info["genesis_time"] - time.time())
    try:
        until(lambda: latest_round(members[0]) >= 1, left + _FIRST_ROUND_SECONDS, "the first round")
    except NetworkError:
        return False
    return True


def _restart(plan: Plan) -> None:
    each(lambda spec: plan.keeper.stop(spec.name), specs(plan))
    each(plan.keeper.spawn, specs(plan))


def _await_current(plan: Plan, members: Sequence[Node], info: Mapping[str, Any]) -> None:
    """Wait until every node has the current round; after a stop the missed ones are made first."""
    missed = round_now(info) - max(each(_answered_round, members))
    if missed > 100:
        plan.progress(f"drand: making up the {missed} rounds of the time the network was down")
    seconds = 15 + max(0, missed) / _CATCH_UP_RATE
    each(lambda node: _await_round(node, info, seconds), members)


def _answered_round(node: Node) -> int:
    """The latest round of a node that is starting."""
    return until(lambda: latest_round(node) + 1, 15, f"an answer of {node.public}") - 1


def _await_round(node: Node, info: Mapping[str, Any], seconds: float) -> None:
    """Wait until a node has the round before the one due now, or that one."""

    def current() -> bool:
        return latest_round(node) >= max(1, round_now(info) - 1)

    until(current, seconds, f"the current round at {node.public}")


def round_now(info: Mapping[str, Any]) -> int:
    """The round that is due now: round 1 is due at the genesis time."""
    return int((time.time() - info["genesis_time"]) // info["period"]) + 1


def latest_round(node: Node) -> int:
    """The latest round a node has, 0 before the first."""
    return int(node.get("/public/latest").get("round", 0))


def fetch(url: str) -> dict[str, Any]:
    """A JSON object over HTTP, past any proxy; OSError or ValueError when there is none."""
    with _OPENER.open(url, timeout=5) as answer:  # an HTTP error status is an OSError
        document = json.load(answer)
    if not isinstance(document, dict):
        raise OSError(f"{url}: not a JSON object")
    return document
