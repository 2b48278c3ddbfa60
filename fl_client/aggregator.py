"""Aggregation on bytes: what a committee member computes, and which updates count. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from chaincode import lightcheck
from chaincode.records import Reason
from fl_client.strategies import strategy as named_strategy
from fl_client.training import parameters
from fl_client.training.parameters import Unusable


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
            decoded[member] = decode(updates[member], len(model), current)
        except ValueError as error:
            raise ValueError(f"update of {member}: {error}") from error
    shares = dict.fromkeys(decoded, 1) if weights is None else weights
    return parameters.to_bytes(named_strategy(strategy).aggregate(current, decoded, shares))


def verdicts(
    model: bytes,
    updates: Mapping[str, bytes],
    previous: Mapping[str, bytes] | None = None,
    earlier: Mapping[str, bytes] | None = None,
) -> dict[str, Unusable | None]:
    """Member (sorted) → None if its update can be aggregated into ``model``, else the fault with its reason.

    ``previous``: given where the job asks for the light check: what members revealed in the round before, as far
    as it can be had (none in round 1); ``earlier``: the same of the round before that.
    """
    current = parameters.from_bytes(model)
    found: dict[str, Unusable | None] = {}
    sketches: dict[str, lightcheck.Sketch] = {}
    for member in sorted(updates):
        try:
            decoded = decode(updates[member], len(model), current)
        except Unusable as fault:
            found[member] = fault
        else:
            found[member] = None
            if previous is not None:
                sketches[member] = lightcheck.sketch(decoded)
    if previous is not None:
        known = (_sketches(each, current) for each in (previous, earlier or {}))
        for member, reason in lightcheck.verdicts(sketches, *known).items():
            found[member] = Unusable(reason, f"light check: {reason}") if reason else None
    return found


def _sketches(updates: Mapping[str, bytes], current: Sequence[np.ndarray]) -> dict[str, lightcheck.Sketch]:
    """Of those that decode: whoever sent garbage last time has nothing to be compared with."""
    sketches = {}
    for member, update in updates.items():
        try:
            sketches[member] = lightcheck.sketch(parameters.from_bytes(update, current))
        except Unusable:
            continue
    return sketches


def decode(update: bytes, size: int, current: Sequence[np.ndarray]) -> list[np.ndarray]:
    """An update of the model ``current``, which has ``size`` bytes. Unusable: it is not valid.

    It has the model's tensors, so not one byte more; and model + update stays finite in float32 (then so does
    every weighted mean of such updates: nobody can stop an aggregation with a huge number).
    """
    if len(update) > size:
        raise Unusable(Reason.OVERSIZED, f"oversized: {len(update)} bytes, the model has {size}")
    change = parameters.from_bytes(update, current)
    with np.errstate(over="ignore"):
        sums = (np.add(a, b, dtype=np.float32) for a, b in zip(current, change, strict=True))
        if not all(np.isfinite(total).all() for total in sums):  # one at a time: a large model is held once
            raise Unusable(Reason.OVERFLOW, "overflow: the model plus this update exceeds float32")
    return change
