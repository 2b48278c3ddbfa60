"""`candor member`: who takes part."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from chaincode import rotation
from chaincode.records import Member
from fl_client import money
from fl_client.cli import session
from fl_client.cli.session import ConnectionFile, Json, Who
from fl_client.contracts import View
from fl_client.errors import BadInput

app = typer.Typer(help="Members: who they are, and how one becomes one.", no_args_is_help=True)
REGISTER = "Register it first: candor member register"
_KEY = re.compile(r"(?:.*:)?([0-9a-f]{64})")


@app.command("list")
def members(connection: ConnectionFile = None, identity: Who = "Admin", json: Json = False) -> None:
    """Every member there has been."""
    found = session.run(connection, identity, lambda view: view.members())
    rows = [(each.name, each.msp_id, each.status, money.shown(each.deposit), each.id) for each in found]
    session.put_table(found, json, ("Name", "Organisation", "Status", "Deposit", "Id"), rows)


@app.command()
def show(
    member: Annotated[str | None, typer.Argument(help="A member's id; yourself by default.")] = None,
    connection: ConnectionFile = None,
    identity: Who = "Admin",
    json: Json = False,
) -> None:
    """One member."""

    async def look(view: View) -> Member:
        found = await (view.member(member) if member else view.me())
        if found is not None:
            return found
        if member:
            raise BadInput(f"there is no member {member}", "See candor member list")
        account = view.ledger.member_id  # where a deposit can be sent
        raise BadInput(f"this identity is not a member; its account would be {account}", REGISTER)

    _put(session.run(connection, identity, look), json)


@app.command()
def allow(
    who: Annotated[str, typer.Argument(help="A key's SHA-256, a member id to be, or an enrolment id.")],
    connection: ConnectionFile = None,
    identity: Who = "Admin",
    json: Json = False,
) -> None:
    """The organisation's admin lets a client register: by its key, or by its enrolment id."""
    key, org = _permit("allow", who, connection, identity)
    session.put({"allowed": key}, json, f"{who} of {org} may register now.")


@app.command()
def disallow(
    who: Annotated[str, typer.Argument(help="What was allowed: a key's SHA-256, or an enrolment id.")],
    connection: ConnectionFile = None,
    identity: Who = "Admin",
    json: Json = False,
) -> None:
    """Take an `allow` back; who has registered stays a member."""
    key, org = _permit("disallow", who, connection, identity)
    session.put({"disallowed": key}, json, f"{who} of {org} may not register any more.")


@app.command()
def register(identity: Who, connection: ConnectionFile = None, json: Json = False) -> None:
    """Become a member; a deposit, where there is one, is paid from what the account holds."""
    from fl_client import steps

    _put(session.run(connection, identity, lambda view: steps.register(view.ledger)), json)


@app.command()
def rotate(
    identity: Who,
    new_key: Annotated[Path, typer.Option(help="PEM file of the new private key.")],
    connection: ConnectionFile = None,
    json: Json = False,
) -> None:
    """Hand over to another key; enrol it for a certificate of its own first."""
    private = _private_key(new_key)
    _put(session.run(connection, identity, lambda view: rotated(view, private)), json)


@app.command()
def leave(identity: Who, connection: ConnectionFile = None, json: Json = False) -> None:
    """Give up membership; the deposit comes back at once."""
    session.run(connection, identity, lambda view: view.ledger.submit("Registry:leave"))
    session.put({"status": "left"}, json, "Left; the deposit is back in the account.")


async def rotated(view: View, private: ec.EllipticCurvePrivateKey) -> Member:
    """Rotate the acting key to `private`, both keys consenting."""
    member = await view.me()
    if member is None:
        raise BadInput("this identity is not a member", REGISTER)
    key = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ledger = view.ledger
    signed = rotation.message(
        ledger.channel, ledger.chaincode, member.id, member.key, rotation.key_id(key), member.rotations
    )
    receipt = await ledger.submit("Registry:rotate", key, rotation.sign(private, signed))
    return msgspec.json.decode(receipt.payload, type=Member)


def _permit(change: str, who: str, connection: Path | None, identity: str) -> tuple[str, str]:
    """Change whom the organisation lets in; the key or the name meant, and the organisation."""
    key = _KEY.fullmatch(who)
    transaction, name = (change, key[1]) if key else (f"{change}-name", who)

    async def submit(view: View) -> str:
        await view.ledger.submit(f"Registry:{transaction}", name)
        return view.ledger.msp_id

    return name, session.run(connection, identity, submit)


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        private = load_pem_private_key(path.read_bytes(), None)
    except OSError as fault:
        raise BadInput(f"cannot read the private key {path}: {fault.strerror}") from fault
    except (ValueError, TypeError) as fault:
        raise BadInput(
            f"{path} is not an unencrypted PEM private key",
            "openssl ecparam -name prime256v1 -genkey makes one",
        ) from fault
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise BadInput(f"the private key {path} is not an EC key", "Make one on P-256")
    return private


def _put(member: Member, json: bool) -> None:
    session.put(
        member,
        json,
        f"{member.id}",
        f"  name {member.name}, {member.status}, deposit {money.shown(member.deposit)}",
        f"  acting key {member.key}, rotated {member.rotations} times",
    )
