"""Attacks on the view of a round's model: lied about, copied, withheld, malformed, forged, chosen by who pushes."""

from __future__ import annotations

import pytest

from chaincode import cid
from chaincode.records import TREASURY, Stage
from tests.attacks.scenes import refused, story
from tests.contracts.panel import RIGHT, Panel
from tests.contracts.viewers import FAR, HONEST, NEAR, Viewers


async def witnessed(seen: tuple[bytes, bytes, bytes], count: int = 5) -> tuple[Viewers, list[str]]:
    """A committee that answered with these views, which all of it hold."""
    panel = await Viewers.settled(count)
    members = (await panel.begin()).committee
    await panel.answered(dict(zip(members, seen, strict=True)))
    await panel.witness({member: [] for member in members})
    return panel, members


@story
async def test_a_member_that_lies_about_its_view_loses_its_bond_and_changes_nothing():
    panel, members = await witnessed((HONEST, FAR, HONEST))
    await panel.agree(members)
    assert (await panel.over()).next_view == cid.raw_cid(HONEST)
    assert await panel.gains() == {members[1]: -panel.money, TREASURY: panel.money}


@story
async def test_a_members_view_cannot_be_copied_before_all_are_committed_to():
    panel = await Viewers.settled()
    a, b, c = (await panel.begin()).committee
    await panel.voted()
    panel.views = {a: HONEST, b: HONEST}
    await panel.commit(a, RIGHT)
    await panel.commit(b, RIGHT)
    digest = (await panel.progress()).committed[a]
    await panel.members[c].submit("Aggregation:commit", "job", 1, 1, digest)
    await panel.move()
    await panel.reveal(a)
    model, salt = panel.salts[1, a]
    copied = ("Aggregation:reveal", "job", 1, 1, model, salt.hex(), cid.raw_cid(HONEST))
    await refused(422, panel.members[c].submit(*copied, transient={"view": HONEST}))
    await panel.reveal(b)
    await panel.move(late=True)
    await panel.witness({a: [], b: []})
    await panel.agree([a, b])
    assert await panel.gains() == {c: -panel.money, TREASURY: panel.money}


@story
async def test_a_view_cannot_be_exchanged_once_it_is_committed_to():
    panel = await Viewers.settled()
    members = (await panel.begin()).committee
    await panel.voted()
    panel.views = dict.fromkeys(members, HONEST)
    for member in members:
        await panel.commit(member, RIGHT)
    await panel.move()
    panel.views[members[0]] = NEAR
    await refused(422, panel.reveal(members[0]))
    panel.views[members[0]] = HONEST
    await panel.reveal(members[0])


@pytest.mark.parametrize("wrong", ["absent", "another", "shorter", "longer", "equal labels", "unnamed"])
@story
async def test_a_view_is_revealed_with_its_own_sound_bytes_or_not_at_all(wrong: str):
    panel = await Viewers.settled()
    a, b, c = (await panel.begin()).committee
    odd = {
        "shorter": HONEST[:-1],
        "longer": HONEST + HONEST[:6],
        "equal labels": b"\1\1" + HONEST[2:],
        "unnamed": b"",
    }
    panel.views = {a: odd.get(wrong, HONEST), b: HONEST, c: HONEST}
    if wrong == "unnamed":
        del panel.views[a]
    await panel.voted()
    for member in (a, b, c):
        await panel.commit(member, RIGHT)
    await panel.move()
    model, salt = panel.salts[1, a]
    call = ("Aggregation:reveal", "job", 1, 1, model, salt.hex(), panel.named(a))
    beside = {"absent": {}, "another": {"view": NEAR}, "unnamed": {"view": HONEST}}
    given = beside.get(wrong, {"view": panel.views.get(a, b"")})
    await refused((400, 422), panel.members[a].submit(*call, transient=given))
    await panel.reveal(b)
    await panel.reveal(c)
    await panel.move(late=True)
    await panel.witness({b: [], c: []})
    await panel.agree([b, c])
    assert (await panel.over()).next_view == cid.raw_cid(HONEST)
    assert await panel.gains() == {a: -panel.money, TREASURY: panel.money}


