"""`candor token`: balances, payments, statements."""

from __future__ import annotations

import datetime
from typing import Annotated

import typer

from fl_client import money, wallet
from fl_client.cli import session
from fl_client.cli.session import ConnectionFile, Json, Who
from fl_client.contracts import StatementLine, View

app = typer.Typer(help="Look at money and pay.", no_args_is_help=True)
AccountName = Annotated[
    str | None, typer.Argument(help="An organisation, a member, or treasury; yourself by default.")
]


async def own_account(view: View, identity: str) -> str:
    """The organisation's account for its admin, otherwise the member's."""
    if identity.partition("@")[0].lower() == "admin":
        return view.ledger.msp_id
    member = await view.me()
    return member.id if member else view.ledger.member_id


@app.command()
def balance(
    account: AccountName = None,
    connection: ConnectionFile = None,
    identity: Who = "Admin",
    json: Json = False,
) -> None:
    """What an account can spend."""

    async def look(view: View) -> tuple[str, int]:
        name = account or await own_account(view, identity)
        return name, await view.balance(name)

    name, units = session.run(connection, identity, look)
    session.put({"account": name, "balance": units}, json, f"{name} has {money.shown(units)}")


@app.command()
def transfer(
    to: Annotated[str, typer.Argument(help="Who is paid.")],
    amount: Annotated[str, typer.Argument(help="How much, as in 12.50.")],
    memo: Annotated[str, typer.Option(help="Why; one short line.")] = "",
    connection: ConnectionFile = None,
    identity: Who = "Admin",
    json: Json = False,
) -> None:
    """Pay out of the own account."""
    units = money.read(amount)

    async def pay(view: View) -> str:
        source = await own_account(view, identity)
        return (await wallet.transfer(view, source, to, units, memo)).tx_id

    tx_id = session.run(connection, identity, pay)
    session.put(
        {"transaction": tx_id, "amount": units}, json, f"Paid {money.shown(units)} to {to} ({tx_id})."
    )


@app.command()
def statement(
    account: AccountName = None,
    connection: ConnectionFile = None,
    identity: Who = "Admin",
    json: Json = False,
) -> None:
    """Who paid an account what, and why; times are what the paying clients claimed."""

    async def look(view: View) -> list[StatementLine]:
        return await view.statement(account or await own_account(view, identity))

    lines = session.run(connection, identity, look)
    rows = [(_when(each.time), money.shown(each.amount), each.kind, each.other, each.memo) for each in lines]
    session.put_table(lines, json, ("When", "Amount", "What", "From or to", "Memo"), rows)


@app.command()
def supply(connection: ConnectionFile = None, identity: Who = "Admin", json: Json = False) -> None:
    """What was minted, and where it is; the two must be equal."""
    held = session.run(connection, identity, lambda view: view.holdings())
    parts = {name: getattr(held, name) for name in ("credits", "deposits", "locks", "escrows")}
    shown = ", ".join(f"{name} {money.shown(units)}" for name, units in parts.items())
    verdict = "which adds up" if held.minted == held.held else "WHICH DOES NOT ADD UP"
    session.put(held, json, f"Minted {money.shown(held.minted)}; held: {shown}, {verdict}.")


def _when(time: int) -> str:
    if not time:
        return "unknown"
    return datetime.datetime.fromtimestamp(time, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
