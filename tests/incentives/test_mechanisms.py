"""What every mechanism promises, and what `qualify-and-vest` and `per-round` do beyond `paper`."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaincode.mechanisms import MECHANISMS, Case, Mechanism
from chaincode.mechanisms.per_round import agreed, outliers
from chaincode.mechanisms.qualify_and_vest import _qualified
from chaincode.mtpp import RULES, View
from chaincode.mtpp.duplicates import groups, likeness, overlap
from chaincode.mtpp.payment import best_gain, payment, worst_loss

DG = RULES["dasgupta-ghosh"]
QV, PER_ROUND, PAPER = (MECHANISMS[name] for name in ("qualify-and-vest", "per-round", "paper"))
SHARP, FLOOR = MECHANISMS["qualify-and-vest-sharp"], MECHANISMS["qualify-and-vest-floor"]
TASKS, ALPHABET = 400, 5


def world(seed: int, clients: int = 7, right: float = 0.8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, ALPHABET, TASKS)
    noise = rng.integers(0, ALPHABET, (clients, TASKS))
    answers = np.where(rng.random((clients, TASKS)) < right, truth, noise)
    return {f"org{i}:{i}": answers[i] for i in range(clients)}


def case(reports: dict[str, np.ndarray], price: int = 10**6, tranches: int = 1, dither: int = 0) -> Case:
    peers = {one: [other for other in reports if other != one] for one in reports}
    dithers = dict.fromkeys(reports, dither)
    return Case(reports, peers, ALPHABET, DG, "median", price, dithers, tranches=tranches)


def test_the_names_a_job_uses() -> None:
    variants = ["qualify-and-vest", "qualify-and-vest-floor", "qualify-and-vest-sharp"]
    assert sorted(MECHANISMS) == ["paper", "per-round", *variants]
    assert all(mechanism.name == name for name, mechanism in MECHANISMS.items())


def test_only_qualify_and_vest_reports_once_and_only_the_paper_reports_the_tuned_model() -> None:
    assert [[m.reports_in(r) for r in (1, 2, 3)] for m in (PAPER, PER_ROUND, QV)] == [
        [True] * 3,
        [True] * 3,
        [True, False, False],
    ]
    assert QV.reports_in(2, qualification=2)
    assert [m.local_only for m in (PAPER, PER_ROUND, QV)] == [False, True, True]
    assert [m.vests for m in (PAPER, PER_ROUND, QV)] == [False, False, True]


def test_qualify_and_vest_refuses_drawn_peers_and_rules_that_need_a_public_model() -> None:
    QV.check(DG, 0)
    with pytest.raises(ValueError, match="^peers"):
        QV.check(DG, 4)
    with pytest.raises(ValueError, match="^rule"):
        QV.check(RULES["matched-blocks"], 0)
    PER_ROUND.check(RULES["matched-blocks"], 4)


def test_its_settlement_costs_more_than_the_scores() -> None:
    assert QV.cost(DG, 10, 500, 10) > PAPER.cost(DG, 10, 500, 10) == DG.cost(10, 500, 10)


@pytest.mark.parametrize("name", sorted(MECHANISMS))
def test_the_order_in_which_reports_arrive_does_not_matter(name: str) -> None:
    reports = world(1)
    copied = reports | {"org6:6": reports["org0:0"]}
    for given_reports in (reports, copied):
        one = MECHANISMS[name].settle(case(given_reports))
        back = MECHANISMS[name].settle(case(dict(reversed(given_reports.items()))))
        assert list(one.items()) == list(back.items())


@pytest.mark.parametrize("name", sorted(MECHANISMS))
def test_nobody_or_one_alone_is_paid_nothing(name: str) -> None:
    assert MECHANISMS[name].settle(case({})) == {}
    alone = MECHANISMS[name].settle(case(world(1, clients=1), dither=TASKS * TASKS - 1))
    assert [outcome.payment for outcome in alone.values()] == [0]


def test_without_duplicates_the_first_tranche_is_what_everyone_earns_against_all_others() -> None:
    reports = world(2)
    assert QV.settle(case(reports)) == PAPER.settle(case(reports))


def test_copies_share_one_pay_and_are_scored_against_the_others_alone() -> None:
    reports = world(3) | {"org6:6": world(3)["org2:2"]}
    outcomes = QV.settle(case(reports))
    pair = ("org2:2", "org6:6")
    q = []
    for member in pair:
        assert outcomes[member].sharing == pair
        assert set(outcomes[member].scores) == set(reports) - set(pair)
        q.append(sorted(outcomes[member].scores.values())[2])
    assert {outcomes[member].score for member in pair} == {min(q) // 2}
    single = PAPER.settle(case({m: r for m, r in reports.items() if m != "org6:6"}))
    assert sum(outcomes[m].payment for m in pair) <= single["org2:2"].payment
    assert outcomes["org0:0"].sharing == ()
    assert "org6:6" in outcomes["org0:0"].scores


def test_near_duplicates_earn_the_least_of_theirs_between_them_and_a_pool_its_mean() -> None:
    worth = [100, 60, 10, 10, 10, 10]
    pair = [(0, 1)]
    for alike, pools, share in ((pair, [], 60 // 2), ([], pair, 160 // 4), (pair, pair, 60 // 2)):
        found = _qualified(6, alike, pools, lambda member, peers: worth[member])
        assert [q for _, q, _ in found] == [share, share, 10, 10, 10, 10]


def test_a_pool_earns_the_mean_pay_of_its_members_once_against_others_alone() -> None:
    reports = world(6)
    pool = ("org1:1", "org4:4", "org9:9")  # one of them did not reveal
    outcomes = QV.settle(replace(case(reports), pools=[pool, ("org0:0",)]))
    q = []
    for member in pool[:2]:
        assert outcomes[member].sharing == pool[:2]
        assert set(outcomes[member].scores) == set(reports) - set(pool)
        q.append(sorted(outcomes[member].scores.values())[2])
    assert {outcomes[member].score for member in pool[:2]} == {sum(q) // 4}
    assert outcomes["org0:0"] == QV.settle(case(reports))["org0:0"]


def test_a_pool_with_a_copy_from_outside_is_one_group_and_earns_as_copies_do() -> None:
    reports = world(3) | {"org6:6": world(3)["org2:2"]}
    outcomes = QV.settle(replace(case(reports), pools=[("org1:1", "org2:2")]))
    three = ("org1:1", "org2:2", "org6:6")
    assert {outcomes[member].sharing for member in three} == {three}
    lowest = min(sorted(outcomes[member].scores.values())[1] for member in three)
    assert {outcomes[member].score for member in three} == {lowest // 3}


def test_if_all_are_of_one_pool_nobody_has_a_peer() -> None:
    reports = world(3)
    outcomes = QV.settle(replace(case(reports, dither=5), pools=[tuple(reports)]))
    assert {outcome.payment for outcome in outcomes.values()} == {0}


def test_a_third_of_noise_hides_a_copy_from_the_likeness_and_not_from_the_overlap() -> None:
    reports = world(3, right=0.9)
    noise = np.random.default_rng(1)
    copy = np.where(noise.random(TASKS) < 0.3, noise.integers(0, ALPHABET, TASKS), reports["org2:2"])
    rows = np.stack([*reports.values()][:6] + [copy])
    assert groups(likeness(rows, ALPHABET)) == []
    found = QV.settle(case(reports | {"org6:6": copy}))
    assert {member for member, outcome in found.items() if outcome.sharing} == {"org2:2", "org6:6"}
    assert (likeness(rows, ALPHABET) <= overlap(rows, ALPHABET)).all()


def test_a_negative_qualification_is_charged_for_all_tranches_at_once() -> None:
    reports = world(4)
    reports["org6:6"] = (reports["org6:6"] + np.arange(TASKS) % 2 + 1) % ALPHABET
    one, ten = (QV.settle(case(reports, tranches=t))["org6:6"] for t in (1, 10))
    assert one.score == ten.score < 0
    cap = worst_loss(DG, TASKS, ALPHABET, 10**6)
    assert ten.payment == max(-cap, payment(10 * ten.score, ten.norm, 10**6, 0)) < one.payment
    positive = [QV.settle(case(reports, tranches=t))["org0:0"].payment for t in (1, 10)]
    assert positive[0] == positive[1] > 0


def test_a_whole_job_pays_worthless_reports_nothing_on_average() -> None:
    """Not so if only the first tranche could be negative: good luck would be paid ten times."""
    rng, totals, honest = np.random.default_rng(5), [], []
    for seed in range(150):
        reports = world(seed) | {"org0:0": rng.integers(0, ALPHABET, TASKS)}
        outcomes = QV.settle(case(reports, tranches=10))
        scores = {member: outcome.score for member, outcome in outcomes.items()}
        later = QV.release(scores, set(scores), TASKS * TASKS, 10**6, dict.fromkeys(scores, 0))
        totals.append(outcomes["org0:0"].payment + 9 * later.get("org0:0", 0))
        honest.append(outcomes["org1:1"].payment + 9 * later["org1:1"])
    assert abs(np.mean(totals)) < 3 * np.std(totals) / len(totals) ** 0.5
    assert np.mean(totals) < 0.01 * np.mean(honest)


def test_tranches_go_to_qualified_members_of_the_valid_set_alone() -> None:
    scores = {"a": 100, "b": 0, "c": -50, "d": 100, "e": 1}
    dithers = dict.fromkeys("abcdef", 0)
    assert QV.release(scores, {"a", "b", "c", "e", "f"}, 1000, 500, dithers) == {"a": 50}
    assert QV.release(scores, {"e"}, 1000, 500, {"e": 500}) == {"e": 1}
    assert PAPER.release(scores, {"a"}, 1000, 500, dithers) == {}


@pytest.mark.parametrize("mechanism", [QV, SHARP, FLOOR])
@given(st.integers(0, 1 << 32), st.integers(2, 9), st.integers(0, 10**9), st.integers(1, 20))
@settings(deadline=None, max_examples=40)
def test_no_round_exceeds_its_budget_and_nobody_loses_more_than_the_least_stake(
    mechanism: Mechanism, seed: int, clients: int, price: int, tranches: int
) -> None:
    rng = np.random.default_rng(seed)
    pool = [rng.integers(0, rng.integers(1, ALPHABET + 1), 60) for _ in range(rng.integers(1, clients + 1))]
    reports = {f"m{i}": pool[rng.integers(len(pool))] for i in range(clients)}
    norm = mechanism.norm(DG, 60, ALPHABET)
    dither = int(rng.integers(0, norm))
    most, cap = best_gain(DG, 60, ALPHABET, price), worst_loss(DG, 60, ALPHABET, price)
    outcomes = mechanism.settle(case(reports, price, tranches, dither))
    assert sum(outcome.payment for outcome in outcomes.values()) <= clients * most
    assert all(-cap <= outcome.payment <= most for outcome in outcomes.values())
    scores = {member: outcome.score for member, outcome in outcomes.items()}
    released = mechanism.release(scores, set(scores), norm, price, dict.fromkeys(scores, dither))
    assert all(0 < units <= most for units in released.values())


def test_the_sharp_variant_pays_the_product_of_two_halves() -> None:
    reports = world(8)
    outcomes, whole = SHARP.settle(case(reports)), QV.settle(case(reports))
    for member, outcome in outcomes.items():
        others = [r for name, r in reports.items() if name != member]
        halves = [
            sorted(DG.pair(reports[member][k::2], other[k::2], ALPHABET) for other in others)[2]
            for k in (0, 1)
        ]
        assert outcome.score == halves[0] * halves[1] > 0
        assert outcome.norm == (TASKS // 2) ** 4 == SHARP.norm(DG, TASKS, ALPHABET)
        assert outcome.scores == whole[member].scores
        assert 0 < outcome.payment < whole[member].payment


def test_two_negative_halves_are_a_loss_within_the_least_stake() -> None:
    reports = world(8)
    reports["org6:6"] = (reports["org6:6"] + 1) % ALPHABET
    outcome = SHARP.settle(case(reports, tranches=10))["org6:6"]
    assert outcome.score < 0
    assert -worst_loss(DG, TASKS, ALPHABET, 10**6) <= outcome.payment < 0
    with pytest.raises(ValueError, match="^rule"):
        SHARP.check(RULES["peer-truth-serum"], 0)


def test_the_floor_is_half_the_lower_quartile_of_the_others_among_themselves() -> None:
    reports = world(8)  # even labels: the whole floor comes off
    outcomes, whole = FLOOR.settle(case(reports)), QV.settle(case(reports))
    for member, outcome in outcomes.items():
        others = QV.settle(case({name: report for name, report in reports.items() if name != member}))
        low = sorted(other.score for other in others.values())[1]
        assert outcome.score == whole[member].score - low // 2 > 0
        assert (outcome.norm, outcome.scores) == (whole[member].norm, whole[member].scores)


def test_nobodys_report_moves_its_own_floor() -> None:
    reports = world(8)
    noise = np.random.default_rng(2).integers(0, ALPHABET, TASKS)
    floors = [
        QV.settle(case(each))["org6:6"].score - FLOOR.settle(case(each))["org6:6"].score
        for each in (reports, reports | {"org6:6": noise}, reports | {"org6:6": np.zeros(TASKS, np.int64)})
    ]
    assert floors[0] == floors[1] == floors[2] > 0


def test_one_idle_member_does_not_take_the_floor_from_the_others() -> None:
    reports = world(8)
    idle = reports | {"org6:6": np.random.default_rng(2).integers(0, ALPHABET, TASKS)}
    for each in (reports, idle):
        plain, floored = (mechanism.settle(case(each))["org0:0"].score for mechanism in (QV, FLOOR))
        assert 0.35 * plain < floored < 0.65 * plain


@pytest.mark.parametrize(("same", "share"), [(1.0, 1.0), (0.6, 0.56), (0.3, 0.0)])
def test_the_floor_comes_off_as_far_as_the_others_hold_the_same_labels(same: float, share: float) -> None:
    """All agree on a share of the tasks; on the rest each says a label of its own."""
    reports = world(8, clients=6)
    own = np.arange(TASKS) >= same * TASKS
    skewed = {m: np.where(own, i, report % 2 + 6) for i, (m, report) in enumerate(reports.items())}
    cases = [replace(case(each), alphabet=8) for each in (skewed, dict(list(skewed.items())[:5]))]
    (plain, others), floored = (QV.settle(each) for each in cases), FLOOR.settle(cases[0])
    low = sorted(other.score for other in others.values())[1]
    assert not any(outcome.sharing for outcome in (*plain.values(), *others.values()))
    off = plain["org5:5"].score - floored["org5:5"].score
    assert off == pytest.approx(share * low / 2, rel=0.15)


def test_who_falls_short_of_the_floor_loses_at_most_the_least_stake() -> None:
    reports = world(8)
    reports["org6:6"] = (reports["org6:6"] + 1) % ALPHABET
    outcome = FLOOR.settle(case(reports, tranches=10))["org6:6"]
    assert outcome.payment == -worst_loss(DG, TASKS, ALPHABET, 10**6)


def test_with_two_peers_there_is_no_floor() -> None:
    reports = dict(list(world(8).items())[:3])
    assert FLOOR.settle(case(reports)) == QV.settle(case(reports))


def test_with_three_peers_there_is_one() -> None:
    reports = world(8, clients=4)
    floored, plain = FLOOR.settle(case(reports)), QV.settle(case(reports))
    assert all(floored[member].score < plain[member].score for member in reports)


def test_others_who_disagree_among_themselves_raise_nobodys_pay() -> None:
    reports = world(8, right=0.0)
    floored, plain = FLOOR.settle(case(reports)), QV.settle(case(reports))
    below = 0
    for member in reports:
        others = QV.settle(case({name: report for name, report in reports.items() if name != member}))
        below += sorted(other.score for other in others.values())[1] < 0
        assert floored[member].score <= plain[member].score
    assert below > 0, "some floor would be negative"


def view(z: list[int], z2: list[int], margin: list[int]) -> View:
    return View(np.array(z), np.array(z2), np.array(margin))


def test_views_of_the_public_model_become_one() -> None:
    views = [
        view([0, 1, 2], [1, 0, 0], [5, 7, 1]),
        view([0, 1, 1], [1, 0, 2], [6, 7, 0]),
        view([0, 2, 2], [1, 1, 0], [5, 9, 9]),
    ]
    common = agreed(views)
    assert [list(field) for field in (common.z, common.z2, common.margin)] == [
        [0, 1, 2],
        [1, 0, 0],
        [5, 7, 1],
    ]
    assert list(agreed([view([3], [1], [2]), view([1], [2], [4])]).z) == [1]
    with pytest.raises(ValueError, match="^views"):
        agreed([])
    with pytest.raises(ValueError, match="margin"):
        agreed([View(np.array([1]), np.array([0]))])
    with pytest.raises(ValueError, match=r"view\.z: missing"):
        agreed([View()])


def test_only_a_gross_outlier_among_the_views_is_named() -> None:
    z = list(range(10)) * 2
    near, far = [*z[:-2], 0, 0], [0] * 20
    views = [view(labels, [each + 10 for each in z], z) for labels in (z, z, near, far)]
    assert outliers(views, agreed(views)) == [3]
