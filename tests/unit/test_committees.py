"""Counting a committee's votes, its digest, and how safe a size is."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaincode import commitment, committees
from chaincode.committees import capture, majority, safe_size, seats, valid
from chaincode.encoding import domain

DOCS = Path(__file__).parents[2] / "docs" / "aggregation.md"


def test_more_than_half_of_the_whole_committee_makes_a_majority():
    assert majority({"a": "x", "b": "x", "c": "y"}, 3) == "x"
    assert majority({"a": "x", "b": "x"}, 3) == "x"
    assert majority({"a": "x"}, 3) is None, "most of those present are not most of the committee"
    assert majority({"a": "x", "b": "y", "c": "z"}, 3) is None
    assert majority({"a": "x", "b": "x"}, 5) is None
    assert majority({}, 1) is None


def test_an_update_needs_the_support_of_more_than_half_of_the_committee():
    assert valid("abc", [{"a"}, {"a", "b"}, set()], 3) == ["b", "c"]
    assert valid("abc", [set()], 3) == []
    assert valid("abc", [set(), set()], 3) == ["a", "b", "c"]


@given(st.integers(1, 8), st.data())
def test_capture_is_the_share_of_all_committees_where_the_dishonest_have_more_than_half(members, data):
    dishonest = data.draw(st.integers(0, members))
    size = data.draw(st.integers(1, members))
    drawn = list(itertools.combinations(range(members), size))
    bad = sum(2 * sum(member < dishonest for member in each) > size for each in drawn)
    assert capture(members, dishonest, size) == Fraction(bad, len(drawn))


def test_capture_refuses_what_cannot_be_drawn():
    for arguments in ((5, 6, 3), (5, 2, 6), (5, 2, 0)):
        with pytest.raises(ValueError, match="cannot draw"):
            capture(*arguments)


def test_the_safe_size_is_the_smallest():
    assert safe_size(6) == 3
    assert safe_size(100) == 7
    assert safe_size(4, share=Fraction(1, 2), tolerated=Fraction(0)) is None


def test_seats_are_odd():
    assert [seats(3, members) for members in range(6)] == [0, 1, 1, 3, 3, 3]


def test_the_documents_tables_are_the_functions():
    text = DOCS.read_text()
    sizes = [int(found) for found in re.findall(r"^\| k of (\d+) \|", text, re.MULTILINE)]
    assert sizes
    for members in sizes:
        assert committees.table(members) in text, f"regenerate the table of {members} in {DOCS}"


def test_an_answers_digest_binds_round_attempt_member_model_and_view():
    base, salt = domain("channel", "candor", "job", 1), bytes(range(32))
    one = commitment.answer_digest(base, 1, "m", "c", salt)
    assert one.hex() == "14da7f6a26719dbb3892e1a4e638bd567b6828d50bd1b54aa71874a931989a74"
    others = [
        commitment.answer_digest(domain("channel", "candor", "job", 2), 1, "m", "c", salt),
        commitment.answer_digest(base, 2, "m", "c", salt),
        commitment.answer_digest(base, 1, "n", "c", salt),
        commitment.answer_digest(base, 1, "m", "d", salt),
        commitment.answer_digest(base, 1, "m", "c", bytes(32)),
        commitment.answer_digest(base, 1, "m", "c", salt, "v"),
        commitment.digest(base, "m", "c", "", salt),
    ]
    assert len({one, *others}) == 8
    for attempt in (-1, 2**32):
        with pytest.raises(ValueError, match="attempt"):
            commitment.answer_digest(base, attempt, "m", "c", salt)
    with pytest.raises(ValueError, match="salt"):
        commitment.answer_digest(base, 1, "m", "c", b"short")


def test_half_of_an_even_committee_is_neither_a_majority_nor_a_valid_update() -> None:
    assert majority(dict.fromkeys("ab", "x"), 4) is None
    assert majority(dict.fromkeys("abc", "x"), 4) == "x"
    assert valid(["m"], [[], [], ["m"], ["m"]], 4) == []
    assert valid(["m"], [[], [], [], ["m"]], 4) == ["m"]
