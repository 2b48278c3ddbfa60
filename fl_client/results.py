"""What came out of a job: records, the table a person reads, JSON for machines, files for later."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from fl_client.picture import picture

__all__ = [
    "Client",
    "JobResult",
    "Outcome",
    "Round",
    "Supply",
    "picture",
    "report",
    "table",
    "to_json",
    "write",
]

_WIDTH = 200  # columns of table.txt


class Client(msgspec.Struct, frozen=True):
    """One of the job's clients; ``member`` is its id on chain."""

    name: str
    member: str
    organisation: str
    behaviour: str
    coalition: str = ""  # which one it is in


class Outcome(msgspec.Struct, frozen=True):
    """One client in one round. ``score`` and ``norm`` are settlement's integers (the score is shown as
    score/norm), ``payment`` is in token units and may be negative; ``score`` None: it was not scored;
    ``sharing``: how many near-duplicates, itself included, share one pay with it."""

    score: int | None
    norm: int
    payment: int
    sharing: int = 0


class Round(msgspec.Struct, frozen=True):
    """One settled round: member → outcome (who took no part is absent), and seconds by phase."""

    number: int
    outcomes: dict[str, Outcome]
    phases: dict[str, float] = {}


class Supply(msgspec.Struct, frozen=True):
    """Token units ever minted, and the sum of all that is held (credits, deposits, locks, escrows)."""

    minted: int
    held: int


class JobResult(msgspec.Struct, frozen=True):
    """A finished job. Money is in integer units, shown with ``decimals`` digits after the point."""

    job: str
    mechanism: str
    clients: list[Client]
    rounds: list[Round]
    balances: dict[str, int]  # member → units, after the job
    accuracy: list[float]  # in [0, 1]; [0] before training, [i] after the i-th round
    supply: Supply
    phases: dict[str, float] = {}  # seconds of what is not part of a round, like bringing the network up
    versions: dict[str, str] = {}
    settings: dict[str, str | int | float | bool | None] = {}  # seed, ledger, … as the job was started
    decimals: int = 2
    notes: list[str] = []  # what a reader should know of what these figures show

    def earned(self, member: str) -> int:
        """What the member was paid in all rounds."""
        return sum(r.outcomes[member].payment for r in self.rounds if member in r.outcomes)

    def shared(self, member: str) -> bool:
        """Whether it shared one pay with a near-duplicate."""
        return any(r.outcomes[member].sharing for r in self.rounds if member in r.outcomes)


def money(units: int, decimals: int) -> str:
    """Token units with a point and thousands separators, exactly: (-123456, 2) → ``-1,234.56``."""
    sign, digits = ("-" if units < 0 else ""), str(abs(units)).rjust(decimals + 1, "0")
    whole, fraction = (digits[:-decimals], "." + digits[-decimals:]) if decimals else (digits, "")
    return f"{sign}{int(whole):,}{fraction}"


def table(result: JobResult, width: int = 100) -> Table:
    """A row a client: score (as a share of the norm) above pay for each round, total pay, balance.

    Shows as many of the last rounds as fit into ``width`` columns.
    """
    for shown in range(len(result.rounds), 1, -1):
        grid = _grid(result, result.rounds[-shown:])
        if _measure(grid) <= width:
            return grid
    return _grid(result, result.rounds[-1:])


def report(result: JobResult, width: int = 100) -> RenderableType:
    """All a person wants to see at the end, on a console ``width`` columns wide: the table, who earned what
    against the honest, accuracy, supply, and the time each phase took."""
    told = [escape(line) for line in (*pay_lines(result), *result.notes)]
    return Group(
        table(result, width), "", *told, accuracy_line(result), supply_line(result), "", phase_table(result)
    )


_DID = {  # in a sentence that begins with "who"
    "random": "answered at random",
    "data-10": "used a tenth of its data",
    "copied": "was copied",
    "copier": "copied a colleague's report",
    "copy-global": "copied the global model (no data, no training)",
    "distilled-global": "distilled the global model (no data)",
}


def pay_lines(result: JobResult) -> list[str]:
    """In a sentence or two: what each kind of client that was not honest, and each coalition, earned as a share of
    the mean of the honest."""
    honest = [result.earned(client.member) for client in result.clients if client.behaviour == "honest"]
    mean = sum(honest) / len(honest) if honest else 0
    if mean <= 0:
        return []
    told = [
        f"who {_DID.get(kind, f'played {kind}')} {_share(sum(pay) / len(pay), mean)}"
        for kind, pay in _grouped(result, "behaviour").items()
        if kind != "honest"
    ]
    together = [
        f"; {kind}, {len(pay)} clients together: {_share(sum(pay), mean)}"
        for kind, pay in _grouped(result, "coalition").items()
        if kind
    ]
    shares = f"; as a share of that: {', '.join(told)}{''.join(together)}" if told else ""
    lines = [f"the honest earned {money(round(mean), result.decimals)} on average{shares}"]
    if sharing := sum(result.shared(client.member) for client in result.clients):
        lines.append(f"{sharing} clients were found to report nearly the same, and shared one pay")
    return lines


