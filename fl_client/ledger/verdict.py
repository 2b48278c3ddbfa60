"""What the organisations' answers to one call amount to. Pure; both ledgers decide by it.

A minority cannot decide anything: neither its refusal nor its silence is the network's. A call is
given up only when what is left cannot make a majority any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fl_client.errors import CandorError, Disagreement, Refused, Unavailable

from .base import majority


@dataclass(frozen=True)
class Answer:
    """An organisation's answer; those with equal ``content`` agree."""

    organisation: str
    content: bytes = field(repr=False)
    response: Any = field(default=None, repr=False, compare=False)


Outcome = Answer | CandorError


def agreed(outcomes: Iterable[Outcome], organisations: int) -> Sequence[Answer]:
    """The answers of the majority that agrees; empty while there is none."""
    group = _largest_group(outcomes)
    return group if len(group) >= majority(organisations) else ()


def still_needed(outcomes: Sequence[Outcome], organisations: int) -> int:
    """How many further organisations to ask; 0 when asking all of them could not make a majority."""
    missing = majority(organisations) - len(_largest_group(outcomes))
    return missing if 0 < missing <= organisations - len(outcomes) else 0


def failure(outcomes: Sequence[Outcome], organisations: int, what: str) -> CandorError:
    """The error to raise for want of a majority: final only when final refusals alone prevent one."""
    refusals = [each for each in outcomes if isinstance(each, Refused)]
    final = [each for each in refusals if each.final]
    if organisations - len(final) < majority(organisations):
        return _commonest(final)
    if len({each.content for each in outcomes if isinstance(each, Answer)}) > 1:
        return Disagreement(f"the organisations' answers to {what} differ")
    retryable = [each for each in refusals if not each.final and each.code < 500]
    if retryable:
        return _commonest(retryable)
    silent = [each for each in outcomes if isinstance(each, Unavailable)]
    defects = [each for each in refusals if each.code >= 500]
    if defects and not silent:
        return _commonest(defects)
    reasons = "; ".join(dict.fromkeys(str(each) for each in outcomes if isinstance(each, CandorError)))
    return Unavailable(f"{what}: fewer than {majority(organisations)} organisations answered ({reasons})")


def _largest_group(outcomes: Iterable[Outcome]) -> Sequence[Answer]:
    groups: dict[bytes, list[Answer]] = {}
    for outcome in outcomes:
        if isinstance(outcome, Answer):
            groups.setdefault(outcome.content, []).append(outcome)
    return max(groups.values(), key=len, default=[])


def _commonest(refusals: Sequence[Refused]) -> Refused:
    code, _ = Counter(each.code for each in refusals).most_common(1)[0]
    return next(each for each in refusals if each.code == code)
