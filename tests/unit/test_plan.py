"""`candor job plan`: what a specification promises and risks, by the functions that settle."""

from __future__ import annotations

import itertools
import json
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from chaincode import cid, scoring
from chaincode.mechanisms import MECHANISMS, Case
from chaincode.mtpp import RULES
from chaincode.mtpp.payment import best_gain, worst_loss
from chaincode.records import JobSpec
from fl_client.cli.app import app
from fl_client.cli.job import plan_lines
from fl_client.errors import BadInput
from fl_client.plan import honest_score, plan

DG = RULES["dasgupta-ghosh"]


def spec(**changes: Any) -> JobSpec:
    """A job in which nothing is to be thought about again."""
    price, scored, alphabet = 10_000, 500, 10
    terms: dict[str, Any] = {
        "model": cid.raw_cid(b"model"),
        "public_set": cid.raw_cid(b"public"),
        "model_bytes": 1 << 16,
        "public_items": 700,
        "tasks": 600,
        "scored_tasks": scored,
        "alphabet": alphabet,
        "rounds": 5,
        "price": price,
        "stake": worst_loss(DG, scored, alphabet, price),
        "bond": 100,
        "round_pool": 12 * best_gain(DG, scored, alphabet, price),
        "min_participants": 7,
        "max_participants": 12,
        "max_members_per_org": 3,
        "allow_list": [f"Org{i % 4 + 1}MSP:{i:064x}" for i in range(12)],
        "gap": 10,
        "commit_seconds": 300,
        "reveal_seconds": 300,
        "missing_seconds": 300,
        "aggregate_seconds": 300,
        "committee": 5,
        "light_check": True,
    }
    return JobSpec(**(terms | changes))


def test_a_sound_job_has_nothing_refused_and_nothing_unsafe() -> None:
    found = plan(spec())
    assert found.refused == []
    assert [each.field for each in found.unsafe] == []


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("scored_tasks", {"scored_tasks": 250}),
        ("alphabet", {"alphabet": 2}),
        ("min_participants", {"min_participants": 5, "max_members_per_org": 2}),
        ("max_members_per_org", {"max_members_per_org": 4}),
        ("allow_list", {"allow_list": None}),
        ("committee", {"committee": 1}),
        ("light_check", {"light_check": False}),
        ("bond", {"bond": 0}),
        ("mechanism", {"mechanism": "paper"}),
        ("mechanism", {"mechanism": "per-round"}),
        ("rule", {"rule": "correlated-agreement"}),
        ("rule", {"mechanism": "paper", "rule": "output-agreement", "rounds": 2}),
        ("agree_view", {"mechanism": "per-round", "rounds": 2, "rule": "matched-blocks"}),
        ("mechanism", {"mechanism": "per-round", "rule": "matched-blocks", "agree_view": True}),
        ("rule", {"mechanism": "per-round", "rounds": 2, "rule": "conditional", "agree_view": True}),
        ("peers", {"mechanism": "paper", "rounds": 2, "peers": 1}),
        ("combine", {"combine": "mean"}),
    ],
)
def test_an_unsafe_term_is_named_with_its_reason(field: str, changes: dict[str, Any]) -> None:
    found = plan(spec(**changes)).unsafe
    assert {each.field for each in found} == {field}
    assert all(each.why for each in found)


def test_it_says_when_another_mechanism_or_one_pay_an_organisation_suits_better() -> None:
    def considered(**changes: Any) -> list[str]:
        return [each.field for each in plan(spec(**changes)).consider]

    assert considered() == ["mechanism", "pay_by_organisation"]
    assert considered(pay_by_organisation=True) == ["mechanism"]
    assert considered(max_members_per_org=1, mechanism="qualify-and-vest-sharp") == []
    assert considered(mechanism="paper") == []
    assert "qualify-and-vest-floor" in plan(spec()).consider[0].why
    assert "Consider" in "\n".join(plan_lines(plan(spec())))


