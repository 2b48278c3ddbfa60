"""What a job promises and risks, from its specification alone: expected pay, worst loss, attacks, unsafe terms. Pure.

Figures about attacks are the measured ones of docs/incentives.md, unless a run of the lab is given. An honest score
is the author's to assume: by default from the accuracy of clients that err independently, over even classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from chaincode import scoring
from chaincode.contracts import job_terms
from chaincode.mechanisms import MECHANISMS
from chaincode.mtpp import RULES
from chaincode.mtpp.payment import best_gain, worst_loss
from chaincode.records import JobSpec
from fl_client.errors import BadInput

ACCURACIES = (0.6, 0.7, 0.8, 0.9, 0.95)
FLOOR, SHARP = "qualify-and-vest-floor", "qualify-and-vest-sharp"
ENOUGH_TASKS, ENOUGH_CLIENTS = 500, 6  # what the measurements were made with at least


class Expected(msgspec.Struct, frozen=True):
    """An honest client's pay: `score` is the assumed share of the price, `accuracy` or `world` where it comes from."""

    accuracy: float | None
    score: float
    round: int
    job: int
    world: str = ""  # of the lab: its problem and split


class LabRow(msgspec.Struct, frozen=True):
    """What is read of a row of `candor incentives --json`; pay is a share of the price."""

    attack: str
    mechanism: str
    rule: str
    round: int | str
    pay_ratio: float | None  # None: nobody honest was paid
    honest_pay: float | None = None
    problem: str = ""
    split: str = ""


class Attack(msgspec.Struct, frozen=True):
    """What somebody earns instead, as a share of an honest client's pay; text, for it is often a range."""

    attack: str
    ratio: str


class Unsafe(msgspec.Struct, frozen=True):
    """A term that should be thought about again, and why."""

    field: str
    why: str


class Plan(msgspec.Struct, frozen=True):
    """Everything `candor job plan` says; money in the token's smallest unit."""

    mechanism: str
    rule: str
    rounds: int
    price: int
    refused: list[Unsafe]  # faults for which the job would be refused, as far as they show in the file
    honest: list[Expected]
    locked: int  # what a client must have to take part in a round
    worst_by_score: int  # the most that reports can cost a client in the whole job
    worst_by_absence: int  # the most that not revealing costs it in one round
    escrow: int
    most_paid: int  # by the sponsor, whatever happens
    expected_paid: int  # if as many as may take part are honest, at the first of `honest`
    attacks: list[Attack]
    measured: str  # where the figures on attacks are from
    unsafe: list[Unsafe]
    consider: list[Unsafe]  # terms that another choice may suit better, with what speaks for it and against


