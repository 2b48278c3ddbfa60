"""Parameters as bytes: one encoding, and every malformed file refused for the reason that applies."""

import contextlib
import hashlib
import json
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chaincode.records import Reason
from fl_client.training.parameters import Unusable, add, from_bytes, subtract, to_bytes

floats = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)  # fmt: skip
MODEL = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(1.5, dtype=np.float32)]


def raw(tensors: dict, data: bytes) -> bytes:
    header = json.dumps(tensors).encode()
    return struct.pack("<Q", len(header)) + header + data


@given(st.lists(floats, max_size=4))
def test_decoding_gives_back_what_was_encoded(arrays):
    again = from_bytes(to_bytes(arrays), like=arrays)
    assert [a.shape for a in again] == [a.shape for a in arrays]
    assert [a.tobytes() for a in again] == [a.tobytes() for a in arrays]
    assert to_bytes(again) == to_bytes(arrays)


def test_the_encoding_is_fixed():
    digest = hashlib.sha256(to_bytes(MODEL)).hexdigest()
    assert digest == "f07555ba8dbcc3d735e23271111335fef03ba58c893ee44a4b724f1a5679af71"


def test_memory_layout_does_not_matter():
    columns = [np.asfortranarray(MODEL[0]), MODEL[1]]
    assert to_bytes(columns) == to_bytes(MODEL)


def test_decoded_arrays_can_be_written():
    from_bytes(to_bytes(MODEL))[0][0, 0] = 7


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_are_refused(value):
    bad = np.array([1, value], dtype=np.float32)
    with pytest.raises(ValueError, match="NaN or Inf in tensor 00000"):
        to_bytes([bad])
    with pytest.raises(ValueError, match="NaN or Inf in tensor 00000"):
        from_bytes(safetensors.numpy.save({"00000": bad}))


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "bool"])
def test_another_dtype_is_refused(dtype):
    bad = np.zeros(2, dtype=dtype)
    with pytest.raises(ValueError, match="not float32"):
        to_bytes([bad])
    with pytest.raises(ValueError, match="wrong dtype"):
        from_bytes(safetensors.numpy.save({"00000": bad}))


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"00000": MODEL[0]}, "missing tensor '00001'"),
        ({"00000": MODEL[0], "00001": MODEL[1], "00002": MODEL[1]}, "extra tensor '00002'"),
        ({"00000": MODEL[0], "weights": MODEL[1]}, "extra tensor 'weights'"),
        ({"00000": MODEL[0].T.copy(), "00001": MODEL[1]}, "wrong shape: tensor 00000"),
        ({"00000": MODEL[0], "00001": MODEL[1].reshape(1)}, "wrong shape: tensor 00001"),
    ],
)
def test_another_model_is_refused(tensors, reason):
    with pytest.raises(ValueError, match=reason):
        from_bytes(safetensors.numpy.save(tensors), like=MODEL)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 8,
        b"\xff" * 64,
        to_bytes(MODEL)[:-1],
        to_bytes(MODEL) + b"\x00",
        raw({"00000": {"dtype": "F32", "shape": [2**62], "data_offsets": [0, 4]}}, b"\x00" * 4),
        raw({"00000": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"\x00" * 8),
        raw({"00000": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, b"\x00" * 4),
        raw({"00000": 1}, b""),
    ],
)
def test_what_is_not_safetensors_is_refused(data):
    with pytest.raises(ValueError, match="malformed"):
        from_bytes(data)


@pytest.mark.parametrize("shape", [[0, 2**63], [0, 2**64 - 1], [0] * 65])
def test_an_empty_tensor_of_a_shape_that_no_array_has_is_of_a_wrong_shape(shape):
    """What the parser lets through: nothing of it is stored, however large the shape says it is."""
    data = raw({"00000": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}, b"")
    with pytest.raises(Unusable, match="wrong shape: tensor 00000") as found:
        from_bytes(data, like=MODEL[:1])
    assert found.value.reason is Reason.WRONG_SHAPE


SIZES = st.sampled_from([0, 1, 2, 6, 2**31, 2**62, 2**63, 2**64 - 1])


@given(st.lists(SIZES, max_size=70), st.sampled_from([0, 4, 24]))
def test_no_shape_makes_a_tensor_anything_but_right_or_unusable(shape, size):
    data = raw({"00000": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}, bytes(size))
    with contextlib.suppress(Unusable):
        assert [array.shape for array in from_bytes(data, like=MODEL[:1])] == [(2, 3)]


@given(st.binary(max_size=200))
def test_no_input_raises_anything_but_unusable(data):
    with contextlib.suppress(Unusable):
        from_bytes(data, like=MODEL)


def test_subtract_and_add_are_inverse_on_exact_values():
    doubled = add(MODEL, MODEL)
    assert to_bytes(subtract(doubled, MODEL)) == to_bytes(MODEL)
    assert all(array.dtype == np.float32 for array in doubled)
    with pytest.raises(ValueError, match="wrong number of tensors"):
        add(MODEL, MODEL[:1])
