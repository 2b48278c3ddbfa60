"""A recorded channel, executed again from block 0, gives the same state: nothing but the chain decides."""

from __future__ import annotations

from chaincode.proposals import SpendTreasury, SuspendMember
from chaincode.records import Phase
from tests.attacks.replay import Replay, apply_recorded
from tests.attacks.scenes import Scene, hoard, refused, scene, story, together
from tests.attacks.test_interference import rotated
from tests.world import ORGANISATIONS


async def eventful(world=None) -> tuple[Scene, dict[str, bytes]]:
    """Two rounds with slashes, a vanished report, votes, a rotation, conflicts, refusals and a cancelled job."""
    at = await scene(5, world=world)
    world, store = at.world, {}
    await at.to(Phase.REVEAL)
    await world.pass_vote("suspend", SuspendMember(member=at.members[1].member_id))
    await rotated(at, 0)
    await at.to(Phase.SEALED, but=at.members[4:])
    store.update({work.report: work.data for work in at.works.values()})
    gone = at.members[2].member_id
    for msp_id in ORGANISATIONS[:2]:
        await world.admins[msp_id].submit("Settlement:missing", "job", 1, gone)
    world.clock.time += at.spec.missing_seconds + 3
    call = ("Settlement:close-missing", "job", 1, world.beacon())
    held = [await hoard(who, *call) for who in at.members[:2]]
    assert await together(*held) == ["VALID", "MVCC_READ_CONFLICT"]
    left = {m: w for m, w in at.works.items() if m not in (gone, at.members[4].member_id)}
    await world.settle(left)
    credits = await world.view.credits("treasury", 10)
    await world.pass_vote("spend", SpendTreasury(to="Org3MSP", amount=10, credits=credits))
    await at.to(Phase.FINAL)
    at.works.clear()
    at.members = [at.members[0], *at.members[2:]]  # one is suspended
    await at.to(Phase.COMMIT, 2)
    store.update({work.report: work.data for work in at.works.values()})
    await refused(409, world.open(round=2))
    await world.admin.submit("Jobs:cancel", "job", 2)
    await at.to(Phase.FINAL, 2)
    await at.members[1].submit("Registry:leave")
    return at, store


@story
async def test_executing_a_recorded_channel_again_from_block_0_gives_the_same_state():
    at, store = await eventful()
    again = Replay(at.world, store)
    valid = [r for block in at.world.network.blocks for r in block.transactions if r.code == "VALID"]
    assert await again.execute(at.world.network.blocks) == len(valid) > 60
    assert again.state.digest() == at.world.network.state.digest()


@story
async def test_applying_the_recorded_writes_from_block_0_gives_the_same_state():
    at, _ = await eventful()
    assert apply_recorded(at.world.network.blocks).digest() == at.world.network.state.digest()
