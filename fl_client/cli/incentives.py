"""`candor incentives`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fl_client.cli import session

Names = list[str] | None
CACHE = Path(".candor/lab")


def incentives(
    full: Annotated[
        bool, typer.Option("--full/--quick", help="All splits and problems, 10 rounds, 20 seeds: hours.")
    ] = False,
    mechanism: Annotated[Names, typer.Option(help="Only this one (repeatable).")] = None,
    rule: Annotated[
        Names, typer.Option(help="This rule instead of each mechanism's own (repeatable).")
    ] = None,
    split: Annotated[Names, typer.Option(help="iid, or Dirichlet 1, .5, .1 (repeatable).")] = None,
    attack: Annotated[Names, typer.Option(help="A listed attack or module:Class (repeatable).")] = None,
    problem: Annotated[
        Names, typer.Option(help="digits, synthetic-10, -5, -2, or module:Class (repeatable).")
    ] = None,
    seeds: Annotated[int, typer.Option(min=0, help="Worlds a problem and split; 0: 6, with --full 20.")] = 0,
    first_seed: Annotated[int, typer.Option(min=0, help="The first world's seed.")] = 1,
    clients: Annotated[int, typer.Option(min=4, max=100, help="Clients of a world.")] = 6,
    tasks: Annotated[int, typer.Option(min=2, help="Tasks of a report, all of them scored.")] = 500,
    rounds: Annotated[int, typer.Option(min=0, help="Rounds of a job; 0: 5, with --full 10.")] = 0,
    coalition: Annotated[int, typer.Option(min=0, help="Its members; 0: half of the others.")] = 0,
    shapley: Annotated[
        int, typer.Option(min=-1, help="Worlds a kind with Shapley values; -1: 2, with --full 5.")
    ] = -1,
    trainer: Annotated[str, typer.Option(help="numpy or keras; your own problem's: keras.")] = "",
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the rows as a JSON array on stdout.")] = False,
    list_attacks: Annotated[bool, typer.Option("--list", help="List the attacks and end.")] = False,
    out: Annotated[Path, typer.Option(help="Where JSON, tables and pictures go.")] = Path("out/incentives"),
    cache: Annotated[Path, typer.Option(help="Where played worlds are kept.")] = CACHE,
) -> None:
    """What honest clients and attackers earn: whole jobs simulated, scored by the contract's own code."""
    from fl_client.incentives import lab, output
    from fl_client.incentives.attackers import ATTACKERS
    from network.progress import console

    if list_attacks:
        told = {name: _summary(kind) for name, kind in ATTACKERS.items()}
        session.put(told, json, *(f"{name:20s} {text}" for name, text in told.items()))
        return
    out.mkdir(parents=True, exist_ok=True)  # not after an hour of work
    default_problems = ["digits", "synthetic-10"] if full else ["digits"]
    plan = lab.Plan(
        schemes=lab.schemes(mechanism or [], rule or []),
        attacks=attack or lab.ALL_ATTACKS,
        problems=problem or default_problems,
        splits=split or (["iid", "1", ".5", ".1"] if full else ["iid", ".1"]),
        seeds=seeds or (20 if full else 6),
        first_seed=first_seed,
        clients=clients,
        tasks=tasks,
        rounds=rounds or (10 if full else 5),
        size=coalition,
        contributions=shapley if shapley >= 0 else 5 if full else 2,
        trainer=trainer,
    )
    with console() as progress:
        findings = lab.run(plan, cache, jobs, lambda text: progress(text, passing=True))
    files = output.write(findings, out)
    if json:
        sys.stdout.write(output.rows_json(findings).decode() + "\n")
    else:
        output.show(findings)
    print(f"written: {', '.join(map(str, files))}", file=sys.stderr)


def _summary(kind: type) -> str:
    """The first paragraph of its docstring, on one line."""
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
