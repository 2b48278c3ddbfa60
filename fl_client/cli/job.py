"""`candor job`: what is trained, and what it pays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from chaincode.records import Job, JobSpec, Phase, RoundState
from fl_client import money
from fl_client.cli import session
from fl_client.cli.session import ConnectionFile, Json, Who
from fl_client.cli.token import own_account
from fl_client.contracts import View
from fl_client.errors import BadInput

app = typer.Typer(help="Create, watch and cancel jobs.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The job's name.")]


class Standing(msgspec.Struct, frozen=True):
    """A job and where it is; `round` is the last one opened."""

    job: Job
    escrow: int
    cancelled: bool
    round: RoundState | None

    @property
    def over(self) -> bool:
        """Nothing can happen in it any more: its escrow is closed."""
        return self.escrow == 0 and (self.round is None or self.round.phase.over)


@app.command()
def create(
    name: Name,
    specification: Annotated[Path, typer.Argument(help="JSON file with the fields of the specification.")],
    connection: ConnectionFile = None,
    identity: Who = "Admin",
    json: Json = False,
) -> None:
    """Create a job out of a specification; its whole pool moves into escrow."""
    from chaincode.contracts import job_terms

    spec = read_specification(specification)
    for field, text in job_terms.warnings(spec):
        print(f"candor: note: {field} {text}", file=sys.stderr)
    session.run(connection, identity, lambda view: created(view, name, spec, identity))
    session.put(spec, json, f"Job {name} is created; {money.shown(spec.pool)} are in escrow.")


@app.command("list")
def jobs(connection: ConnectionFile = None, identity: Who = "Admin", json: Json = False) -> None:
    """Every job, and where it is."""

    async def look(view: View) -> dict[str, Standing]:
        return {name: await standing(view, name) for name in await view.jobs()}

    found = session.run(connection, identity, look)
    rows = [
        (name, _progress(each), money.shown(each.escrow), each.job.sponsor) for name, each in found.items()
    ]
    session.put_table(found, json, ("Job", "Round", "In escrow", "Sponsor"), rows)


@app.command()
def show(name: Name, connection: ConnectionFile = None, identity: Who = "Admin", json: Json = False) -> None:
    """A job's terms, and where it is."""
    found = session.run(connection, identity, lambda view: standing(view, name))
    fields = msgspec.structs.asdict(found.job.spec)
    lines = [f"  {field}: {value}" for field, value in fields.items()]
    session.put(found, json, f"{name}: {_progress(found)}", *lines)


@app.command()
def watch(name: Name, connection: ConnectionFile = None, identity: Who = "Admin", json: Json = False) -> None:
    """Follow a job to its end: a line for every change."""

    def line(found: Standing) -> None:
        session.put(found, json, f"{name}: {_progress(found)}")
        sys.stdout.flush()

    session.run(connection, identity, lambda view: watched(view, name, line))


@app.command()
def cancel(
    name: Name, connection: ConnectionFile = None, identity: Who = "Admin", json: Json = False
) -> None:
    """Open no further round; the running one ends as it would, and what is left in escrow returns."""
    number = session.run(connection, identity, lambda view: cancelled(view, name))
    then = f"after round {number}" if number else "now"
    session.put({"job": name, "after": number}, json, f"Job {name} ends {then}.")


def read_specification(path: Path) -> JobSpec:
    """Read a specification; BadInput names the field that is wrong."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=JobSpec)
    except OSError as fault:
        raise BadInput(f"cannot read {path}: {fault.strerror}") from fault
    except msgspec.DecodeError as fault:
        raise BadInput(f"{path} is not a job's specification: {fault}") from fault


async def created(view: View, name: str, spec: JobSpec, identity: str) -> None:
    """Create the job out of the identity's own account."""
    account = await own_account(view, identity)
    credits = await view.credits(account, spec.pool)
    await view.ledger.submit("Jobs:create", name, spec, account, credits)


async def standing(view: View, name: str) -> Standing:
    """A job and where it is; BadInput when there is none."""
    job = await view.job(name)
    if job is None:
        raise BadInput(f"there is no job {name}", "See candor job list")
    return Standing(job, await view.escrow(name), await view.cancelled(name), await view.last_round(name))


async def watched(view: View, name: str, line: Any, look: float = 1.0) -> None:
    """Call `line` with every new standing, until the job is over."""
    seen = None
    while True:
        found = await standing(view, name)
        if _progress(found) != seen:
            line(found)
            seen = _progress(found)
        if found.over:
            return
        await view.ledger.changed(look)


async def cancelled(view: View, name: str) -> int:
    """Cancel after the round that is running; returns its number, 0 when the job ends at once."""
    last = await view.last_round(name)
    await view.ledger.submit("Jobs:cancel", name, last.round if last else 0)
    return last.round if last and not last.phase.over else 0


def _progress(found: Standing) -> str:
    rounds, last = found.job.spec.rounds, found.round
    place = f"round {last.round} of {rounds}: {last.phase}" if last else f"{rounds} rounds, none open yet"
    if found.over:
        return f"over; {place}"
    if last and last.phase is Phase.AGGREGATE:
        place += f", {last.stage}"
    return f"{place}, cancelled" if found.cancelled else place
