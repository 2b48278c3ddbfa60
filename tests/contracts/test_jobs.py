"""Jobs as sponsors write, fund and cancel them; and several of them at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from chaincode import cid
from chaincode.contracts import job_terms
from chaincode.proposals import AbortJob
from chaincode.records import JobSpec, Phase
from chaincode.shim.memory import ReadWriteSet
from fl_client.agent import Agent
from fl_client.beacon import DevBeacon
from fl_client.journal import Journal
from fl_client.ledger.embedded import TransactionRecord
from fl_client.steps import Seat
from fl_client.store.directory import DirectoryStore
from tests.attacks.scenes import RUNNING, Scene, hoard, refused, scene, story, together
from tests.world import ORGANISATIONS, World

ORG1, ORG2, ORG3 = ORGANISATIONS
BIG = 2**63 - 1


async def funded() -> World:
    world = World()
    await world.found()
    await world.mint(10**12)
    return world


async def create(world: World, spec: Any, job: str = "job", account: str = ORG1) -> None:
    """A raw `Jobs:create` with enough credits."""
    credits = await world.view.credits(ORG1, 1)
    await world.admin.submit("Jobs:create", job, spec, account, credits)


def member(number: int, msp_id: str = ORG1) -> str:
    return f"{msp_id}:{number:064x}"


# the specification


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("mechanism", {"mechanism": "none"}),
        ("rule", {"rule": "none"}),
        ("strategy", {"strategy": "none"}),
        ("model", {"model": "x"}),
        ("model", {"model": ""}),
        ("public_view", {"public_view": cid.raw_cid(b"view")}),
        ("public_set", {"public_set": "Qm" + "1" * 44}),
        ("scored_tasks", {"scored_tasks": 17}),
        ("scored_tasks", {"scored_tasks": 1}),
        ("tasks", {"public_items": 15}),
        ("tasks", {"public_items": 2**22, "tasks": 2**22, "alphabet": 5}),
        (
            "max_participants",
            {"public_items": 2**20, "tasks": 2**20, "alphabet": 256, "max_participants": 33},
        ),
        ("scored_tasks", {"public_items": 2**17, "tasks": 2**17, "scored_tasks": 2**17}),
        (
            "scored_tasks",
            {
                "public_items": 60000,
                "tasks": 60000,
                "scored_tasks": 60000,
                "alphabet": 256,
                "max_participants": 24,
            },
        ),
        ("alphabet", {"rule": "determinant", "alphabet": 5}),
        ("scored_tasks", {"rule": "determinant", "scored_tasks": 7}),
        ("min_participants", {"min_participants": 7}),
        ("peers", {"peers": 3}),
        ("max_members_per_org", {"max_members_per_org": 342}),
        ("max_members_per_org", {"max_members_per_org": 1, "min_participants": 4}),
        ("allow_list", {"allow_list": [member(1), member(1), member(2), member(3)]}),
        ("allow_list", {"allow_list": [member(1), member(2)]}),
        ("allow_list", {"allow_list": []}),
        ("allow_list", {"allow_list": [member(number) for number in range(5)]}),
        ("allow_list", {"allow_list": [member(number, "Org9MSP") for number in range(3)]}),
        ("committee", {"committee": 2}),
        ("committee", {"committee": 7}),
        ("committee", {"aggregation": "optimistic", "challenge_rounds": 100}),
        ("bond", {"aggregation": "optimistic", "challenge_rounds": 100, "committee": 3, "bond": 0}),
        ("challenge_rounds", {"aggregation": "optimistic", "challenge_rounds": 8, "committee": 3}),
        ("gap", {"gap": 3}),
        ("commit_seconds", {"commit_seconds": 24}),
        ("reveal_seconds", {"reveal_seconds": 24}),
        ("missing_seconds", {"missing_seconds": 24}),
        ("aggregate_seconds", {"aggregate_seconds": 24}),
        ("commit_seconds", {"gap": 10**6}),
        ("round_pool", {"round_pool": 1}),
        ("round_pool", {"price": BIG}),
        ("round_pool", {"round_pool": BIG}),
        ("stake", {"stake": 0}),
        ("bond", {"bond": BIG}),
    ],
)
@story
async def test_a_specification_that_cannot_work_is_refused_by_the_name_of_its_field(field, changes):
    world = await funded()
    before = await world.balance(ORG1)
    sound = world.spec()
    assert list(job_terms.faults(sound, world.terms)) == []
    fault = await refused(422, create(world, msgspec.structs.replace(sound, **changes)))
    assert fault.message.startswith(f"{field}: "), fault.message
    assert fault.details["field"] == field
    assert await world.view.jobs() == []
    assert await world.balance(ORG1) == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            (field, value)
            for field in ("tasks", "price", "stake", "rounds")
            for value in (-1, 1.5, "1", None, BIG + 1)
        ),
        ("price", 0),
        ("rounds", 0),
        ("rounds", 100_001),
        ("alphabet", 1),
        ("alphabet", 257),
        ("model_bytes", 0),
        ("model_bytes", 2**31),
        ("model", 5),
        ("combine", "best"),
        ("peers", 1025),
        ("min_participants", 1),
        ("max_participants", 1025),
        ("max_members_per_org", 0),
        ("allow_list", ["x"]),
        ("allow_list", [member(1) + "\n"]),
        ("allow_list", [member(number) for number in range(1025)]),
        ("allow_list", "all"),
        ("gap", 0),
        ("commit_seconds", 0),
        ("extensions", 101),
        ("attempts", 0),
        ("prefer_other_organisations", 1),
    ],
)
@story
async def test_a_value_of_another_kind_is_refused_by_the_name_of_its_field(field, value):
    world = await funded()
    spec = json.loads(msgspec.json.encode(world.spec())) | {field: value}
    fault = await refused(400, create(world, json.dumps(spec).encode()))
    assert f"$.{field}" in fault.message


@story
async def test_specifications_that_are_none_are_refused():
    world = await funded()
    sound = msgspec.json.encode(world.spec()).decode()
    missing = {name: value for name, value in json.loads(sound).items() if name != "price"}
    odd = [
        "", "{", "[]", "null", "1", sound[:-1], sound + sound, sound[:-1] + ',"price":1}', sound[:-1] + ',"more":1}',
        sound.replace('"price":1000', '"price":NaN'), json.dumps(missing), "[" * 100_000, "\xff",
        '{"model":"' + "x" * (1 << 20) + '"}', sound[:-1] + ',"model":' + "[" * 5000 + "]" * 5000 + "}",
    ]  # fmt: skip
    for text in odd:
        await refused(400, create(world, text.encode("latin-1")))
    await create(world, sound.encode())


@pytest.mark.parametrize("name", ["", "a/b", "A", "-a", "job\n", "job\0", "ü", "a" * 64, "../x", "job ", "."])
@story
async def test_odd_names_of_jobs_are_refused(name):
    world = await funded()
    await refused(400, create(world, world.spec(), name))


@story
async def test_every_fault_of_a_group_is_in_the_details():
    world = await funded()
    spec = world.spec(mechanism="a", rule="dasgupta-ghosh", strategy="c", model="x")
    fault = await refused(422, create(world, spec))
    assert [field for field, _ in fault.details["faults"]] == ["mechanism", "strategy", "model"]


# money


@story
async def test_the_whole_pool_is_in_escrow_before_the_first_round():
    world = await funded()
    before = await world.balance(ORG1)
    spec = await world.create()
    assert await world.view.escrow("job") == spec.pool == (await world.holdings()).escrows
    assert await world.balance(ORG1) == before - spec.pool
    await refused(409, create(world, spec))


@story
async def test_a_pool_that_is_not_there_and_anothers_money_create_nothing():
    world = World()
    await world.found()
    spec = world.spec()
    await world.mint(spec.pool - 1)
    await refused(422, create(world, spec))
    await world.mint(1)
    await refused(422, create(world, spec))  # one credit does not cover it, both do
    await refused(403, world.admins[ORG2].submit("Jobs:create", "job", spec, ORG1, []))
    await refused(403, world.client(ORG1, "c").submit("Jobs:create", "job", spec, ORG1, []))
    assert await world.view.jobs() == []
    await world.create()
    await world.holdings()


@story
async def test_a_member_sponsors_a_job_and_cancels_it():
    world = await funded()
    spec = world.spec()
    who = await world.member(ORG2, "sponsor", spec.pool)
    credits = await world.view.credits(who.member_id, spec.pool)
    await who.submit("Jobs:create", "own", spec, who.member_id, credits)
    await refused(403, world.admins[ORG2].submit("Jobs:cancel", "own", 0))
    await who.submit("Registry:leave")
    await who.submit("Jobs:cancel", "own", 0)
    assert await world.balance(who.member_id) == spec.pool
    await world.holdings()


# cancelling


async def finish(at: Scene, round: int = 1) -> None:
    """To the round's end, by honest members."""
    await at.to(Phase.FINAL, round)


