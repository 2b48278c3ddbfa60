"""`candor audit` and `candor export`: recompute a job from public facts."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from chaincode.records import Consortium
from fl_client.cli import session
from fl_client.cli.session import ConnectionFile, Json, Who
from fl_client.connection import Connection
from fl_client.errors import BadInput, CandorError

if TYPE_CHECKING:
    from fl_client.audit import Expected, Report
    from fl_client.store import Store

Name = Annotated[str, typer.Argument(help="The job's name.")]


class Discrepancy(CandorError):
    """The audit found something; the message names the first class of it."""

    exit_code = 8


def audit(
    job: Name,
    from_blocks: Annotated[
        Path | None,
        typer.Option(
            help="An evidence file of `candor export`; then neither network nor programs are needed."
        ),
    ] = None,
    connection: ConnectionFile = None,
    identity: Who = "Admin",
    json: Json = False,
    html: Annotated[Path | None, typer.Option(help="Also write the report as a page, with plots.")] = None,
    beacon_key: Annotated[str, typer.Option(help="The beacon's public key you know, in hex.")] = "",
    terms: Annotated[
        Path | None, typer.Option(help="The consortium's founding terms you know: JSON as `Governance:get`.")
    ] = None,
    first_block: Annotated[str, typer.Option(help="The hash of block 0 you know, in hex.")] = "",
    last_block: Annotated[str, typer.Option(help="The hash of the newest block you know, in hex.")] = "",
) -> None:
    """Recompute every membership, draw, score, payment and aggregate of a job; exit 8 if anything differs."""
    from rich.console import Console

    from fl_client.audit import Expected, text
    from fl_client.audit.page import html as page

    known = Expected(beacon_key.lower(), first_block.lower(), last_block.lower(), _terms(terms))
    report = asyncio.run(_audit(job, from_blocks, connection, identity, known))
    if json:
        sys.stdout.write(text.to_json(report).decode())
    else:
        Console().print(text.text(report))
    if html:
        _write(html, page(report))
    if report.findings:
        first = report.findings[0]
        raise Discrepancy(f"{first.kind}: {first.kind.sentence} {first.where[:1].upper()}{first.where[1:]}")


def export(
    job: Name,
    out: Annotated[Path, typer.Option(help="Where the evidence goes, a zip file.")],
    connection: ConnectionFile = None,
    identity: Who = "Admin",
    json: Json = False,
) -> None:
    """Write blocks and content of a job into one file that can be audited offline, years later."""
    from fl_client.audit import LiveEvidence
    from fl_client.audit import export as write_evidence
    from fl_client.ledger import open_ledger

    async def work() -> tuple[int, int, list[str]]:
        network = session.connection(connection)
        async with open_ledger(network, network.identity(identity)) as ledger, _store(network) as store:
            return await write_evidence(LiveEvidence(job, ledger, store), out)

    blocks, contents, missing = asyncio.run(work())
    for each in missing:
        print(f"candor: note: not to be had: {each}", file=sys.stderr)
    found = {"file": str(out), "blocks": blocks, "contents": contents, "missing": missing}
    session.put(found, json, f"{out}: {blocks} blocks, {contents} contents.")


async def _audit(
    job: str, file: Path | None, connection: Path | None, identity: str, known: Expected
) -> Report:
    from fl_client.audit import FileEvidence, LiveEvidence
    from fl_client.audit import audit as run

    if file:
        return await run(FileEvidence(file, job), known)
    from fl_client.ledger import open_ledger

    network = session.connection(connection)
    async with open_ledger(network, network.identity(identity)) as ledger, _store(network) as store:
        return await run(LiveEvidence(job, ledger, store), known)


def _store(network: Connection) -> Store:
    from fl_client.store import open_store

    return open_store(network)


def _terms(path: Path | None) -> Consortium | None:
    if path is None:
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Consortium)
    except (OSError, msgspec.MsgspecError) as fault:
        raise BadInput(f"cannot use the terms in {path}: {fault}") from fault


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as fault:
        raise BadInput(f"cannot write {path}: {fault.strerror}") from fault
