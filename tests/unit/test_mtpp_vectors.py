"""The scoring rules give the numbers worked out by hand and by enumeration."""

from collections.abc import Sequence

import numpy as np
import pytest

from chaincode.mtpp import RULES, View

DG, CA = RULES["dasgupta-ghosh"], RULES["correlated-agreement"]
MB, CZ = RULES["matched-blocks"], RULES["conditional"]


def letters(text: str) -> list[int]:
    return [ord(letter) - ord("A") for letter in text]


def digits(text: str) -> list[int]:
    return [int(digit) for digit in text]


def from_counts(counts: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """Two reports whose joint counts are these."""
    cells = [(a, b) for a, row in enumerate(counts) for b, count in enumerate(row) for _ in range(count)]
    return [a for a, _ in cells], [b for _, b in cells]


def one_block(tasks: int) -> View:
    zeros = np.zeros(tasks, int)
    return View(z=zeros, z2=zeros, margin=zeros)


X, Y = letters("AABBABAB"), letters("ABBBAAAB")
JOINT = from_counts([[30, 10, 2], [10, 5, 3], [2, 3, 35]])


def merged(report: list[int]) -> list[int]:
    return [0 if symbol == 1 else symbol for symbol in report]


def test_the_two_letter_example() -> None:
    assert RULES["determinant"].pair(X, Y, 2) == 4
    assert DG.pair(X, Y, 2) == 16
    assert RULES["output-agreement"].pair(X, Y, 2) == 6


def test_merging_two_labels_beats_identity_but_not_correlated_agreement() -> None:
    x, y = JOINT
    assert DG.pair(x, y, 3) == 3312
    assert DG.pair(merged(x), y, 3) == 3380
    assert CA.pair(x, y, 3, others=[x, y]) == 3800
    assert CA.pair(merged(x), y, 3, others=[x, y]) == 3800


@pytest.mark.parametrize(
    ("alphabet", "diagonal", "off", "numerator", "denominator"),
    [(2, 41, 9, 8, 25), (4, 183, 14, 169, 300), (10, 657, 17, 32, 45)],
)
def test_honest_clients_of_nine_tenths_accuracy(
    alphabet: int, diagonal: int, off: int, numerator: int, denominator: int
) -> None:
    x, y = from_counts([[diagonal if a == b else off for b in range(alphabet)] for a in range(alphabet)])
    for rule in (DG, CA):
        score = rule.pair(x, y, alphabet, others=[x, y])
        assert score * denominator == rule.norm(len(x), alphabet) * numerator


@pytest.mark.parametrize(
    ("x", "y", "score"),
    [
        ("0010", "0110", 8),
        ("0011", "1100", -16),
        ("0123", "0123", 24),
        ("01", "01", 12),
        ("01", "10", -12),
        ("001", "011", 6),
    ],
)
def test_one_matched_block(x: str, y: str, score: int) -> None:
    assert MB.pair(digits(x), digits(y), 4, view=one_block(len(x))) == score


def test_a_last_block_of_one_task_does_not_count() -> None:
    assert MB.pair(digits("01230"), digits("01230"), 4, view=one_block(5)) == 24
    assert MB.pair([1], [1], 4, view=one_block(1)) == 0


def test_blocks_follow_both_labels_then_the_margin_then_the_task() -> None:
    view = View(
        z=np.array([1, 0, 0, 0, 1, 0, 0, 0, 0, 0]),
        z2=np.array([0, 1, 1, 1, 0, 2, 1, 1, 1, 2]),
        margin=np.array([5, 9, 1, 1, -3, 0, 2, 2, 2, 0]),
    )
    # (z=0, z2=1) by margin, task: 2 3 6 7 | 8 1; (0, 2): 5 9; (1, 0): 4 0.
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 3, (2, 10))
    blocks = [[2, 3, 6, 7], [8, 1], [5, 9], [4, 0]]
    expected = sum(MB.pair(x[b], y[b], 3, view=one_block(len(b))) for b in blocks)
    assert MB.pair(x, y, 3, view=view) == expected


