"""What a committee's votes come to, and how safe a size is. Pure: contracts, clients and auditors share it.

Source: protocol.md, step 9; docs/aggregation.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import comb

SIZES = (1, 3, 5, 7, 9, 11, 15, 21)
SHARES = (Fraction(1, 10), Fraction(1, 5), Fraction(1, 4), Fraction(1, 3), Fraction(2, 5))
ASSUMED_SHARE, TOLERATED = Fraction(1, 5), Fraction(1, 20)


def valid(members: Iterable[str], refusals: Iterable[Iterable[str]], size: int) -> list[str]:
    """The members, sorted, whose update more than half of a committee of `size` found valid.

    `refusals`: one a ballot that was cast, the members it refuses. Whoever cast none supports nobody.
    """
    ballots = [set(refused) for refused in refusals]
    return sorted(
        member for member in members if 2 * sum(member not in refused for refused in ballots) > size
    )


def majority(answers: Mapping[str, str], size: int) -> str | None:
    """The answer that more than half of the whole committee gave, present or not; None if there is none."""
    for answer, votes in Counter(answers.values()).most_common(1):
        if 2 * votes > size:
            return answer
    return None


def capture(members: int, dishonest: int, size: int) -> Fraction:
    """The probability that the dishonest hold more than half of a committee drawn from `members`.

    Hypergeometric: Σ_{i > k/2} C(d, i)·C(n − d, k − i) / C(n, k). With an odd size it is also the probability
    that the honest cannot decide without them. The rule that no organisation holds half of the seats is
    left out: it helps against dishonest members of one organisation, and harms where they are spread over small ones.

    Raises:
        ValueError: not 0 <= dishonest <= members, or not 1 <= size <= members.
    """
    if not (0 <= dishonest <= members and 1 <= size <= members):
        raise ValueError(f"cannot draw {size} of {members} with {dishonest} dishonest")
    worse = range(size // 2 + 1, min(size, dishonest) + 1)
    return Fraction(
        sum(comb(dishonest, i) * comb(members - dishonest, size - i) for i in worse), comb(members, size)
    )


def seats(size: int, members: int) -> int:
    """How many are drawn: at most `size` and as many as there are, less one if that is even."""
    least = min(size, members)
    return least - (least > 0 and least % 2 == 0)


def safe_size(members: int, share: Fraction = ASSUMED_SHARE, tolerated: Fraction = TOLERATED) -> int | None:
    """The smallest odd size that the given share of dishonest members captures with at most that probability."""
    dishonest = int(members * share)
    for size in range(1, members + 1, 2):
        if capture(members, dishonest, size) <= tolerated:
            return size
    return None


def table(members: int, sizes: Sequence[int] = SIZES, shares: Sequence[Fraction] = SHARES) -> str:
    """`capture` as a Markdown table: a row a committee size, a column a share of dishonest members."""
    counts = [int(members * share) for share in shares]
    lines = [
        "| k of " + str(members) + " | " + " | ".join(f"{count} dishonest" for count in counts) + " |",
        "|---|" + "---|" * len(counts),
    ]
    for size in (size for size in sizes if size <= members):
        risks = [f"{float(capture(members, count, size)):.4f}" for count in counts]
        lines.append(f"| {size} | " + " | ".join(risks) + " |")
    return "\n".join(lines)
