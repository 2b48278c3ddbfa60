"""`candor client`: one organisation's client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from fl_client import money
from fl_client.cli import session
from fl_client.cli.session import Json
from fl_client.errors import BadInput

app = typer.Typer(help="Take part in a job.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keeps `run` a command of its own."""


@app.command()
def run(
    connection: Annotated[Path, typer.Option(help="The organisation's connection file.")],
    identity: Annotated[str, typer.Option(help="Which of its identities, such as User1.")],
    job: Annotated[str, typer.Option(help="The job; waited for when it is not there yet.")],
    journal: Annotated[Path, typer.Option(help="Where salts and reports are kept across a crash.")],
    share: Annotated[
        str,
        typer.Option(help='JSON: {"problem": "digits", "settings": {…}, "client": 0, "clients": 6, …}'),
    ],
    json: Json = False,
) -> None:
    """Register, and take part in every round of the job. Resumable at any point."""
    from fl_client import participant

    try:
        own = msgspec.json.decode(share, type=participant.Share)
    except msgspec.DecodeError as fault:
        fields = ", ".join(participant.Share.__struct_fields__)
        raise BadInput(f"--share is not usable: {fault}", f"It is a JSON object with {fields}") from fault
    pay = asyncio.run(participant.run(connection, identity, journal, job, own))
    told = f"Job {job} is over; it paid {pay.member} {money.shown(sum(pay.rounds.values()))}."
    session.put(pay, json, told)
