"""The settlement of the mechanism `paper`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaincode.draw import peers
from chaincode.mechanisms import MECHANISMS, Case, Outcome
from chaincode.mtpp import RULES
from chaincode.mtpp.payment import best_gain, combine, dithers, payment, worst_loss

RULE = RULES["correlated-agreement"]
NAMES = [f"Org{i % 3}MSP:{i}" for i in range(7)]
TASKS, ALPHABET, PRICE = 60, 4, 1000
NORM = RULE.norm(TASKS, ALPHABET)


def reports(seed: int = 0) -> dict[str, np.ndarray]:
    """Seven clients that are right three times in four."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, ALPHABET, TASKS)
    return {
        name: np.where(rng.random(TASKS) < 0.75, truth, rng.integers(0, ALPHABET, TASKS)).astype(np.uint8)
        for name in NAMES
    }


def drawn(m: int = 4) -> dict[str, tuple[str, ...]]:
    return peers(b"p" * 32, NAMES, m)


DITHERS = dict(zip(NAMES, dithers(b"d" * 32, NAMES, NORM), strict=True))


def settle(*case: object) -> dict[str, Outcome]:
    return MECHANISMS["paper"].settle(Case(*case))  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["median", "mean"])
def test_everyone_is_scored_against_its_peers_and_paid_by_the_combination(how: str) -> None:
    given_reports = reports()
    outcomes = settle(given_reports, drawn(), ALPHABET, RULE, how, PRICE, DITHERS)  # type: ignore[arg-type]
    assert list(outcomes) == sorted(NAMES)
    for member, outcome in outcomes.items():
        assert set(outcome.scores) == set(drawn()[member])
        for peer, score in outcome.scores.items():
            others = [r for name, r in given_reports.items() if name not in (member, peer)]
            assert score == RULE.pair(given_reports[member], given_reports[peer], ALPHABET, others)
        assert outcome.norm == NORM
        assert outcome.score == combine(list(outcome.scores.values()), how)  # type: ignore[arg-type]
        assert outcome.payment == payment(outcome.score, NORM, PRICE, DITHERS[member])
        assert outcome.payment > 0


def test_the_order_reports_arrive_in_does_not_matter() -> None:
    one = settle(reports(), drawn(), ALPHABET, RULE, "median", PRICE, DITHERS)
    back = dict(reversed(reports().items()))
    assert list(settle(back, drawn(), ALPHABET, RULE, "median", PRICE, DITHERS).items()) == list(one.items())


def test_who_did_not_reveal_is_no_peer_and_counts_nowhere() -> None:
    revealed = reports()
    silent = drawn()[NAMES[0]][0]
    del revealed[silent]
    outcomes = settle(revealed, drawn(), ALPHABET, RULE, "median", PRICE, DITHERS)
    assert silent not in outcomes
    assert set(outcomes[NAMES[0]].scores) == set(drawn()[NAMES[0]]) - {silent}
    peer = next(iter(outcomes[NAMES[0]].scores))
    others = [r for name, r in revealed.items() if name not in (NAMES[0], peer)]
    assert outcomes[NAMES[0]].scores[peer] == RULE.pair(revealed[NAMES[0]], revealed[peer], ALPHABET, others)


def test_with_no_peer_left_the_payment_is_nothing_whatever_the_dither() -> None:
    alone = {NAMES[0]: reports()[NAMES[0]]}
    outcome = settle(alone, drawn(), ALPHABET, RULE, "median", PRICE, {NAMES[0]: NORM - 1})[NAMES[0]]
    assert (outcome.scores, outcome.score, outcome.payment) == ({}, 0, 0)


def test_nobody_revealed_gives_no_outcome() -> None:
    assert settle({}, drawn(), ALPHABET, RULE, "median", PRICE, DITHERS) == {}


def test_reports_of_different_lengths_are_refused() -> None:
    uneven = reports() | {NAMES[1]: np.zeros(TASKS - 1, np.uint8)}
    with pytest.raises(ValueError, match="different lengths"):
        settle(uneven, drawn(), ALPHABET, RULE, "median", PRICE, DITHERS)


@given(st.integers(0, 1 << 32), st.sampled_from([0, 1, 2, 4]), st.integers(0, 10**9))
@settings(deadline=None, max_examples=40)
def test_the_sum_of_payments_stays_within_the_pool_and_the_locks(seed: int, m: int, price: int) -> None:
    rng = np.random.default_rng(seed)
    arbitrary = {name: rng.integers(0, rng.integers(1, 5), TASKS) for name in NAMES}
    outcomes = settle(arbitrary, drawn(m), ALPHABET, RULE, "median", price, DITHERS)
    total = sum(outcome.payment for outcome in outcomes.values())
    assert total <= len(NAMES) * best_gain(RULE, TASKS, ALPHABET, price)
    assert all(outcome.payment >= -worst_loss(RULE, TASKS, ALPHABET, price) for outcome in outcomes.values())


def test_a_random_reporter_earns_less_than_every_honest_one() -> None:
    mixed = reports() | {NAMES[3]: np.random.default_rng(9).integers(0, ALPHABET, TASKS)}
    outcomes = settle(mixed, drawn(), ALPHABET, RULE, "median", PRICE, DITHERS)
    assert min(outcomes, key=lambda name: outcomes[name].payment) == NAMES[3]
