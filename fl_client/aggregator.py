"""Aggregation on bytes: what a committee member computes, and which updates count. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fl_client.strategies import strategy as named_strategy
from fl_client.training import parameters


def aggregate(
    model: bytes,
    updates: Mapping[str, bytes],
    strategy: str = "fedavg",
    weights: Mapping[str, int] | None = None,
) -> bytes:
    """The next global model: ``model`` with the members' updates, all as safetensors bytes.

    ``weights``: member → integer, equal ones if omitted. The same inputs give the same bytes, in whatever
    order the members come; without updates the model stays as it is. ValueError names the first member
    (sorted) whose update is not valid.
    """
    current = parameters.from_bytes(model)
    decoded: dict[str, list[np.ndarray]] = {}
    for member in sorted(updates):
        try:
            decoded[member] = _decode(updates[member], model, current)
        except ValueError as error:
            raise ValueError(f"update of {member}: {error}") from error
    shares = dict.fromkeys(decoded, 1) if weights is None else weights
    return parameters.to_bytes(named_strategy(strategy).aggregate(current, decoded, shares))


def valid_updates(model: bytes, updates: Mapping[str, bytes]) -> dict[str, str | None]:
    """Member (sorted) → None if its update can be aggregated into ``model``, else the reason why not."""
    current = parameters.from_bytes(model)
    return {member: _fault(updates[member], model, current) for member in sorted(updates)}


def _fault(update: bytes, model: bytes, current: Sequence[np.ndarray]) -> str | None:
    try:
        _decode(update, model, current)
    except ValueError as error:
        return str(error)
    return None


def _decode(update: bytes, model: bytes, current: Sequence[np.ndarray]) -> list[np.ndarray]:
    """An update has the model's tensors, so not one byte more; and model + update stays finite in float32
    (then so does every weighted mean of such updates: nobody can stop an aggregation with a huge number)."""
    if len(update) > len(model):
        raise ValueError(f"oversized: {len(update)} bytes, the model has {len(model)}")
    change = parameters.from_bytes(update, current)
    with np.errstate(over="ignore"):
        if not all(np.isfinite(total).all() for total in parameters.add(current, change)):
            raise ValueError("overflow: the model plus this update exceeds float32")
    return change
