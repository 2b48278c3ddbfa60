"""Rules that need a public view, in jobs: scored by the view that the job names, on the batch that its beacon drew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from chaincode import cid, draw, scoring
from chaincode import view as views
from chaincode.contracts import job_terms
from chaincode.encoding import domain
from chaincode.mtpp import RULES, View
from chaincode.records import JobSpec, Outcome, Phase, RoundState
from fl_client import steps
from fl_client.beacon import DevBeacon
from fl_client.errors import BadInput
from fl_client.journal import Journal
from fl_client.participant import check_public_view
from fl_client.steps import Seat
from fl_client.store import DirectoryStore
from tests.attacks.replay import Replay
from tests.attacks.scenes import Scene, refused, scene, story
from tests.world import ORGANISATIONS, World

ITEMS, TASKS, SCORED, ALPHABET = 120, 60, 48, 4
MATCHED, CONDITIONAL = "matched-blocks", "conditional"
JOBS = [(mechanism, rule) for mechanism in ("paper", "per-round") for rule in (MATCHED, CONDITIONAL)]


def public(seed: int = 5) -> View:
    """What some public model answers: a few margins occur more than once."""
    rng = np.random.default_rng(seed)
    z = rng.integers(0, ALPHABET, ITEMS)
    z2 = (z + rng.integers(1, ALPHABET, ITEMS)) % ALPHABET
    return View(z, z2, rng.integers(0, 40, ITEMS))


VIEW = public()
Z, Z2, MARGIN = (VIEW.field(name, ITEMS) for name in ("z", "z2", "margin"))
DATA = views.pack(VIEW, ALPHABET)


def terms(rule: str = MATCHED, **changes: Any) -> dict[str, Any]:
    sizes = {"public_items": ITEMS, "tasks": TASKS, "scored_tasks": SCORED, "alphabet": ALPHABET}
    return {"mechanism": "per-round", "rule": rule, **sizes, "public_view": cid.raw_cid(DATA), **changes}


def batch(world: World, state: RoundState) -> list[int]:
    """The round's items, drawn here anew."""
    base = domain(world.network.channel, world.network.chaincode, state.job, state.round)
    randomness = world.signer.sign(state.batch_round).randomness
    return draw.draw(draw.seed("batch", base, randomness), range(ITEMS), TASKS)


async def sealed(rule: str = MATCHED, **changes: Any) -> Scene:
    """Two honest members, one that copies z and one that answers z2 where the margin is small; not settled yet.

    The honest are right three times in four, whatever the public model says.
    """
    at = await scene(4, **terms(rule, **changes))
    await at.world.open()
    items = batch(at.world, await at.world.state())
    rng = np.random.default_rng(1)
    truth = rng.integers(0, ALPHABET, TASKS)
    said = [np.where(rng.random(TASKS) < 0.75, truth, rng.integers(0, ALPHABET, TASKS)) for _ in range(2)]
    mixed = np.where(MARGIN < 20, Z2, Z)
    reports = [*said, Z[items], mixed[items]]
    for who, symbols in zip(at.members, reports, strict=True):
        at.works[who.member_id] = at.world.work(at.spec, symbols)
    await at.commit()
    await at.to(Phase.SEALED)
    return at


async def call(at: Scene) -> tuple[list[Any], dict[str, bytes]]:
    """The settlement's arguments, both beacons among them, and what comes beside it."""
    state = await at.world.state()
    sampling, batched = at.world.wait_for(state.sampling_round), at.world.signer.sign(state.batch_round)
    reports = {f"report/{member}": work.data for member, work in at.works.items()}
    return ["Settlement:settle", "job", 1, sampling, batched], reports | {"view": DATA}


