"""An update's tensors as integers, and products of such: the same on every machine. Pure.

Every float32 x becomes q = round-half-even(x·2^24), clipped to ±(2^31 − 1). The product with a power of two is exact
in float64, the rounding is IEEE 754's, so q is the same on every machine; so are all sums, which are taken over
integers. Resolution 6·10^-8; beyond ±128 an element only counts as "large".
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

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


def _quantise(flat: NDArray[np.float32]) -> Sketch:
    """In chunks: float64 of a large tensor would double its memory."""
    out = np.empty(flat.size, np.int32)
    for start in range(0, flat.size, CHUNK):
        exact = np.rint(flat[start : start + CHUNK].astype(np.float64) * SCALE)
        out[start : start + CHUNK] = np.clip(exact, -CLIP, CLIP).astype(np.int32)
    return out
