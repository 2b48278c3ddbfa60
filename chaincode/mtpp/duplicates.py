"""Near-duplicates: who agrees with whom beyond what the task's likely answer explains.

Source: facts on the mechanism, "Near-duplicates share one pay". All in integers; shares are of ONE = 2^20.

Two measures, which differ in what an agreement is held against: `likeness` against both clients' own spread, `overlap`
against the smaller one. A copier that adds noise widens its own spread: likeness falls with the noise twice, overlap
once. `qualify-and-vest` uses overlap, and `overlapping` to find the sets (docs/incentives.md has the figures).
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import isqrt

import numpy as np

from chaincode.mtpp.counts import Counts, task_counts
from chaincode.mtpp.rule import ALPHABET_MAX, ALPHABET_MIN, CLIENTS_MAX, TASKS_MAX, Integers, Reports, Scores

ONE = 1 << 20
ALIKE = 419430  # .4: every likeness inside a group is greater
APART = 262144  # .25: and exceeds every likeness to an outsider by more
ALIKE_OVERLAP, APART_OVERLAP = ONE * 11 // 20, ONE // 5  # the same for overlap: .55 and .2
# Where the overlaps of all other pairs lie close together: .4, .1, above the greatest of them by .05, and how close
ALIKE_EVEN, APART_EVEN, ABOVE_EVEN, SPREAD_EVEN = ONE * 2 // 5, ONE // 10, ONE // 20, ONE * 7 // 200
PAIRS_EVEN = 6  # of others at least, for their spread to say anything

Test = Callable[[Scores, Counts], bool]


def likeness(reports: Integers, alphabet: int) -> Scores:
    """κ of all pairs: agreement given the plurality label of everybody else, normalised.

    With z_t = the plurality label on task t outside the pair (ties: the smallest) and D_xy =
    Σ_k ⌊2^20·(T_k·A_k − Σ_c r_c·c_c)/T_k⌋ over the strata z = k of at least two tasks:
    κ_ij = min(2^20, ⌊2^20·D_ij/isqrt(D_ii·D_jj)⌋), 0 if any D ≤ 0.

    Args:
        reports: shape (n, Q), symbols in [0, C), n ≤ 1,024, Q ≤ 65,536: every D is at most 2^36.

    Returns:
        int64 of shape (n, n), symmetric, 0 on the diagonal.

    Raises:
        ValueError: more clients or tasks, an alphabet not in [2, 256], or a symbol outside it.
    """
    return _all_pairs(reports, alphabet, lambda x, y: isqrt(x * y))


def overlap(reports: Integers, alphabet: int) -> Scores:
    """As `likeness`, with min(D_ii, D_jj) for isqrt(D_ii·D_jj): noise added to a copy does not hide it."""
    return _all_pairs(reports, alphabet, min)


def cost(clients: int, tasks: int, alphabet: int) -> int:
    """Of `likeness`, in multiply-adds as `Rule.cost` counts them (measured: about 80 + 3·C ns a task and pair)."""
    return clients * clients * (tasks * (160 + 6 * alphabet) + 4 * alphabet * alphabet)


def groups(kappa: Scores, alike: int = ALIKE, apart: int = APART) -> list[tuple[int, ...]]:
    """The sets of near-duplicates, larger first: at least 2 and at most ⌊(n − 1)/2⌋ clients each, disjoint.

    A set is flagged when its least κ inside exceeds `alike`, and exceeds the greatest κ to an outsider by more than
    `apart`. Such a set is what hangs together above that greatest κ, so joining clients by falling κ passes through
    every one of them.
    """
    return _chosen(kappa, alike, lambda kappa, members: _stands_out(kappa, members, alike, apart))


def overlapping(overlaps: Scores) -> list[tuple[int, ...]]:
    """As `groups`, with the thresholds of overlap: .55 and .2, or .4 and .1 where the others are evenly alike.

    The others are evenly alike when the overlaps of their pairs have a standard deviation of at most .035, among six
    pairs or more; a set must then exceed the greatest of them by .05 as well. Its members have no part in that: a
    copier that evades by differing on the tasks where honest clients differ cannot widen the spread of the others.
    """
    return _chosen(
        overlaps,
        ALIKE_EVEN,
        lambda overlaps, members: (
            _stands_out(overlaps, members, ALIKE_OVERLAP, APART_OVERLAP)
            or _stands_out_of_even(overlaps, members)
        ),
    )


def _chosen(kappa: Scores, alike: int, stands_out: Test) -> list[tuple[int, ...]]:
    flagged = [
        group
        for group in _joined(kappa, alike)
        if len(group) <= (len(kappa) - 1) // 2 and stands_out(kappa, np.array(group))
    ]
    taken: set[int] = set()
    chosen = []
    for group in sorted(flagged, key=lambda group: (-len(group), group)):
        if taken.isdisjoint(group):
            chosen.append(group)
            taken.update(group)
    return chosen


def _all_pairs(reports: Integers, alphabet: int, scale: Callable[[int, int], int]) -> Scores:
    clients, tasks = reports.shape
    if clients > CLIENTS_MAX or tasks > TASKS_MAX:
        raise ValueError(f"reports: {clients} × {tasks} is more than {CLIENTS_MAX} × {TASKS_MAX}")
    if not ALPHABET_MIN <= alphabet <= ALPHABET_MAX:
        raise ValueError(f"alphabet: {alphabet} is not in [{ALPHABET_MIN}, {ALPHABET_MAX}]")
    if reports.size and (reports.min() < 0 or reports.max() >= alphabet):
        raise ValueError(f"reports: a symbol is outside [0, {alphabet})")
    symbols = np.ascontiguousarray(reports, np.uint8)
    everyone = task_counts(symbols, alphabet)
    kappa = np.zeros((clients, clients), np.int64)
    for i, j in combinations(range(clients), 2):
        kappa[i, j] = kappa[j, i] = _pair_likeness(everyone, symbols[i], symbols[j], scale)
    return kappa


def _pair_likeness(everyone: Counts, x: Reports, y: Reports, scale: Callable[[int, int], int]) -> int:
    outside = everyone.copy()
    row = np.arange(len(x))
    outside[row, x] -= 1
    outside[row, y] -= 1
    z = outside.argmax(1)  # the first of the greatest: ties go to the smallest label
    alphabet = everyone.shape[1]
    of_x, of_y = _stratified(z, x, alphabet), _stratified(z, y, alphabet)
    sizes = of_x.sum(1)
    agreed = np.bincount(z[x == y], minlength=alphabet)
    both = _excess(sizes, agreed, of_x, of_y)
    own_x, own_y = _excess(sizes, sizes, of_x, of_x), _excess(sizes, sizes, of_y, of_y)
    if min(both, own_x, own_y) <= 0:
        return 0
    return min(ONE, ONE * both // scale(own_x, own_y))


def _stratified(z: Counts, x: Reports, alphabet: int) -> Counts:
    """Label counts within each stratum: (C strata, C labels)."""
    counts: Counts = np.bincount(z * alphabet + x, minlength=alphabet * alphabet).astype(np.int64)
    return counts.reshape((alphabet, alphabet))


def _excess(sizes: Counts, agreed: Counts, of_x: Counts, of_y: Counts) -> int:
    """D: agreement beyond chance, summed over strata of at least two tasks."""
    counted = sizes >= 2
    beyond = sizes * agreed - (of_x * of_y).sum(1)
    return int((ONE * beyond[counted] // sizes[counted]).sum())


def _joined(kappa: Scores, alike: int) -> list[tuple[int, ...]]:
    """Every set that arises when clients are joined pair by pair, the most alike first."""
    clients = len(kappa)
    group: dict[int, tuple[int, ...]] = {i: (i,) for i in range(clients)}
    found = []
    pairs = sorted(combinations(range(clients), 2), key=lambda pair: -kappa[pair])
    for i, j in pairs:
        if kappa[i, j] <= alike:
            break
        if group[i] != group[j]:
            together = tuple(sorted(group[i] + group[j]))
            found.append(together)
            group.update(dict.fromkeys(together, together))
    return found


def _stands_out(kappa: Scores, members: Counts, alike: int, apart: int) -> bool:
    inside = kappa[np.ix_(members, members)][~np.eye(len(members), dtype=bool)].min()
    outside = np.delete(kappa[members], members, axis=1).max(initial=0)
    return bool(inside > alike and inside - outside > apart)


def _stands_out_of_even(kappa: Scores, members: Counts) -> bool:
    outside = np.delete(np.delete(kappa, members, axis=0), members, axis=1)
    pairs = [int(each) for each in outside[np.triu_indices(len(outside), 1)]]
    if len(pairs) < PAIRS_EVEN or not _close(pairs):
        return False
    inside = kappa[np.ix_(members, members)][~np.eye(len(members), dtype=bool)].min()
    return bool(inside - max(pairs) > ABOVE_EVEN) and _stands_out(kappa, members, ALIKE_EVEN, APART_EVEN)


def _close(values: Sequence[int]) -> bool:
    """Standard deviation at most SPREAD_EVEN: n·Σx² − (Σx)² is n² times the variance."""
    count = len(values)
    scatter = count * sum(value * value for value in values) - sum(values) ** 2
    return scatter <= (count * SPREAD_EVEN) ** 2