@story
async def test_a_round_that_agrees_on_no_view_takes_none():
    panel = await Panel.settled()
    a, b, c = (await panel.begin()).committee
    panel.views = {a: HONEST}
    await panel.voted()
    for member in (a, b, c):
        await panel.commit(member, RIGHT)
    await panel.move()
    await refused(422, panel.reveal(a))
    model, salt = panel.salts[1, b]
    call = ("Aggregation:reveal", "job", 1, 1, model, salt.hex())
    await refused(400, panel.members[b].submit(*call, transient={"view": HONEST}))
    await refused((409, 425), panel.world.admin.submit("Aggregation:agree", "job", 1, panel.world.beacon()))


@story
async def test_whoever_brings_the_views_can_neither_choose_nor_change_them():
    panel, members = await witnessed((HONEST, NEAR, HONEST))
    before = panel.world.network.state.digest()
    a, b, c = members
    outsider = next(member for member in panel.members if member not in members)
    for counted, changes in (
        ([a, b], {}),
        ([b], {}),
        ([], {}),
        (members, {f"view/{outsider}": HONEST}),
        (members, {f"view/{a}": FAR}),
        (members, {f"view/{a}": NEAR}),
        (members, {f"view/{a}": b""}),
    ):
        await refused((409, 422), panel.agree(counted, **changes))
    assert panel.world.network.state.digest() == before
    await panel.agree(members)
    assert (await panel.over()).next_view == cid.raw_cid(HONEST)


@story
async def test_a_view_given_to_a_friend_alone_does_not_count():
    """Otherwise the friend could settle the next round, and nobody else: a vote would have to end it."""
    panel = await Viewers.settled()
    a, b, c = (await panel.begin()).committee
    await panel.answered({a: HONEST, b: HONEST, c: NEAR})
    await panel.witness({c: [], a: [c], b: [c]})
    await refused(409, panel.agree([a, b, c]))
    await panel.agree([a, b])
    assert (await panel.over()).next_view == cid.raw_cid(HONEST)


@story
async def test_a_minority_that_denies_holding_honest_views_takes_nothing_from_anybody():
    panel = await Viewers.settled()
    a, b, c = (await panel.begin()).committee
    await panel.answered({a: HONEST, b: HONEST, c: HONEST})
    await panel.witness({a: [], b: [], c: [a, b]})
    await panel.agree([a, b, c])
    assert (await panel.over()).next_view == cid.raw_cid(HONEST)
    assert await panel.gains() == {}


@story
async def test_giving_up_early_stops_no_agreement():
    panel, members = await witnessed((HONEST, HONEST, HONEST))
    await panel.late()
    await refused(425, panel.move())
    assert (await panel.state()).stage is Stage.WITNESS
    await panel.agree(members)
    await panel.over()


@story
async def test_witnesses_speak_once_in_their_stage_and_their_attempt():
    panel = await Viewers.settled()
    a, b, c = (await panel.begin()).committee
    outsider = next(member for member in panel.members if member not in (a, b, c))
    await refused((409, 425), panel.witness({a: []}))
    await panel.answered({a: HONEST, b: HONEST, c: HONEST})
    await refused(403, panel.witness({outsider: []}))
    await refused(422, panel.witness({a: [outsider]}))
    await panel.witness({a: []})
    await refused(409, panel.witness({a: [b]}))
    await refused(409, panel.members[b].submit("Aggregation:witness", "job", 1, 2, []))


@story
async def test_bringing_views_moves_no_other_stage_on_even_past_its_deadline():
    panel = await Viewers.settled()
    members = (await panel.begin()).committee
    panel.views = dict.fromkeys(members, HONEST)
    for stage in (Stage.VOTE, Stage.COMMIT, Stage.REVEAL):
        state = await panel.state()
        assert state.stage is stage
        panel.world.clock.time = max(panel.world.clock.time, state.deadline) + panel.world.terms.beacon.period
        await refused(425, panel.agree([]))
        assert await panel.state() == state
        if stage is Stage.VOTE:
            await panel.voted()
        elif stage is Stage.COMMIT:
            for member in members:
                await panel.commit(member, RIGHT)
            await panel.move()
