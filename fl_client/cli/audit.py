"""`candor audit` and `candor export`: recompute a job from public facts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
import typer

from chaincode.records import Consortium
from fl_client.cli import session
from fl_client.cli.session import ConnectionFile, Json, Who
from fl_client.errors import BadInput, CandorError, Unavailable

if TYPE_CHECKING:
    from fl_client.audit import Evidence, Expected, Report

Name = Annotated[str, typer.Argument(help="The job's name.")]


class Discrepancy(CandorError):
    """The audit found something; the message names the first class of it."""

    exit_code = 8


def audit(
    job: Name,
    from_blocks: Annotated[
        Path | None,
        typer.Option(
            help="What `candor export` wrote (packed or unpacked), or a directory of Fabric's own block files: "
            "`*.block` of `peer channel fetch`, `blockfile_*` of a ledger. Then no network is needed."
        ),
    ] = None,
    contents: Annotated[
        Path | None, typer.Option(help="With block files: a directory of content, under whatever names.")
    ] = None,
    chaincode: Annotated[str, typer.Option(help="With block files: the chaincode's name.")] = "candor",
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

    known = Expected(
        _hex("--beacon-key", beacon_key, 48, 96),
        _hex("--first-block", first_block, 32),
        _hex("--last-block", last_block, 32),
        _terms(terms),
    )
    if html and not html.parent.is_dir():
        raise BadInput(f"cannot write {html}: its directory does not exist")
    source = _Source(from_blocks, contents, chaincode, connection, identity)
    report = asyncio.run(_audit(job, source, known))
    if json:
        sys.stdout.write(text.to_json(report).decode())
    else:
        Console().print(text.text(report))
    if html:
        _write(html, page(report))
    if report.findings:
        first = report.findings[0]
        raise Discrepancy(
            text.printable(f"{first.kind}: {first.kind.sentence} {_capital(first.where)}: {first.what}")
        )


def export(
    job: Name,
    out: Annotated[Path, typer.Option(help="Where the evidence goes, a zip file.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Also when the file exists.")] = False,
    connection: ConnectionFile = None,
    identity: Who = "Admin",
    json: Json = False,
) -> None:
    """Write blocks and content of a job into one file that can be audited offline, years later."""
    from fl_client.audit import export as write_evidence
    from fl_client.audit.archive import free

    async def work() -> tuple[int, int, list[str]]:
        async with _live(job, connection, identity) as evidence:
            return await write_evidence(evidence, out, overwrite=overwrite)

    free(out, overwrite=overwrite)
    blocks, contents, missing = asyncio.run(work())
    for each in missing:
        print(f"candor: note: not to be had: {each}", file=sys.stderr)
    found = {"file": str(out), "blocks": blocks, "contents": contents, "missing": missing}
    session.put(found, json, f"{out}: {blocks} blocks, {contents} contents.")


class _Source(NamedTuple):
    """Where the evidence is: files, or else the network of a connection file."""

    files: Path | None
    contents: Path | None
    chaincode: str
    connection: Path | None
    identity: str


async def _audit(job: str, source: _Source, known: Expected) -> Report:
    from fl_client.audit import audit as run

    if source.files:
        return await run(_watched(_files(job, source.files, source)), known)
    async with _live(job, source.connection, source.identity) as evidence:
        return await run(evidence, known)


def _files(job: str, path: Path, source: _Source) -> Evidence:
    """Evidence from files, of whichever kind they are."""
    from fl_client.audit import FileEvidence
    from fl_client.audit.archive import MANIFEST

    if not path.exists():
        raise BadInput(f"cannot read {path}: there is no such file or directory", "Make one: candor export")
    fabric = (
        not (path / MANIFEST).exists()
        if path.is_dir()
        else path.match("*.block") or path.match("blockfile_*")
    )
    if not fabric:
        return FileEvidence(path, job)
    from fl_client.audit.blockfiles import BlockFiles

    return BlockFiles(path, job, source.chaincode, source.contents)


@asynccontextmanager
async def _live(job: str, connection: Path | None, identity: str) -> AsyncIterator[Evidence]:
    """Evidence from the network itself."""
    from fl_client.audit import LiveEvidence
    from fl_client.ledger import open_ledger
    from fl_client.store import open_store

    network = session.connection(connection)
    try:
        async with open_ledger(network, network.identity(identity)) as ledger, open_store(network) as store:
            yield _watched(LiveEvidence(job, ledger, store))
    except Unavailable as fault:
        remedy = fault.remedy or "Bring the network up, or audit an evidence file with --from-blocks"
        raise Unavailable(fault.what, remedy) from fault


def _watched(evidence: Evidence) -> Evidence:
    from fl_client.audit.evidence import Watched

    return Watched(evidence, lambda text: print(f"candor: {text}", file=sys.stderr, flush=True))


def _hex(option: str, value: str, *sizes: int) -> str:
    """A key or a hash in lowercase hex, of one of these sizes in bytes; "" where none is given."""
    try:
        right = not value or len(bytes.fromhex(value)) in sizes
    except ValueError:
        right = False
    if not right or value.split() not in ([], [value]):
        wanted = " or ".join(str(2 * size) for size in sizes)
        raise BadInput(f"{option} {value!r} is not a value in hex", f"It has {wanted} digits 0-9, a-f")
    return value.lower()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _terms(path: Path | None) -> Consortium | None:
    if path is None:
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Consortium)
    except (OSError, msgspec.MsgspecError) as fault:
        raise BadInput(f"cannot use the terms in {path}: {fault}") from fault


def _write(path: Path, page: str) -> None:
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(path)
    except OSError as fault:
        temporary.unlink(missing_ok=True)
        raise BadInput(f"cannot write {path}: {fault.strerror}") from fault
