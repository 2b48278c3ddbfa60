"""Qualify once, before anything public could be copied; every later round releases a tranche of that pay.

Source: facts on the mechanism, "Qualify and vest" and "Near-duplicates share one pay".

The first round is the qualification: models trained on private data alone label a public batch before any
global model exists. Everyone is scored against everyone, the lower median is q. The settlement pays the first
tranche, α·q/norm; each later round releases another one to those whose update is in its valid set.

Negative q. Paid tranche by tranche, someone with q < 0 would stop after the first: a coin flipper would lose its
bad luck once and keep its good luck R times. So the first settlement charges a negative q for all R tranches at
once. Then the pay of a whole job is linear in q, and worthless reports earn 0 on average. The charge is capped
at one tranche's worst loss, which is the least stake of a job under any mechanism; with tens of scored tasks or more
the noise of a worthless report is far from that cap.

Pools. What a model earns is concave in its data, so one owner as two identities earns nearly twice, and copies that
escape the likeness earn again. Where a job pools its members by organisation, each organisation earns one pay: the
mean of its members' q, shared equally, scored against other organisations alone. Splitting then gains nothing;
neither does an organisation's second honest client. Coalitions across organisations remain.

Late joiners do not qualify: once reports are revealed and a model is out, anyone can report what others found.
They may contribute updates, unpaid, and qualify in the next job.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from chaincode.mechanisms.base import Case, Mechanism, Outcome, pair_scores, stacked
from chaincode.mtpp.duplicates import cost, overlap, overlapping
from chaincode.mtpp.payment import combine, payment, worst_loss
from chaincode.mtpp.rule import Rule, Scores

Valued = Callable[[int, Sequence[int]], int]


class QualifyAndVest(Mechanism):
    """One qualification by local-only reports against all others, vested over the rounds of the job."""

    name = "qualify-and-vest"
    local_only = True
    vests = True
    peers_only = frozenset({0})

    def reports_in(self, round: int, qualification: int = 1) -> bool:
        """See Mechanism: in the qualification alone."""
        return round == qualification

    def check(self, rule: Rule, peers: int) -> None:
        """See Mechanism. There is no public model yet, so no rule that needs its view."""
        super().check(rule, peers)
        if rule.needs:
            raise ValueError(
                f"rule: {rule.name} needs a public model's view, and none exists at the qualification"
            )

    def cost(self, rule: Rule, clients: int, tasks: int, alphabet: int) -> int:
        """See Mechanism: the scores, and the likeness of all pairs."""
        return rule.cost(clients, tasks, alphabet) + cost(clients, tasks, alphabet)

    def settle(self, case: Case) -> dict[str, Outcome]:
        """See Mechanism. `case.peers` is not looked at: everybody who revealed is everybody's peer."""
        if not case.reports:
            return {}
        members, matrix = pair_scores(case)
        tasks = len(case.reports[members[0]])
        norm = self.norm(case.rule, tasks, case.alphabet)
        cap = worst_loss(case.rule, tasks, case.alphabet, case.price)
        place = {member: i for i, member in enumerate(members)}
        pools = [tuple(sorted(place[member] for member in pool if member in place)) for pool in case.pools]
        alike = overlapping(overlap(stacked(case.reports), case.alphabet))
        outcomes = {}
        shared = _qualified(len(members), alike, pools, self._valued(case, matrix))
        for member, (peers, score, group) in zip(members, shared, strict=True):
            scores = {members[peer]: int(matrix[place[member], peer]) for peer in peers}
            paid = _first(score, norm, case, case.dithers[member], cap) if scores else 0
            outcomes[member] = Outcome(scores, score, norm, paid, tuple(members[i] for i in group))
        return outcomes

    def release(
        self,
        scores: Mapping[str, int],
        valid: Collection[str],
        norm: int,
        price: int,
        dithers: Mapping[str, int],
    ) -> dict[str, int]:
        """See Mechanism: ⌊(α·q + u)/norm⌋ to each qualified member of the valid set."""
        paid = {
            member: payment(scores[member], norm, price, dithers[member])
            for member in sorted(set(valid) & set(scores))
        }
        return {member: units for member, units in paid.items() if units > 0}

    def _valued(self, case: Case, matrix: Scores) -> Valued:
        """q of a member against some peers, all by their place: the combination of its pair scores."""
        return lambda member, peers: combine([int(matrix[member, peer]) for peer in peers], case.how)


def _qualified(
    clients: int, alike: Sequence[tuple[int, ...]], pools: Sequence[tuple[int, ...]], value: Valued
) -> list[tuple[list[int], int, tuple[int, ...]]]:
    """For each member by place: its peers, q, and the group it shares one pay with (or ()).

    Who shares is scored against those outside its group. Near-duplicates get ⌊min q/|M|⌋ each, a pool without any
    ⌊mean q/|M|⌋.
    """
    everyone = range(clients)
    sharing = _joined([*alike, *pools])
    group_of = {i: group for group in sharing for i in group}
    found = {}
    for i in everyone:
        group = group_of.get(i, ())
        peers = [j for j in everyone if j != i and j not in group]
        found[i] = peers, value(i, peers) if peers else 0, group
    for group in sharing:
        q, size = [found[i][1] for i in group], len(group)
        copied = any(set(each) <= set(group) for each in alike)
        share = min(q) // size if copied else sum(q) // size**2
        for i in group:
            found[i] = found[i][0], share, group
    return [found[i] for i in everyone]


def _joined(groups: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Groups that overlap become one; those of a single member are none."""
    joined: list[set[int]] = []
    for group in map(set, groups):
        apart = [other for other in joined if not other & group]
        joined = [*apart, group.union(*(other for other in joined if other & group))]
    return sorted(tuple(sorted(group)) for group in joined if len(group) > 1)


def _first(score: int, norm: int, case: Case, dither: int, cap: int) -> int:
    """The first tranche; of a negative score all tranches at once, at most `cap`."""
    if score >= 0:
        return payment(score, norm, case.price, dither)
    return max(-cap, payment(score * case.tranches, norm, case.price, dither))