def _share(pay: float, mean: float) -> str:
    return f"{round(pay / mean, 2) + 0.0:.2f}"  # no -0.00


def _grouped(result: JobResult, field: str) -> dict[str, list[int]]:
    """What the clients earned, by that field of theirs, in the table's order."""
    pay: dict[str, list[int]] = {}
    for client in result.clients:
        pay.setdefault(getattr(client, field), []).append(result.earned(client.member))
    return pay


def accuracy_line(result: JobResult) -> str:
    """The global model's accuracy before training and after each round."""
    values = " → ".join(f"{value:.3f}" for value in result.accuracy)
    return f"accuracy of the global model, before training and after each round: {values or 'not measured'}"


def supply_line(result: JobResult) -> str:
    """Whether all money is somebody's."""
    minted, held = (money(units, result.decimals) for units in (result.supply.minted, result.supply.held))
    equal = result.supply.minted == result.supply.held
    return f"supply: minted {minted} = held {held} ✓" if equal else f"supply: minted {minted} ≠ held {held} ✗"


def phase_table(result: JobResult) -> Table:
    """Seconds a phase: for the job's own phases in total, for a round's phases the mean and the longest."""
    grid = Table(title="Time", show_edge=False)
    for heading in ("Phase", "Mean s", "Longest s"):
        grid.add_column(heading, justify="left" if heading == "Phase" else "right")
    for name, seconds in result.phases.items():
        grid.add_row(name, f"{seconds:.1f}", "")
    for name in dict.fromkeys(name for r in result.rounds for name in r.phases):
        taken = [r.phases[name] for r in result.rounds if name in r.phases]
        grid.add_row(f"each round: {name}", f"{sum(taken) / len(taken):.1f}", f"{max(taken):.1f}")
    return grid


def to_json(result: JobResult) -> bytes:
    """Indented JSON with a final newline; ``msgspec.json.decode(…, type=JobResult)`` reads it back."""
    return msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"


def write(result: JobResult, directory: Path) -> dict[str, Path]:
    """Write result.json, table.txt and rounds.png into ``directory`` (made if absent); paths by name."""
    directory.mkdir(parents=True, exist_ok=True)
    files = {name: directory / name for name in ("result.json", "table.txt", "rounds.png")}
    files["result.json"].write_bytes(to_json(result))
    with files["table.txt"].open("w", encoding="utf-8") as file:
        Console(file=file, width=_WIDTH).print(report(result, _WIDTH))
    picture(result, files["rounds.png"])
    return files


def _grid(result: JobResult, rounds: list[Round]) -> Table:
    title = f"Job {escape(result.job)}, mechanism {escape(result.mechanism)}: score and pay in each round"
    total = len(result.rounds)
    caption = f"the last {len(rounds)} of {total} rounds, as many as fit" if len(rounds) < total else None
    grid = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    grid.add_column("Client,\nbehaviour", no_wrap=True)
    for heading in (*(f"Round\n{r.number}" for r in rounds), "Total\npay", "\nBalance"):
        grid.add_column(heading, justify="right", no_wrap=True, vertical="bottom")
    for client in result.clients:
        grid.add_row(*_row(result, client, rounds))
    return grid


def _measure(grid: Table) -> int:
    """Columns the grid takes when nothing is cut."""
    console = Console(width=10_000)
    return Measurement.get(console, console.options, grid).maximum


def _row(result: JobResult, client: Client, rounds: list[Round]) -> list[str]:
    cells = [_cell(r.outcomes.get(client.member), result.decimals) for r in rounds]
    balance = money(result.balances.get(client.member, 0), result.decimals)
    total_pay = money(result.earned(client.member), result.decimals)
    who = f"{escape(client.name)}\n[dim]{escape(client.organisation)}[/dim], {escape(client.behaviour)}"
    return [who, *cells, total_pay, balance]


def _cell(outcome: Outcome | None, decimals: int) -> str:
    if outcome is None:
        return "–"
    score = "–" if outcome.score is None or outcome.norm == 0 else f"{outcome.score / outcome.norm:.3f}"
    return f"[dim]{score}[/dim]\n{money(outcome.payment, decimals)}"
