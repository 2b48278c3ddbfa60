"""Does an update hold something of what the others learn in this round? Pure integers, for the light check.

A client that no longer trains can send an old update with noise on it, the last change of the model, or a sum of what
others revealed. All of these are combinations of what is public, plus noise. So whatever the updates of earlier
rounds span is taken out of every update; what is left of honest ones still points the same way as long as the model
learns, what is left of the others is noise. An update is refused if its rest has nothing in common with the others'
rests, and only in a round in which the rests of most others clearly have: where labels are skewed or training has
converged, no such direction stands out and nobody is refused (docs/incentives.md has the figures).

z: the cosine of an update's rest with the sum of the others' (each of length 1) times √(free dimensions): about
standard normal if it were noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from chaincode.sketch import Sketch, inner

SAMPLE = 1 << 16  # of larger models every s-th element is looked at, at most so many
ONE = 1 << 60  # products of unit vectors are in units of 2^-60
SPENT = ONE >> 20  # a vector of which no more is left (squared) belongs to the span of those before it
CLEAR, NOISE = 8, 2  # z of most others at least, z of the refused below
FEWEST = 3  # others

Gram = NDArray[np.object_]  # Python's integers


def strangers(updates: Mapping[str, Sketch], known: Sequence[Sketch]) -> set[str]:
    """Members whose update has nothing in common with the others' beyond ``known``, where those clearly have.

    Args:
        updates: this round's, not zero, all of one length.
        known: what was revealed in earlier rounds; other lengths are ignored.
    """
    members = sorted(updates)
    if len(members) <= FEWEST:
        return set()
    size = updates[members[0]].size
    step = -(-size // SAMPLE)
    vectors = [each[::step] for each in known if each.size == size]
    vectors += [updates[member][::step] for member in members]
    rests, spent = _rests(vectors, len(members))
    free = len(range(0, size, step)) - spent
    return {members[i] for i in range(len(members)) if _strange(rests, free, i)}


def _strange(rests: Gram, free: int, i: int) -> bool:
    others = [j for j in range(len(rests)) if j != i]
    among, own = rests[np.ix_(others, others)], rests[i, others]
    sums, whole = among.sum(1), int(among.sum())
    clear = sorted(
        _z(int(sums[k] - among[k, k]), whole - 2 * int(sums[k]) + int(among[k, k]), free)
        for k in range(len(others))
    )
    return clear[len(others) // 4] >= CLEAR and _z(int(own.sum()), whole, free) < NOISE


def _z(along: int, length: int, free: int) -> int:
    """⌊z⌋ from a rest's product with a sum of others, and that sum's with itself; 0 where there is nothing to compare,
    or the two point away from each other."""
    return isqrt(along * along * free // (ONE * length)) if along > 0 and length > 0 else 0


def _rests(vectors: Sequence[Sketch], last: int) -> tuple[Gram, int]:
    """Cosines, in units of 1/ONE, between the last vectors' rests outside the span of the others; its dimension."""
    gram, spent = _cosines(vectors), 0
    for pivot in range(len(vectors) - last):
        if gram[pivot, pivot] > SPENT:
            gram = gram - np.outer(gram[:, pivot], gram[pivot]) // gram[pivot, pivot]
            spent += 1
    left = gram[-last:, -last:]
    lengths = np.array([isqrt(max(0, int(square)) * ONE) for square in np.diag(left)], object)
    gone = np.array([square <= SPENT for square in np.diag(left)])
    lengths[gone] = ONE
    scaled = left * ONE * ONE // np.outer(lengths, lengths)
    scaled[gone] = 0
    scaled[:, gone] = 0
    return scaled, spent


def _cosines(vectors: Sequence[Sketch]) -> Gram:
    count = len(vectors)
    gram = np.zeros((count, count), object)
    for i in range(count):
        for j in range(i + 1):
            gram[i, j] = gram[j, i] = inner(vectors[i], vectors[j])
    lengths = [max(1, isqrt(int(gram[i, i]) << 40)) for i in range(count)]  # 20 more bits
    for i in range(count):
        for j in range(count):
            gram[i, j] = gram[i, j] * (ONE << 40) // (lengths[i] * lengths[j])
    return gram
