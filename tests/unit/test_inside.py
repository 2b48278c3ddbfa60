"""One organisation's updates, one after the other: the verdicts and the model of looking at all at once."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaincode.records import Reason
from chaincode.scoring import organisation
from fl_client import aggregator, inside
from fl_client.inside import Inside, Inspection
from fl_client.layers import duties
from fl_client.training.parameters import to_bytes

SHAPES = [(3, 2), (4,), ()]
MEMBERS = [f"Org{1 + i % 3}MSP:{i:064x}" for i in range(7)]


def update(seed: int, scale: float = 1.0) -> bytes:
    rng = np.random.default_rng(seed)
    return to_bytes([(scale * rng.standard_normal(shape)).astype(np.float32) for shape in SHAPES])


MODEL = update(0)
BAD = [b"junk", update(1)[:-4] + np.float32(np.nan).tobytes(), MODEL + b"\0"]


def looked(updates: dict[str, bytes]) -> dict[str, tuple[Inside, bytes]]:
    """Every organisation's updates, looked at inside it."""
    found = {}
    for name in sorted({organisation(member) for member in updates}):
        work = Inspection(MODEL, name)
        for member in sorted(m for m in updates if organisation(m) == name):
            work.take(member, updates[member])
        found[name] = work.result()
    return found


@settings(max_examples=50)
@given(st.fixed_dictionaries({m: st.integers(1, 9).map(update) | st.sampled_from(BAD) for m in MEMBERS}))
def test_the_verdicts_are_those_of_one_layer(updates):
    refused = {m: reason for each, _ in looked(updates).values() for m, reason in each.refused.items()}
    faults = aggregator.verdicts(MODEL, updates)
    assert refused == {member: fault.reason for member, fault in faults.items() if fault}


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(MEMBERS), st.integers(1, 99).map(update), min_size=1))
def test_the_partial_aggregates_combine_to_the_strategys_model(updates):
    partials = {name: (data, len(each.counted)) for name, (each, data) in looked(updates).items()}
    assert inside.across(MODEL, partials) == aggregator.aggregate(MODEL, updates, "two-layer")


def test_what_is_said_is_read_in_its_own_encoding_alone():
    (said, _), members = looked({MEMBERS[0]: update(1), MEMBERS[3]: b"junk"})["Org1MSP"], MEMBERS[:4:3]
    assert said.refused == {MEMBERS[3]: Reason.MALFORMED}
    assert inside.decode(said.encode(), "Org1MSP", members) == said
    for data, name, those in (
        (said.encode() + b" ", "Org1MSP", members),
        (said.encode(), "Org2MSP", members),
        (said.encode(), "Org1MSP", MEMBERS[:1]),
        (said.encode().replace(said.partial.encode(), b""), "Org1MSP", members),
        (b"{}", "Org1MSP", members),
        (b"\xff", "Org1MSP", members),
    ):
        with pytest.raises(ValueError):  # noqa: PT011  # msgspec's errors are of many kinds
            inside.decode(data, name, those)


def test_what_is_said_of_the_same_updates_is_said_in_one_order_alone():
    both = MEMBERS[:4:3]
    said, _ = looked({member: update(1) for member in both})["Org1MSP"]
    assert inside.decode(said.encode(), "Org1MSP", both) == said
    swapped = msgspec.structs.replace(said, counted=said.counted[::-1])
    with pytest.raises(ValueError, match="not about the updates"):
        inside.decode(swapped.encode(), "Org1MSP", both)


def test_every_organisation_is_looked_at_by_a_seat_of_another():
    seats = ["A:1", "B:1", "C:1"]
    assert duties(seats, "ABC") == {"A": "B:1", "B": "C:1", "C": "A:1"}
    assert duties(["A:1", "A:2", "B:1"], "ABCD") == {"A": "B:1", "B": "A:2", "C": "B:1", "D": "A:1"}
    assert duties(["A:1"], "AB") == {"B": "A:1"}, "nobody else is there to look at A"
