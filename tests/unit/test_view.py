"""The public view on the wire: 6 bytes an item, strict."""

from __future__ import annotations

import numpy as np
import pytest

from chaincode import view as views
from chaincode.mtpp import View
from chaincode.view import pack, size, unpack


def given(items: int = 50, alphabet: int = 5, seed: int = 0) -> View:
    rng = np.random.default_rng(seed)
    z = rng.integers(0, alphabet, items)
    z2 = (z + rng.integers(1, alphabet, items)) % alphabet
    return View(z, z2, rng.integers(0, 2**31, items))


def test_the_bytes_are_fixed():
    assert pack(View(np.array([1, 255]), np.array([2, 0]), np.array([258, 2**31 - 1])), 256) == bytes.fromhex(
        "0102" + "00000102" + "ff00" + "7fffffff"
    )
    assert pack(View(*(np.zeros(0, np.int64),) * 3), 2) == b""


@pytest.mark.parametrize(("items", "alphabet"), [(0, 2), (1, 2), (50, 5), (1000, 256)])
def test_what_was_packed_unpacks_the_same(items: int, alphabet: int):
    view = given(items, alphabet)
    data = pack(view, alphabet)
    assert len(data) == size(items) == 6 * items
    again = unpack(data, items, alphabet)
    for name in ("z", "z2", "margin"):
        assert np.array_equal(getattr(view, name), getattr(again, name))
    assert pack(again, alphabet) == data


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("05" "00" "00000000", "item 1: z is outside"),
        ("00" "05" "00000000", "item 1: z2 is outside"),
        ("03" "03" "00000000", "item 1: z and z2 are the same"),
        ("00" "01" "ffffffff", "item 1: the margin is outside"),
        ("00" "01" "80000000", "item 1: the margin is outside"),
    ],
)  # fmt: skip
def test_an_item_that_is_wrong_is_refused_with_its_reason(item: str, reason: str):
    sound = bytes.fromhex("000100000000")
    with pytest.raises(ValueError, match=reason):
        unpack(sound + bytes.fromhex(item) + sound, 3, 5)


@pytest.mark.parametrize("length", [0, 5, 11, 13, 18])
def test_another_length_is_refused(length: int):
    with pytest.raises(ValueError, match="wrong length"):
        unpack(bytes(length), 2, 5)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"z": None}, "view.z: missing"),
        ({"margin": None}, "view.margin: missing"),
        ({"z2": np.array([1])}, "view.z2"),
        ({"z": np.array([0.0, 0.0])}, "view.z"),
        ({"z": np.array([0, -1])}, "item 1: z is outside"),
        ({"z2": np.array([1, 9])}, "item 1: z2 is outside"),
        ({"z": np.array([0, 256])}, "item 1: z is outside"),
        ({"z": np.array([1, 0])}, "item 0: z and z2"),
        ({"margin": np.array([0, -1])}, "item 1: the margin"),
        ({"margin": np.array([2**31, 0])}, "item 0: the margin"),
    ],
)
def test_what_could_not_be_unpacked_is_not_packed(changes: dict[str, np.ndarray | None], reason: str):
    fields = {"z": np.array([0, 0]), "z2": np.array([1, 1]), "margin": np.array([3, 4])}
    with pytest.raises(ValueError, match=reason):
        pack(View(**(fields | changes)), 5)


def test_the_view_of_some_tasks_comes_in_their_order():
    view = given(10).at(np.array([7, 2]))
    assert np.array_equal(view.z, given(10).z[[7, 2]])
    assert np.array_equal(view.margin, given(10).margin[[7, 2]])
    assert View(np.arange(3)).at(np.array([2])).z2 is None
    assert views.ITEM_BYTES == 6