# whole jobs with trained models, digits and C = 10, from even to strongly skewed labels: docs/incentives.md
_IDLE = Attack("random, constant, permuted or flipped labels", "0 or less")
_NO_DATA = Attack(
    "copying, distilling or learning from anything public, without private data; up to .10 where labels are "
    "strongly skewed",
    ".03 or less",
)
_NULL = Attack("zero or replayed updates after the qualification", "the first round alone")
_ONCE = Attack(
    "no training after the qualification, old updates under noise (1.00 without light check)", ".25 to 1.00"
)
_PUBLIC = Attack("updates trained on revealed labels, or for an epoch only", ".82 to 1.00")
_VESTS = [
    _IDLE,
    _NO_DATA,
    Attack("10 % of the data", ".50 to .67"),
    Attack("a third of the data", ".79 to .94"),
    Attack("two labels swapped", ".68 to .77"),
    _NULL,
    _ONCE,
    _PUBLIC,
    Attack("copying a colleague's report, exactly or with 10 % noise: both together", ".64 to 1.00"),
]
_APART = [
    Attack(
        "second choices on unsure tasks, or the same data with another seed: both together", ".82 to 2.02"
    ),
    Attack("one owner of data as two identities: both together", "1.3 to 1.9"),
]
_POOLED = [
    Attack(
        "second choices, or the same data with another seed, in one organisation: both together", ".67 to .99"
    ),
    Attack("one owner of data as two identities of one organisation: both together", ".87 to .97"),
]
_SHARP = [_IDLE, _NO_DATA, Attack("10 % of the data", ".25 to .52"), _NULL, _ONCE, _PUBLIC]
_FLOOR = [
    _IDLE,
    _NO_DATA,
    Attack("10 % of the data; up to .67 where labels are strongly skewed", ".01 to .50"),
    _NULL,
    _ONCE,
    _PUBLIC,
]
_PER_ROUND = [
    _IDLE,
    Attack("copying the global model's labels", ".44 to .60"),
    Attack("training on revealed labels alone", ".83 to 2.37"),
    Attack("replaying a peer's reports", ".75 to 1.02"),
    Attack("training once, then on revealed labels", "1.03 to 2.58"),
    Attack("10 % of the data", ".56 to .61"),
    Attack("zero updates", "1.00"),
    Attack("copying a colleague's report: both together", "2.00 to 2.26"),
]
_MATCHED = [  # matched blocks, by a view of each round's model
    _IDLE,
    Attack("copying the global model's labels", "0"),
    Attack("extrapolating the global model", ".16 to .31"),
    Attack("training on revealed labels alone", ".73 to 2.42"),
    Attack("replaying a peer's reports", ".59 to 1.00"),
    Attack("training once, then on revealed labels", "1.06 to 2.67"),
    Attack("10 % of the data", ".54 to .57"),
    Attack("zero updates", "1.00 to 1.04"),
    Attack("copying a colleague's report: both together", "2.00 to 2.37"),
]
_PAPER = [
    _IDLE,
    Attack("copying the global model's labels", ".92 to 1.68"),
    Attack("extrapolating the global model", ".94 to 1.90"),
    Attack("replaying a peer's reports", ".80 to 2.52"),
    Attack("10 % of the data", ".89 to 1.26"),
    Attack("zero updates", "1.00 to 1.26"),
    Attack("copying a colleague's report: both together", "2.08 to 5.86"),
]


def plan(
    spec: JobSpec,
    *,
    accuracy: float | None = None,
    score: float | None = None,
    lab: Sequence[dict[str, object]] | None = None,
) -> Plan:
    """Lay out the specification. BadInput: an assumption that makes no sense, or a mechanism nobody knows.

    Args:
        accuracy, score: what the author assumes of an honest client; one of them, or a table by default.
        lab: rows of `candor incentives --json`, in place of the figures that come with Candor, and of the table.
    """
    for field, value, known in (("mechanism", spec.mechanism, MECHANISMS), ("rule", spec.rule, RULES)):
        if value not in known:
            raise BadInput(f"no {field} is called {value!r}", f"Known: {', '.join(sorted(known))}")
    rule, mechanism = RULES[spec.rule], MECHANISMS[spec.mechanism]
    rows = None if lab is None else _rows(spec, lab)
    honest = _expected(spec, accuracy, score)
    if rows and accuracy is None and score is None:
        honest = _simulated(spec, rows) or honest
    loss = worst_loss(rule, spec.scored_tasks, spec.alphabet, spec.price)
    most = spec.max_participants * best_gain(rule, spec.scored_tasks, spec.alphabet, spec.price)
    expected = honest[0].job * spec.max_participants if honest else 0
    return Plan(
        mechanism=spec.mechanism,
        rule=spec.rule,
        rounds=spec.rounds,
        price=spec.price,
        refused=[Unsafe(*each) for each in job_terms.faults_alone(spec)],
        honest=honest,
        locked=spec.lock,
        worst_by_score=loss if mechanism.vests else loss * spec.rounds,
        worst_by_absence=spec.lock,
        escrow=spec.pool,
        most_paid=min(spec.pool, most * spec.rounds),
        expected_paid=min(spec.pool, expected),
        attacks=_known(spec) if rows is None else _measured(rows),
        measured="the lab's rows" if lab is not None else "docs/incentives.md",
        unsafe=[Unsafe(*each) for each in (*job_terms.warnings(spec), *unsafe(spec))],
        consider=[Unsafe(*each) for each in _choices(spec)],
    )


