"""Draws from a beacon: seeds, words, shuffles, peers and committees. Anyone can recompute them.

Source: paper section IV.A, steps 5 (the oracle matches clients) and 7 (random samples); protocol.md, "Draws".
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import TypeVar

from chaincode.encoding import lp

TAG = b"candor/draw/v1"
WORD = 1 << 64

Item = TypeVar("Item")
Organisation = Callable[[str], str]


def seed(purpose: str, domain: bytes, randomness: bytes) -> bytes:
    """SHA-256(tag ‖ lp(purpose) ‖ DOMAIN ‖ beacon randomness), 32 bytes.

    Purposes: batch, pair, stay, tasks, dither, committee/<attempt>.
    """
    return hashlib.sha256(TAG + lp(purpose.encode()) + domain + randomness).digest()


class Words:
    """SHAKE-256(seed) read as an endless row of 64-bit big-endian words."""

    def __init__(self, seed: bytes) -> None:
        self._shake = hashlib.shake_256(seed)
        self._stream = b""
        self._offset = 0

    def next(self) -> int:
        """The next word, in [0, 2^64)."""
        if self._offset == len(self._stream):
            self._stream = self._shake.digest(max(1024, 2 * self._offset))
        word = int.from_bytes(self._stream[self._offset : self._offset + 8], "big")
        self._offset += 8
        return word

    def below(self, n: int) -> int:
        """A uniform integer in [0, n): words at or above the largest multiple of n below 2^64 are skipped.

        Raises:
            ValueError: n is not in [1, 2^64].
        """
        if not 1 <= n <= WORD:
            raise ValueError(f"cannot draw below {n}: it is not in [1, 2^64]")
        limit = WORD - WORD % n
        while (word := self.next()) >= limit:
            pass
        return word % n


def shuffle(seed: bytes, items: Iterable[Item]) -> list[Item]:
    """Fisher-Yates from the end. `items` must come in an order everyone agrees on."""
    words, shuffled = Words(seed), list(items)
    for last in range(len(shuffled) - 1, 0, -1):
        other = words.below(last + 1)
        shuffled[last], shuffled[other] = shuffled[other], shuffled[last]
    return shuffled


def draw(seed: bytes, items: Iterable[Item], k: int) -> list[Item]:
    """The first k of the shuffle.

    Raises:
        ValueError: k is negative or exceeds the number of items.
    """
    shuffled = shuffle(seed, items)
    if not 0 <= k <= len(shuffled):
        raise ValueError(f"cannot draw {k} of {len(shuffled)}")
    return shuffled[:k]


def peers(
    seed: bytes, participants: Sequence[str], m: int, organisation: Organisation | None = None
) -> dict[str, tuple[str, ...]]:
    """Whom each participant is scored against. The order of `participants` does not matter.

    The sorted participants are shuffled onto a ring. Of n participants everyone gets m' = min(m, n − 1)
    peers: all others if m = 0 or m' = n − 1; with an even m the m/2 neighbours on either side (so the
    relation is symmetric); with m = 1 the paper's disjoint pairs (1st with 2nd, 3rd with 4th, …), the last
    three of an odd n scoring in a cycle a→b→c→a.

    With `organisation` the ring is rearranged first, so that neighbours come from different organisations
    wherever the numbers allow it; see `_apart` and `_opposite`.

    Args:
        seed: of the purpose "pair".
        participants: ids, all different.
        m: 0 (all others), 1, or even.
        organisation: given where the job prefers peers from other organisations.

    Returns:
        For each participant, in sorted order, its peers in sorted order.

    Raises:
        ValueError: m is negative or an odd number the ring cannot serve, or a participant is listed twice.
    """
    n = len(participants)
    if len(set(participants)) != n:
        raise ValueError("a participant is listed twice")
    if m < 0:
        raise ValueError(f"{m} peers: the number cannot be negative")
    ring = shuffle(seed, sorted(participants))
    if m == 0 or m >= n - 1:
        neighbours = {member: [other for other in ring if other != member] for member in ring}
    elif m == 1:
        neighbours = _pairs(_opposite(ring, organisation) if organisation else ring)
    elif m % 2 == 0:
        neighbours = _neighbours(_apart(ring, organisation) if organisation else ring, m // 2)
    else:
        raise ValueError(f"{m} peers of {n} participants: the number must be 0, 1 or even")
    return {member: tuple(sorted(neighbours[member])) for member in sorted(ring)}


def committee(seed: bytes, members: Sequence[str], k: int, organisation: Organisation) -> tuple[str, ...]:
    """Who aggregates: the sorted members shuffled, taken in that order.

    The size is min(k, number of members), less one if that is even. A member is passed over if its
    organisation would hold half of the seats or more; only if that leaves seats empty, those passed over
    take them, in order.

    Args:
        seed: of the purpose "committee/<attempt>".
        members: who revealed, all different.
        k: odd.
        organisation: member → its organisation.

    Returns:
        The committee in drawn order; empty if there are no members.

    Raises:
        ValueError: k is not a positive odd number, or a member is listed twice.
    """
    if k < 1 or k % 2 == 0:
        raise ValueError(f"a committee of {k}: the number must be odd")
    if len(set(members)) != len(members):
        raise ValueError("a member is listed twice")
    seats = min(k, len(members))
    seats -= seats > 0 and seats % 2 == 0
    taken: list[str] = []
    passed: list[str] = []
    held: Counter[str] = Counter()
    for member in shuffle(seed, sorted(members)):
        held[organisation(member)] += 1
        (taken if held[organisation(member)] <= (seats - 1) // 2 else passed).append(member)
    return tuple((taken + passed)[:seats])


def _neighbours(ring: list[str], reach: int) -> dict[str, list[str]]:
    n = len(ring)
    steps = [step for step in range(-reach, reach + 1) if step]
    return {member: [ring[(place + step) % n] for step in steps] for place, member in enumerate(ring)}


def _pairs(ring: list[str]) -> dict[str, list[str]]:
    even = len(ring) - (3 if len(ring) % 2 else 0)
    scored = {ring[i]: [ring[i ^ 1]] for i in range(even)}
    cycle = ring[even:]
    return scored | {member: [cycle[(i + 1) % 3]] for i, member in enumerate(cycle)}


def _grouped(ring: list[str], organisation: Organisation) -> dict[str, list[str]]:
    """Members by organisation, both in the order of the ring."""
    groups: dict[str, list[str]] = {}
    for member in ring:
        groups.setdefault(organisation(member), []).append(member)
    return groups


def _apart(ring: list[str], organisation: Organisation) -> list[str]:
    """Spread each organisation evenly: its i-th of s members comes at (2i + 1)/(2s) of the way round.

    Ties keep the order in which organisations first appear on the shuffled ring. With g organisations of
    equal size this deals them in turn, so the g − 1 neighbours on either side are of other organisations.
    """
    groups = _grouped(ring, organisation).values()
    placed = [
        (Fraction(2 * i + 1, 2 * len(group)), member) for group in groups for i, member in enumerate(group)
    ]
    return [member for _, member in sorted(placed, key=lambda place: place[0])]


def _opposite(ring: list[str], organisation: Organisation) -> list[str]:
    """Pair each with the one half the ring away, once organisations stand together.

    Two of one organisation meet only if it has more than half of the participants (but for an odd n's cycle).
    """
    line = [member for group in _grouped(ring, organisation).values() for member in group]
    n, half = len(line), (len(line) + 1) // 2
    pairs = n // 2 if n % 2 == 0 else (n - 3) // 2
    left = [line[i] for i in range(n) if not (i < pairs or half <= i < half + pairs)]
    return [member for i in range(pairs) for member in (line[i], line[i + half])] + left
