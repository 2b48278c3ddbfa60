"""The token: dust, double spends, amounts and accounts of every odd kind."""

from __future__ import annotations

import msgspec
import pytest

from chaincode.records import Phase
from tests.attacks.scenes import hoard, refused, scene, story, together
from tests.world import ORGANISATIONS, World

ODD_ACCOUNTS = [
    "", " ", "Org1MSP ", " Org1MSP", "Org1MSP\n", "Org1MSP\0", "Org1MSP/", "Org1MSP/x", "../Org1MSP",
    "org1msp", "Org1MSP:", "Org1MSP:xyz", "Org1MSP:" + "0" * 63, "Org1MSP:" + "0" * 65,
    "Org1MSP:" + "A" * 64, "Org1MSP:" + "0" * 64 + "\n", "Org1MSP:" + "0" * 64 + "/", ":" + "0" * 64,
    "Org1MSP:" + "0" * 64 + ":" + "0" * 64, "consortium", "supply", "escrow/job", "lock/job/000001/",
    "credit/Org1MSP", "member", "Treasury", "treasury ", "treasury:" + "0" * 64, "Örg1MSP", "Org1MSP\u200b",
    "Оrg1MSP", "\U0010ffff", "\ud7ff", "a" * 65, "a" * 100_000, "Org9MSP", "Org9MSP:" + "0" * 64, '"Org1MSP"',
]  # fmt: skip


async def funded(amount: int = 1000) -> World:
    """A consortium with money."""
    world = World()
    await world.found()
    await world.mint(amount)
    return world


@pytest.mark.parametrize("account", ODD_ACCOUNTS, ids=range(len(ODD_ACCOUNTS)))
@story
async def test_nothing_can_be_sent_to_minted_for_or_spent_from_an_odd_account(account):
    world = await funded()
    credits = await world.view.credits("Org1MSP", 1000)
    before = world.network.state.digest()
    await refused((400, 422), world.admin.submit("Token:transfer", "Org1MSP", account, 5, credits))
    await refused((400, 403), world.admin.submit("Token:transfer", account, "Org1MSP", 5, credits))
    mint = {"action": "mint", "account": account, "amount": 5}
    await refused((400, 422), world.admin.submit("Governance:propose", "p", mint, world.beacon()))
    await refused((400, 403), world.admin.submit("Jobs:create", "job", world.spec(), account, credits))
    assert world.network.state.digest() == before


NO_AMOUNTS = [
    0, -1, -(2**63), 2**63, 2**64, 2**64 + 1, 10**40,
    b"1.0", b"1e3", b'"1"', b"null", b"true", b"NaN", b"01", b"", b"[1]",
]  # fmt: skip


@pytest.mark.parametrize("amount", NO_AMOUNTS, ids=str)
@story
async def test_an_amount_that_is_no_positive_integer_below_the_limit_is_refused(amount):
    world = await funded()
    credits = await world.view.credits("Org1MSP", 1000)
    await refused(400, world.admin.submit("Token:transfer", "Org1MSP", "Org2MSP", amount, credits))
    mint = {"action": "mint", "account": "Org1MSP", "amount": amount}
    if isinstance(amount, int):
        await refused(400, world.admin.submit("Governance:propose", "p", mint, world.beacon()))
    await world.holdings()


@story
async def test_nobody_can_send_more_than_the_named_credits_hold():
    world = await funded()
    credits = await world.view.credits("Org1MSP", 1000)
    for amount in (1001, 2**63 - 1):
        refusal = await refused(
            422, world.admin.submit("Token:transfer", "Org1MSP", "Org2MSP", amount, credits)
        )
        assert refusal.details == {"have": 1000, "need": amount}
    await refused(422, world.admin.submit("Token:transfer", "Org1MSP", "Org2MSP", 1, []))
    await world.admin.submit("Token:transfer", "Org1MSP", "Org2MSP", 1000, credits)
    assert (await world.balance("Org1MSP"), await world.balance("Org2MSP")) == (0, 1000)


