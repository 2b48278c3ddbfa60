"""Servers of a new release while a job of the old rules runs: nothing of it goes by other rules than its own."""

from __future__ import annotations

import pytest

from chaincode.contracts import state
from chaincode.proposals import AbortJob
from chaincode.records import RULES_VERSION, Phase
from tests.attacks.scenes import RUNNING, refused, scene, story


@pytest.mark.parametrize("phase", RUNNING)
@story
async def test_servers_with_other_rules_move_no_round_of_a_running_job_and_the_old_release_ends_it(
    monkeypatch, phase
):
    at = await scene(4)
    await at.to(phase)
    before = at.world.network.state.digest()
    with monkeypatch.context() as upgraded:
        upgraded.setattr(state, "RULES_VERSION", RULES_VERSION + 1)
        for name in ("Rounds:close", "Rounds:seal", "Aggregation:begin", "Aggregation:finalise"):
            refusal = await refused(409, at.world.admin.submit(name, "job", 1, at.world.beacon()))
            assert refusal.details == {"rules": RULES_VERSION}
        await refused(409, at.world.admin.submit("Rounds:open", "job", 2, at.world.beacon()))
        beacon = at.world.signer.sign(max(1, (await at.world.state()).sampling_round))
        await refused(409, at.world.admin.submit("Settlement:settle", "job", 1, beacon))
        assert (await at.world.view.job("job")).spec == at.spec  # whoever asks is told
    assert at.world.network.state.digest() == before
    await at.to(Phase.FINAL)
    await at.world.holdings()


@story
async def test_a_job_whose_rules_nobody_runs_any_more_is_ended_by_vote(monkeypatch):
    at = await scene(4)
    await at.to(Phase.REVEAL)
    monkeypatch.setattr(state, "RULES_VERSION", RULES_VERSION + 1)
    at.world.clock.time = (await at.world.state()).deadline + at.spec.grace + 3
    await at.world.pass_vote("abort", AbortJob(job="job"))
    held = await at.world.holdings()
    assert (held.locks, held.escrows) == (0, 0)
    for who in at.members:
        assert await at.world.balance(who.member_id) == 3 * at.spec.lock
