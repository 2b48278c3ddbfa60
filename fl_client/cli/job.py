"""`candor job`: what is trained, and what it pays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from chaincode.records import Job, JobSpec, Phase, RoundState
from fl_client import money
from fl_client.cli import session
from fl_client.cli.session import ConnectionFile, Json, Who
from fl_client.cli.token import own_account
from fl_client.contracts import View
from fl_client.errors import BadInput

if TYPE_CHECKING:
    from fl_client.plan import Expected, Plan

app = typer.Typer(help="Plan, create, watch and cancel jobs.", no_args_is_help=True)
AMOUNTS = ("price", "stake", "bond", "round_pool")  # of a specification, in units
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
    from fl_client.plan import unsafe

    spec = read_specification(specification)
    for field, text in (*job_terms.warnings(spec), *unsafe(spec)):
        print(f"candor: note: {field} {text}", file=sys.stderr)
    session.run(connection, identity, lambda view: created(view, name, spec, identity))
    session.put(spec, json, f"Job {name} is created; {money.shown(spec.pool)} are in escrow.")


@app.command()
def plan(
    specification: Annotated[Path, typer.Argument(help="JSON file with the fields of the specification.")],
    accuracy: Annotated[
        float | None,
        typer.Option(help="Assume that an honest client labels this share of the items rightly."),
    ] = None,
    score: Annotated[
        float | None, typer.Option(help="Assume this score of an honest client, as a share of the price.")
    ] = None,
    lab: Annotated[
        Path | None,
        typer.Option(help="What `candor incentives --json` printed, for what the honest and attacks earn."),
    ] = None,
    json: Json = False,
) -> None:
    """What a job promises and risks, from its file alone: pay, losses, attacks, terms to think about again."""
    from fl_client.plan import plan as planned

    found = planned(
        read_specification(specification),
        accuracy=accuracy,
        score=score,
        lab=None if lab is None else read_rows(lab),
    )
    session.put(found, json, *plan_lines(found))


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
    lines = [
        f"  {field}: {value}" + (f", which is {money.shown(value)}" if field in AMOUNTS else "")
        for field, value in fields.items()
    ]
    session.put(found, json, f"{name}: {_progress(found)}; {money.shown(found.escrow)} in escrow", *lines)


@app.command()
def watch(name: Name, connection: ConnectionFile = None, identity: Who = "Admin", json: Json = False) -> None:
    """Follow a job to its end: a line for every change."""

    def line(found: Standing) -> None:
        session.put(found, json, f"{name}: {_progress(found)}")
        sys.stdout.flush()

    session.run(connection, identity, lambda view: watched(view, name, line))


@app.command()
def guard(name: Name, connection: ConnectionFile = None, identity: Who = "Admin", json: Json = False) -> None:
    """Vote, to a job's end, for revealed reports that the organisation's store cannot get, and have votes counted."""
    from fl_client.beacon import open_beacon
    from fl_client.guard import Guard
    from fl_client.store import open_store

    network = session.connection(connection)

    async def watch_over(view: View) -> None:
        job = (await standing(view, name)).job
        async with open_store(network) as store, open_beacon(network) as beacons:
            await Guard(view.ledger, store, beacons, job).run()

    session.run(connection, identity, watch_over)
    session.put({"job": name, "over": True}, json, f"Job {name} is over.")


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
        raise BadInput(f"cannot read {path}: {fault.strerror}", "Name a job's specification") from fault
    except msgspec.DecodeError as fault:
        remedy = "docs/operations.md shows one; candor job show prints those of a job"
        raise BadInput(f"{path} is not a job's specification: {fault}", remedy) from fault


def read_rows(path: Path) -> list[dict[str, object]]:
    """The rows of a lab's run, however many lines or documents they came in."""
    try:
        found = msgspec.json.decode(path.read_bytes())
    except OSError as fault:
        raise BadInput(f"cannot read {path}: {fault.strerror}", "Name a run's rows.json") from fault
    except msgspec.DecodeError:
        found = None
    rows = found.get("rows") if isinstance(found, dict) else found
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadInput(f"{path} is not what `candor incentives --json` prints", "Name a run's rows.json")
    return rows


def plan_lines(found: Plan) -> list[str]:
    """The plan as a person reads it."""

    def assumed(each: Expected) -> str:
        why = f"{each.world}, " if each.world else ""
        why += "" if each.accuracy is None else f"accuracy {each.accuracy:g}, "
        return f"  {why}score {each.score:.3f}: {money.shown(each.round)} a round, {money.shown(each.job)} in the job"

    lines = [
        f"{found.rounds} rounds of {found.mechanism}, scored by {found.rule}; "
        f"{money.shown(found.price)} for a perfect score.",
        *(f"REFUSED: {each.field} {each.why}" for each in found.refused),
        "",
        "An honest client can expect",
        *map(assumed, found.honest),
    ]
    if not found.honest:
        lines.append("  (depends on more than accuracy under this rule: give --score)")
    lines += [
        "",
        f"It locks {money.shown(found.locked)} a round. Its reports can cost it {money.shown(found.worst_by_score)} "
        f"in the whole job at worst, not revealing {money.shown(found.worst_by_absence)} each time.",
        f"The sponsor puts {money.shown(found.escrow)} in escrow and pays {money.shown(found.most_paid)} at most"
        + (f", {money.shown(found.expected_paid)} as assumed first." if found.honest else "."),
        "It pays for reports, not for what updates are worth; what is left returns when the job ends.",
        "",
        f"What others earn, as a share of honest pay ({found.measured}):",
        *(f"  {each.ratio:>21}  {each.attack}" for each in found.attacks),
        "",
        "Think again about" if found.unsafe else "No term stands out as unsafe.",
        *(f"  {each.field} {each.why}" for each in found.unsafe),
        *(["Consider"] if found.consider else []),
        *(f"  {each.field} {each.why}" for each in found.consider),
    ]
    return lines


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
