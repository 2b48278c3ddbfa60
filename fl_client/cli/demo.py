"""`candor demo`."""

from __future__ import annotations

import ctypes
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

NETWORK = Path(".candor/network")
_PR_SET_PDEATHSIG = 1


def demo(
    embedded: Annotated[bool, typer.Option(help="Run on in-process stand-ins: no programs needed.")] = False,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Rounds of the job.")] = 5,
    clients: Annotated[int, typer.Option(min=4, max=30, help="Clients; the first ones are honest.")] = 6,
    seed: Annotated[int, typer.Option(help="Decides the data's split, the model and the training.")] = 1,
    mechanism: Annotated[
        str,
        typer.Option(
            help="How reports are made and paid: qualify-and-vest (or with -floor, -sharp), per-round, paper."
        ),
    ] = "qualify-and-vest",
    cast: Annotated[
        str,
        typer.Option(
            help="What the last clients play, separated by commas: honest, any attack of candor incentives --list, "
            "module:Class. Clients of one coalition play the same. By default a copier, random and data-10."
        ),
    ] = "",
    aggregation: Annotated[
        Literal["single", "majority", "optimistic"],
        typer.Option(
            help="Who aggregates: one drawn client (three with per-round), or a committee of three in either way."
        ),
    ] = "single",
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
    out: Annotated[Path, typer.Option(help="Where result, table and picture go.")] = Path("out"),
    keep: Annotated[bool, typer.Option(help="Leave the network up.")] = False,
    directory: Annotated[Path, typer.Option(help="The network's directory.")] = NETWORK,
    with_parent: Annotated[bool, typer.Option(hidden=True, help="End when the parent process ends.")] = False,
) -> None:
    """The main job, start to finish: a real network, paid rounds of federated learning, and who earned what."""
    from chaincode.mechanisms import MECHANISMS
    from fl_client import results
    from fl_client.demo import run
    from fl_client.demo.scenario import Scenario
    from fl_client.errors import BadInput
    from network.progress import console

    if with_parent:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if mechanism not in MECHANISMS:
        raise BadInput(f"no mechanism is called {mechanism!r}", f"Known: {', '.join(sorted(MECHANISMS))}")
    cheats = [name.strip() for name in cast.split(",")] if cast else None
    scenario = Scenario(
        clients=max(clients, len(cheats or ())),
        rounds=rounds,
        seed=seed,
        mechanism=mechanism,
        cheats=cheats,
        aggregation=aggregation,
    )
    out.mkdir(parents=True, exist_ok=True)  # not after the job
    with console() as progress:
        if embedded:
            result = run.embedded(scenario, progress)
        else:
            result = run.native(scenario, directory, progress, keep=keep)
    files = results.write(result, out)
    if json:
        sys.stdout.write(results.to_json(result).decode())
    else:
        shown = Console()
        shown.print(results.report(result, shown.width))
    names = ", ".join(str(path) for path in files.values())
    print(f"written: {names}", file=sys.stderr)
