"""Every bound of a job's specification, from both sides: what just fits makes a job, one more or less makes none."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pytest

from chaincode import view as views
from chaincode.contracts import job_terms
from chaincode.mechanisms import MECHANISMS
from chaincode.mtpp import RULES
from chaincode.mtpp.payment import best_gain, worst_loss
from chaincode.records import JobSpec
from tests.world import ORGANISATIONS, PUBLIC, World

WORLD = World()
SOUND = WORLD.spec()
GAP, PERIOD = SOUND.gap, WORLD.terms.beacon.period
RICH = {"round_pool": 2**61, "stake": 2**61, "rounds": 1}
MEMBERS = [f"{ORGANISATIONS[i % 3]}:{i:064x}" for i in range(6)]
OPTIMISTIC = {"aggregation": "optimistic", "committee": 3, "challenge_rounds": 2 * GAP + 1, "bond": 1}
LARGE = {"public_items": 2**21, "alphabet": 256, **RICH, "max_participants": 3}
MANY = {"alphabet": 2, "public_items": 4096, "tasks": 4096, **RICH, "max_participants": 1024}
DG = RULES["dasgupta-ghosh"]
MOST, LEAST = (each(DG, SOUND.scored_tasks, SOUND.alphabet, SOUND.price) for each in (best_gain, worst_loss))


class Bound(NamedTuple):
    """What just fits, what does not any more, and the field that is named."""

    fits: dict[str, Any]
    fails: dict[str, Any]
    field: str
    terms: dict[str, Any] = {}


BOUNDS = [
    Bound({"scored_tasks": 2}, {"scored_tasks": 1}, "scored_tasks"),
    Bound({"scored_tasks": 16, **RICH}, {"scored_tasks": 17, **RICH}, "scored_tasks"),
    Bound({"tasks": 24}, {"tasks": 25}, "tasks"),
    Bound({**LARGE, "tasks": 2**20}, {**LARGE, "tasks": 2**20 + 1}, "tasks"),
    Bound(
        {**LARGE, "tasks": 2**20, "max_participants": 32},
        {**LARGE, "tasks": 2**20, "max_participants": 33},
        "max_participants",
    ),
    Bound(
        {"rule": "matched-blocks", "public_view": PUBLIC, "public_items": 174_762, **RICH},
        {"rule": "matched-blocks", "public_view": PUBLIC, "public_items": 174_763, **RICH},
        "public_items",
    ),
    Bound(  # 1024² clients × 2 symbols × tasks = 2^33
        {
            "alphabet": 2,
            "tasks": 4097,
            "public_items": 4097,
            "scored_tasks": 4096,
            "max_participants": 1024,
            **RICH,
        },
        {
            "alphabet": 2,
            "tasks": 4097,
            "public_items": 4097,
            "scored_tasks": 4097,
            "max_participants": 1024,
            **RICH,
        },
        "scored_tasks",
    ),
    Bound(  # 200² × 10² × (tasks + 1000) / 2
        {
            **MANY,
            "max_participants": 200,
            "alphabet": 10,
            "rule": "correlated-agreement",
            "scored_tasks": 3294,
        },
        {
            **MANY,
            "max_participants": 200,
            "alphabet": 10,
            "rule": "correlated-agreement",
            "scored_tasks": 3295,
        },
        "scored_tasks",
    ),
    Bound(  # the scores, and the overlap of all pairs
        {**MANY, "mechanism": "qualify-and-vest", "scored_tasks": 91},
        {**MANY, "mechanism": "qualify-and-vest", "scored_tasks": 92},
        "scored_tasks",
    ),
    Bound({"min_participants": 6}, {"min_participants": 7}, "min_participants"),
    Bound({"peers": 1}, {"peers": 3}, "peers"),
    Bound({"peers": 2}, {"peers": 5}, "peers"),
    Bound(
        {"max_members_per_org": 1}, {"max_members_per_org": 1, "min_participants": 4}, "max_members_per_org"
    ),
    Bound(
        {"max_members_per_org": 256},
        {"max_members_per_org": 257},
        "max_members_per_org",
        {"organisations": [*ORGANISATIONS, "Org4MSP"]},
    ),
    Bound({"allow_list": MEMBERS[:3]}, {"allow_list": MEMBERS[:2]}, "allow_list"),
    Bound(
        {"allow_list": MEMBERS, "max_members_per_org": 2},
        {"allow_list": [*MEMBERS, f"Org1MSP:{9:064x}"], "max_members_per_org": 2},
        "allow_list",
    ),
    Bound({"committee": 5, "max_participants": 5}, {"committee": 7}, "committee"),
    Bound(OPTIMISTIC, {**OPTIMISTIC, "committee": 1}, "committee"),
    Bound(OPTIMISTIC, {**OPTIMISTIC, "challenge_rounds": 2 * GAP}, "challenge_rounds"),
    Bound(OPTIMISTIC, {**OPTIMISTIC, "bond": 0}, "bond"),
    Bound({"gap": 4}, {"gap": 3}, "gap", {"freshness": 4, "margin": 1}),  # 12 > 9
    Bound({"gap": 4, "commit_seconds": 99}, {"gap": 3}, "gap", {"freshness": 4, "margin": 1}),  # 9 = 2·4 + 1
    *(
        Bound({window: 2 * GAP * PERIOD + 1}, {window: 2 * GAP * PERIOD}, window)
        for window in ("commit_seconds", "reveal_seconds", "missing_seconds", "aggregate_seconds")
    ),
    Bound({"round_pool": 6 * MOST}, {"round_pool": 6 * MOST - 1}, "round_pool"),
    Bound({"stake": LEAST}, {"stake": LEAST - 1}, "stake"),
    Bound({"round_pool": 2**62 - 1, "rounds": 2}, {"round_pool": 2**62, "rounds": 2}, "round_pool"),
    Bound({"stake": 2**62, "bond": 2**62 - 1}, {"stake": 2**62, "bond": 2**62}, "bond"),
]


def found(changes: dict[str, Any], terms: dict[str, Any]) -> list[str]:
    """The fields with a fault."""
    spec: JobSpec = msgspec.structs.replace(SOUND, **changes)
    return [field for field, _ in job_terms.faults(spec, msgspec.structs.replace(WORLD.terms, **terms))]


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: f"{bound.field} {len(bound.fails)}")
def test_what_just_fits_makes_a_job_and_one_step_further_makes_none(bound: Bound) -> None:
    assert found(bound.fits, bound.terms) == []
    assert found(bound.fails, bound.terms) == [bound.field]


def test_the_sizes_are_those_the_document_names() -> None:
    assert views.size(174_762) <= job_terms.MAX_VIEW < views.size(174_763)
    assert (job_terms.MAX_REPORT, job_terms.MAX_REPORTS) == (2**20, 2**25)
    assert (job_terms.MAX_SETTLEMENT, job_terms.MAX_SLOTS) == (2**33, 1024)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("rule", ["dasgupta-ghosh", "correlated-agreement"])
def test_two_hundred_clients_with_a_thousand_tasks_of_ten_labels_make_a_job(
    mechanism: str, rule: str
) -> None:
    size = {
        "tasks": 1000,
        "public_items": 1000,
        "scored_tasks": 1000,
        "alphabet": 10,
        "max_participants": 200,
    }
    assert found({**size, **RICH, "mechanism": mechanism, "rule": rule}, {}) == []
