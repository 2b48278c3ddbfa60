"""A round's scores and payments from public facts alone: what settlement writes and any auditor recomputes. Pure.

Source: docs/protocol.md, step 8; paper section IV.A, steps 7 and 8.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby

import numpy as np

from chaincode import draw
from chaincode.mechanisms import MECHANISMS, Case, Outcome
from chaincode.mtpp import NO_VIEW, RULES, View
from chaincode.mtpp.payment import dithers
from chaincode.records import JobSpec, RoundState


def organisation(member: str) -> str:
    """The MSP id in a member id."""
    return member.partition(":")[0]


def batch(spec: JobSpec, domain: bytes, randomness: bytes) -> np.ndarray:
    """The places of the round's T tasks among the N public items, in the order of a report's symbols."""
    drawn = draw.draw(draw.seed("batch", domain, randomness), range(spec.public_items), spec.tasks)
    return np.array(drawn, np.int64)


def scored_tasks(spec: JobSpec, domain: bytes, sampling: bytes) -> list[int]:
    """The Q tasks of the batch that count, ascending: the closed form averages over all bonus and penalty tasks."""
    return sorted(draw.draw(draw.seed("tasks", domain, sampling), range(spec.tasks), spec.scored_tasks))


def peers(
    spec: JobSpec, domain: bytes, pairing: bytes, participants: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Whom each participant is scored against."""
    apart = organisation if spec.prefer_other_organisations else None
    return draw.peers(draw.seed("pair", domain, pairing), participants, spec.peers, apart)


def reports_in(spec: JobSpec, state: RoundState) -> bool:
    """Whether members report in the round, or commit and reveal updates alone."""
    qualification = state.qualification or state.round  # as long as none has qualified, this one may
    return MECHANISMS[spec.mechanism].reports_in(state.round, qualification)


def needs_view(spec: JobSpec, state: RoundState) -> bool:
    """Whether the round cannot be scored without a public view."""
    return bool(RULES[spec.rule].needs) and reports_in(spec, state)


def checks_lightly(spec: JobSpec) -> bool:
    """Whether a valid update must pass the light check: as the job says, otherwise where the mechanism vests."""
    return MECHANISMS[spec.mechanism].vests if spec.light_check is None else spec.light_check


def agrees_view(spec: JobSpec, state: RoundState) -> bool:
    """Whether the round's committee also agrees on a view of its model, by which the next round is scored."""
    return spec.agree_view and state.round < spec.rounds


def qualifies(spec: JobSpec, state: RoundState) -> bool:
    """Whether the scores of the round are what later rounds pay their tranches by."""
    return MECHANISMS[spec.mechanism].vests and reports_in(spec, state)


def settle(
    spec: JobSpec,
    domain: bytes,
    pairing: bytes,
    sampling: bytes,
    participants: Sequence[str],
    reports: Mapping[str, np.ndarray],
    *,
    round: int = 1,
    view: View = NO_VIEW,
) -> dict[str, Outcome]:
    """Every revealed report's outcome.

    Args:
        domain: DOMAIN of the round (chaincode.encoding.domain).
        pairing, sampling: the two beacons' randomness, 32 bytes each.
        participants: who committed, sorted.
        reports: who revealed and was not set aside -> its T symbols.
        round: the round's number; the tranches still to be paid are counted from it.
        view: the public model's answers on the T tasks, where the rule needs them.
    """
    rule = RULES[spec.rule]
    tasks = np.array(scored_tasks(spec, domain, sampling))
    norm = MECHANISMS[spec.mechanism].norm(rule, spec.scored_tasks, spec.alphabet)
    noise = dithers(draw.seed("dither", domain, sampling), participants, norm)
    case = Case(
        {member: symbols[tasks] for member, symbols in reports.items()},
        peers(spec, domain, pairing, participants),
        spec.alphabet,
        rule,
        spec.combine,
        spec.price,
        dict(zip(participants, noise, strict=True)),
        view.at(tasks),
        max(1, spec.rounds - round + 1),
        _pools(reports) if spec.pay_by_organisation else (),
    )
    return MECHANISMS[spec.mechanism].settle(case)


def release(
    spec: JobSpec,
    domain: bytes,
    sampling: bytes,
    participants: Sequence[str],
    scores: Mapping[str, int],
    valid: Collection[str],
) -> dict[str, int]:
    """What a round without reports pays: nothing, unless the job's mechanism vests an earlier qualification.

    Args:
        domain, sampling: of the round that pays; b"" as sampling: it was never drawn, payments are rounded down.
        participants: who committed in it, sorted.
        scores: member -> the score of its qualification.
        valid: the participants to whom the round pays their tranche.
    """
    norm = MECHANISMS[spec.mechanism].norm(RULES[spec.rule], spec.scored_tasks, spec.alphabet)
    if sampling:
        noise = dithers(draw.seed("dither", domain, sampling), participants, norm)
    else:
        noise = [0] * len(participants)
    units = dict(zip(participants, noise, strict=True))
    return MECHANISMS[spec.mechanism].release(scores, valid, norm, spec.price, units)


def _pools(members: Iterable[str]) -> list[list[str]]:
    """The members by organisation, in sorted order."""
    return [list(group) for _, group in groupby(sorted(members), organisation)]
