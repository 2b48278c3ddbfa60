"""One world, played: what the honest earn in it, and what each attacker earns in their midst.

Every number of pay comes out of `chaincode.mechanisms`; it is given as a share of the price α, so 1 is what a
round pays for a perfect score.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import numpy as np

from chaincode.mechanisms import MECHANISMS, Case, Mechanism
from chaincode.mtpp import NO_VIEW, RULES
from fl_client.errors import BadInput
from fl_client.incentives.attackers import Coalition, attacker
from fl_client.incentives.attackers.base import sends_update
from fl_client.incentives.measures import MEASURES, Measured
from fl_client.incentives.world import Federation, World
from fl_client.training.behaviour import Behaviour, checked

PRICE = 10**12
POOLED = "+pooled"
Reports = list[list[np.ndarray]]  # [round][identity] (T,)
Pay = list[list[float]]  # [round][identity]


class Scheme(msgspec.Struct, frozen=True, order=True):
    """A mechanism with a rule, by name; ``mechanism+pooled``: the identities of one attacker are members of one
    organisation, and the job pays an organisation once."""

    mechanism: str
    rule: str

    @property
    def plays(self) -> Mechanism:
        """The mechanism itself."""
        return MECHANISMS[self.mechanism.removesuffix(POOLED)]

    def __str__(self) -> str:
        return f"{self.mechanism}/{self.rule}"


class Honest(msgspec.Struct, frozen=True):
    """A world in which everybody is honest: scheme → pay, and whether somebody was flagged as a duplicate; and the
    share of all rounds' updates that the light check refused."""

    pay: dict[str, Pay]
    flagged: dict[str, bool]
    refused: float = 0.0


class Attack(msgspec.Struct, frozen=True):
    """An attack in one world, by scheme: what the attacker's identities earn together, and every honest client,
    in each round."""

    place: int  # the client it replaces, the first one of a coalition
    replaced: list[int]
    attacker: dict[str, list[float]]
    honest: dict[str, Pay]
    measures: dict[
        str, list[float]
    ] = {}  # of reports alone: the attacker's value ÷ the honest mean, by measure


class Contribution(msgspec.Struct, frozen=True):
    """What the other measures say of an honest world: name → values; and the seconds they took."""

    measures: dict[str, Measured]
    seconds: dict[str, float]


