"""Qualify-and-vest with a steeper reward: the product of two independent halves of the batch.

What a model earns is flat in its data above a third. Scored by halves, a client's pay is proportional to s1·s2,
the scores on every other task and on those between. The halves' noise is independent, so the expectation is the
product of the expectations: what maximises each of them (an honest report) maximises the pay, and no noise is paid
for. Two halves of which one is negative, or both, count as a loss: two wrongs earn nothing.

An option for near-IID data: under strong skew it widens the gap between honest clients (docs/incentives.md).
"""

from collections.abc import Sequence

from chaincode.mechanisms.base import Case, stacked
from chaincode.mechanisms.qualify_and_vest import QualifyAndVest, Valued
from chaincode.mtpp.payment import combine
from chaincode.mtpp.rule import Rule, Scores

RULES_SHARP = ("correlated-agreement", "dasgupta-ghosh")  # a perfect score is at most the norm


class QualifyAndVestSharp(QualifyAndVest):
    """q = s1·s2 if both are positive, otherwise −|s1·s2|; the norm is the product of the halves' norms.

    As |s| is at most the norm, neither the greatest gain nor the greatest loss exceeds that of `qualify-and-vest`.
    """

    name = "qualify-and-vest-sharp"

    def check(self, rule: Rule, peers: int) -> None:
        """See Mechanism."""
        super().check(rule, peers)
        if rule.name not in RULES_SHARP:
            raise ValueError(f"rule: {rule.name}, and mechanism {self.name} takes {', '.join(RULES_SHARP)}")

    def norm(self, rule: Rule, tasks: int, alphabet: int) -> int:
        """See Mechanism."""
        return rule.norm(tasks - tasks // 2, alphabet) * rule.norm(tasks // 2, alphabet)

    def _valued(self, case: Case, matrix: Scores) -> Valued:
        reports = stacked(case.reports)
        halves = [case.rule.matrix(reports[:, start::2], case.alphabet) for start in (0, 1)]

        def value(member: int, peers: Sequence[int]) -> int:
            one, two = (combine([int(half[member, peer]) for peer in peers], case.how) for half in halves)
            return one * two if min(one, two) > 0 else -abs(one * two)

        return value