@story
async def test_a_job_without_a_round_is_cancelled_at_once():
    at = await scene(3)
    before = await at.world.balance(ORG1)
    await refused(404, at.world.admin.submit("Jobs:cancel", "job", 1))
    await at.world.admin.submit("Jobs:cancel", "job", 0)
    assert await at.world.balance(ORG1) == before + at.spec.pool
    await refused(422, at.world.open())
    await refused(409, at.world.admin.submit("Jobs:cancel", "job", 0))
    await at.world.holdings()


@pytest.mark.parametrize("phase", [*RUNNING, Phase.FINAL])
@story
async def test_cancelling_in_any_phase_takes_nothing_from_anybody(phase):
    cancelled, untouched = await scene(3, rounds=2), await scene(3, rounds=2)
    for at in (cancelled, untouched):
        symbols = [[(i * k) % 4 for i in range(at.spec.tasks)] for k in (1, 1, 3)]
        at.works = {
            who.member_id: at.world.work(at.spec, row) for who, row in zip(at.members, symbols, strict=True)
        }
    await cancelled.to(phase)
    await refused(403, cancelled.world.admins[ORG2].submit("Jobs:cancel", "job", 1))
    await refused(409, cancelled.world.admin.submit("Jobs:cancel", "job", 0))
    before = await cancelled.world.balance(ORG1)
    await cancelled.world.admin.submit("Jobs:cancel", "job", 1)
    await refused(409, cancelled.world.admin.submit("Jobs:cancel", "job", 1))
    for at in (cancelled, untouched):
        await finish(at)
    world, spec = cancelled.world, cancelled.spec
    paid = sum(max(0, each.payment) for each in (await world.outcomes()).values())
    assert await world.balance(ORG1) == before + spec.pool - paid
    held = await world.holdings()
    assert held.locks == held.escrows == 0
    await refused(422, world.open(round=2))
    for who in cancelled.members:  # everybody has what its score brought, as without the cancellation
        outcome = (await world.outcomes())[who.member_id]
        lost = spec.bond if who.member_id in (await world.state()).forfeited else 0
        assert outcome.slashed == 0
        assert await world.balance(who.member_id) == spec.lock * 3 + outcome.payment - lost
    await untouched.world.open(round=2)


