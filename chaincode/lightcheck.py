"""The light check: is an update of a plausible size, and neither a replay of the last one nor noise? Pure integers.

Source: facts measured on trained models (docs/aggregation.md, "The light check"). Size and cosine stop zero, huge and
replayed updates; `direction` stops what was made without looking at any data, in rounds in which it can tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaincode.direction import strangers
from chaincode.records import Reason
from chaincode.sketch import CHUNK, CLIP, Sketch, inner, sketch

__all__ = ["CHUNK", "CLIP", "Sketch", "inner", "plausible", "sketch", "verdicts"]

FACTOR = 16  # of the median norm, either way


def verdicts(
    updates: Mapping[str, Sketch], previous: Mapping[str, Sketch], earlier: Mapping[str, Sketch] | None = None
) -> dict[str, Reason | None]:
    """Member (sorted) → why its update is refused, or None.

    norm: the update is zero, or its norm is outside [1/16, 16] × the lower median of the others' norms (with no
        others, only zero is refused).
    cosine: with the member's own update of the previous round it is not in (.4, .995); members without one
        in `previous`, or with a zero one, are not compared.
    direction: nothing in common with the others' (see there), of those that pass both.

    ``previous``, ``earlier``: members' updates of the last round and of the one before, as far as there are any.
    """
    squares = {member: inner(each, each) for member, each in updates.items()}
    found: dict[str, Reason | None] = {}
    for member in sorted(updates):
        others = sorted(square for other, square in squares.items() if other != member)
        if not plausible(squares[member], others):
            found[member] = Reason.NORM
        elif member in previous and not _moved(updates[member], previous[member], squares[member]):
            found[member] = Reason.COSINE
        else:
            found[member] = None
    fit = {member: updates[member] for member, reason in found.items() if reason is None}
    known = [each[member] for each in (previous, earlier or {}) for member in sorted(each)]
    return found | dict.fromkeys(strangers(fit, known), Reason.DIRECTION)


def plausible(square: int, others: Sequence[int]) -> bool:
    """Whether a squared norm fits the others' (sorted): both sides of 1/16 <= |u|/median <= 16, squared."""
    if square == 0:
        return False
    if not others:
        return True
    median = others[(len(others) - 1) // 2]
    return median <= FACTOR**2 * square and square <= FACTOR**2 * median


def _moved(update: Sketch, before: Sketch, square: int) -> bool:
    """.4 < cos < .995, squared and without division: 4/25 < cos² < (995/1000)²."""
    length = inner(before, before)
    if length == 0 or update.shape != before.shape:
        return True
    along = inner(update, before)
    if along <= 0:
        return False
    bound = square * length
    return 25 * along**2 > 4 * bound and 1000**2 * along**2 < 995**2 * bound