def test_a_floor_halves_the_pay_of_equals_and_is_named_for_even_data() -> None:
    floored = plan(spec(mechanism="qualify-and-vest-floor"), accuracy=0.9)
    assert floored.honest[0].score == pytest.approx(plan(spec(), accuracy=0.9).honest[0].score / 2, abs=1e-4)
    assert [each.field for each in floored.unsafe] == ["mechanism"]


def test_what_would_be_refused_shows_without_a_network() -> None:
    assert [each.field for each in plan(spec(stake=1, round_pool=1)).refused] == ["round_pool", "stake"]
    assert [each.field for each in plan(spec(committee=2)).refused] == ["committee"]
    assert [each.field for each in plan(spec(min_participants=13, allow_list=None)).refused] == [
        "min_participants"
    ]
    assert [each.field for each in plan(spec(mechanism="paper", rounds=2, peers=3)).refused] == ["peers"]
    one, *others = spec().allow_list or []
    for roster in ([one, *others[:-1], one], others[:3], [f"Org1MSP:{i:064x}" for i in range(12)]):
        assert {each.field for each in plan(spec(allow_list=roster)).refused} == {"allow_list"}
    pooled = spec(mechanism="paper", rounds=2, pay_by_organisation=True)
    assert [each.field for each in plan(pooled).refused] == ["pay_by_organisation"]
    viewless = spec(mechanism="per-round", rule="matched-blocks")
    assert [each.field for each in plan(viewless).refused] == ["public_view"]


@pytest.mark.parametrize(("alphabet", "expected"), [(2, 8 / 25), (4, 169 / 300), (10, 32 / 45)])
def test_the_expected_score_of_the_honest_is_the_known_one(alphabet: int, expected: float) -> None:
    assert honest_score("dasgupta-ghosh", alphabet, 0.9) == pytest.approx(expected)


def test_the_expected_pay_is_what_a_settlement_of_such_clients_pays() -> None:
    rng, job, accuracy = np.random.default_rng(1), spec(scored_tasks=500), 0.8
    paid = []
    for _ in range(10):
        truth = rng.integers(0, 10, 500)
        wrong = (truth + rng.integers(1, 10, (6, 500))) % 10
        answers = np.where(rng.random((6, 500)) < accuracy, truth, wrong)
        reports = {f"m{i}": row for i, row in enumerate(answers)}
        case = Case(reports, {}, 10, DG, "median", job.price, dict.fromkeys(reports, 0))
        paid += [each.payment for each in MECHANISMS[job.mechanism].settle(case).values()]
    (found,) = plan(job, accuracy=accuracy).honest
    assert np.mean(paid) == pytest.approx(found.round, rel=0.03)
    assert found.job == 5 * found.round


def test_money_at_risk() -> None:
    vested, each_round = plan(spec()), plan(spec(mechanism="per-round"))
    least = worst_loss(DG, 500, 10, 10_000)
    assert vested.worst_by_score == least, "a negative qualification is charged once"
    assert each_round.worst_by_score == 5 * least
    assert vested.locked == vested.worst_by_absence == least + 100
    assert vested.escrow == spec().pool >= vested.most_paid >= vested.expected_paid > 0


def test_a_score_can_be_assumed_and_must_be_where_accuracy_does_not_decide() -> None:
    (found,) = plan(spec(), score=0.5).honest
    assert (found.accuracy, found.round, found.job) == (None, 5_000, 25_000)
    determinant = spec(rule="determinant", alphabet=4)
    assert plan(determinant).honest == []
    assert plan(determinant, score=0.5).honest
    for wrong in ({"score": 2.0}, {"accuracy": -0.1}):
        with pytest.raises(BadInput):
            plan(spec(), **wrong)
    with pytest.raises(BadInput, match="mechanism"):
        plan(spec(mechanism="none"))


