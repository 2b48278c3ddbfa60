"""A model's parameters as bytes: safetensors, float32, tensors named ``00000``, ``00001``, ….

The same arrays give the same bytes everywhere, so that equal models have equal CIDs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from chaincode.records import Reason


class Unusable(ValueError):
    """Bytes or arrays that cannot be a model's parameters; ``reason`` is the ledger's word for it."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def to_bytes(arrays: Sequence[np.ndarray]) -> bytes:
    """Encode float32 arrays of any shapes. Unusable: another dtype, or NaN or Inf."""
    for index, array in enumerate(arrays):
        if array.dtype != np.float32:
            raise Unusable(Reason.MALFORMED, f"tensor {_name(index)} is {array.dtype}, not float32")
        _check_finite(index, array)
    return bytes(
        safetensors.numpy.save(
            {_name(i): np.ascontiguousarray(a).reshape(a.shape) for i, a in enumerate(arrays)}
        )
    )


def from_bytes(data: bytes, like: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
    """Decode what ``to_bytes`` wrote; with ``like``, demand its number of tensors and their shapes.

    Unusable (it names the reason): not safetensors, missing or extra tensors, another dtype or shape,
    NaN or Inf.
    """
    try:
        tensors = dict(safetensors.deserialize(bytes(data)))  # type: ignore[no-untyped-call]
    except Exception as error:  # the parser raises several unrelated types
        raise Unusable(Reason.MALFORMED, f"malformed: not a safetensors file ({error})") from None
    expected = len(tensors) if like is None else len(like)
    _check_names(set(tensors), expected)
    arrays = [_array(index, tensors[_name(index)]) for index in range(expected)]
    if like is not None:
        check_shapes(arrays, like)
    return arrays


def check_shapes(arrays: Sequence[np.ndarray], like: Sequence[np.ndarray]) -> None:
    """Unusable unless both have the same number of arrays, of the same shapes."""
    if len(arrays) != len(like):
        raise Unusable(Reason.MALFORMED, f"wrong number of tensors: {len(arrays)}, expected {len(like)}")
    for index, (array, model) in enumerate(zip(arrays, like, strict=True)):
        if array.shape != model.shape:
            text = f"wrong shape: tensor {_name(index)} is {array.shape}, expected {model.shape}"
            raise Unusable(Reason.WRONG_SHAPE, text)


def subtract(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> list[np.ndarray]:
    """``left - right`` array by array, in float32."""
    check_shapes(left, right)
    return [np.subtract(a, b, dtype=np.float32) for a, b in zip(left, right, strict=True)]


def add(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> list[np.ndarray]:
    """``left + right`` array by array, in float32."""
    check_shapes(left, right)
    return [np.add(a, b, dtype=np.float32) for a, b in zip(left, right, strict=True)]


def _name(index: int) -> str:
    return f"{index:05d}"


def _check_finite(index: int, array: np.ndarray) -> None:
    if not np.isfinite(array).all():
        raise Unusable(Reason.NOT_FINITE, f"NaN or Inf in tensor {_name(index)}")


def _check_names(names: set[str], expected: int) -> None:
    wanted = {_name(index) for index in range(expected)}
    if extra := names - wanted:
        raise Unusable(Reason.MALFORMED, f"extra tensor {min(extra)!r}")
    if missing := wanted - names:
        raise Unusable(Reason.MALFORMED, f"missing tensor {min(missing)!r}")


def _array(index: int, tensor: Mapping[str, Any]) -> np.ndarray:
    if tensor["dtype"] != "F32":
        raise Unusable(Reason.MALFORMED, f"wrong dtype: tensor {_name(index)} is {tensor['dtype']}, not F32")
    flat = np.frombuffer(tensor["data"], dtype="<f4").astype(np.float32)
    _check_finite(index, flat)
    try:
        return flat.reshape(tensor["shape"])
    except (ValueError, OverflowError) as error:  # an empty one may claim any size and number of dimensions
        raise Unusable(Reason.WRONG_SHAPE, f"wrong shape: tensor {_name(index)}: {error}") from None