@story
async def test_a_credit_is_spent_once_also_in_one_block_and_in_one_call():
    world = await funded()
    credits = await world.view.credits("Org1MSP", 1000)
    await refused(400, world.admin.submit("Token:transfer", "Org1MSP", "Org2MSP", 1500, credits * 2))
    held = [
        await hoard(world.admin, "Token:transfer", "Org1MSP", to, 1000, credits)
        for to in ("Org2MSP", "Org3MSP", "Org1MSP")
    ]
    assert await together(*held) == ["VALID", "MVCC_READ_CONFLICT", "MVCC_READ_CONFLICT"]
    await refused(409, world.admin.submit("Token:transfer", "Org1MSP", "Org3MSP", 1, credits))
    assert (await world.holdings()).credits == 1000


@story
async def test_a_transfer_spends_at_most_500_credits():
    world = await funded(10_000)
    for _ in range(501):
        await world.pay("Org2MSP", 1)
    admin = world.admins["Org2MSP"]
    names = [f"{line}" for line in await world.view.credits("Org2MSP", 500)]
    assert len(names) == 500
    state = world.network.state
    every = [
        key.removeprefix("credit/Org2MSP/") for key, _ in state.items("credit/Org2MSP/", "credit/Org2MSP0")
    ]
    assert len(every) == 501
    await refused(400, admin.submit("Token:transfer", "Org2MSP", "Org3MSP", 501, every))
    await admin.submit("Token:transfer", "Org2MSP", "Org3MSP", 499, names)
    assert await world.balance("Org2MSP") == 2
    await world.holdings()


@story
async def test_dust_sent_in_the_middle_of_a_spend_disturbs_nothing():
    at = await scene(3)
    world, who = at.world, at.members[0]
    await world.open()
    own = await world.view.credits(who.member_id, at.spec.lock)
    held = await hoard(who, "Rounds:commit", "job", 1, world.digest(who, at.work(who)), own)
    for _ in range(20):
        await world.pay(who.member_id, 1)
    assert (await held.send()).code == "VALID"
    assert await world.balance(who.member_id) == at.spec.lock * 2 + 20
    largest = await world.view.credits(who.member_id, at.spec.lock)
    assert len(largest) == 1  # the client library pays with few large credits and leaves the dust
    await world.holdings()


