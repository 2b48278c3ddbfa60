"""Updates that hold nothing of what the others learn are told from those that do, where the others learn the same."""

from __future__ import annotations

import numpy as np
import pytest

from chaincode import direction
from chaincode.direction import strangers
from chaincode.lightcheck import verdicts
from chaincode.records import Reason
from chaincode.sketch import Sketch, sketch

SIZE, CLIENTS = 2000, 6
RNG = np.random.default_rng(5)
PUBLIC = RNG.standard_normal(SIZE)  # what the model has learnt before and still does
NEWS = RNG.standard_normal(SIZE)  # what this round's data add


def of(vector: np.ndarray) -> Sketch:
    return sketch([vector.astype(np.float32)])


def noise(seed: int, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_normal(SIZE)


PAST = [of(PUBLIC + noise(100 + i)) for i in range(CLIENTS)]
HONEST = {name: of(PUBLIC + NEWS + noise(i)) for i, name in enumerate("abcde")}
DISHONEST = {
    "an old update with noise": PUBLIC + noise(100) + noise(50),
    "the mean of what was revealed, with noise": np.mean([PUBLIC + noise(100 + i) for i in range(CLIENTS)], 0)
    + noise(61, 0.2),
    "noise": noise(51),
    "the opposite of an honest one": -(PUBLIC + NEWS + noise(5)),
}


def test_honest_updates_have_something_in_common_beyond_what_was_known() -> None:
    assert strangers(HONEST | {"f": of(PUBLIC + NEWS + noise(5))}, PAST) == set()


@pytest.mark.parametrize("kind", DISHONEST)
def test_an_update_without_news_is_a_stranger(kind: str) -> None:
    found = verdicts(HONEST | {"f": of(DISHONEST[kind])}, {}, dict(zip("uvwxyz", PAST, strict=True)))
    assert found == dict.fromkeys("abcde") | {"f": Reason.DIRECTION}


def test_an_update_that_is_refused_for_its_size_keeps_that_reason_and_says_nothing_about_the_others() -> None:
    past = dict(zip("uvwxyz", PAST, strict=True))
    found = verdicts(HONEST | {"f": of(100 * noise(51)), "g": of(np.zeros(SIZE))}, {}, past)
    assert found == dict.fromkeys("abcde") | {"f": Reason.NORM, "g": Reason.NORM}


def test_an_exact_combination_of_what_was_revealed_is_a_stranger() -> None:
    combined = sum((i + 1) * each.astype(np.float64) for i, each in enumerate(PAST)) / 2.0**24
    assert strangers(HONEST | {"f": of(combined)}, PAST) == {"f"}


def test_a_little_of_the_news_is_enough_whatever_its_size() -> None:
    updates = HONEST | {"f": of(3 * (PUBLIC + 0.2 * NEWS + noise(5)))}
    assert strangers(updates, PAST) == set()


def test_where_the_others_have_nothing_in_common_nobody_is_refused() -> None:
    apart = {name: of(PUBLIC + noise(i)) for i, name in enumerate("abcdef")}
    assert strangers(apart, [of(PUBLIC)]) == set()
    assert strangers(apart | {"f": of(-noise(5))}, [of(PUBLIC)]) == set()


def test_one_more_stranger_among_the_others_does_not_hide_the_first() -> None:
    lonely = {"f": of(noise(51)), "g": of(-(PUBLIC + NEWS + noise(6)))}
    assert strangers(HONEST | lonely, PAST) == {"f", "g"}


def test_fewer_than_three_others_prove_nothing() -> None:
    few = {name: HONEST[name] for name in "ab"}
    assert strangers(few | {"f": of(noise(51))}, PAST) == set()
    assert strangers({name: HONEST[name] for name in "abc"} | {"f": of(noise(51))}, PAST) == {"f"}


def test_members_order_scale_and_useless_known_updates_do_not_matter() -> None:
    updates = HONEST | {"f": of(noise(51))}
    useless = [of(np.zeros(SIZE)), of(noise(3))[:10], PAST[0], of(4 * PUBLIC), of(8 * PUBLIC)]
    assert strangers(dict(reversed(updates.items())), [*PAST, *useless]) == {"f"}


def test_the_thresholds_are_met_from_one_side_alone() -> None:
    """Three others who point exactly the same way are clear as √(free dimensions), a rest of cosine c with them is
    c times that."""

    def strange(free: int, own: int) -> bool:
        rests = np.full((4, 4), direction.ONE, object)
        rests[3, :3] = rests[:3, 3] = own
        return direction._strange(rests, free, 3)

    assert [strange(free, 0) for free in (63, 64)] == [False, True]
    quarter = direction.ONE // 4
    assert [strange(64, own) for own in (quarter - 1, quarter)] == [True, False]


def test_where_the_others_cancel_out_there_is_no_direction() -> None:
    assert [direction._z(1, length, 10) for length in (-1, 0)] == [0, 0]  # but for what rounding leaves


def test_large_models_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    inner = direction.inner
    monkeypatch.setattr(direction, "SAMPLE", 300)
    monkeypatch.setattr(direction, "inner", lambda a, b: seen.append(a.size) or inner(a, b))
    assert strangers(HONEST | {"f": of(noise(51))}, PAST) == {"f"}
    assert set(seen) == {286}  # every seventh of 2,000


def test_z_is_about_standard_normal_for_noise() -> None:
    """Refused below 2: of ten random updates one or none may pass."""
    passed = [seed for seed in range(200, 210) if not strangers(HONEST | {"f": of(noise(seed))}, PAST)]
    assert len(passed) <= 1
