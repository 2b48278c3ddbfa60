"""What a mechanism is: when members report, on which model, how scores become pay, what is paid later. Pure."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec
import numpy as np

from chaincode.mtpp.payment import Combine, combine, payment
from chaincode.mtpp.rule import NO_VIEW, Integers, Rule, Scores, View


class Outcome(msgspec.Struct, frozen=True):
    """What a settlement finds for one member: pair scores by peer, their combination, what it pays.

    `sharing`: with whom it shares one pay as a near-duplicate or in a pool, itself included; empty for others.
    """

    scores: dict[str, int]
    score: int
    norm: int
    payment: int
    sharing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """What a round hands to its settlement.

    Attributes:
        reports: member → its symbols on the scored tasks in ascending order, shape (Q,); valid reveals
            only, so n (and with it leave-one-out) counts them alone.
        peers: member → its drawn peers; those who are not in `reports` are dropped.
        alphabet: C.
        how: how pair scores combine.
        price: α in token units, what a round pays for a perfect score.
        dithers: member → u in [0, norm), the mechanism's norm.
        view: what the rule needs to know of the public model's answers.
        tranches: rounds of the job that are still to be paid, this one included; only a mechanism that
            vests looks at it.
        pools: disjoint sets of members (an organisation's, say) of whom each set earns one pay; only
            `qualify-and-vest` looks at them.
    """

    reports: Mapping[str, Integers]
    peers: Mapping[str, Sequence[str]]
    alphabet: int
    rule: Rule
    how: Combine
    price: int
    dithers: Mapping[str, int]
    view: View = NO_VIEW
    tranches: int = 1
    pools: Sequence[Collection[str]] = ()


class Mechanism(ABC):
    """One way to run and pay a job; stateless.

    Attributes:
        name: what a job says.
        local_only: whether the report's model is trained from the job's initial model on private data alone;
            otherwise it is the tuned global model, which also gives the update.
        vests: whether one qualification is paid out over the rounds that follow it.
        peers_only: the numbers of peers it takes (0: all others); None takes any.
    """

    name: ClassVar[str]
    local_only: ClassVar[bool]
    vests: ClassVar[bool] = False
    peers_only: ClassVar[frozenset[int] | None] = None

    def reports_in(self, round: int, qualification: int = 1) -> bool:
        """Whether members report in this round of the job, or commit and reveal updates alone.

        `qualification`: the first round that settles with a reveal (1 unless earlier ones ended void).
        """
        return True

    def check(self, rule: Rule, peers: int) -> None:
        """Refuse settings that the mechanism cannot work with.

        Raises:
            ValueError: the message begins with the job's field, `rule` or `peers`.
        """
        if self.peers_only is not None and peers not in self.peers_only:
            allowed = ", ".join(map(str, sorted(self.peers_only)))
            raise ValueError(f"peers: {peers}, and mechanism {self.name} takes {allowed} (0: all others)")

    def norm(self, rule: Rule, tasks: int, alphabet: int) -> int:
        """What this mechanism's scores are divided by before they are paid; dithers lie below it."""
        return rule.norm(tasks, alphabet)

    def cost(self, rule: Rule, clients: int, tasks: int, alphabet: int) -> int:
        """Multiply-adds of one settlement, about."""
        return rule.cost(clients, tasks, alphabet)

    @abstractmethod
    def settle(self, case: Case) -> dict[str, Outcome]:
        """Score and pay everyone who revealed a report.

        Returns:
            An outcome for each member of `case.reports`, in sorted order. With no peer left, score and
            payment are 0.

        Raises:
            ValueError: reports of different lengths, or as `Rule.matrix`.
        """

    def release(
        self,
        scores: Mapping[str, int],
        valid: Collection[str],
        norm: int,
        price: int,
        dithers: Mapping[str, int],
    ) -> dict[str, int]:
        """What a later round pays without new reports; nothing unless the mechanism vests.

        Args:
            scores: member → the score of its qualification.
            valid: members whose update is in the round's valid set.
            norm: the one the scores were settled with.
            dithers: member → u in [0, norm), from this round's own beacon.

        Returns:
            member → token units, positive, in sorted order; who gets nothing is absent.
        """
        return {}


def pair_scores(case: Case) -> tuple[list[str], Scores]:
    """The members in sorted order, and the scores of all their pairs.

    Raises:
        ValueError: reports of different lengths, or as `Rule.matrix`.
    """
    members = sorted(case.reports)
    return members, case.rule.matrix(stacked(case.reports), case.alphabet, case.view)


def stacked(reports: Mapping[str, Integers]) -> Integers:
    """Reports by row, in sorted order of their members, of whom there is at least one: (n, Q).

    Raises:
        ValueError: they differ in length.
    """
    if len({report.shape for report in reports.values()}) != 1:
        raise ValueError("reports: of different lengths")
    return np.stack([reports[member] for member in sorted(reports)])


def settle_by_peers(case: Case) -> dict[str, Outcome]:
    """Everyone's scores against its drawn peers, combined, and paid linearly: α·s/norm."""
    if not case.reports:
        return {}
    members, matrix = pair_scores(case)
    norm = case.rule.norm(len(case.reports[members[0]]), case.alphabet)
    place = {member: i for i, member in enumerate(members)}
    outcomes = {}
    for member in members:
        row = matrix[place[member]]
        scores = {peer: int(row[place[peer]]) for peer in sorted(case.peers[member]) if peer in place}
        score = combine(list(scores.values()), case.how) if scores else 0
        paid = payment(score, norm, case.price, case.dithers[member]) if scores else 0
        outcomes[member] = Outcome(scores, score, norm, paid)
    return outcomes