def test_copying_the_model_is_said_to_earn_nothing_where_the_view_follows_it() -> None:
    def copying(**terms: Any) -> str:
        attacks = plan(spec(mechanism="per-round", rule="matched-blocks", **terms)).attacks
        return next(each.ratio for each in attacks if each.attack == "copying the global model's labels")

    assert copying(agree_view=True) == "0"
    assert copying() != "0"


def test_attacks_come_from_the_documents_or_from_a_run_of_the_lab() -> None:
    kinds = [plan(spec(mechanism=name)).attacks for name in ("qualify-and-vest", "per-round", "paper")]
    assert all(one != two for one, two in itertools.combinations(kinds, 2))
    row = {"attack": "data-10", "mechanism": "qualify-and-vest", "rule": "dasgupta-ghosh", "round": "job"}
    rows = [row | {"pay_ratio": ratio} for ratio in (0.4, 0.55)]
    rows += [row | {"round": 1, "pay_ratio": 9}, row | {"mechanism": "paper", "pay_ratio": 9}]
    (found,) = plan(spec(), lab=rows).attacks
    assert (found.attack, found.ratio) == ("data-10", "0.40 to 0.55")
    pooled = [row | {"mechanism": "qualify-and-vest+pooled", "pay_ratio": 0.3}]
    (found,) = plan(spec(pay_by_organisation=True), lab=rows + pooled).attacks
    assert found.ratio == "0.30"
    with pytest.raises(BadInput, match="not the lab's rows"):
        plan(spec(), lab=[row])
    with pytest.raises(BadInput, match="nothing on"):
        plan(spec(mechanism="per-round"), lab=rows)


def test_what_the_honest_can_expect_comes_from_the_labs_run_unless_the_author_says_otherwise() -> None:
    row = {
        "attack": "data-10",
        "mechanism": "qualify-and-vest",
        "rule": "dasgupta-ghosh",
        "problem": "digits",
    }
    rows = [row | {"round": r, "split": s, "pay_ratio": 0.5, "honest_pay": pay} for r, s, pay in (
        (1, "iid", 0.8), (2, "iid", 0.7), ("job", "iid", 1.5), (1, ".1", 0.4)
    )]  # fmt: skip
    skewed, even = plan(spec(), lab=rows).honest
    assert (skewed.world, skewed.round) == ("digits, split .1", 4_000)
    assert (even.world, even.round, even.job) == ("digits, split iid", 7_500, 37_500)
    (assumed,) = plan(spec(), lab=rows, score=0.5).honest
    assert (assumed.world, assumed.round) == ("", 5_000)


def test_the_command_needs_the_file_alone(tmp_path) -> None:
    file, lab = tmp_path / "job.json", tmp_path / "rows.json"
    file.write_bytes(msgspec.json.encode(spec()))
    run = CliRunner().invoke(app, ["job", "plan", str(file)], catch_exceptions=False)
    assert run.exit_code == 0
    for part in (
        "5 rounds of qualify-and-vest",
        "An honest client can expect",
        "escrow",
        "No term stands out",
    ):
        assert part in run.stdout
    run = CliRunner().invoke(app, ["job", "plan", str(file), "--json", "--accuracy", "0.9"])
    assert json.loads(run.stdout)["honest"][0]["score"] == pytest.approx(32 / 45, abs=1e-4)
    lab.write_text("not JSON")
    with pytest.raises(BadInput):
        CliRunner().invoke(app, ["job", "plan", str(file), "--lab", str(lab)], catch_exceptions=False)


@pytest.mark.parametrize(
    ("mechanism", "said", "checked"),
    [
        ("qualify-and-vest", None, True),
        ("qualify-and-vest", False, False),
        ("paper", None, False),
        ("per-round", True, True),
    ],
)
def test_updates_are_lightly_checked_where_they_are_paid_for_unless_the_job_says_otherwise(
    mechanism: str, said: bool | None, checked: bool
) -> None:
    assert scoring.checks_lightly(spec(mechanism=mechanism, light_check=said)) is checked
