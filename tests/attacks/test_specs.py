"""Job specifications: every field wrong in turn, and JSON that is hostile as such."""

from __future__ import annotations

import json

import msgspec
import pytest

from chaincode.records import JobSpec
from tests.attacks.scenes import refused, story
from tests.world import MODEL, ORGANISATIONS, World

MEMBER = f"Org1MSP:{'0' * 64}"
NOT_CIDS = ["", "x", MODEL.upper(), MODEL[:-1], MODEL + "\n", "Qm" + "a" * 44, "/ipfs/" + MODEL]
NOT_COUNTS = [0, -1, 2**63, 2**64, 10**30, 1.5, "1", None, True, [], {}]
NOT_SECONDS = [0, -1, 1, 10**8 + 1, 2**64, 0.5, "60", None]

# Each field of JobSpec with values it must not have. A field without an entry fails the test below.
WRONG: dict[str, list[object]] = {
    "model": [*NOT_CIDS, None, 5, []],
    "public_set": [*NOT_CIDS, None, 5, []],
    "public_view": [*NOT_CIDS[1:], MODEL, None, 5, []],  # its rule needs none
    "model_bytes": [*NOT_COUNTS, 2**30 + 1],
    "public_items": [*NOT_COUNTS, 15],
    "tasks": [*NOT_COUNTS, 25, 11],
    "scored_tasks": [*NOT_COUNTS, 1, 17],
    "alphabet": [*NOT_COUNTS, 1, 257],
    "rounds": [*NOT_COUNTS, 100_001],
    "mechanism": ["", "Paper", "paper ", "unknown", None, 1],
    "rule": ["", "unknown", "Dasgupta-Ghosh", None, 1],
    "combine": ["", "max", "Median", None, 1],
    "peers": [-1, 3, 5, 1025, 1.0, "2", None],
    "light_check": [1, 0, "true", [None]],
    "prefer_other_organisations": [1, 0, "true", None],
    "price": [*NOT_COUNTS, 10**6],
    "stake": [-1, 0, 2**63, 10**30, 1.5, "1", None],
    "bond": [-1, 2**63, 2**63 - 1, 1.5, "1", None],
    "round_pool": [*NOT_COUNTS, 1, 2**62 + 1],
    "min_participants": [*NOT_COUNTS, 1, 7, 1025],
    "max_participants": [*NOT_COUNTS, 1, 2, 1025],
    "max_members_per_org": [*NOT_COUNTS, 1025, 342],
    "allow_list": [
        [],
        [MEMBER],
        [MEMBER] * 3,
        ["Org1MSP"] * 3,
        [f"Org1MSP:{i:064x}" for i in range(5)],
        [f"Org{i % 400}MSP:{i:064x}" for i in range(1025)],
        [MEMBER + "\n", f"Org1MSP:{1:064x}", f"Org2MSP:{2:064x}"],
        "all",
        5,
        {},
        [None],
    ],
    "gap": [*NOT_COUNTS, 1, 3, 10**6 + 1],
    "commit_seconds": NOT_SECONDS,
    "reveal_seconds": NOT_SECONDS,
    "missing_seconds": NOT_SECONDS,
    "aggregate_seconds": NOT_SECONDS,
    "extensions": [-1, 101, 1.0, "1", None],
    "committee": [0, -1, 2, 4, 100, 103, 1.0, "1", None],
    "attempts": [0, -1, 101, 1.0, "1", None],
    "strategy": ["", "unknown", None, 1],
    "aggregation": ["", "Majority", "unknown", None, 1],
    "challenge_rounds": [-1, 10**6 + 1, 1.0, "1", None],
}


@pytest.mark.parametrize("field", WRONG)
@story
async def test_a_job_with_this_field_wrong_is_refused_and_the_field_named(field):
    world = World()
    await world.found()
    sound = msgspec.to_builtins(world.spec())
    await world.mint(world.spec().pool)
    credits = await world.view.credits("Org1MSP", world.spec().pool)
    before = world.network.state.digest()
    for value in WRONG[field]:
        spec = sound | {field: value}
        refusal = await refused(
            (400, 422),
            world.admin.submit("Jobs:create", "job", json.dumps(spec).encode(), "Org1MSP", credits),
        )
        if refusal.code == 422 and "field" in refusal.details:
            assert refusal.details["field"] in JobSpec.__struct_fields__
        else:
            assert field in refusal.message or "spec" in refusal.message, refusal.message
    assert world.network.state.digest() == before


def test_every_field_of_a_specification_is_attacked():
    constrained = {
        info.name
        for info in msgspec.structs.fields(JobSpec)
        if info.type is not bool and info.name not in WRONG
    }
    assert not constrained


@pytest.mark.parametrize("field", ["model", "public_items", "price", "stake", "gap", "max_members_per_org"])
@story
async def test_a_job_that_lacks_a_mandatory_field_is_refused(field):
    world = World()
    await world.found()
    spec = msgspec.to_builtins(world.spec())
    del spec[field]
    refusal = await refused(400, world.admin.submit("Jobs:create", "job", spec, "Org1MSP", []))
    assert field in refusal.message