async def expected(at: Scene, rule: str) -> dict[str, int]:
    """Everybody's score, from the rule itself: the lower median against all others."""
    world, state, members = at.world, await at.world.state(), sorted(at.works)
    base = domain(world.network.channel, world.network.chaincode, "job", 1)
    seed = draw.seed("tasks", base, bytes.fromhex(state.sampling_randomness))
    tasks = sorted(draw.draw(seed, range(TASKS), SCORED))
    items = np.array(batch(world, state))[tasks]
    seen = View(Z[items], Z2[items], MARGIN[items])
    reports = np.array([at.works[member].symbols[tasks] for member in members])
    matrix = RULES[rule].matrix(reports, ALPHABET, seen)
    others = {m: sorted(np.delete(matrix[i], i)) for i, m in enumerate(members)}
    return {member: int(row[(len(row) - 1) // 2]) for member, row in others.items()}


def scores(outcomes: Mapping[str, Outcome]) -> dict[str, int]:
    return {member: outcome.score for member, outcome in outcomes.items()}


@pytest.mark.parametrize(("mechanism", "rule"), JOBS)
@story
async def test_a_job_settles_to_the_scores_of_its_rule_under_its_view(mechanism: str, rule: str):
    at = await sealed(rule, mechanism=mechanism)
    await at.world.settle(at.works, view=DATA)
    outcomes = await at.world.outcomes()
    assert scores(outcomes) == await expected(at, rule)
    norm = RULES[rule].norm(SCORED, ALPHABET)
    assert {outcome.norm for outcome in outcomes.values()} == {norm}
    copier = outcomes[at.members[2].member_id]
    assert (copier.score, copier.payment) == (0, 0)
    assert any(outcomes[each.member_id].score for each in at.members)
    await at.world.holdings()


@story
async def test_every_pair_score_of_a_copier_of_the_public_model_is_exactly_zero():
    for rule in (MATCHED, CONDITIONAL):
        at = await sealed(rule, combine="mean", peers=2)
        await at.world.settle(at.works, view=DATA)
        copier = at.members[2].member_id
        assert scores(await at.world.outcomes())[copier] == 0


@story
async def test_the_view_must_be_the_one_that_the_job_names():
    at = await sealed()
    args, transient = await call(at)
    before = at.world.network.state.digest()
    for wrong in (b"", DATA[:-1], DATA + b"\0", bytes(len(DATA)), views.pack(public(6), ALPHABET)):
        refusal = await refused(422, at.world.admin.submit(*args, transient=transient | {"view": wrong}))
        assert refusal.message.startswith("view: ")
    assert at.world.network.state.digest() == before
    await at.world.admin.submit(*args, transient=transient)


@story
async def test_view_and_batch_beacon_must_both_come():
    at = await sealed()
    args, transient = await call(at)
    bare = {name: data for name, data in transient.items() if name != "view"}
    for given, beside, missing in (
        (args, bare, ["view"]),
        (args[:-1], transient, ["batch"]),
        ([*args[:-1], None], transient, ["batch"]),
        (args[:-1], bare, ["batch", "view"]),
    ):
        refusal = await refused(400, at.world.admin.submit(*given, transient=beside))
        assert refusal.details["missing"] == missing
    await refused(400, at.world.admin.submit(*args, transient=transient | {"views": DATA}))
    await at.world.admin.submit(*args, transient=transient)


@story
async def test_the_batch_beacon_is_exactly_the_one_that_was_fixed():
    at = await sealed()
    args, transient = await call(at)
    fixed = args[-1]
    forged = msgspec.structs.replace(at.world.signer.sign(fixed.round + 1), round=fixed.round)
    for wrong in (at.world.signer.sign(fixed.round - 1), args[3], forged):
        await refused(422, at.world.admin.submit(*args[:-1], wrong, transient=transient))
    assert (await at.world.state()).phase is Phase.SEALED
    await at.world.admin.submit(*args, transient=transient)


@pytest.mark.parametrize("mechanism", ["paper", "qualify-and-vest"])
@story
async def test_where_the_rule_needs_no_view_none_may_come(mechanism: str):
    at = await scene(4, mechanism=mechanism)
    await at.to(Phase.SEALED)
    args, transient = await call(at)
    bare = {name: data for name, data in transient.items() if name != "view"}
    await refused(400, at.world.admin.submit(*args, transient=transient))
    await refused(400, at.world.admin.submit(*args, transient=bare))
    await refused(400, at.world.admin.submit(*args[:-1], transient=transient))
    await at.world.admin.submit(*args[:-1], None, transient=bare)


@story
async def test_a_view_that_nobody_could_unpack_settles_nothing_and_is_refused_by_clients(tmp_path: Path):
    broken = b"\x01\x01" + DATA[2:]
    at = await sealed(public_view=cid.raw_cid(broken))
    args, transient = await call(at)
    refusal = await refused(422, at.world.admin.submit(*args, transient=transient | {"view": broken}))
    assert "item 0: z and z2" in refusal.message
    seat = await seated(at, tmp_path)
    await seat.store.put(broken)
    with pytest.raises(BadInput, match="item 0: z and z2"):
        await check_public_view(seat)


async def seated(at: Scene, path: Path) -> Seat:
    """A member as a client, its store still empty."""
    (path / "store").mkdir()
    job = await at.world.view.job("job")
    assert job is not None
    beacons = DevBeacon(at.world.signer, at.world.clock)
    store = DirectoryStore(path / "store")
    return Seat(at.members[0], store, beacons, Journal(path / "journal"), None, job)  # type: ignore[arg-type]


@story
async def test_a_client_settles_with_the_view_from_the_store(tmp_path: Path):
    at = await sealed()
    seat, state = await seated(at, tmp_path), await at.world.state()
    at.world.wait_for(state.sampling_round)
    for work in at.works.values():
        await seat.store.put(work.data)
    await check_public_view(seat)  # not to be had yet, which is no reason to stay away
    await steps.settle(seat, state)
    assert (await at.world.state()).phase is Phase.SEALED
    await seat.store.put(DATA)
    await check_public_view(seat)
    await steps.settle(seat, state)
    assert scores(await at.world.outcomes()) == await expected(at, MATCHED)


@story
async def test_the_settlement_runs_again_from_the_chain_and_its_content():
    at = await sealed()
    await at.world.settle(at.works, view=DATA)
    again = Replay(
        at.world, {cid.raw_cid(DATA): DATA} | {work.report: work.data for work in at.works.values()}
    )
    await again.execute(at.world.network.blocks)
    assert again.state.digest() == at.world.network.state.digest()


@story
async def test_client_and_contract_draw_the_same_batch():
    at = await sealed()
    state = await at.world.state()
    base = domain(at.world.network.channel, at.world.network.chaincode, "job", 1)
    found = scoring.batch(at.spec, base, at.world.signer.sign(state.batch_round).randomness)
    assert found.tolist() == batch(at.world, state)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("public_view", {"public_view": ""}),
        ("public_view", {"public_view": "x"}),
        ("public_view", {"rule": CONDITIONAL, "public_view": ""}),
        ("public_view", {"public_view": cid.file_cid(bytes(cid.LEAF_BYTES + 1))}),
        ("public_view", {"rule": "dasgupta-ghosh"}),
        ("public_view", {"rule": "dasgupta-ghosh", "public_view": "x"}),
        ("public_items", {"public_items": job_terms.MAX_VIEW // views.ITEM_BYTES + 1}),
        ("rule", {"mechanism": "qualify-and-vest"}),
        ("rule", {"mechanism": "qualify-and-vest-sharp", "rule": CONDITIONAL}),
        ("rule", {"mechanism": "qualify-and-vest", "public_view": ""}),
    ],
)
@story
async def test_a_view_that_does_not_fit_the_rule_is_refused_by_its_field(field: str, changes: dict[str, Any]):
    world = World()
    await world.found()
    spec: JobSpec = world.spec(**terms(**changes))
    refusal = await refused(422, world.admin.submit("Jobs:create", "job", spec, ORGANISATIONS[0], []))
    assert refusal.details["field"] == field
    assert field in [name for name, _ in job_terms.faults_alone(spec)]
