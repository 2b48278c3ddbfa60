"""What the commands share that talk to a ledger: which network, as whom, and how an answer is printed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chaincode.beacon import Beacon
from fl_client.cli.demo import NETWORK
from fl_client.connection import Connection, read_connection
from fl_client.contracts import View
from fl_client.errors import BadInput

T = TypeVar("T")

ConnectionFile = Annotated[
    Path | None,
    typer.Option(
        "--connection",
        envvar="CANDOR_CONNECTION",
        help="The organisation's connection file; by default the first of the network in .candor.",
    ),
]
Who = Annotated[str, typer.Option("--identity", help="Which of its identities, such as Admin or User1.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable, on stdout; amounts in units.")]


def connection(file: Path | None) -> Connection:
    """The connection file, or the first of the network in this directory."""
    found = [file] if file else sorted((NETWORK / "connections").glob("*.json"))
    if not found:
        raise BadInput("there is no network here", "Bring one up, or name a file with --connection")
    return read_connection(found[0])


def run(file: Path | None, who: str, work: Callable[[View], Awaitable[T]]) -> T:
    """Do something with the ledger of that connection, as that identity."""

    async def inside() -> T:
        from fl_client.ledger import open_ledger

        network = connection(file)
        async with open_ledger(network, network.identity(who)) as ledger:
            return await work(View(ledger))

    return asyncio.run(inside())


def latest_beacon(file: Path | None) -> Beacon:
    """A fresh beacon from the network's own nodes."""

    async def inside() -> Beacon:
        from fl_client.beacon import open_beacon

        async with open_beacon(connection(file)) as beacons:
            return await beacons.latest()

    return asyncio.run(inside())


def put(value: Any, json: bool, *lines: str) -> None:
    """The result: JSON on stdout, or sentences for a person."""
    if json:
        sys.stdout.write(msgspec.json.encode(value, order="sorted").decode() + "\n")
    else:
        for line in lines:
            print(line)


def put_table(value: Any, json: bool, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """The result: JSON on stdout, or a table; whatever the ledger holds is shown as plain text."""
    if json:
        put(value, json)
        return
    table = Table()
    for each in header:
        table.add_column(each, overflow="fold")  # an id that is cut short is no use
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    Console().print(table)
