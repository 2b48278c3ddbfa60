"""`candor score`: one pair of reports, or the near-duplicates among many, by the very functions that settle."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
import typer

from chaincode.mtpp import RULES, View
from chaincode.mtpp.duplicates import ONE, groups, likeness, overlap, overlapping
from chaincode.mtpp.rule import Integers, Scores
from fl_client.errors import BadInput

LIMIT = 64 * 2**20  # bytes of input: 1,024 reports of 65,536 symbols would be more than a job may have
DUPLICATES = "near-duplicates"
NAMES = [*sorted(RULES), DUPLICATES]
SYMBOLS = tuple[int, ...]
EXAMPLE = 'Give it as in {"x": [0, 1, 1], "y": [0, 1, 2], "alphabet": 3}'
T = TypeVar("T")


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What comes in: two reports, and what else the rule reads; `others` are the other clients' reports."""

    x: SYMBOLS
    y: SYMBOLS
    alphabet: int
    others: tuple[SYMBOLS, ...] = ()
    z: SYMBOLS | None = None
    z2: SYMBOLS | None = None
    margin: SYMBOLS | None = None


class Reports(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Or, for near-duplicates: everybody's reports."""

    reports: tuple[SYMBOLS, ...]
    alphabet: int


class Score(msgspec.Struct, frozen=True):
    """What comes out: `score` / `norm` of the price is paid; for near-duplicates it is the pair's likeness."""

    score: int
    norm: int


class Groups(msgspec.Struct, frozen=True):
    """Who would share one pay, by either measure: places in `reports`, from 0."""

    likeness: list[tuple[int, ...]]
    overlap: list[tuple[int, ...]]


class Duplicates(msgspec.Struct, frozen=True):
    """Both measures of all pairs, in shares of `norm`, and whom they flag."""

    norm: int
    likeness: list[list[int]]
    overlap: list[list[int]]
    groups: Groups


def score(
    rule: Annotated[str, typer.Option(help=f"One of {', '.join(NAMES)}.")],
    json: Annotated[bool, typer.Option("--json", help="Always so.")] = True,
) -> None:
    """Score one pair of reports: JSON on stdin (x, y, alphabet; others, z, z2, margin), JSON on stdout.

    Rule near-duplicates also takes everybody's reports at once (reports, alphabet).
    """
    print(msgspec.json.encode(scored(rule, sys.stdin.buffer.read(LIMIT + 1))).decode())


def scored(rule: str, raw: bytes) -> Score | Duplicates:
    """What the rule of that name says of the JSON in `raw`.

    Raises:
        BadInput: there is no such rule, the input is not as `Pair` or `Reports` says, or it cannot be scored.
    """
    if rule not in NAMES:
        raise BadInput(f"there is no rule {rule!r}", f"Choose one of {', '.join(NAMES)}")
    try:
        if rule != DUPLICATES:
            return _pair_score(rule, _read(raw, Pair))
        given = _read(raw, dict[str, Any])
        return _all(_read(raw, Reports)) if "reports" in given else _alike(_read(raw, Pair))
    except (ValueError, OverflowError, RecursionError) as fault:
        raise BadInput(f"what is on stdin cannot be scored by {rule}: {fault}", EXAMPLE) from fault


def _pair_score(name: str, pair: Pair) -> Score:
    """The score of x against y."""
    rule = RULES[name]
    for field, labels in (("z", pair.z), ("z2", pair.z2)):
        if labels and not 0 <= min(labels) <= max(labels) < pair.alphabet:
            raise ValueError(f"{field}: a label is outside [0, {pair.alphabet})")
    view = View(_column(pair.z), _column(pair.z2), _column(pair.margin))
    others = [_row(each) for each in pair.others]
    found = rule.pair(_row(pair.x), _row(pair.y), pair.alphabet, others, view)
    return Score(found, rule.norm(len(pair.x), pair.alphabet))


def _alike(pair: Pair) -> Score:
    """The likeness of x and y, of those who are not in the pair the plurality being the others'."""
    return Score(int(likeness(_rows([pair.x, pair.y, *pair.others]), pair.alphabet)[0, 1]), ONE)


def _all(given: Reports) -> Duplicates:
    """Both measures over all pairs."""
    reports = _rows(given.reports)
    alike, over = likeness(reports, given.alphabet), overlap(reports, given.alphabet)
    found = Groups(groups(alike), overlapping(over))
    return Duplicates(ONE, _lists(alike), _lists(over), found)


def _read(raw: bytes, kind: type[T]) -> T:
    """JSON of that form, each key once."""
    if len(raw) > LIMIT:
        raise ValueError(f"it is larger than {LIMIT} bytes")
    if not raw.strip():
        raise ValueError("there is nothing, and a JSON object is expected")
    found = msgspec.json.decode(raw, type=kind)
    json.loads(raw, object_pairs_hook=_each_once)  # msgspec lets the last of two equal keys win
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a key is named twice")


def _rows(reports: Sequence[SYMBOLS]) -> Integers:
    """(n, Q), n possibly 0."""
    if len({len(report) for report in reports}) > 1:
        raise ValueError("reports: of different lengths")
    return np.stack([_row(report) for report in reports]) if reports else np.zeros((0, 0), np.int64)


def _row(symbols: SYMBOLS) -> Integers:
    try:
        return np.array(symbols, dtype=np.int64)
    except OverflowError:
        raise ValueError("a number is below -2^63 or not below 2^63") from None


def _column(symbols: SYMBOLS | None) -> Integers | None:
    return None if symbols is None else _row(symbols)


def _lists(matrix: Scores) -> list[list[int]]:
    return [[int(each) for each in row] for row in matrix]
