"""Near-duplicates: who agrees with whom beyond what the task's likely answer explains.

Source: facts on the mechanism, "Near-duplicates share one pay". All in integers; shares are of ONE = 2^20.

Two measures, which differ in what an agreement is held against: `likeness` against both clients' own spread, `overlap`
against the smaller one. A copier that adds noise widens its own spread: likeness falls with the noise twice, overlap
once. `qualify-and-vest` uses overlap, and `overlapping` to find the sets (docs/incentives.md has the figures).
"""

from collections.abc import Callable
from itertools import combinations
from math import isqrt, prod

import numpy as np

from chaincode.mtpp.counts import Counts, task_counts
from chaincode.mtpp.rule import ALPHABET_MAX, ALPHABET_MIN, CLIENTS_MAX, TASKS_MAX, Integers, Reports, Scores

ONE = 1 << 20
ALIKE = 419430  # .4: every likeness inside a group is greater
APART = 262144  # .25: and exceeds every likeness to an outsider by more
ALIKE_OVERLAP, APART_OVERLAP = ONE * 11 // 20, ONE // 5  # the same for overlap: .55 and .2
# Where the overlaps of all other pairs lie close together: .4, .1, above the greatest of them by .05, and how close
ALIKE_EVEN, APART_EVEN, ABOVE_EVEN, SPREAD_EVEN = ONE * 2 // 5, ONE // 10, ONE // 20, ONE * 7 // 200
COUNTS_AT_ONCE = 1 << 21
PAIRS_EVEN = 6  # of others at least, for their spread to say anything

Test = Callable[[Scores, Counts, int], bool]  # κ, a set's members, and the κ that joined the last of them


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
    """Of `overlap` and `overlapping`, in multiply-adds as `Rule.cost` counts them, each about a quarter of a ns.

    Measured for a pair: 300 ns, 18 a task, 2 to 4 for each of C²; for a client 10 ns a task and label; finding the
    sets at most n³ ns.
    """
    pairs = clients * clients * (600 + 36 * tasks + 4 * alphabet * alphabet)
    return pairs + 40 * clients * tasks * alphabet + 4 * clients**3


def groups(kappa: Scores, alike: int = ALIKE, apart: int = APART) -> list[tuple[int, ...]]:
    """The sets of near-duplicates, larger first: at least 2 and at most ⌊(n − 1)/2⌋ clients each, disjoint.

    A set is flagged when its least κ inside exceeds `alike`, and exceeds the greatest κ to an outsider by more than
    `apart`. Such a set is what hangs together above that greatest κ, so joining clients by falling κ passes through
    every one of them.
    """
    return _chosen(
        kappa,
        alike,
        lambda kappa, members, joined: _stands_out(kappa, members, _least(kappa, members), alike, apart),
    )


def overlapping(overlaps: Scores) -> list[tuple[int, ...]]:
    """As `groups`, with the thresholds of overlap: .55 and .2, or .4 and .1 where the others are evenly alike.

    What must exceed them is not the least overlap inside a set but the one that holds it together: the greatest value
    at which its members are still linked. Two copiers with noise of their own are less alike than either is to their
    source; no two of the three stand out from the third, all three do.

    The others are evenly alike when the overlaps of their pairs have a standard deviation of at most .035, among six
    pairs or more; a set must then exceed the greatest of them by .05 as well. Its members have no part in that: a
    copier that evades by differing on the tasks where honest clients differ cannot widen the spread of the others.
    """
    return _chosen(
        overlaps,
        ALIKE_EVEN,
        lambda overlaps, members, joined: (
            _stands_out(overlaps, members, joined, ALIKE_OVERLAP, APART_OVERLAP)
            or _stands_out_of_even(overlaps, members, joined)
        ),
    )


