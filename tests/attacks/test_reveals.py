"""Reveals that do not open what was committed, or come at the wrong time."""

from __future__ import annotations

import secrets

import numpy as np
import pytest

from chaincode import cid, report
from chaincode.records import Phase
from tests.attacks.scenes import Scene, hoard, refused, scene, story, together
from tests.world import ORGANISATIONS, UPDATE, Work


async def submit(at: Scene, who, work: Work, **changes) -> None:
    """A reveal with some of it changed; `data` None leaves the transient map empty."""
    parts = {
        "report": work.report,
        "update": work.update,
        "salt": work.salt.hex(),
        "data": work.data,
    } | changes
    transient = {} if parts["data"] is None else {"report": parts["data"]}
    await who.submit(
        "Rounds:reveal", "job", 1, parts["report"], parts["update"], parts["salt"], transient=transient
    )


async def committed_to(data: bytes, report_cid: str = "", **spec) -> tuple[Scene, object, Work]:
    """A round in its reveal window in which one member committed to these bytes."""
    at = await scene(3, **spec)
    who = at.members[0]
    at.works[who.member_id] = Work(np.zeros(0), data, report_cid or cid.raw_cid(data))
    await at.to(Phase.REVEAL)
    return at, who, at.work(who)


@pytest.mark.parametrize("phase", [Phase.COMMIT, Phase.CLOSED])
@story
async def test_a_reveal_before_the_pairing_is_refused_and_can_be_repeated(phase):
    at = await scene(3)
    await at.to(phase)
    refusal = await refused(425, at.world.reveal(at.members[0], at.work(at.members[0])))
    assert not refusal.final
    await at.to(Phase.REVEAL)
    await at.world.reveal(at.members[0], at.work(at.members[0]))


@pytest.mark.parametrize("phase", [Phase.SEALED, Phase.SETTLED, Phase.AGGREGATE])
@story
async def test_a_reveal_after_the_seal_is_refused(phase):
    at = await scene(4)
    late = at.members[3]
    await at.to(phase, but=[late])
    await refused((403, 409), at.world.reveal(late, at.work(late)))
    assert late.member_id not in await at.world.view.reveals("job", 1)


@story
async def test_a_reveal_with_a_wrong_salt_is_refused():
    at = await scene(3)
    await at.to(Phase.REVEAL)
    who, work = at.members[0], at.work(at.members[0])
    await refused(422, submit(at, who, work, salt=secrets.token_hex(32)))
    for odd in ("", work.salt.hex().upper() + "", work.salt.hex() + "\n", work.salt.hex()[:-2], " " * 64):
        if odd != work.salt.hex():
            await refused((400, 422), submit(at, who, work, salt=odd))
    await at.world.reveal(who, work)


@story
async def test_a_reveal_of_anothers_cid_is_refused():
    at = await scene(3)
    await at.to(Phase.REVEAL)
    who, other = at.members[:2]
    theirs = at.work(other)
    await refused(422, submit(at, who, at.work(who), report=theirs.report, data=theirs.data))
    await refused(422, submit(at, who, theirs))
    await refused(422, submit(at, other, at.work(who)))


@story
async def test_bytes_that_do_not_match_the_cid_are_refused():
    at = await scene(3)
    await at.to(Phase.REVEAL)
    who, work = at.members[0], at.work(at.members[0])
    flipped = bytes([work.data[0] ^ 0x40]) + work.data[1:]
    for data in (flipped, work.data + b"\0", work.data[:-1], b""):
        await refused(422, submit(at, who, work, data=data))
    await refused(400, submit(at, who, work, data=None))


@story
async def test_a_second_reveal_changes_nothing_also_in_the_same_block():
    at = await scene(3)
    await at.to(Phase.REVEAL)
    who, work = at.members[0], at.work(at.members[0])
    call = ("Rounds:reveal", "job", 1, work.report, work.update, work.salt.hex())
    held = [await hoard(who, *call, transient={"report": work.data}) for _ in range(2)]
    assert await together(*held) == ["VALID", "MVCC_READ_CONFLICT"]
    await refused(409, at.world.reveal(who, work))


@story
async def test_who_has_not_committed_cannot_reveal():
    at = await scene(3)
    outsider = await at.world.member(ORGANISATIONS[0], "outsider", 10)
    await at.to(Phase.REVEAL)
    await refused(403, at.world.reveal(outsider, at.work(at.members[0])))
    await refused(403, at.world.reveal(at.world.admin, at.work(at.members[0])))


@story
async def test_who_was_drawn_out_cannot_reveal():
    at = await scene(5, max_participants=4)
    await at.to(Phase.REVEAL)
    stayed = await at.world.view.participants("job", 1)
    (out,) = [who for who in at.members if who.member_id not in stayed]
    await refused(403, at.world.reveal(out, at.work(out)))


