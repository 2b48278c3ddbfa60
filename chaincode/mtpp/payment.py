"""From scores to payments: linear, exact in expectation, and bounded before the job starts.

Source: protocol.md, "Payment" and "Jobs". α = price, in token units; a payment may be negative (the stake
    pays it).
"""

from collections.abc import Sequence
from typing import Literal

from chaincode.draw import Words
from chaincode.mtpp.rule import Rule

Combine = Literal["median", "mean"]


def combine(scores: Sequence[int], how: Combine) -> int:
    """A member's score from its pair scores: the lower median sorted[(k − 1)//2], or the mean rounded down.

    Raises:
        ValueError: there are no scores, or `how` is unknown.
    """
    if not scores:
        raise ValueError("no pair scores to combine")
    if how == "median":
        return sorted(scores)[(len(scores) - 1) // 2]
    if how == "mean":
        return sum(scores) // len(scores)
    raise ValueError(f"combine: {how!r} is neither 'median' nor 'mean'")


def payment(score: int, norm: int, price: int, dither: int) -> int:
    """⌊(α·s + u)/norm⌋ toward −∞; 0 if norm is 0. Over uniform u in [0, norm) its mean is exactly α·s/norm.

    Raises:
        ValueError: the norm is negative, or the dither not in [0, norm).
    """
    if norm == 0:
        return 0
    if not 0 <= dither < norm:
        raise ValueError(f"dither {dither} is not in [0, {norm})")
    return (price * score + dither) // norm


def dithers(seed: bytes, participants: Sequence[str], norm: int) -> list[int]:
    """One u uniform in [0, norm) a participant, in their order; zeros if norm is 0.

    `seed` is of the purpose "dither".
    """
    words = Words(seed)
    return [words.below(norm) if norm else 0 for _ in participants]


def worst_loss(rule: Rule, tasks: int, alphabet: int, price: int) -> int:
    """The most a member can lose in a settlement, ⌈α·max(−s)/norm⌉: the least lock a job may ask for."""
    return _share(-rule.bounds(tasks, alphabet)[0], rule.norm(tasks, alphabet), price)


def best_gain(rule: Rule, tasks: int, alphabet: int, price: int) -> int:
    """The most a member can gain in a settlement, ⌈α·max(s)/norm⌉: n_max times it must fit the pool."""
    return _share(rule.bounds(tasks, alphabet)[1], rule.norm(tasks, alphabet), price)


def _share(score: int, norm: int, price: int) -> int:
    return -(-price * score // norm) if norm else 0
