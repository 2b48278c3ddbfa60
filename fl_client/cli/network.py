"""`candor network`: from a topology file to a running network, and back down."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from fl_client.cli.demo import NETWORK

app = typer.Typer(help="Bring a network up and down, and look at it.", no_args_is_help=True)
Directory = Annotated[Path, typer.Option(help="The network's directory.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable, on stdout.")]


@app.command()
def up(
    topology: Annotated[str, typer.Argument(help="A topology file, or a profile's name.")] = "three-orgs",
    directory: Directory = NETWORK,
    json: Json = False,
) -> None:
    """Start a network, or one that was up before, with its data."""
    from network.network import Network
    from network.progress import console

    with console() as progress:
        network = Network.up(topology, directory, progress=progress, tie=False)
    files = {msp_id: str(path) for msp_id, path in network.connection_files.items()}
    if json:
        print(jsonlib.dumps({"connections": files, "seconds": dict(network.seconds)}, sort_keys=True))
    else:
        print("The network is up. Connection files:")
        for msp_id, path in files.items():
            print(f"  {msp_id}: {path}")


@app.command()
def down(directory: Directory = NETWORK, json: Json = False) -> None:
    """Stop every process of a network; its data stays."""
    from network.network import Network

    network = Network.load(directory)
    network.down()
    if json:
        print(jsonlib.dumps({"down": str(network.directory)}))
    else:
        print("The network is down; its data stays.")


@app.command()
def status(directory: Directory = NETWORK, json: Json = False) -> None:
    """Every process: state, restarts, memory, log; and how many blocks each orderer has."""
    from network.network import Network

    network = Network.load(directory)
    found, heights = network.status(), network.heights()
    if json:
        rows = msgspec.to_builtins(found)
        for name, blocks in heights.items():
            rows[name]["blocks"] = blocks
        print(jsonlib.dumps(rows))
        return
    table = Table("Process", "State", "Pid", "Restarts", "MiB", "Blocks")
    table.add_column("Log", overflow="fold")
    for each in found.values():
        counts = str(each.pid), str(each.restarts), str(each.memory >> 20), blocks_of(each.name, heights)
        table.add_row(each.name, each.state, *counts, each.log)
    Console().print(table)


def blocks_of(process: str, heights: Mapping[str, int]) -> str:
    """An orderer's blocks, and by how many it is behind; "" for another process."""
    blocks = heights.get(process)
    if blocks is None:
        return ""
    behind = max(heights.values()) - blocks
    return "no answer" if blocks < 0 else f"{blocks}, {behind} behind" if behind else str(blocks)


@app.command()
def logs(
    process: Annotated[str, typer.Argument(help="A process's name, as status shows it.")],
    directory: Directory = NETWORK,
    lines: Annotated[int, typer.Option(min=1, help="How many of the last lines.")] = 50,
    json: Json = False,
) -> None:
    """The end of a process's log, also when the network is down."""
    from network.network import Network
    from network.processes import tail

    found = tail(Network.load(directory).log(process), lines)
    print(jsonlib.dumps({"process": process, "lines": found}) if json else "\n".join(found))


@app.command()
def programs(
    topology: Annotated[str, typer.Argument(help="A topology file, or a profile's name.")] = "three-orgs",
    json: Json = False,
) -> None:
    """Find the programs a network needs, or build them; and say where they are."""
    from network.binaries import Binaries, needed
    from network.progress import console
    from network.topology import load

    names = needed(load(topology))
    with console() as progress:
        found = Binaries(progress=progress)
        found.prepare(names)
    paths = {name: str(found.path(name)) for name in names}
    print(jsonlib.dumps(paths) if json else "\n".join(f"{name}: {path}" for name, path in paths.items()))


@app.command()
def compose(
    topology: Annotated[str, typer.Argument(help="A topology file, or a profile's name.")] = "three-orgs",
    json: Json = False,
) -> None:
    """Print the same network as a docker-compose.yaml."""
    from network.compose import document, render
    from network.topology import check_one_machine, load

    found = load(topology)
    check_one_machine(found)
    print(jsonlib.dumps(document(found)) if json else render(found), end="")