@pytest.mark.parametrize("name", ["dasgupta-ghosh", "correlated-agreement", "conditional", "matched-blocks"])
def test_a_constant_report_scores_exactly_nothing(name: str) -> None:
    rng = np.random.default_rng(1)
    reports = rng.integers(0, 5, (8, 97))
    reports[3] = 2
    scores = RULES[name].matrix(reports, 5, View(*rng.integers(0, 5, (3, 97))))
    assert not scores[3].any()
    assert not scores[:, 3].any()
    assert np.count_nonzero(scores) > 40


def test_a_copier_of_the_public_label_scores_exactly_nothing_when_it_is_conditioned_on() -> None:
    rng = np.random.default_rng(2)
    z, z2, margin = rng.integers(0, 4, (3, 203))
    reports = np.vstack([z, z2, (z + 3 * z2) % 4, rng.integers(0, 4, (3, 203))])
    conditional = CZ.matrix(reports, 4, View(z=z))
    blocks = MB.matrix(reports, 4, View(z, z2, margin))
    assert not conditional[0].any()
    assert conditional[1].any()  # plain conditioning on z pays its second label
    assert not blocks[:3].any()
    assert blocks[3:, 3:].any()


def test_the_baselines_pay_a_constant_report_under_skew() -> None:
    rng = np.random.default_rng(4)
    reports = (rng.random((6, 200)) < 0.1).astype(int)
    reports[0] = 0
    assert (RULES["output-agreement"].matrix(reports, 2)[0, 1:] > 150).all()
    assert (RULES["peer-truth-serum"].matrix(reports, 2)[0, 1:] > 0).all()


def test_peer_truth_serum_weighs_a_match_by_the_others_share_of_the_label() -> None:
    rule, unit = RULES["peer-truth-serum"], 1 << 16
    x, y = [0, 0, 1, 2], [0, 1, 1, 2]
    others = [[0, 0, 0, 0], [0, 1, 1, 0]]  # shares 6/8, 2/8, and none: capped at 1/12
    assert rule.pair(x, y, 3, others) == unit * 8 // 6 + unit * 8 // 2 + 12 * unit
    assert rule.pair(x, y, 3) == 3 * 3 * unit  # nobody else: uniform
    assert rule.norm(4, 3) == rule.pair([0, 1, 2, 0], [0, 1, 2, 0], 3)


def test_peer_truth_serum_caps_the_worth_of_a_rare_label() -> None:
    others = [[1] + [0] * 19, [0] * 20]  # label 1 has a share of 1/40, which counts as 1/8
    assert RULES["peer-truth-serum"].pair([1] * 20, [1] * 20, 2, others) == 20 * 8 << 16


def test_determinant_refuses_what_it_cannot_measure() -> None:
    rule = RULES["determinant"]
    with pytest.raises(ValueError, match="^alphabet: 5"):
        rule.check(100, 5)
    with pytest.raises(ValueError, match="^tasks: 7 is less"):
        rule.check(7, 4)
    with pytest.raises(ValueError, match="^tasks: .* 62 bits"):
        rule.check(4000, 4)


def test_the_largest_sizes_determinant_accepts_do_not_overflow() -> None:
    rule = RULES["determinant"]
    for alphabet in (2, 3, 4):
        tasks = max(t for t in range(2 * alphabet, 65537) if _accepts(t, alphabet))
        half = np.arange(tasks // 2) % alphabet
        report = np.concatenate([half, np.arange(tasks - tasks // 2) % alphabet])
        assert rule.pair(report, report, alphabet) == rule.bounds(tasks, alphabet)[1] < 1 << 62


def _accepts(tasks: int, alphabet: int) -> bool:
    try:
        RULES["determinant"].check(tasks, alphabet)
    except ValueError:
        return False
    return True
