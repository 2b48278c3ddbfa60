"""What makes a job's specification sound: every rule in one place, each fault naming its field. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from chaincode import cid, committees, report, scoring
from chaincode import view as views
from chaincode.mechanisms import MECHANISMS
from chaincode.mtpp import RULES
from chaincode.mtpp.payment import best_gain, worst_loss
from chaincode.records import Consortium, JobSpec
from chaincode.shim.errors import Unprocessable

MAX_REPORT = 2**20
MAX_REPORTS = 32 * 2**20
MAX_VIEW = 2**20  # one raw block
VIEWERS = 3  # of a committee that agrees on views: with fewer nobody else holds one, or can say who is wrong
MAX_SETTLEMENT = 2**33  # multiply-adds: a few seconds of one core
MAX_SLOTS = 1024
STRATEGIES = ("fedavg", "two-layer")

Group = Callable[[JobSpec], Iterator[tuple[str, str]]]


def check(spec: JobSpec, terms: Consortium) -> None:
    """Refuse (422) a specification with faults: the first as the message, its field first; all in the details."""
    found = list(faults(spec, terms))
    if found:
        field, fault = found[0]
        raise Unprocessable(f"{field}: {fault}", field=field, faults=found)


def faults(spec: JobSpec, terms: Consortium) -> Iterator[tuple[str, str]]:
    """Every fault as (field, what it must be); sizes first, since money is computed from them."""
    where = partial(_places, terms=terms), partial(_windows, terms=terms)
    return _first_of((_names, _fit, _sizes, _participants, where[0], _committee, where[1], _money), spec)


def faults_alone(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """Those that show in the specification itself, whatever the consortium's terms are."""
    return _first_of((_names, _fit, _sizes, _participants, _committee, _money), spec)


def _first_of(groups: Iterable[Group], spec: JobSpec) -> Iterator[tuple[str, str]]:
    """The faults of the first group that finds any: the later ones take for granted what it checks."""
    for group in groups:
        found = list(group(spec))
        if found:
            yield from found
            return


def _names(spec: JobSpec) -> Iterator[tuple[str, str]]:
    known: dict[str, tuple[str, Iterable[str]]] = {
        "mechanism": (spec.mechanism, MECHANISMS),
        "rule": (spec.rule, RULES),
        "strategy": (spec.strategy, STRATEGIES),
    }
    for field, (value, names) in known.items():
        if value not in names:
            yield field, f"must be one of {', '.join(sorted(names))}"
    for field, value in (("model", spec.model), ("public_set", spec.public_set)):
        try:
            cid.parse(value)
        except ValueError as fault:
            yield field, f"must be a CID: {fault}"


