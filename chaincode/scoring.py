"""A round's scores and payments from public facts alone: what settlement writes and any auditor recomputes. Pure.

Source: docs/protocol.md, step 8; paper section IV.A, steps 7 and 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from chaincode import draw
from chaincode.mechanisms import MECHANISMS, Outcome
from chaincode.mtpp import RULES
from chaincode.mtpp.payment import dithers
from chaincode.records import JobSpec


def organisation(member: str) -> str:
    """The MSP id in a member id."""
    return member.partition(":")[0]


def scored_tasks(spec: JobSpec, domain: bytes, sampling: bytes) -> list[int]:
    """The Q tasks of the batch that count, ascending: the closed form averages over all bonus and penalty tasks."""
    return sorted(draw.draw(draw.seed("tasks", domain, sampling), range(spec.tasks), spec.scored_tasks))


def peers(
    spec: JobSpec, domain: bytes, pairing: bytes, participants: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Whom each participant is scored against."""
    apart = organisation if spec.prefer_other_organisations else None
    return draw.peers(draw.seed("pair", domain, pairing), participants, spec.peers, apart)


def settle(
    spec: JobSpec,
    domain: bytes,
    pairing: bytes,
    sampling: bytes,
    participants: Sequence[str],
    reports: Mapping[str, np.ndarray],
) -> dict[str, Outcome]:
    """Every revealed report's outcome.

    Args:
        domain: DOMAIN of the round (chaincode.encoding.domain).
        pairing, sampling: the two beacons' randomness, 32 bytes each.
        participants: who committed, sorted.
        reports: who revealed and was not set aside -> its T symbols.
    """
    rule = RULES[spec.rule]
    tasks = np.array(scored_tasks(spec, domain, sampling))
    norm = rule.norm(spec.scored_tasks, spec.alphabet)
    noise = dithers(draw.seed("dither", domain, sampling), participants, norm)
    return MECHANISMS[spec.mechanism](
        {member: symbols[tasks] for member, symbols in reports.items()},
        peers(spec, domain, pairing, participants),
        spec.alphabet,
        rule,
        spec.combine,
        spec.price,
        dict(zip(participants, noise, strict=True)),
    )
