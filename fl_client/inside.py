"""Two layers on bytes: one organisation's updates, looked at one after the other, and what they combine to. Pure.

Whoever looks at the same updates gets the same `Inside`, byte for byte, and so the same CID: where two members
name different ones of an organisation, one of them is wrong or could not fetch something.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from chaincode import cid, scoring
from chaincode.records import JobSpec, Reason
from fl_client import aggregator
from fl_client.strategies.two_layer import Mean
from fl_client.training import parameters
from fl_client.training.parameters import Unusable

FIXED, EACH = 512, 512  # bytes of an encoded Inside at most, and of every member in it


def shares_work(spec: JobSpec) -> bool:
    """Whether organisations combine their updates inside first. The light check compares every update with all
    others', and with two rounds before: where the job asks for it, everybody reads everything."""
    return spec.strategy == "two-layer" and not scoring.checks_lightly(spec)


class Inside(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one organisation's updates come to."""

    organisation: str
    counted: list[str]  # whose updates the partial aggregate combines, sorted
    refused: dict[str, Reason]  # the others
    partial: str  # CID of the mean of the counted updates, as safetensors; "" without any

    def encode(self) -> bytes:
        """The bytes that its CID names."""
        return msgspec.json.encode(self, order="deterministic")


def decode(data: bytes, organisation: str, members: Iterable[str]) -> Inside:
    """An `Inside` of exactly these members, in its own encoding.

    Raises:
        ValueError: anything else.
    """
    found = msgspec.json.decode(data, type=Inside)
    wanted, named = sorted(members), sorted([*found.counted, *found.refused])
    if found.organisation != organisation or named != wanted or found.counted != sorted(found.counted):
        raise ValueError(f"it is not about the updates of {organisation}")
    if found.encode() != data or bool(found.partial) != bool(found.counted):
        raise ValueError("it is not as it should be encoded")
    return found


class Inspection:
    """One organisation's updates in sorted order, of which one at a time is in memory."""

    def __init__(self, model: bytes, organisation: str) -> None:
        self._model, self._current = len(model), parameters.from_bytes(model)
        self._organisation = organisation
        self._mean = Mean(self._current)
        self._counted: list[str] = []
        self._refused: dict[str, Reason] = {}

    def refuse(self, member: str, reason: Reason) -> None:
        """Without having its bytes."""
        self._refused[member] = reason

    def take(self, member: str, update: bytes) -> None:
        """The next member's update."""
        try:
            change = aggregator.decode(update, self._model, self._current)
        except Unusable as fault:
            self._refused[member] = fault.reason
            return
        self._mean.add(change, 1)
        self._counted.append(member)

    def result(self) -> tuple[Inside, bytes]:
        """What was found, and the partial aggregate's bytes."""
        partial = parameters.to_bytes(self._mean.value()) if self._counted else b""
        name = cid.file_cid(partial) if partial else ""
        return Inside(self._organisation, sorted(self._counted), self._refused, name), partial


def across(model: bytes, partials: Mapping[str, tuple[bytes, int]]) -> bytes:
    """The next global model: ``model`` with the organisations' partial aggregates, each (bytes, its updates).

    Raises:
        ValueError: one of them is not an update of that model.
    """
    current = parameters.from_bytes(model)
    mean = Mean(current)
    for organisation in sorted(partials):
        partial, weight = partials[organisation]
        mean.add(aggregator.decode(partial, len(model), current), weight)
    return parameters.to_bytes(mean.onto(current))