def _fit(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """Mechanism, rule and public view go together."""
    try:
        MECHANISMS[spec.mechanism].check(RULES[spec.rule], spec.peers)
    except ValueError as fault:
        field, _, text = str(fault).partition(": ")
        yield field, text
        return
    if not RULES[spec.rule].needs:
        for field in ("public_view", "agree_view"):
            if getattr(spec, field):
                yield field, f"is nothing that rule {spec.rule} looks at"
        return
    try:
        if cid.parse(spec.public_view).codec != "raw":
            raise ValueError("a view is one raw block")
    except ValueError as fault:
        yield "public_view", f"must be a CID, since rule {spec.rule} needs a public view: {fault}"
    size = views.size(spec.public_items)
    if size > MAX_VIEW:
        yield "public_items", f"make a public view of {size} bytes; at most {MAX_VIEW}"


def _sizes(spec: JobSpec) -> Iterator[tuple[str, str]]:
    if not 2 <= spec.scored_tasks <= spec.tasks:
        yield "scored_tasks", f"must be at least 2 and at most tasks ({spec.tasks})"
        return
    if spec.tasks > spec.public_items:
        yield "tasks", f"must be at most public_items ({spec.public_items})"
        return
    size = report.size(spec.tasks, spec.alphabet)
    if size > MAX_REPORT:
        yield "tasks", f"make a report of {size} bytes; at most {MAX_REPORT}"
    if size * spec.max_participants > MAX_REPORTS:
        yield (
            "max_participants",
            f"make reports of {size * spec.max_participants} bytes; at most {MAX_REPORTS}",
        )
    rule, mechanism = RULES[spec.rule], MECHANISMS[spec.mechanism]
    try:
        rule.check(spec.scored_tasks, spec.alphabet)
    except ValueError as fault:
        field, _, text = str(fault).partition(": ")
        yield ("alphabet" if field == "alphabet" else "scored_tasks"), text
    if mechanism.cost(rule, spec.max_participants, spec.scored_tasks, spec.alphabet) > MAX_SETTLEMENT:
        yield "scored_tasks", "make the settlement too costly for this alphabet and max_participants"


def _participants(spec: JobSpec) -> Iterator[tuple[str, str]]:
    if spec.min_participants > spec.max_participants:
        yield "min_participants", "must be at most max_participants"
    if spec.peers > 1 and spec.peers % 2:
        yield "peers", "must be even, 1 or 0 (all others)"
    if spec.pay_by_organisation and not MECHANISMS[spec.mechanism].vests:
        yield "pay_by_organisation", f"is nothing that mechanism {spec.mechanism} does"
    roster = spec.allow_list
    if roster is None:
        return
    if len(set(roster)) != len(roster):
        yield "allow_list", "names a member twice"
    if len(roster) < spec.min_participants:
        yield "allow_list", "must name at least min_participants members"
    for msp_id in _organisations(roster):
        if sum(member.startswith(f"{msp_id}:") for member in roster) > spec.max_members_per_org:
            yield "allow_list", f"names more members of {msp_id} than max_members_per_org"


def _places(spec: JobSpec, terms: Consortium) -> Iterator[tuple[str, str]]:
    """The participants find room in the consortium's organisations."""
    if spec.max_members_per_org * len(terms.organisations) < spec.min_participants:
        yield "max_members_per_org", "leaves fewer places than min_participants"
    if spec.max_members_per_org * len(terms.organisations) > MAX_SLOTS:
        yield "max_members_per_org", f"times the organisations must be at most {MAX_SLOTS}"
    for msp_id in _organisations(spec.allow_list or []):
        if msp_id not in terms.organisations:
            yield "allow_list", f"names members of {msp_id}, which is not an organisation of the consortium"


def _organisations(roster: list[str]) -> list[str]:
    return sorted({member.partition(":")[0] for member in roster})


def _committee(spec: JobSpec) -> Iterator[tuple[str, str]]:
    if spec.committee % 2 == 0:
        yield "committee", "must be odd"
    if spec.committee > spec.max_participants:
        yield "committee", "must be at most max_participants"
    if spec.agree_view:
        yield from _agreement(spec)
    if spec.aggregation != "optimistic":
        return
    if spec.committee < 3:
        yield (
            "committee",
            "must be at least 3 where aggregation is optimistic: somebody must judge a challenge",
        )
    if spec.bond == 0:
        yield "bond", "must be positive where aggregation is optimistic"
    if spec.challenge_rounds <= 2 * spec.gap:
        yield "challenge_rounds", f"must be over {2 * spec.gap} beacon rounds: twice the gap"


def _agreement(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """What it takes to agree on a view of each round's model."""
    if spec.aggregation != "majority":
        yield "aggregation", "must be majority where views are agreed on: a post is one member's view alone"
    if spec.committee < VIEWERS:
        yield "committee", f"must be at least {VIEWERS} where views are agreed on"
    if spec.bond == 0:
        yield "bond", "must be positive where views are agreed on: a gross outlier loses it"
    size = views.size(spec.public_items) * spec.committee
    if size > MAX_REPORTS:
        yield "committee", f"make public views of {size} bytes; at most {MAX_REPORTS}"


def warnings(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """What a job may do but should know, as (field, text): shown before it is created, never a refusal."""
    members = spec.max_participants
    size = min(spec.committee, members)
    dishonest = int(members * committees.ASSUMED_SHARE)
    risk = float(committees.capture(members, dishonest, size))
    safe = committees.safe_size(members)
    if risk > committees.TOLERATED:
        remedy = f"{safe} would do" if safe else "no size is safe"
        yield (
            "committee",
            f"of {size}: if {dishonest} of {members} members are dishonest, they decide a round's model alone "
            f"with probability {risk:.3f}; {remedy} for at most {float(committees.TOLERATED)}",
        )
    if spec.strategy == "two-layer" and scoring.checks_lightly(spec):
        yield "light_check", "compares every update with all others': two layers save nothing then"
    if spec.bond == 0:
        yield "bond", "is 0: a committee member loses nothing by lying or staying away"
    if spec.committee > 1 and spec.min_participants < spec.committee:
        yield "min_participants", f"is below committee: with fewer than {spec.committee} reveals it shrinks"


def _windows(spec: JobSpec, terms: Consortium) -> Iterator[tuple[str, str]]:
    gap = spec.gap * terms.beacon.period
    if gap <= 2 * terms.freshness + terms.margin:
        least = (2 * terms.freshness + terms.margin) // terms.beacon.period + 1
        yield "gap", f"must be at least {least} beacon rounds: gap x period > 2F + margin"
    for field in ("commit_seconds", "reveal_seconds", "missing_seconds", "aggregate_seconds"):
        if getattr(spec, field) <= 2 * gap:
            yield field, f"must be over {2 * gap}: twice gap x period"


def _money(spec: JobSpec) -> Iterator[tuple[str, str]]:
    rule = RULES[spec.rule]
    most = spec.max_participants * best_gain(rule, spec.scored_tasks, spec.alphabet, spec.price)
    if most > spec.round_pool:
        yield "round_pool", f"must be at least {most}: max_participants x the best payment"
    least = worst_loss(rule, spec.scored_tasks, spec.alphabet, spec.price)
    if spec.stake < least:
        yield "stake", f"must be at least {least}: the worst payment"
    if spec.pool >= 2**63:
        yield "round_pool", "times rounds must be below 2^63"
    if spec.lock >= 2**63:
        yield "bond", "with the stake must be below 2^63"
