"""`candor score`: one pair of reports, by the very function that settles."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import numpy as np
import typer

from chaincode.mtpp import RULES, View
from fl_client.errors import BadInput

LIMIT = 64 * 2**20  # bytes of input: 1,024 reports of 65,536 symbols would be more than a job may have
SYMBOLS = tuple[int, ...]
EXAMPLE = 'Give it as in {"x": [0, 1, 1], "y": [0, 1, 2], "alphabet": 3}'


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What comes in: two reports, and what else the rule reads; `others` are the other clients' reports."""

    x: SYMBOLS
    y: SYMBOLS
    alphabet: int
    others: tuple[SYMBOLS, ...] = ()
    z: SYMBOLS | None = None
    z2: SYMBOLS | None = None
    margin: SYMBOLS | None = None


class Score(msgspec.Struct, frozen=True):
    """What comes out: `score` / `norm` of the price is paid."""

    score: int
    norm: int


def score(
    rule: Annotated[str, typer.Option(help=f"One of {', '.join(sorted(RULES))}.")],
    json: Annotated[bool, typer.Option("--json", help="Always so.")] = True,
) -> None:
    """Score one pair of reports: JSON on stdin (x, y, alphabet; others, z, z2, margin), JSON on stdout."""
    print(msgspec.json.encode(pair_score(rule, sys.stdin.buffer.read(LIMIT + 1))).decode())


def pair_score(rule: str, raw: bytes) -> Score:
    """The score of x against y under the rule of that name.

    Raises:
        BadInput: there is no such rule, the input is not as `Pair` says, or the rule cannot score it.
    """
    if rule not in RULES:
        raise BadInput(f"there is no rule {rule!r}", f"Choose one of {', '.join(sorted(RULES))}")
    if len(raw) > LIMIT:
        raise BadInput(f"the input is larger than {LIMIT} bytes")
    chosen = RULES[rule]
    try:
        pair = msgspec.json.decode(raw, type=Pair)
        view = View(_column(pair.z), _column(pair.z2), _column(pair.margin))
        others = [_row(each) for each in pair.others]
        found = chosen.pair(_row(pair.x), _row(pair.y), pair.alphabet, others, view)
        return Score(found, chosen.norm(len(pair.x), pair.alphabet))
    except (ValueError, OverflowError, RecursionError) as fault:
        raise BadInput(f"the pair on stdin cannot be scored by {rule}: {fault}", EXAMPLE) from fault


def _row(symbols: SYMBOLS) -> np.ndarray:
    return np.array(symbols, dtype=np.int64)


def _column(symbols: SYMBOLS | None) -> np.ndarray | None:
    return None if symbols is None else _row(symbols)