def _chosen(kappa: Scores, alike: int, stands_out: Test) -> list[tuple[int, ...]]:
    flagged = [
        group
        for group, joined in _joined(kappa, alike)
        if len(group) <= (len(kappa) - 1) // 2 and stands_out(kappa, np.array(group), joined)
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
    step = max(1, COUNTS_AT_ONCE // max(1, tasks + alphabet * alphabet))
    for i in range(clients):
        likely, next_likely = _plurality(everyone, symbols[i])
        for start in range(i + 1, clients, step):
            others = symbols[start : start + step]
            z = np.where(others == likely, next_likely, likely)
            kappa[i, start : start + step] = _alike(z, symbols[i], others, alphabet, scale)
    return kappa + kappa.T


def _plurality(everyone: Counts, x: Reports) -> tuple[Reports, Reports]:
    """A task's likeliest label without x; and without one more who says that label. Ties: the smallest."""
    outside, row = everyone.copy(), np.arange(len(x))
    outside[row, x] -= 1
    likely = outside.argmax(1)  # the first of the greatest
    outside[row, likely] -= 1
    return likely.astype(np.uint8), outside.argmax(1).astype(np.uint8)


def _alike(
    z: Reports, x: Reports, others: Reports, alphabet: int, scale: Callable[[int, int], int]
) -> list[int]:
    """x against each of the others, whose pair's strata are the rows of z: (m, Q)."""
    clients = np.arange(len(z), dtype=np.int64)[:, None]
    stratum = clients * alphabet + z
    sizes = _counted(stratum, len(z), alphabet)
    agreed = _counted(stratum[others == x], len(z), alphabet)
    of_x = _counted(stratum * alphabet + x, len(z), alphabet, alphabet)
    of_y = _counted(stratum * alphabet + others, len(z), alphabet, alphabet)
    both = _excess(sizes, agreed, of_x, of_y)
    own_x, own_y = _excess(sizes, sizes, of_x, of_x), _excess(sizes, sizes, of_y, of_y)
    return [
        min(ONE, ONE * d // scale(d_x, d_y)) if min(d, d_x, d_y) > 0 else 0
        for d, d_x, d_y in zip(both.tolist(), own_x.tolist(), own_y.tolist(), strict=True)
    ]


def _counted(places: Counts, *shape: int) -> Counts:
    counts: Counts = np.bincount(places.ravel(), minlength=prod(shape)).astype(np.int64, copy=False)
    return counts.reshape(shape)


def _excess(sizes: Counts, agreed: Counts, of_x: Counts, of_y: Counts) -> Counts:
    """D of each pair: agreement beyond chance, summed over strata of at least two tasks.

    sizes, agreed: (m, C strata); of_x, of_y: label counts within each, (m, C strata, C labels) → (m,).
    """
    beyond = sizes * agreed - np.einsum("msc,msc->ms", of_x, of_y)
    found: Counts = np.where(sizes > 1, ONE * beyond // np.maximum(sizes, 1), 0).sum(1)
    return found


def _joined(kappa: Scores, alike: int) -> list[tuple[tuple[int, ...], int]]:
    """Every set that arises when clients are joined pair by pair, the most alike first; and the κ that joined it."""
    clients = len(kappa)
    group: dict[int, tuple[int, ...]] = {i: (i,) for i in range(clients)}
    found = []
    pairs = sorted(combinations(range(clients), 2), key=lambda pair: -kappa[pair])
    for i, j in pairs:
        if kappa[i, j] <= alike:
            break
        if group[i] != group[j]:
            together = tuple(sorted(group[i] + group[j]))
            found.append((together, int(kappa[i, j])))
            group.update(dict.fromkeys(together, together))
    return found


def _least(kappa: Scores, members: Counts) -> int:
    return int(kappa[np.ix_(members, members)][~np.eye(len(members), dtype=bool)].min())


def _stands_out(kappa: Scores, members: Counts, inside: int, alike: int, apart: int) -> bool:
    outside = np.delete(kappa[members], members, axis=1).max(initial=0)
    return bool(inside > alike and inside - outside > apart)


def _stands_out_of_even(kappa: Scores, members: Counts, inside: int) -> bool:
    """The cheap conditions first: few sets meet them, however the reports are made."""
    if not _stands_out(kappa, members, inside, ALIKE_EVEN, APART_EVEN):
        return False
    near = np.triu(kappa, 1) >= inside - ABOVE_EVEN
    if np.count_nonzero(near) > np.count_nonzero(near[np.ix_(members, members)]):
        return False  # a pair of others is nearly as alike
    rest = np.delete(np.arange(len(kappa)), members)
    return _close(kappa[np.ix_(rest, rest)][np.triu_indices(len(rest), 1)])


def _close(values: Counts) -> bool:
    """Enough of them, of a standard deviation of at most SPREAD_EVEN: n·Σx² − (Σx)² is n² times the variance."""
    count, total, squares = len(values), int(values.sum()), int((values * values).sum())
    return count >= PAIRS_EVEN and count * squares - total**2 <= (count * SPREAD_EVEN) ** 2