FAULTY = {
    "one byte short": lambda data: data[:-1],
    "one byte long": lambda data: data + b"\0",
    "empty": lambda data: b"",
    "twice": lambda data: data * 2,
}


@pytest.mark.parametrize("fault", FAULTY)
@story
async def test_a_report_of_a_wrong_length_cannot_be_revealed_though_committed(fault):
    whole = report.pack(np.zeros(16, int), 4)
    at, who, work = await committed_to(FAULTY[fault](whole))
    await refused(422, submit(at, who, work))


@story
async def test_a_symbol_outside_the_alphabet_cannot_be_revealed_though_committed():
    data = report.pack(np.full(16, 3), 4)  # two bits a symbol for three symbols as well
    at, who, work = await committed_to(data, alphabet=3)
    assert "outside" in str(await refused(422, submit(at, who, work)))


@story
async def test_padding_that_is_not_zero_cannot_be_revealed_though_committed():
    whole = report.pack(np.zeros(15, int), 4)  # 30 bits, two of padding
    data = whole[:-1] + bytes([whole[-1] | 1])
    at, who, work = await committed_to(data, tasks=15)
    assert "padding" in str(await refused(422, submit(at, who, work)))


@pytest.mark.parametrize("form", ["dag-pb", "upper", "base58", "cidv0", "sha512", "empty", "long"])
@story
async def test_a_report_under_a_cid_of_another_form_cannot_be_revealed(form):
    data = report.pack(np.zeros(16, int), 4)
    raw = cid.raw_cid(data)
    names = {
        "dag-pb": str(cid.Cid("dag-pb", cid.parse(raw).digest)),
        "upper": raw.upper(),
        "base58": "z" + raw[1:],
        "cidv0": "Qm" + "a" * 44,
        "sha512": "bafkrgqa" + raw[8:],
        "empty": "",
        "long": raw + "a" * 200,
    }
    if not names[form]:
        at, who, work = await committed_to(data, " ")
        work.report = ""
    else:
        at, who, work = await committed_to(data, names[form])
    refusal = await refused((400, 422), submit(at, who, work))
    if form == "dag-pb":
        assert "one raw block" in refusal.message


@pytest.mark.parametrize("update", ["", "bafk", UPDATE.upper(), UPDATE + "=", "../../etc/passwd"])
@story
async def test_an_update_that_is_no_cid_cannot_be_revealed(update):
    at = await scene(3)
    who = at.members[0]
    at.works[who.member_id] = work = at.world.work(at.spec)
    work.update = update
    await at.to(Phase.REVEAL)
    assert "update" in str(await refused(422, submit(at, who, work)))


@story
async def test_transient_keys_that_a_transaction_does_not_take_are_refused():
    at = await scene(3)
    await at.to(Phase.REVEAL)
    who, work = at.members[0], at.work(at.members[0])
    call = ("Rounds:reveal", "job", 1, work.report, work.update, work.salt.hex())
    for extra in ("other", "", "report/", "report\0", "REPORT"):
        await refused(400, who.submit(*call, transient={"report": work.data, extra: b"x"}))
    await refused(400, who.submit("Registry:leave", transient={"report": b"x"}))
    await at.world.reveal(who, work)


@story
async def test_a_seal_kills_the_reveals_that_are_still_on_their_way():
    at = await scene(4)
    await at.to(Phase.REVEAL)
    late = at.members[3]
    work = at.work(late)
    call = ("Rounds:reveal", "job", 1, work.report, work.update, work.salt.hex())
    held = await hoard(late, *call, transient={"report": work.data})
    await at.reveal(but=[late])
    await at.world.seal()
    assert (await held.send()).code == "MVCC_READ_CONFLICT"
    await at.settle(but=[late])
    assert (await at.world.outcomes())[late.member_id].slashed == at.spec.lock


@story
async def test_a_withheld_reveal_costs_the_whole_lock_and_the_others_nothing():
    at = await scene(4)
    await at.to(Phase.SETTLED, but=at.members[3:])
    outcomes = await at.world.outcomes()
    assert outcomes[at.members[3].member_id].slashed == at.spec.lock
    assert [outcomes[who.member_id].slashed for who in at.members[:3]] == [0, 0, 0]
    assert await at.world.balance("treasury") >= at.spec.lock
    await at.world.holdings()


@story
async def test_a_late_reveal_counts_as_long_as_nobody_has_sealed():
    at = await scene(4)
    await at.to(Phase.REVEAL)
    at.world.clock.time = (await at.world.state()).deadline + 1000
    await at.reveal()
    await at.world.seal(late=False)
    await at.settle()
    assert all(each.slashed == 0 for each in (await at.world.outcomes()).values())
