"""Two layers on bytes: one organisation's updates, looked at one after the other, and what they combine to. Pure.

Whoever looks at the same updates gets the same `Inside`, byte for byte, and so the same CID: where two members
name different ones of an organisation, one of them is wrong or could not fetch something.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np

from chaincode import cid, lightcheck
from chaincode.records import Reason
from fl_client import aggregator
from fl_client.strategies.two_layer import Mean
from fl_client.training import parameters
from fl_client.training.parameters import Unusable

FIXED, EACH = 512, 512  # bytes of an encoded Inside at most, and of every member in it


class Inside(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one organisation's updates come to."""

    organisation: str
    counted: list[str]  # whose updates the partial aggregate combines, sorted
    refused: dict[str, Reason]  # the others, by what shows in the update itself
    squares: dict[
        str, str
    ]  # squared norms (chaincode.lightcheck) of what decodes, where the job asks for the check
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
    for square in found.squares.values():
        if not square.isdecimal():
            raise ValueError(f"{square[:20]!r} is no squared norm")
    return found


class Inspection:
    """One organisation's updates in sorted order, of which one at a time is in memory."""

    def __init__(self, model: bytes, organisation: str, *, light_check: bool = False) -> None:
        self._model, self._current = len(model), parameters.from_bytes(model)
        self._organisation, self._light = organisation, light_check
        self._mean = Mean(self._current)
        self._counted: list[str] = []
        self._refused: dict[str, Reason] = {}
        self._squares: dict[str, str] = {}

    def refuse(self, member: str, reason: Reason) -> None:
        """Without having its bytes."""
        self._refused[member] = reason

    def take(self, member: str, update: bytes, previous: bytes | None = None) -> None:
        """The next member's update; ``previous``: its own of the round before, for the light check."""
        try:
            change = aggregator.decode(update, self._model, self._current)
        except Unusable as fault:
            self._refused[member] = fault.reason
            return
        reason = self._lightly(member, change, previous) if self._light else None
        if reason:
            self._refused[member] = reason
            return
        self._mean.add(change, 1)
        self._counted.append(member)

    def result(self) -> tuple[Inside, bytes]:
        """What was found, and the partial aggregate's bytes."""
        partial = parameters.to_bytes(self._mean.value()) if self._counted else b""
        name = cid.file_cid(partial) if partial else ""
        found = Inside(self._organisation, sorted(self._counted), self._refused, self._squares, name)
        return found, partial

    def _lightly(self, member: str, change: list[np.ndarray], previous: bytes | None) -> Reason | None:
        """The light check as far as it looks at one member alone; its norm is compared when all are known."""
        own = lightcheck.sketch(change)
        self._squares[member] = str(lightcheck.inner(own, own))
        if previous is None:
            return None
        try:
            before = lightcheck.sketch(parameters.from_bytes(previous, self._current))
        except Unusable:
            return None
        return lightcheck.verdicts({member: own}, {member: before})[member]


def refusals(found: Iterable[Inside], *, light_check: bool) -> dict[str, Reason]:
    """Who is refused in all: for what each update is by itself, and for its norm beside all others'."""
    refused: dict[str, Reason] = {}
    squares: dict[str, int] = {}
    for each in found:
        refused.update(each.refused)
        squares.update({member: int(square) for member, square in each.squares.items()})
    for member in squares if light_check else ():
        others = sorted(square for other, square in squares.items() if other != member)
        if not lightcheck.plausible(squares[member], others):
            refused[member] = Reason.NORM
    return refused


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
