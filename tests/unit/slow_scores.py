"""Every score as it is defined, slowly: plain Python, fractions, one task, triple, block or pair at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import groupby, permutations
from math import floor, isqrt, prod

Row = Sequence[int]
Delta = list[list[int]]
ONE = 2**20


def bonus_minus_penalty(x: Row, y: Row, agree: Delta) -> Fraction:
    """The mean over all choices of a bonus task and two different penalty tasks, as it is defined."""
    choices = list(permutations(range(len(x)), 3))
    total = sum(agree[x[b]][y[b]] - agree[x[p]][y[q]] for b, p, q in choices)
    return Fraction(total, len(choices))


def closed_form(x: Row, y: Row, agree: Delta) -> int:
    """Q(Q − 1) × that mean; Q² × Σ S_ab·(P_ab − p_a·q_b) where there are too few tasks for a triple."""
    tasks = len(x)
    if tasks > 2:
        return whole(bonus_minus_penalty(x, y, agree) * tasks * (tasks - 1))
    joint, rows, columns = Counter(zip(x, y, strict=True)), Counter(x), Counter(y)
    return whole(
        sum(
            agree[a][b] * (Fraction(joint[a, b], tasks) - Fraction(rows[a] * columns[b], tasks**2)) * tasks**2
            for a in rows
            for b in columns
        )
    )


def identity(alphabet: int) -> Delta:
    return [[int(a == b) for b in range(alphabet)] for a in range(alphabet)]


def delta_of(others: Sequence[Row], alphabet: int) -> Delta:
    """S from the reports of the others, by counting ordered pairs of different clients on each task."""
    tasks, n = len(others[0]), len(others)
    joint = Counter((p[t], q[t]) for p, q in permutations(others, 2) for t in range(tasks))
    single = Counter(symbol for report in others for symbol in report)
    share = {a: Fraction(single[a], tasks * n) for a in range(alphabet)}
    return [
        [int(Fraction(joint[a, b], tasks * n * (n - 1)) > share[a] * share[b]) for b in range(alphabet)]
        for a in range(alphabet)
    ]


def dasgupta_ghosh(x: Row, y: Row, alphabet: int, *_: object) -> int:
    return closed_form(x, y, identity(alphabet))


def correlated_agreement(x: Row, y: Row, alphabet: int, others: Sequence[Row], *_: object) -> int:
    return closed_form(x, y, delta_of(others, alphabet) if len(others) > 1 else identity(alphabet))


def conditional(x: Row, y: Row, alphabet: int, others: Sequence[Row], z: Row, *_: object) -> int:
    """Dasgupta-Ghosh within each stratum."""
    strata = [[t for t in range(len(x)) if z[t] == label] for label in set(z)]
    return sum(dasgupta_ghosh([x[t] for t in of], [y[t] for t in of], alphabet) for of in strata)


def matched_blocks(x: Row, y: Row, alphabet: int, others: Sequence[Row], z: Row, z2: Row, margin: Row) -> int:
    """Block by block: 6m × (the share of agreeing tasks − that of agreeing pairs of different tasks)."""
    total = Fraction(0)
    ordered = sorted(range(len(x)), key=lambda t: (z[t], z2[t], margin[t], t))
    for _, group in groupby(ordered, key=lambda t: (z[t], z2[t])):
        tasks = list(group)
        for start in range(0, len(tasks), 4):
            block = tasks[start : start + 4]
            m = len(block)
            if m > 1:
                same = Fraction(sum(x[t] == y[t] for t in block), m)
                chance = Fraction(sum(x[t] == y[u] for t, u in permutations(block, 2)), m * (m - 1))
                total += 6 * m * (same - chance)
    return whole(total)


def peer_truth_serum(x: Row, y: Row, alphabet: int, others: Sequence[Row], *_: object) -> int:
    """A match on a label is worth 1 ÷ its share of the others' symbols, at most 4C, in units of 2^-16."""
    used = Counter(symbol for report in others for symbol in report)
    symbols = sum(used.values())
    worth = {
        k: Fraction(alphabet)
        if not symbols
        else Fraction(symbols, used[k])
        if used[k]
        else Fraction(4 * alphabet)
        for k in range(alphabet)
    }
    matches = [a for a, b in zip(x, y, strict=True) if a == b]
    return sum(floor(min(worth[k], 4 * alphabet) * 2**16) for k in matches)


def output_agreement(x: Row, y: Row, *_: object) -> int:
    return sum(a == b for a, b in zip(x, y, strict=True))


def determinant(x: Row, y: Row, alphabet: int, *_: object) -> int:
    """Both halves' determinants by elimination in fractions."""
    half = len(x) // 2
    return whole(prod(eliminated(joint(x[s], y[s], alphabet)) for s in (slice(half), slice(half, None))))


def joint(x: Row, y: Row, alphabet: int) -> list[list[Fraction]]:
    counted = Counter(zip(x, y, strict=True))
    return [[Fraction(counted[a, b]) for b in range(alphabet)] for a in range(alphabet)]


def eliminated(rows: list[list[Fraction]]) -> Fraction:
    """A determinant, by Gauss."""
    rows, value = [list(row) for row in rows], Fraction(1)
    for i in range(len(rows)):
        pivot = next((r for r in range(i, len(rows)) if rows[r][i]), None)
        if pivot is None:
            return Fraction(0)
        if pivot != i:
            rows[i], rows[pivot], value = rows[pivot], rows[i], -value
        value *= rows[i][i]
        for r in range(i + 1, len(rows)):
            factor = rows[r][i] / rows[i][i]
            rows[r] = [a - factor * b for a, b in zip(rows[r], rows[i], strict=True)]
    return value


SLOW: dict[str, Callable[..., int]] = {
    "dasgupta-ghosh": dasgupta_ghosh,
    "correlated-agreement": correlated_agreement,
    "conditional": conditional,
    "matched-blocks": matched_blocks,
    "peer-truth-serum": peer_truth_serum,
    "output-agreement": output_agreement,
    "determinant": determinant,
}


def excess(x: Row, y: Row, z: Row) -> int:
    """D of near-duplicates: agreement beyond chance within the strata of z that have at least two tasks."""
    found = 0
    for stratum in set(z):
        tasks = [t for t in range(len(z)) if z[t] == stratum]
        if len(tasks) > 1:
            agreed = sum(x[t] == y[t] for t in tasks)
            chance = Fraction(sum(x[t] == y[u] for t in tasks for u in tasks), len(tasks))
            found += floor(ONE * (agreed - chance))
    return found


def alike(reports: Sequence[Row], i: int, j: int, alphabet: int, *, by_smaller: bool = False) -> int:
    """κ of two clients, or their overlap."""
    outside = [report for k, report in enumerate(reports) if k not in (i, j)]
    z = []
    for t in range(len(reports[i])):
        votes = Counter(report[t] for report in outside)
        z.append(min(range(alphabet), key=lambda label: (-votes[label], label)))
    both, own, other = (
        excess(reports[i], reports[j], z),
        excess(reports[i], reports[i], z),
        excess(reports[j], reports[j], z),
    )
    if min(both, own, other) <= 0:
        return 0
    return min(ONE, ONE * both // (min(own, other) if by_smaller else isqrt(own * other)))


def whole(value: Fraction | int) -> int:
    assert Fraction(value).denominator == 1, value
    return int(value)
