"""What the organisations' answers to one call amount to."""

from __future__ import annotations

import itertools

import pytest

from fl_client.errors import CandorError, Disagreement, Refused, Unavailable
from fl_client.ledger.base import encode_argument, majority
from fl_client.ledger.refusal import parse_refusal
from fl_client.ledger.verdict import Answer, Outcome, agreed, failure, still_needed

YES, OTHER, THIRD = Answer("A", b"yes"), Answer("B", b"other"), Answer("C", b"third")
FINAL, LATER, DEFECT, DOWN = (
    Refused(403, "no"),
    Refused(404, "not yet"),
    Refused(500, "ill"),
    Unavailable("down"),
)


def test_more_than_half_is_a_majority() -> None:
    assert [majority(count) for count in range(1, 8)] == [1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([YES, OTHER, THIRD], Disagreement),
        ([YES, OTHER, FINAL], Disagreement),
        ([YES, OTHER, DOWN], Disagreement),
        ([FINAL, FINAL, YES], FINAL),
        ([FINAL, Refused(400, "bad"), YES], FINAL),
        ([FINAL, LATER, YES], LATER),
        ([LATER, LATER], LATER),
        ([YES, FINAL, DOWN], Unavailable),
        ([DOWN, DOWN], Unavailable),
        ([DEFECT, DEFECT, FINAL], DEFECT),
        ([DEFECT, DOWN, YES], Unavailable),
    ],
)
def test_without_a_majority_the_error_says_why(
    outcomes: list[Outcome], expected: CandorError | type[CandorError]
) -> None:
    for order in itertools.permutations(outcomes):
        assert not agreed(order, 3)
        error = failure(order, 3, "X:y")
        if isinstance(expected, type):
            assert type(error) is expected
        else:
            assert type(error) is type(expected)
            assert error.final == expected.final  # type: ignore[attr-defined]


@pytest.mark.parametrize("other", [OTHER, FINAL, LATER, DEFECT, DOWN])
def test_a_minority_decides_nothing(other: Outcome) -> None:
    for order in itertools.permutations([YES, Answer("B", b"yes"), other]):
        assert [each.content for each in agreed(order, 3)] == [b"yes", b"yes"]


@pytest.mark.parametrize(
    ("outcomes", "organisations", "more"),
    [
        ([YES, YES], 3, 0),
        ([YES, OTHER], 3, 1),
        ([YES, FINAL], 3, 1),
        ([FINAL, FINAL], 3, 0),
        ([DOWN, DOWN], 3, 0),
        ([YES, OTHER, THIRD], 3, 0),
        ([YES, FINAL, DOWN], 5, 2),
        ([FINAL, DOWN, LATER], 5, 0),
    ],
)
def test_further_organisations_are_asked_while_they_can_help(
    outcomes: list[Outcome], organisations: int, more: int
) -> None:
    assert still_needed(outcomes, organisations) == more


def test_a_refusals_message_is_read_or_taken_as_it_is() -> None:
    typed = parse_refusal(409, '{"code":409,"details":{"state":"open"},"message":"not now"}')
    assert (typed.code, typed.message, typed.details) == (409, "not now", {"state": "open"})
    assert parse_refusal(403, '{"code":200,"message":"x"}').code == 403  # the status is what peers act on
    for plain in ("no", "", "[]", '{"code":"x"}', '{"message":7,"code":400}', "\ud800"):
        assert (parse_refusal(400, plain).message, parse_refusal(400, plain).details) == (plain, {})


def test_arguments_travel_as_text_bytes_or_canonical_json() -> None:
    assert encode_argument("é") == "é".encode()
    assert encode_argument(b"\xff") == b"\xff"
    assert encode_argument({"b": [1, None], "a": True}) == b'{"a":true,"b":[1,null]}'
    with pytest.raises(TypeError):
        encode_argument(0.5)
