"""docker-compose.yaml: the network of a topology file for people with Docker.

    python -m network.compose render [--topology FILE-OR-PROFILE] [--output FILE]

The other two commands run inside the containers, see :mod:`network.containers`:

    python -m network.compose setup create|channel|beacon --topology FILE
    python -m network.compose chaincode ORGANISATION --topology FILE
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml

from network import topology as topologies
from network.compose_services import VOLUME, Services
from network.containers import Installed, Setup, plan_for, serve_chaincode
from network.errors import NetworkError
from network.topology import Topology, check_one_machine

_HEAD = """\
# The network "{name}" in containers. Written by `candor network compose`: change the topology, not this.
#
#   docker compose up --build --detach    (Docker Engine 26 and Compose 2.26, or later)
#   docker compose run --rm {first}-client …
#   docker compose down --volumes         (ends the network and forgets its keys)
#
# NOT YET RUN under Docker: it was written where no Docker engine is. It is checked against the compose
# specification's schema, and its services (commands, mounts, users, health checks, order) were run once
# in plain Linux namespaces with programs built natively instead of the images.
#
# Keys, certificates and passwords are made by the set-up services in the volume "{volume}"; every other
# container mounts only its own directories of it. Ports are published on this machine only.
"""


def render(topology: Topology) -> str:
    """The compose file of a topology: the same topology gives the same bytes."""
    head = _HEAD.format(name=topology.name, first=topology.organisations[0].name, volume=VOLUME)
    return head + yaml.dump(document(topology), Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True)


def document(topology: Topology) -> dict[str, Any]:
    """The compose file's content."""
    services = Services(plan_for(topology)).all()
    homes = [f"{org.name}-client" for org in topology.organisations]
    content = yaml.safe_dump(msgspec.to_builtins(topology), sort_keys=False)
    whole = {
        "name": f"candor-{topology.name}".lower().replace(".", "-"),
        "services": services,
        "configs": {"topology": {"content": content}},
        "networks": {"candor": {}},
        "volumes": {name: {} for name in (VOLUME, *homes)},
    }
    escaped: dict[str, Any] = _escaped(whole)
    return escaped


def _escaped(value: Any) -> Any:
    """Compose replaces $NAME in every text; $$ stands for itself."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: _escaped(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_escaped(entry) for entry in value]
    return value


class _Plain(yaml.SafeDumper):
    """YAML without anchors; texts of several lines as blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Plain, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _text)


def main(arguments: list[str] | None = None) -> int:
    """The commands of the module's docstring; 0, or an error's exit code with one sentence."""
    options = _parser().parse_args(arguments)
    try:
        _run(options, topologies.load(options.topology))
    except NetworkError as error:
        print(f"candor: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _run(options: argparse.Namespace, topology: Topology) -> None:
    check_one_machine(topology)
    if options.command == "setup":
        Setup(plan_for(topology, Installed(), _say)).run(options.step)
    elif options.command == "chaincode":
        serve_chaincode(plan_for(topology), options.organisation)
    elif options.output is None:
        sys.stdout.write(render(topology))
    else:
        options.output.write_text(render(topology))


def _say(text: str, /, *, passing: bool = False) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m network.compose")
    commands = parser.add_subparsers(dest="command", required=True)
    to_render = commands.add_parser("render", help="write docker-compose.yaml")
    to_render.add_argument("--output", type=Path, help="the file; standard output without it")
    setup = commands.add_parser("setup", help="in a container: a step of the set-up")
    setup.add_argument("step", choices=("create", "channel", "beacon"))
    chaincode = commands.add_parser("chaincode", help="in a container: serve the chaincode")
    chaincode.add_argument("organisation")
    for command in (to_render, setup, chaincode):
        command.add_argument("--topology", default="three-orgs", help="a file or a profile's name")
    return parser


if __name__ == "__main__":
    sys.exit(main())
