"""The light check: is an update of a plausible size, and neither a replay of the last one nor noise? Pure integers.

Source: facts measured on trained models (docs/aggregation.md, "The light check"): it stops zero, random and
replayed updates, hence naive laziness only; one added noise vector defeats it.

The sketch: every float32 x becomes q = round-half-even(x·2^24), clipped to ±(2^31 − 1). The product with a power
of two is exact in float64, the rounding is IEEE 754's, so q is the same on every machine; so are all sums,
which are taken over integers. Resolution 6·10^-8; beyond ±128 an element only counts as "large".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from chaincode.records import Reason

SCALE = 2.0**24
CLIP = 2**31 - 1
CHUNK = 1 << 20

Sketch = NDArray[np.int32]


def sketch(arrays: Iterable[NDArray[np.float32]]) -> Sketch:
    """An update's tensors, in order and flattened, as integers; they must be finite."""
    parts = [_quantise(array.reshape(-1)) for array in arrays]
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def inner(a: Sketch, b: Sketch) -> int:
    """Σ a_i·b_i, exactly.

    Every product is below 2^62; split at bit 31 its halves are summed in int64 without overflow.

    Raises:
        ValueError: of different lengths.
    """
    if a.shape != b.shape:
        raise ValueError(f"sketches of {a.size} and {b.size} elements")
    high = low = 0
    for start in range(0, a.size, CHUNK):
        product = a[start : start + CHUNK].astype(np.int64) * b[start : start + CHUNK]
        high += int((product >> 31).sum())
        low += int((product & CLIP).sum())
    return (high << 31) + low


def verdicts(updates: Mapping[str, Sketch], previous: Mapping[str, Sketch]) -> dict[str, Reason | None]:
    """Member (sorted) → why its update is refused, or None.

    norm: the update is zero, or its norm is outside [1/4, 4] × the lower median of the others' norms (with no
        others, only zero is refused).
    cosine: with the member's own update of the previous round it is not in (.4, .995); members without one
        in `previous`, or with a zero one, are not compared.
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
    return found


def plausible(square: int, others: Sequence[int]) -> bool:
    """Whether a squared norm fits the others' (sorted): both sides of 1/4 <= |u|/median <= 4, squared."""
    if square == 0:
        return False
    if not others:
        return True
    median = others[(len(others) - 1) // 2]
    return median <= 16 * square and square <= 16 * median


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


def _quantise(flat: NDArray[np.float32]) -> Sketch:
    """In chunks: float64 of a large tensor would double its memory."""
    out = np.empty(flat.size, np.int32)
    for start in range(0, flat.size, CHUNK):
        exact = np.rint(flat[start : start + CHUNK].astype(np.float64) * SCALE)
        out[start : start + CHUNK] = np.clip(exact, -CLIP, CLIP).astype(np.int32)
    return out
