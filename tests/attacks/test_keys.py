"""The key space: no two kinds ever meet, no contract leaves its own, rounds are frozen."""

from __future__ import annotations

import inspect
import itertools
import re
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaincode import records
from chaincode.contracts import keys
from chaincode.records import Phase
from tests.attacks.declared import undeclared
from tests.attacks.scenes import ORDER, scene, story


def _pattern(annotation) -> str:
    return next(meta.pattern for meta in get_args(annotation) if getattr(meta, "pattern", None))


NAMES = st.from_regex(_pattern(records.Name))
MSP_IDS = st.from_regex(_pattern(records.MspId))
HEX = st.from_regex(r"\A[0-9a-f]{64}\Z")
MEMBERS = st.builds("{}:{}".format, MSP_IDS, HEX)
ACCOUNTS = MSP_IDS | MEMBERS | st.just(records.TREASURY)
ENROLMENTS = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9@._-]{0,127}\Z")
ROUNDS = st.integers(1, 100_000)
NUMBERS = st.integers(0, 10**6)

# What each parameter of a function of keys.py can be.
PARTS = {
    "name": NAMES,
    "job": NAMES,
    "proposal": NAMES,
    "msp_id": MSP_IDS,
    "organisation": MSP_IDS,
    "key": HEX,
    "member_id": MEMBERS,
    "member": MEMBERS,
    "account": ACCOUNTS,
    "tx_id": HEX,
    "number": ROUNDS,
    "round": ROUNDS,
    "index": NUMBERS,
    "attempt": st.integers(1, 100),
}
OWN = {("allowed_name", "name"): ENROLMENTS, ("credit", "number"): NUMBERS, ("entry", "number"): NUMBERS}
FUNCTIONS = {
    name: function
    for name, function in inspect.getmembers(keys, inspect.isfunction)
    if not name.startswith("_") and function.__module__ == keys.__name__
}


def arguments(function: str) -> st.SearchStrategy:
    """Valid arguments for one function, all of them."""
    parameters = inspect.signature(FUNCTIONS[function]).parameters
    return st.tuples(*(OWN.get((function, name), PARTS.get(name, NAMES)) for name in parameters))


MADE = st.sampled_from(sorted(FUNCTIONS)).flatmap(
    lambda name: arguments(name).map(lambda args: (name, args, FUNCTIONS[name](*args)))
)


def test_the_patterns_of_names_take_no_final_newline_and_no_separator():
    for kind in ("Name", "MspId", "MemberId", "Account", "Hex32"):
        pattern = re.compile(_pattern(getattr(records, kind)))
        for good in ("job", "Org1MSP", "0" * 64, f"Org1MSP:{'0' * 64}"):
            if pattern.search(good):
                for bad in (
                    good + "\n",
                    good + "/",
                    good + "\0",
                    "\n" + good,
                    good + " ",
                    good + "é",
                    good + "٣",
                ):
                    assert not pattern.search(bad), (kind, bad)


@settings(max_examples=400, deadline=None)
@given(MADE, MADE)
def test_two_different_things_never_have_the_same_key(one, other):
    if one[:2] != other[:2]:
        assert one[2] != other[2]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_two_things_of_one_kind_have_the_same_key_only_if_they_are_the_same(data):
    name = data.draw(st.sampled_from(sorted(FUNCTIONS)))
    one, other = data.draw(arguments(name)), data.draw(arguments(name))
    assert (FUNCTIONS[name](*one) == FUNCTIONS[name](*other)) == (one == other)


@settings(max_examples=200, deadline=None)
@given(MADE, MADE)
def test_a_range_over_one_thing_never_reaches_another_kind_or_anothers(one, other):
    """Every key is a path whose first part is the kind; a range is a path that ends in the separator."""
    name, args, key = one
    kinds = {function: FUNCTIONS[function] for function in FUNCTIONS}
    assert all(part for part in key.split("/"))
    for length in range(1, len(args) + 1):
        parameters = list(inspect.signature(kinds[name]).parameters.values())
        if all(each.default is not inspect.Parameter.empty for each in parameters[length:]):
            prefix = kinds[name](*args[:length])
            if prefix.endswith("/") and other[2].startswith(prefix):
                assert other[0] == name
                assert other[1][:length] == args[:length]


def test_no_kind_is_the_beginning_of_another():
    first = [keys.CONSORTIUM, keys.SUPPLY]
    samples = {"number": 1, "index": 0, "attempt": 1, "round": 1}
    for function in FUNCTIONS.values():
        given = [samples.get(each, "a") for each in inspect.signature(function).parameters]
        first.append(function(*given).partition("/")[0] + "/")
    for one, other in itertools.permutations(sorted(set(first)), 2):
        assert not one.startswith(other), (one, other)


@story
async def test_no_contract_writes_a_key_outside_what_it_declares():
    at = await scene(4)
    await at.to(Phase.SETTLED, but=at.members[3:])
    await at.members[0].submit("Registry:leave")
    for msp_id in ("Org2MSP", "Org3MSP"):
        await at.world.pay(msp_id, 1)
    await at.to(Phase.FINAL)
    await at.world.admin.submit("Jobs:cancel", "job", 1)
    assert undeclared(at.world) == []


@pytest.mark.parametrize("phase", ORDER[1:])
@story
async def test_what_a_phase_fixes_is_never_written_again(phase):
    """The locks' and reveals' keys of a round change only by the transaction that ends their phase."""
    at = await scene(4)
    await at.to(phase)
    state = at.world.network.state
    digests = {
        key: msgspec.json.decode(entry.value)["digest"] for key, entry in state.items("lock/", "lock0")
    }
    reveals = {key: entry.value for key, entry in state.items("reveal/", "reveal0")}
    while (await at.world.state()).phase is not Phase.FINAL:
        following = ORDER[ORDER.index((await at.world.state()).phase) + 1]
        await at.to(following)
        if phase is not Phase.CLOSED and phase is not Phase.REVEAL:
            assert {k: e.value for k, e in at.world.network.state.items("reveal/", "reveal0")} == reveals
        for key, entry in at.world.network.state.items("lock/", "lock0"):
            assert msgspec.json.decode(entry.value)["digest"] == digests[key]
