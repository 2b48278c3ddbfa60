"""`candor governance`: founding, proposals, votes."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Annotated, get_args

import msgspec
import typer

from chaincode.beacon import BeaconInfo
from chaincode.proposals import Action, Proposal
from chaincode.records import Registration
from fl_client import money
from fl_client.cli import session
from fl_client.cli.session import ConnectionFile, Json, Who
from fl_client.errors import BadInput

app = typer.Typer(help="What the consortium decides: one vote an organisation.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The proposal's name.")]
NEEDS_BEACON = ("void-round", "abort-job")
ACTIONS = [kind.__struct_config__.tag for kind in get_args(Action)]
SETTINGS = "Name chaincode/ORG/settings.json in the network's directory"


class Terms(msgspec.Struct, frozen=True):
    """The part of a chaincode server's settings that founding fixes."""

    organisations: list[str]
    beacon: BeaconInfo
    freshness: int
    margin: int
    registration: Registration


@app.command()
def found(
    settings: Annotated[
        Path, typer.Option(help="The settings file of a chaincode server, which must agree.")
    ],
    connection: ConnectionFile = None,
    identity: Who = "Admin",
    json: Json = False,
) -> None:
    """Found the consortium on the terms all chaincode servers are configured with. Works once."""
    terms = read_terms(settings)
    session.run(
        connection,
        identity,
        lambda view: view.ledger.submit("Governance:init", *msgspec.structs.astuple(terms)),
    )
    session.put(terms, json, f"Founded by {', '.join(terms.organisations)}.")


@app.command()
def propose(
    name: Name,
    action: Annotated[
        str, typer.Argument(help='JSON, such as {"action": "admit-org", "msp_id": "Org4MSP"}.')
    ],
    connection: ConnectionFile = None,
    identity: Who = "Admin",
    json: Json = False,
) -> None:
    """Put something to the vote, with the own organisation's approval."""
    decided = read_action(action)
    beacon = session.latest_beacon(connection)
    _vote(name, connection, identity, json, "Governance:propose", name, decided, beacon)


@app.command()
def approve(
    name: Name, connection: ConnectionFile = None, identity: Who = "Admin", json: Json = False
) -> None:
    """Vote for; the vote that makes more than half executes."""
    proposals = session.run(connection, identity, lambda view: view.proposals())
    timed = name in proposals and _kind(proposals[name]) in NEEDS_BEACON
    beacon = [session.latest_beacon(connection)] if timed else []
    _vote(name, connection, identity, json, "Governance:approve", name, *beacon)


@app.command()
def reject(
    name: Name, connection: ConnectionFile = None, identity: Who = "Admin", json: Json = False
) -> None:
    """Vote against."""
    _vote(name, connection, identity, json, "Governance:reject", name)


@app.command()
def withdraw(
    name: Name, connection: ConnectionFile = None, identity: Who = "Admin", json: Json = False
) -> None:
    """Take the own organisation's proposal back."""
    _vote(name, connection, identity, json, "Governance:withdraw", name)


@app.command()
def show(connection: ConnectionFile = None, identity: Who = "Admin", json: Json = False) -> None:
    """What holds now: who votes, who may register and for which deposit, which beacon."""
    found = session.run(connection, identity, lambda view: view.consortium())
    allowed = "allowed by its admin" if found.registration.pre_known else "of an organisation"
    session.put(
        found,
        json,
        f"organisations: {', '.join(found.organisations)}; more than half decide",
        f"registration: any client {allowed}, deposit {money.shown(found.registration.deposit)}",
        f"beacon: {found.beacon.public_key}, every {found.beacon.period} s",
        f"freshness {found.freshness} s, margin {found.margin} s",
    )


@app.command("list")
def proposals(connection: ConnectionFile = None, identity: Who = "Admin", json: Json = False) -> None:
    """Every proposal, and how it stands."""
    found = session.run(connection, identity, lambda view: view.proposals())
    rows = [
        (
            name,
            standing(each),
            _kind(each),
            ", ".join(each.approvals),
            ", ".join(each.rejections),
            _what(each),
        )
        for name, each in found.items()
    ]
    session.put_table(found, json, ("Proposal", "Status", "Action", "For", "Against", "What"), rows)


def standing(proposal: Proposal, now: float | None = None) -> str:
    """A proposal's status; of an open one also until when it may be decided, in UTC."""
    if proposal.status != "open":
        return proposal.status
    if proposal.expires < (time.time() if now is None else now):
        return "expired"
    return f"open until {datetime.datetime.fromtimestamp(proposal.expires, datetime.UTC):%Y-%m-%d %H:%M}"


def read_action(text: str) -> Action:
    """An action from the command line; BadInput says what is wrong with it."""
    try:
        action: Action = msgspec.json.decode(text, type=Action)
        return action
    except msgspec.DecodeError as fault:
        remedy = f"Give JSON with an action: {', '.join(ACTIONS)}"
        raise BadInput(f"this is not an action: {fault}", remedy) from fault


def read_terms(path: Path) -> Terms:
    """The founding terms in a server's settings file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Terms)
    except OSError as fault:
        raise BadInput(f"cannot read {path}: {fault.strerror}", SETTINGS) from fault
    except msgspec.DecodeError as fault:
        raise BadInput(f"{path} has no founding terms: {fault}", SETTINGS) from fault


def _vote(name: str, connection: Path | None, identity: str, json: bool, *call: object) -> None:
    transaction, *arguments = call
    receipt = session.run(connection, identity, lambda view: view.ledger.submit(str(transaction), *arguments))
    record = msgspec.json.decode(receipt.payload, type=Proposal)
    votes = f"for it: {', '.join(record.approvals)}"
    if record.rejections:
        votes += f"; against it: {', '.join(record.rejections)}"
    session.put(record, json, f"Proposal {name} is {record.status}; {votes}.")


def _kind(proposal: Proposal) -> str:
    return str(msgspec.to_builtins(proposal.action)["action"])


def _what(proposal: Proposal) -> str:
    content = {
        name: value for name, value in msgspec.to_builtins(proposal.action).items() if name != "action"
    }
    return msgspec.json.encode(content).decode()