NO_CREDITS = [
    "", "/", "x", "x/", "/0", "x/-1", "x/0/0", "x/0x1", "../x/0", "x\0/0", "x/0\0", 
    "x/٣", "é/0", "x/0\n", "x /0", "x" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("name", NO_CREDITS, ids=range(len(NO_CREDITS)))
@story
async def test_a_credit_of_an_odd_name_is_refused(name):
    world = await funded()
    await refused(400, world.admin.submit("Token:transfer", "Org1MSP", "Org2MSP", 1, [name]))


@story
async def test_nobody_spends_anothers_credit_by_naming_it():
    world = await funded()
    (name,) = await world.view.credits("Org1MSP", 1000)
    other = world.admins["Org2MSP"]
    await refused(409, other.submit("Token:transfer", "Org2MSP", "Org2MSP", 1, [name]))
    await refused(400, other.submit("Token:transfer", "Org2MSP", "Org2MSP", 1, [f"../Org1MSP/{name}"]))
    await refused(403, other.submit("Token:transfer", "Org1MSP", "Org2MSP", 1, [name]))
    for spelled in (name.replace("/0", "/00"), name.replace("/0", "/+0"), name.upper()):
        await refused((400, 409), world.admin.submit("Token:transfer", "Org1MSP", "Org2MSP", 1, [spelled]))


@story
async def test_a_transfer_to_oneself_changes_nothing_but_the_credits():
    world = await funded()
    credits = await world.view.credits("Org1MSP", 1000)
    await world.admin.submit("Token:transfer", "Org1MSP", "Org1MSP", 400, credits)
    assert await world.balance("Org1MSP") == 1000
    assert (await world.holdings()).credits == 1000


@story
async def test_the_locked_and_the_escrowed_cannot_be_spent():
    at = await scene(3)
    world = at.world
    await world.open()
    await at.commit()
    who = at.members[0]
    lock = f"lock/job/000001/{who.member_id}"
    for name in (lock, "escrow/job", f"job/{0}"):
        await refused((400, 409), who.submit("Token:transfer", who.member_id, "Org1MSP", 1, [name]))
    assert await world.balance(who.member_id) == at.spec.lock * 2
    await world.admin.submit("Jobs:cancel", "job", 1)
    assert (await world.holdings()).escrows == at.spec.pool  # not before the round is over


@story
async def test_a_memo_has_a_limit_and_every_statement_line_stays():
    world = await funded()
    credits = await world.view.credits("Org1MSP", 1000)
    transfer = ("Token:transfer", "Org1MSP", "Org2MSP", 1, credits)
    await refused(400, world.admin.submit(*transfer, "m" * 129))
    await world.admin.submit(*transfer, "m" * 128)
    lines = [key for key, _ in world.network.state.items("entry/", "entry0")]
    assert len(lines) == 3
    await world.pay("Org2MSP", 1)
    assert set(lines) < {key for key, _ in world.network.state.items("entry/", "entry0")}


@pytest.mark.parametrize(
    "round", [-1, -5, 2, 100_001, b"-0", b"1.0", b"1e0", b'""', b"9" * 5000], ids=lambda r: str(r)[:8]
)
@story
async def test_a_cancel_that_names_another_round_cannot_empty_the_escrow_of_a_running_job(round):
    at = await scene(3)
    await at.to(Phase.REVEAL)
    if round == b"-0":
        await refused((400, 409), at.world.admin.submit("Jobs:cancel", "job", round))
    else:
        await refused((400, 404), at.world.admin.submit("Jobs:cancel", "job", round))
    await refused(409, at.world.admin.submit("Jobs:cancel", "job", 0))
    assert (await at.world.holdings()).escrows == at.spec.pool


@story
async def test_one_pool_backs_one_job():
    world = World()
    await world.found()
    spec = world.spec()
    await world.mint(spec.pool)
    credits = await world.view.credits("Org1MSP", spec.pool)
    held = [
        await hoard(world.admin, "Jobs:create", name, spec, "Org1MSP", credits) for name in ("one", "two")
    ]
    assert await together(*held) == ["VALID", "MVCC_READ_CONFLICT"]
    await refused(409, world.admin.submit("Jobs:create", "two", spec, "Org1MSP", credits))
    await refused(422, world.admin.submit("Jobs:create", "two", spec, "Org1MSP", []))
    await refused(409, world.admin.submit("Jobs:create", "one", spec, "Org1MSP", []))
    assert (await world.holdings()).escrows == spec.pool


@story
async def test_who_pays_and_who_is_paid_in_a_settlement_can_transfer_in_the_same_block():
    at = await scene(3)
    await at.to(Phase.SEALED)
    world = at.world
    sampling = world.wait_for((await world.state()).sampling_round)
    reports = {f"report/{member}": work.data for member, work in at.works.items()}
    held = [await hoard(world.admin, "Settlement:settle", "job", 1, sampling, transient=reports)]
    for who in at.members:
        own = await world.view.credits(who.member_id, 1)
        held.append(await hoard(who, "Token:transfer", who.member_id, ORGANISATIONS[1], 1, own))
    assert await together(*held) == ["VALID"] * 4
    await world.holdings()


@story
async def test_a_payment_of_nothing_leaves_neither_a_credit_nor_a_line():
    """A round pays every member for score, stake and bond, mostly one of them 0: dust would pile up for ever."""
    at = await scene(4, rounds=1)
    await at.to(Phase.FINAL)
    kept = [
        (key, msgspec.json.decode(entry.value)["amount"])
        for prefix in ("credit/", "entry/")
        for key, entry in at.world.network.state.items(prefix, prefix[:-1] + "0")
    ]
    assert len(kept) > 8
    assert not [key for key, amount in kept if amount == 0]