@story
async def test_a_job_whose_rounds_are_all_over_has_nothing_left_to_cancel():
    at = await scene(3, rounds=1)
    await finish(at)
    await refused(409, at.world.admin.submit("Jobs:cancel", "job", 1))
    assert not await at.world.view.cancelled("job")
    await at.world.holdings()


@story
async def test_a_cancel_and_an_open_at_once_do_not_both_succeed():
    at = await scene(3)
    opening = await hoard(at.members[0], "Rounds:open", "job", 1, at.world.beacon())
    cancelling = await hoard(at.world.admin, "Jobs:cancel", "job", 0)
    assert sorted(await together(opening, cancelling)) == ["MVCC_READ_CONFLICT", "VALID"]
    await at.world.holdings()


@story
async def test_a_cancel_and_the_rounds_last_transaction_at_once_leave_no_escrow_behind():
    at = await scene(3, attempts=1, rounds=3)
    world = at.world
    await at.to(Phase.AGGREGATE)
    world.clock.time = (await world.state()).deadline + 3
    last = await hoard(at.members[0], "Aggregation:finalise", "job", 1, world.beacon())
    cancelling = await hoard(world.admin, "Jobs:cancel", "job", 1)
    codes = await together(cancelling, last)
    assert codes == ["VALID", "MVCC_READ_CONFLICT"]
    await finish(at)
    assert (await world.holdings()).escrows == 0


@story
async def test_the_last_round_is_found_among_many():
    at = await scene(3, rounds=100)
    world = at.world
    assert await world.view.last_round("job") is None
    for number in range(1, 6):
        await world.open(round=number)
        last = await world.view.last_round("job")
        assert last
        assert last.round == number
        for _ in range(at.spec.extensions + 1):
            await world.close(round=number)
            await world.pair(round=number)
    await world.holdings()


@pytest.mark.parametrize("by_vote", [True, False])
@story
async def test_a_client_ends_in_peace_when_its_job_is_ended_between_two_rounds(by_vote, tmp_path):
    at = await scene(3)
    world = at.world
    await world.open()
    for _ in range(at.spec.extensions + 1):
        await world.close()
        await world.pair()  # nobody has committed: void
    if by_vote:
        await world.pass_vote("abort", AbortJob(job="job"))
    else:
        await world.admin.submit("Jobs:cancel", "job", 1)
    job = await world.view.job("job")
    assert job
    (tmp_path / "store").mkdir()
    beacons, store = DevBeacon(world.signer, world.clock), DirectoryStore(tmp_path / "store")
    seat = Seat(at.members[0], store, beacons, Journal(tmp_path / "journal"), None, job)  # type: ignore[arg-type]
    await asyncio.wait_for(Agent(seat, look=0.01, stagger=0).run(), 10)
    assert await world.view.round("job", 2) is None


