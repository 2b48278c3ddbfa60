"""Reports on the wire: every report has one form, and everything else is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaincode.report import bits, pack, size, unpack


@pytest.mark.parametrize(("alphabet", "width"), [(2, 1), (3, 2), (4, 2), (5, 3), (10, 4), (128, 7), (256, 8)])
def test_a_symbol_takes_the_bits_its_alphabet_needs(alphabet: int, width: int) -> None:
    assert bits(alphabet) == width


@pytest.mark.parametrize("alphabet", [-1, 0, 1, 257])
def test_an_alphabet_outside_2_to_256_is_refused(alphabet: int) -> None:
    with pytest.raises(ValueError, match="alphabet"):
        bits(alphabet)


def test_symbols_are_written_from_the_highest_bit_down() -> None:
    assert pack(np.array([1, 2, 0, 2, 1]), 3) == bytes([0b01_10_00_10, 0b01_000000])
    assert pack(np.array([9, 1]), 10) == bytes([0x91])
    assert pack(np.array([], int), 10) == b""


@given(
    st.integers(2, 256).flatmap(lambda c: st.tuples(st.just(c), st.lists(st.integers(0, c - 1), max_size=70)))
)
def test_packing_and_unpacking_gives_the_report_back(case: tuple[int, list[int]]) -> None:
    alphabet, symbols = case
    packed = pack(np.array(symbols, int), alphabet)
    assert len(packed) == size(len(symbols), alphabet)
    assert unpack(packed, len(symbols), alphabet).tolist() == symbols


@given(st.integers(2, 256), st.integers(0, 40), st.data())
def test_whatever_unpacks_is_the_only_form_of_its_report(
    alphabet: int, tasks: int, data: st.DataObject
) -> None:
    packed = data.draw(st.binary(min_size=size(tasks, alphabet), max_size=size(tasks, alphabet)))
    try:
        symbols = unpack(packed, tasks, alphabet)
    except ValueError:
        return
    assert pack(symbols, alphabet) == packed


@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="wrong length"):
        unpack(bytes(length), 5, 3)


@pytest.mark.parametrize("last", [0b00000001, 0b00100000])
def test_padding_that_is_not_zero_is_refused(last: int) -> None:
    with pytest.raises(ValueError, match="padding"):
        unpack(bytes([0, last]), 5, 3)


def test_a_symbol_outside_the_alphabet_is_refused_by_its_task() -> None:
    with pytest.raises(ValueError, match="symbol 3 of task 2"):
        unpack(bytes([0b00_01_11_00, 0]), 5, 3)


@pytest.mark.parametrize("symbols", [[3], [-1], [256], [1 << 40]])
def test_packing_refuses_a_symbol_outside_the_alphabet(symbols: list[int]) -> None:
    with pytest.raises(ValueError, match="outside"):
        pack(np.array(symbols), 3)


@pytest.mark.parametrize("symbols", [np.zeros((2, 2), int), np.zeros(2)])
def test_packing_refuses_what_is_not_one_row_of_integers(symbols: np.ndarray) -> None:
    with pytest.raises(ValueError, match="row of integers"):
        pack(symbols, 3)