class Stage:
    """A world with the honest reports that the schemes ask for."""

    def __init__(self, world: World, schemes: Sequence[Scheme]) -> None:
        self.world, self.schemes = world, schemes
        self._honest: dict[bool, Reports] = {}

    def modes(self) -> dict[bool, int]:
        """Whether reports are local-only → the last round in which any scheme asks for them."""
        rounds = range(1, self.world.setting.rounds + 1)
        found: dict[bool, int] = {}
        for scheme in self.schemes:
            mechanism = scheme.plays
            last = max(number for number in rounds if mechanism.reports_in(number))
            found[mechanism.local_only] = max(last, found.get(mechanism.local_only, 0))
        return found

    def reports(self, local_only: bool) -> Reports:
        """Everybody's honest reports."""
        if local_only not in self._honest:
            self._honest[local_only] = self.world.reports(
                self.world.honest, self.modes()[local_only], local_only=local_only
            )
        return self._honest[local_only]

    def honest(self) -> Honest:
        """Everybody's pay when all are honest."""
        pay, flagged = {}, {}
        for scheme in self.schemes:
            reports = self.reports(scheme.plays.local_only)
            pay[str(scheme)], flagged[str(scheme)] = self._pay(scheme, reports, self.world.honest, [])
        counted = sum(map(len, self.world.honest.valid))
        sent = len(self.world.honest.valid) * self.world.setting.clients
        return Honest(pay, flagged, round(1 - counted / sent, 6))

    def attack(self, name: str, place: int, size: int) -> Attack:
        """What ``name`` earns in the place of client ``place``; ``size``: a coalition's, where it may choose."""
        playing = attacker(name)
        clients = self.world.setting.clients
        count = (playing.size or size) if isinstance(playing, Coalition) else 1
        replaced = [(place + i) % clients for i in range(count)]
        public = self.world.honest
        if not isinstance(playing, Coalition) and sends_update(playing):
            public = self.world.federate({place: playing})
        played = {mode: self._play(playing, replaced, public, mode) for mode in self.modes()}
        gains: dict[str, list[float]] = {}
        others: dict[str, Pay] = {}
        for scheme in self.schemes:
            reports = played[scheme.plays.local_only]
            own = [*replaced, *range(clients, len(reports[0]))]
            pay, _ = self._pay(scheme, reports, public, own)
            gains[str(scheme)] = [sum(each[i] for i in own) for each in pay]
            others[str(scheme)] = [[each[i] for i in range(clients) if i not in own] for each in pay]
        measures = self._read(played[min(played)], replaced)
        return Attack(place, replaced, gains, others, measures)

    def contribution(self) -> Contribution:
        """What each measure of the literature says of the honest world."""
        mode = min(self.modes())
        found, seconds = {}, {}
        for name, measure in MEASURES.items():
            began = time.perf_counter()
            found[name] = measure(self.world, self.reports(mode))
            seconds[name] = time.perf_counter() - began
        return Contribution(found, seconds)

    def _play(
        self, playing: Behaviour | Coalition, replaced: list[int], public: Federation, local_only: bool
    ) -> Reports:
        """All reports of a job with the attacker in it. What it sees of the past are the honest reports."""
        last = self.modes()[local_only]
        base = self.reports(local_only)
        if public is not self.world.honest and not local_only:
            base = self.world.reports(public, last, local_only=False)
        played = []
        for number in range(1, last + 1):
            works = [
                self.world.work(c, number, public, local_only=local_only, reports=base[: number - 1])
                for c in replaced
            ]
            row = list(base[number - 1])
            if isinstance(playing, Coalition):
                made = playing.reports(works, [row[c] for c in replaced])
            else:
                weights = works[0].weights if local_only else playing.train(works[0])
                made = [playing.infer(works[0], weights)]
            _check(playing, made, len(works), self.world.alphabet, len(works[0].batch))
            for client, report in zip(replaced, made, strict=False):
                row[client] = report
            played.append([*row, *made[len(replaced) :]])
        return played

    def _pay(self, scheme: Scheme, reports: Reports, public: Federation, own: list[int]) -> tuple[Pay, bool]:
        """[round][identity] as a share of the price, and whether anybody was flagged as a duplicate."""
        mechanism, rule = scheme.plays, RULES[scheme.rule]
        rounds, flagged = self.world.setting.rounds, False
        names = [f"{i:04d}" for i in range(len(reports[0]))]
        none = dict.fromkeys(names, 0)
        pay, scores, norm = [], dict[str, int](), 1
        for number in range(1, rounds + 1):
            if mechanism.reports_in(number):
                case = Case(
                    dict(zip(names, reports[number - 1], strict=True)),
                    {name: [other for other in names if other != name] for name in names},
                    self.world.alphabet,
                    rule,
                    "median",
                    PRICE,
                    none,
                    self.world.view(public, number) if rule.needs else NO_VIEW,
                    rounds - number + 1,
                    [[names[i] for i in own]] if scheme.mechanism.endswith(POOLED) else [],
                )
                outcomes = mechanism.settle(case)
                scores = {name: outcome.score for name, outcome in outcomes.items()}
                norm = outcomes[names[0]].norm
                flagged |= any(outcome.sharing for outcome in outcomes.values())
                units = {name: outcome.payment for name, outcome in outcomes.items()}
            else:
                valid = [
                    name
                    for i, name in enumerate(names)
                    if i >= self.world.setting.clients or i in public.valid[number - 1]
                ]
                units = mechanism.release(scores, valid, norm, PRICE, none)
            pay.append([round(units.get(name, 0) / PRICE, 6) for name in names])
        return pay, flagged

    def _read(self, reports: Reports, replaced: list[int]) -> dict[str, list[float]]:
        """What the measures that read reports give the attacker's first identity, and the honest on average."""
        found = {}
        for name in ("majority-vote", "reputation"):
            values = MEASURES[name](self.world, reports).values
            honest = [v for i, v in enumerate(values) if i not in replaced and i < self.world.setting.clients]
            found[name] = [values[replaced[0]], float(np.mean(honest))]
        return found


def _check(
    playing: Behaviour | Coalition, made: Sequence[np.ndarray], replaced: int, alphabet: int, tasks: int
) -> None:
    """BadInput: reports that no contract would take."""
    what = type(playing).__name__
    wanted = replaced + (playing.extra if isinstance(playing, Coalition) else 0)
    if len(made) != wanted:
        raise BadInput(f"{what} makes {len(made)} reports for {wanted} identities", "Make one for each")
    for report in made:
        try:
            checked(report, tasks, alphabet)
        except ValueError as fault:
            raise BadInput(f"{what} reports {fault}", "Report one label a task") from fault
