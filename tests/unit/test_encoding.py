"""The bytes everybody agrees on."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaincode.encoding import canonical, domain, lp


class Point(msgspec.Struct):
    y: int
    x: int


def test_a_length_prefix_is_four_big_endian_bytes() -> None:
    assert lp(b"") == b"\0\0\0\0"
    assert lp(b"abc") == b"\0\0\0\3abc"


@given(st.lists(st.binary(max_size=20), max_size=4), st.lists(st.binary(max_size=20), max_size=4))
def test_different_rows_of_prefixed_strings_never_meet(one: list[bytes], other: list[bytes]) -> None:
    assert (b"".join(map(lp, one)) == b"".join(map(lp, other))) == (one == other)


def test_canonical_json_sorts_keys_at_every_depth_and_has_no_spaces() -> None:
    value = {"b": [1, {"d": None, "c": True}], "a": Point(y=2, x=1), "é": "ü"}
    assert canonical(value) == '{"a":{"x":1,"y":2},"b":[1,{"c":true,"d":null}],"é":"ü"}'.encode()


@pytest.mark.parametrize("value", [1.0, [1, 2.5], {"a": {"b": float("nan")}}])
def test_canonical_json_refuses_floats_anywhere(value: Any) -> None:
    with pytest.raises(TypeError, match="integers only"):
        canonical(value)


def test_a_domain_is_its_three_names_and_the_round() -> None:
    assert domain("ch", "cc", "j", 258) == b"\0\0\0\2ch\0\0\0\2cc\0\0\0\1j\0\0\1\2"


@pytest.mark.parametrize("round", [-1, 1 << 32])
def test_a_domain_refuses_a_round_beyond_32_bits(round: int) -> None:
    with pytest.raises(ValueError, match="round"):
        domain("ch", "cc", "j", round)