def honest_score(rule: str, alphabet: int, accuracy: float) -> float | None:
    """The expected score ÷ norm of two clients who err independently and evenly, over even classes.

    None where that depends on more than their accuracy.
    """
    agreement = accuracy**2 + (1 - accuracy) ** 2 / (alphabet - 1)
    if rule in ("dasgupta-ghosh", "correlated-agreement", "conditional", "matched-blocks"):
        return agreement - 1 / alphabet
    return agreement if rule in ("output-agreement", "peer-truth-serum") else None


def unsafe(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """Terms under which the mechanism promises less, as (field, why)."""
    for rule in (_size, _people, _incentives, _committee):
        yield from rule(spec)


def _choices(spec: JobSpec) -> Iterator[tuple[str, str]]:
    if not MECHANISMS[spec.mechanism].vests:
        return
    if spec.mechanism not in (FLOOR, SHARP):
        yield (
            "mechanism",
            f"{FLOOR}, where members hold about as much of the same labels each: a tenth of the data then earns "
            ".01 to .50 of full pay instead of .50 to .63; at the same price all pay is about half as high",
        )
    if not spec.pay_by_organisation and spec.max_members_per_org > 1:
        yield (
            "pay_by_organisation",
            "true, where organisations' members are not known to hold data of their own: identities that share data "
            "then earn one pay and not up to 1.9; so do an organisation's two honest clients",
        )


def _size(spec: JobSpec) -> Iterator[tuple[str, str]]:
    if spec.scored_tasks < ENOUGH_TASKS:
        yield (
            "scored_tasks",
            f"is below {ENOUGH_TASKS}: noise decides more; with 250 only clients with at least half of the data "
            "were told from lazier ones",
        )
    if spec.alphabet == 2:
        yield (
            "alphabet",
            "of 2: under skewed labels honest pay is next to nothing, and a random reporter was beaten in .67 to .87 "
            "of the cases only",
        )


def _people(spec: JobSpec) -> Iterator[tuple[str, str]]:
    if spec.min_participants < ENOUGH_CLIENTS:
        yield (
            "min_participants",
            f"is below {ENOUGH_CLIENTS}, the fewest that were measured: two copiers among few clients move the median",
        )
    if 2 * spec.max_members_per_org >= spec.min_participants:
        yield (
            "max_members_per_org",
            f"lets one organisation be half of {spec.min_participants} participants: nothing holds against a majority "
            "that agrees on its reports",
        )
    if spec.allow_list is None:
        yield "allow_list", "is missing: one owner of data as two identities earns up to 1.9 times one pay"
    if spec.peers in (1, 2):
        yield (
            "peers",
            f"of {spec.peers}: an honest client may draw the cheater; with one peer it earns more than a cheater in "
            "at most .90 of the cases",
        )


def _incentives(spec: JobSpec) -> Iterator[tuple[str, str]]:
    mechanism = MECHANISMS[spec.mechanism]
    copied = "the public model's labels or "
    if spec.mechanism in (FLOOR, SHARP):
        yield (
            "mechanism",
            f"{spec.mechanism} is for members who hold about as much of the same labels each: who honestly holds a "
            "tenth of what the others do earns next to nothing, or loses",
        )
    if not mechanism.vests and spec.rounds >= 3:
        yield (
            "mechanism",
            f"{spec.mechanism} pays who has no data: for {'' if spec.agree_view else copied}what was revealed before",
        )
    if spec.rule == "correlated-agreement":
        yield (
            "rule",
            "correlated-agreement turns honest pay negative under strong label skew (.14 to .69 of clients)",
        )
    if RULES[spec.rule].needs and not spec.agree_view:
        yield (
            "agree_view",
            f"is off, the view stays the same in all rounds: {spec.rule} scores copies of that model 0, not copies "
            "of later ones",
        )
    if spec.rule == "conditional":
        yield "rule", "conditional pays whoever reports the public model's second label where it is unsure"
    if spec.rule == "output-agreement":
        yield "rule", "output-agreement pays whoever always reports the most frequent label"
    if spec.combine == "mean":
        yield (
            "combine",
            "the mean of pair scores lets one friend among the peers pay; the lower median does not",
        )


def _committee(spec: JobSpec) -> Iterator[tuple[str, str]]:
    if not MECHANISMS[spec.mechanism].vests:
        return
    if spec.committee == 1:
        yield "committee", "of 1: the one drawn can refuse others' updates and with them their tranche"
    if not scoring.checks_lightly(spec):
        yield "light_check", "is off: a zero update earns the tranche like any other"


def _expected(spec: JobSpec, accuracy: float | None, score: float | None) -> list[Expected]:
    if score is not None and accuracy is not None:
        raise BadInput(
            "both an accuracy and a score are assumed", "Give one: the score follows from the accuracy"
        )
    if score is not None and not -1 <= score <= 1:
        raise BadInput(f"a score of {score} is not in [-1, 1]", "Give it as a share of the price")
    if accuracy is not None and not 0 <= accuracy <= 1:
        raise BadInput(f"an accuracy of {accuracy} is not in [0, 1]")
    if score is not None:
        return [_paid(spec, None, score)]
    found = []
    for each in (accuracy,) if accuracy is not None else ACCURACIES:
        assumed = honest_score(spec.rule, spec.alphabet, each)
        if assumed is None:
            return []
        found.append(_paid(spec, each, _paid_share(spec.mechanism, assumed)))
    return found


def _paid_share(mechanism: str, score: float) -> float:
    """What the mechanism pays for a score that all have; with a floor: where labels are even."""
    if mechanism == SHARP:
        return score * abs(score)  # the product of two halves
    return score - max(0.0, score) / 2 if mechanism == FLOOR else score


def _paid(spec: JobSpec, accuracy: float | None, score: float, world: str = "") -> Expected:
    pay = round(spec.price * score)
    return Expected(accuracy, round(score, 4), pay, pay * spec.rounds, world)


def _known(spec: JobSpec) -> list[Attack]:
    mechanism = MECHANISMS[spec.mechanism]
    if not mechanism.vests:
        if spec.rule == "matched-blocks" and spec.agree_view and mechanism.local_only:
            return _MATCHED
        return _PER_ROUND if mechanism.local_only else _PAPER
    together = _POOLED if spec.pay_by_organisation else _APART
    return [*{FLOOR: _FLOOR, SHARP: _SHARP}.get(spec.mechanism, _VESTS), *together]


def _rows(spec: JobSpec, lab: Sequence[dict[str, object]]) -> list[LabRow]:
    """The lab's rows on this job's mechanism and rule; BadInput if there are none."""
    try:
        rows = msgspec.convert(lab, type=list[LabRow])
    except msgspec.ValidationError as fault:
        raise BadInput(
            f"these are not the lab's rows: {fault}", "Use what candor incentives --json prints"
        ) from fault
    mechanism = spec.mechanism + ("+pooled" if spec.pay_by_organisation else "")
    found = [row for row in rows if (row.mechanism, row.rule) == (mechanism, spec.rule)]
    if not found:
        raise BadInput(
            f"the lab's rows have nothing on {mechanism} with {spec.rule}",
            "Run candor incentives --json with that mechanism and rule",
        )
    return found


def _measured(rows: Iterable[LabRow]) -> list[Attack]:
    """What each attack earned in whole jobs: the range over problems and splits."""
    ratios: dict[str, list[float]] = {}
    for row in rows:
        if row.round == "job" and row.pay_ratio is not None:
            ratios.setdefault(row.attack, []).append(row.pay_ratio)
    shown: Callable[[float], str] = "{:.2f}".format
    return [
        Attack(
            attack,
            shown(min(found)) if min(found) == max(found) else f"{shown(min(found))} to {shown(max(found))}",
        )
        for attack, found in sorted(ratios.items())
    ]


def _simulated(spec: JobSpec, rows: Iterable[LabRow]) -> list[Expected]:
    """What honest clients earned a round, on average in each of the lab's problems and splits."""
    pay: dict[str, list[float]] = {}
    for row in rows:
        if row.round != "job" and row.honest_pay is not None:
            pay.setdefault(f"{row.problem}, split {row.split}", []).append(row.honest_pay)
    return [_paid(spec, None, sum(found) / len(found), world) for world, found in sorted(pay.items())]