# several at once


def touched(record: TransactionRecord) -> tuple[set[str], set[str], list[tuple[str, str]]]:
    """What a transaction read, wrote, and which ranges it read."""
    found = msgspec.msgpack.decode(record.read_write_set, type=ReadWriteSet)
    ranges = [(each.start, each.end) for each in found.ranges]
    return {key for key, _ in found.reads}, {key for key, _ in found.writes}, ranges


@story
async def test_jobs_with_many_rounds_side_by_side_touch_none_of_each_others_keys():
    first = await scene(3, rounds=3)
    world = first.world
    await world.mint(10**9)
    jobs = [first]
    for name in ("job-1", "job1", "jobb"):  # names that begin alike
        members = [await world.member(ORGANISATIONS[i], f"{name}-{i}", first.spec.lock * 5) for i in range(3)]
        jobs.append(Scene(world, members, await world.create(name, rounds=3), job=name))
    start = len(world.network.blocks)
    for number in (1, 2):
        for phase in (*RUNNING, Phase.FINAL):
            for at in jobs:
                if phase is Phase.FINAL:
                    await finish(at, number)
                elif list(Phase).index(await _phase(at, number)) < list(Phase).index(phase):
                    await at.to(phase, number)
    sets: dict[str, list[tuple[set[str], set[str], list[tuple[str, str]]]]] = {at.job: [] for at in jobs}
    for block in world.network.blocks[start:]:
        for record in block.transactions:
            assert record.code == "VALID"
            sets[record.args[1].decode()].append(touched(record))
    shared = {"consortium"}
    for job, transactions in sets.items():
        assert len(transactions) >= 20
        written = {key for _, writes, _ in transactions for key in writes}
        assert not written & shared
        for other, others in sets.items():
            for reads, writes, ranges in others if other != job else ():
                assert not written & (reads | writes)
                assert not [key for key in written for start, end in ranges if start <= key < end]
    await world.holdings()


async def _phase(at: Scene, number: int) -> Phase:
    found = await at.world.view.round(at.job, number)
    return found.phase if found else Phase.COMMIT


# for others


@story
async def test_fabrics_clients_find_every_transaction_described_with_schemas():
    world = await funded()
    document = json.loads(await world.admin.evaluate("org.hyperledger.fabric:GetMetadata"))
    schemas = document["components"]["schemas"]
    names = set()
    for contract in document["contracts"].values():
        for transaction in contract["transactions"]:
            names.add(f"{contract['name']}:{transaction['name']}")
            for parameter in transaction["parameters"]:
                assert parameter["name"]
                assert parameter["schema"], (transaction["name"], parameter)
                _resolve(parameter["schema"], schemas)
            if "returns" in transaction:
                _resolve(transaction["returns"], schemas)
    for expected in (
        "Governance:init", "Governance:propose", "Governance:approve", "Governance:reject", "Governance:withdraw",
        "Governance:list", "Registry:allow", "Registry:register", "Registry:rotate", "Registry:leave",
        "Token:transfer", "Token:statement", "Jobs:create", "Jobs:cancel", "Rounds:commit", "Settlement:settle",
    ):  # fmt: skip
        assert expected in names
    spec = schemas["JobSpec"]["properties"]
    assert set(spec) == {field.name for field in msgspec.structs.fields(JobSpec)}
    actions = json.dumps(schemas)
    for action in ("void-round", "abort-job", "spend-treasury", "recover", "set-beacon"):
        assert f'"{action}"' in actions


def _resolve(schema: Any, schemas: dict[str, Any]) -> None:
    """Every reference leads somewhere."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            assert schema["$ref"].rpartition("/")[2] in schemas
        for part in schema.values():
            _resolve(part, schemas)
    elif isinstance(schema, list):
        for part in schema:
            _resolve(part, schemas)


@pytest.mark.parametrize("asked", ["get", "round", "cancelled", "escrow"])
@story
async def test_nothing_is_said_of_a_job_that_is_not_there(asked):
    world = await funded()
    await refused(404, world.admin.evaluate(f"Jobs:{asked}", "nowhere"))


def test_a_cid_of_another_form_is_not_a_models():
    assert cid.parse(cid.raw_cid(b"x")).codec == "raw"
