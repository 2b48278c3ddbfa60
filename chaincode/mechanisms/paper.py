"""The mechanism as the paper describes it: every round the tuned model's report meets its peers'.

Source: paper section IV.A, steps 3 to 8.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from chaincode.mtpp.payment import Combine, combine, payment
from chaincode.mtpp.rule import NO_VIEW, Integers, Rule, View


class Outcome(msgspec.Struct, frozen=True):
    """What a settlement finds for one member: pair scores by peer, their combination, what it pays."""

    scores: dict[str, int]
    score: int
    norm: int
    payment: int


def settle(
    reports: Mapping[str, Integers],
    peers: Mapping[str, Sequence[str]],
    alphabet: int,
    rule: Rule,
    how: Combine,
    price: int,
    dithers: Mapping[str, int],
    view: View = NO_VIEW,
) -> dict[str, Outcome]:
    """Score and pay everyone who revealed.

    Args:
        reports: member → its symbols on the scored tasks in ascending order, shape (Q,); valid reveals
            only, so n (and with it leave-one-out) counts them alone.
        peers: member → its drawn peers; those who are not in `reports` are dropped.
        how: how pair scores combine.
        price: α in token units.
        dithers: member → u in [0, norm).
        view: what the rule needs to know of the public model's answers.

    Returns:
        An outcome for each member of `reports`, in sorted order. With no peer left, score and payment are 0.

    Raises:
        ValueError: reports of different lengths, or as `Rule.matrix`.
    """
    members = sorted(reports)
    if not members:
        return {}
    if len({reports[member].shape for member in members}) != 1:
        raise ValueError("reports: of different lengths")
    stacked = np.stack([reports[member] for member in members])
    matrix = rule.matrix(stacked, alphabet, view)
    norm = rule.norm(stacked.shape[1], alphabet)
    place = {member: i for i, member in enumerate(members)}
    outcomes = {}
    for member in members:
        scores = {
            peer: int(matrix[place[member], place[peer]]) for peer in sorted(peers[member]) if peer in place
        }
        score = combine(list(scores.values()), how) if scores else 0
        paid = payment(score, norm, price, dithers[member]) if scores else 0
        outcomes[member] = Outcome(scores, score, norm, paid)
    return outcomes