def _sound() -> str:
    return msgspec.json.encode(World().spec()).decode()


HOSTILE = {
    "an unknown field": lambda s: s[:-1] + ',"backdoor":1}',
    "a key twice, same value": lambda s: s[:-1] + ',"tasks":16}',
    "a key twice, other value": lambda s: s[:-1] + ',"round_pool":1}',
    "a key twice, escaped": lambda s: s[:-1] + ',"t\\u0061sks":16}',
    "NaN": lambda s: s.replace('"tasks":16', '"tasks":NaN'),
    "infinity": lambda s: s.replace('"tasks":16', '"tasks":Infinity'),
    "minus infinity": lambda s: s.replace('"tasks":16', '"tasks":-Infinity'),
    "a float": lambda s: s.replace('"tasks":16', '"tasks":16.0'),
    "an exponent": lambda s: s.replace('"tasks":16', '"tasks":16e0'),
    "a leading zero": lambda s: s.replace('"tasks":16', '"tasks":016'),
    "a huge integer": lambda s: s.replace('"tasks":16', '"tasks":' + "9" * 5000),
    "a gigantic integer": lambda s: s.replace('"tasks":16', '"tasks":' + "9" * 900_000),
    "deeply nested lists": lambda s: s.replace('"tasks":16', '"tasks":' + "[" * 100_000 + "]" * 100_000),
    "deeply nested objects": lambda s: s.replace(
        '"tasks":16', '"tasks":' + '{"a":' * 100_000 + "1" + "}" * 100_000
    ),
    "nested, never closed": lambda s: "[" * 500_000,
    "gigantic text": lambda s: s.replace(MODEL, "b" * 1_000_000, 1),
    "over the limit of an argument": lambda s: s + " " * (1 << 20),
    "a comment": lambda s: s + "// fine",
    "two documents": lambda s: s + s,
    "a trailing comma": lambda s: s[:-1] + ",}",
    "nothing": lambda s: "",
    "null": lambda s: "null",
    "a list": lambda s: f"[{s}]",
    "a text": lambda s: json.dumps(s),
    "a byte order mark": lambda s: "\ufeff" + s,
    "NUL in a text": lambda s: s.replace('"paper"', '"paper\\u0000"'),
    "a lone surrogate": lambda s: s.replace('"paper"', '"\\ud800"'),
}


@pytest.mark.parametrize("hostility", HOSTILE)
@story
async def test_a_hostile_specification_is_refused_as_malformed(hostility):
    world = World()
    await world.found()
    raw = HOSTILE[hostility](_sound()).encode("utf-8", "surrogatepass")
    await refused((400, 422), world.admin.submit("Jobs:create", "job", raw, ORGANISATIONS[0], []))


@pytest.mark.parametrize("raw", [b"\xff\xfe", b'{"model":"\xff"}', b"\0", "{}".encode("utf-16")])
@story
async def test_a_specification_that_is_not_utf8_is_refused(raw):
    world = World()
    await world.found()
    await refused(400, world.admin.submit("Jobs:create", "job", raw, ORGANISATIONS[0], []))


@pytest.mark.parametrize(
    "name", ["", "-x", "X", "job/1", "job\0", "job\n", "jöb", " job", "a" * 64, "job:1", "..", "%2e", "a" * 10**6]
)  # fmt: skip
@story
async def test_a_job_of_an_odd_name_is_refused(name):
    world = World()
    await world.found()
    await refused(400, world.admin.submit("Jobs:create", name, world.spec(), "Org1MSP", []))
    await refused(400, world.admin.evaluate("Jobs:get", name))
    await refused(400, world.admin.submit("Rounds:open", name, 1, world.beacon()))


@story
async def test_a_settlement_that_would_cost_too_much_makes_no_job():
    world = World()
    await world.found()
    heavy = {"tasks": 60_000, "scored_tasks": 60_000, "public_items": 60_000, "alphabet": 200}
    spec = msgspec.structs.replace(world.spec(), **heavy, max_participants=300, rule="correlated-agreement")
    spec = msgspec.structs.replace(spec, round_pool=2**40, stake=2**40)
    refusal = await refused(422, world.admin.submit("Jobs:create", "job", spec, "Org1MSP", []))
    assert "costly" in refusal.message or "reports" in refusal.message


@story
async def test_a_report_larger_than_one_block_makes_no_job():
    world = World()
    await world.found()
    sizes = {"tasks": 2**21 + 1, "public_items": 2**22, "alphabet": 16, "scored_tasks": 12}
    spec = msgspec.structs.replace(world.spec(), **sizes, max_participants=3)
    refusal = await refused(422, world.admin.submit("Jobs:create", "job", spec, "Org1MSP", []))
    assert refusal.details["field"] == "tasks"
    sizes["tasks"] = 2**21
    spec = msgspec.structs.replace(world.spec(), **sizes, max_participants=33, round_pool=2**40)
    refusal = await refused(422, world.admin.submit("Jobs:create", "job", spec, "Org1MSP", []))
    assert refusal.details["field"] == "max_participants"
