"""Money as people move it, and everything that must not move it."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from chaincode.records import SPENDABLE, STATEMENT_PAGE, TREASURY, Phase
from chaincode.shim import PeerError
from chaincode.shim.memory import MemoryStub
from fl_client import wallet
from fl_client.contracts import View
from fl_client.errors import BadInput
from tests.attacks.scenes import hoard, refused, scene, story, together
from tests.world import ORGANISATIONS, World

ORG1, ORG2, ORG3 = ORGANISATIONS
SOMEBODY = f"{ORG1}:{'a' * 64}"


async def funded(amount: int = 1000) -> World:
    world = World()
    await world.found()
    await world.mint(amount)
    return world


async def transfer(
    world: World, *, to: str = ORG2, amount: object = 1, credits: object = None, memo: str = "", account=ORG1
):
    """A raw transfer by the first organisation's admin."""
    named = await world.view.credits(ORG1, 1) if credits is None else credits
    return await world.admin.submit("Token:transfer", account, to, amount, named, memo)


# paying


@story
async def test_a_transfer_moves_exactly_its_amount_and_the_change_comes_back():
    world = await funded()
    await transfer(world, amount=300)
    assert (await world.balance(ORG1), await world.balance(ORG2)) == (700, 300)
    await world.holdings()


@story
async def test_paying_exactly_what_one_has_leaves_no_credit_of_nothing():
    world = await funded()
    await transfer(world, amount=1000)
    assert await world.view.all_credits(ORG1) == []
    assert await world.balance(ORG2) == 1000


@pytest.mark.parametrize(
    ("amount", "code"), [(0, 400), (-1, 400), (1001, 422), (2**63 - 1, 422), (2**63, 400), (2**200, 400)]
)
@story
async def test_odd_amounts_move_nothing(amount, code):
    world = await funded()
    await refused(code, transfer(world, amount=amount))
    assert await world.balance(ORG1) == 1000
    await world.holdings()


@pytest.mark.parametrize("raw", [b"1.0", b"1e2", b'"1"', b"true", b"null", b"NaN", b"", b"01", b"[1]"])
@story
async def test_an_amount_that_is_no_integer_is_refused(raw):
    world = await funded()
    await refused(400, transfer(world, amount=raw))


@pytest.mark.parametrize(
    "to",
    [
        "", "/", "Org1MSP/", "Org1MSP/x", "../Org1MSP", "credit/Org1MSP", "supply", "escrow/job", "consortium",
        "member/x", "Org1MSP\0", "\0Org1MSP", "Org1MSP\n", f"{SOMEBODY}\n", "Org1MSP:", "Org1MSP:abc",
        SOMEBODY.upper(), f"{SOMEBODY}0", "Örg1MSP", "Org1MSP\u200b", "\U0010ffff", "x" * 65, "Org9MSP",
        "treasury:" + "a" * 64, "Treasury",
    ],
)  # fmt: skip
@story
async def test_odd_accounts_are_paid_nothing(to):
    world = await funded()
    await refused((400, 422), transfer(world, to=to))
    assert (await world.holdings()).credits == 1000


@pytest.mark.parametrize(
    ("credits", "code"),
    [
        ([], 422),
        (["aa/1"], 409),
        (["x"], 400),
        (["/0"], 400),
        (["aa/"], 400),
        (["aa/-1"], 400),
        (["aa/٣"], 400),
        (["../../supply/1"], 400),
        (["a" * 5000 + "/1"], 400),
        (["aa/1/2"], 400),
        (["\0/1"], 400),
        ([""], 400),
    ],
)
@story
async def test_credits_that_are_none_buy_nothing(credits, code):
    world = await funded()
    await refused(code, transfer(world, credits=credits))
    assert (await world.holdings()).credits == 1000


@story
async def test_a_spend_names_at_most_500_credits_and_each_once():
    world = await funded()
    credits = await world.view.credits(ORG1, 1)
    await refused(400, transfer(world, credits=credits * 2, amount=1500))
    await refused(400, transfer(world, credits=[f"aa/{n}" for n in range(SPENDABLE + 1)]))


@story
async def test_a_credit_is_spent_once_also_by_two_spends_in_one_block():
    world = await funded()
    credits = await world.view.credits(ORG1, 1000)
    kept = [await hoard(world.admin, "Token:transfer", ORG1, to, 1000, credits) for to in (ORG2, ORG3)]
    assert sorted(await together(*kept)) == ["MVCC_READ_CONFLICT", "VALID"]
    await refused(409, transfer(world, credits=credits))
    assert await world.balance(ORG2) + await world.balance(ORG3) == 1000
    await world.holdings()


@story
async def test_dust_in_the_middle_of_a_spend_disturbs_nothing():
    world = await funded()
    await world.pay(ORG2, 100)
    kept = await hoard(world.admin, "Token:transfer", ORG1, ORG3, 5, await world.view.credits(ORG1, 5))
    admin = world.admins[ORG2]
    dust = [
        await hoard(admin, "Token:transfer", ORG2, ORG1, 1, [line.id])
        for line in await world.view.all_credits(ORG2)
    ]
    assert await together(*dust, kept) == ["VALID", "VALID"]
    await world.holdings()


@story
async def test_participants_pay_and_are_paid_in_the_middle_of_a_settlement():
    at = await scene(3)
    world = at.world
    await at.to(Phase.SEALED)
    sampling = world.wait_for((await world.state()).sampling_round)
    reports = {f"report/{member}": work.data for member, work in at.works.items()}
    settle = await hoard(world.admin, "Settlement:settle", "job", 1, sampling, transient=reports)
    who = at.members[0]
    credits = await world.view.credits(who.member_id, 5)
    out = await hoard(who, "Token:transfer", who.member_id, ORG2, 5, credits)
    into = await hoard(
        world.admin, "Token:transfer", ORG1, who.member_id, 5, await world.view.credits(ORG1, 5)
    )
    assert await together(into, settle, out) == ["VALID"] * 3
    await world.holdings()


@story
async def test_an_account_is_its_own_holders():
    world = await funded()
    client = world.client(ORG1, "c")
    await world.pay(client.member_id, 10)
    credits = await world.view.credits(ORG1, 1)
    for thief in (client, world.admins[ORG2], world.client(ORG2, "x")):
        await refused(403, thief.submit("Token:transfer", ORG1, thief.msp_id, 1, credits))
    mine = await world.view.credits(client.member_id, 10)
    for thief in (world.admin, world.client(ORG1, "y"), world.admins[ORG2]):
        await refused(403, thief.submit("Token:transfer", client.member_id, ORG1, 1, mine))
    await client.submit("Token:transfer", client.member_id, ORG1, 10, mine)  # also before it registers
    await world.holdings()


@story
async def test_another_accounts_credits_cannot_be_named():
    world = await funded()
    await world.pay(ORG2, 10)
    theirs = [line.id for line in await world.view.all_credits(ORG2)]
    await refused(409, transfer(world, credits=theirs))
    await refused(403, transfer(world, account=TREASURY, credits=theirs))


@story
async def test_all_that_there_can_be_still_adds_up():
    world = await funded(2**63 - 1)
    await transfer(world, amount=2**62)
    await transfer(world, amount=2**62 - 2)
    assert await world.balance(ORG2) == 2**63 - 2
    credits = [line.id for line in await world.view.all_credits(ORG2)]
    await world.admins[ORG2].submit("Token:transfer", ORG2, ORG1, 2**63 - 2, credits)
    assert await world.balance(ORG1) == 2**63 - 1
    await world.holdings()


# statements


@story
async def test_a_statement_says_who_paid_what_and_why_and_adds_up_to_the_balance():
    at = await scene(3)
    world, who = at.world, at.members[0]
    await transfer(world, to=who.member_id, amount=5, memo="thanks, 100 %")
    await at.to(Phase.SETTLED)
    lines = await world.view.statement(who.member_id)
    assert sum(line.amount for line in lines) == await world.balance(who.member_id)
    assert {line.kind for line in lines} >= {"transfer", "lock", "stake-returned"}
    (thanks,) = [line for line in lines if line.memo == "thanks, 100 %"]
    assert (thanks.amount, thanks.other) == (5, ORG1)
    assert thanks.time > 0
    (lock,) = [line for line in lines if line.kind == "lock"]
    assert (lock.amount, lock.other, lock.memo) == (-at.spec.lock, "job", "job/1")
    for account in (ORG1, TREASURY):
        whole = await world.view.statement(account)
        assert sum(line.amount for line in whole) == await world.balance(account)


@story
async def test_a_long_statement_and_many_credits_come_in_pages_without_gap_or_repeat():
    world = await funded(10_000)
    for _ in range(130):
        await transfer(world, to=ORG2, amount=1)
    lines = await world.view.statement(ORG2)
    assert len(lines) == len({line.id for line in lines}) == 130
    assert sum(line.amount for line in lines) == 130
    page = msgspec.json.decode(await world.admin.evaluate("Token:statement", ORG2))
    assert [each["id"] for each in page] == sorted(line.id for line in lines)[:STATEMENT_PAGE]
    assert len(await world.view.all_credits(ORG2)) == 130


@story
async def test_a_statement_does_without_times_where_the_peers_keep_no_history(monkeypatch):
    async def history(self, key):
        raise PeerError("history database is not enabled")
        yield

    monkeypatch.setattr(MemoryStub, "history", history)
    world = await funded()
    (line,) = await world.view.statement(ORG1)
    assert (line.amount, line.kind, line.time) == (1000, "mint", 0)


@pytest.mark.parametrize("after", ["x", "a/b", "a/1\n", "\U0010ffff", "\0", "a" * 200 + "/1"])
@story
async def test_an_odd_page_is_refused(after):
    world = await funded()
    await refused(400, world.admin.evaluate("Token:statement", ORG1, after))
    await refused(400, world.admin.evaluate("Token:credits", ORG1, after))


@pytest.mark.parametrize("memo", ["x" * 129, "a\nb", "\x1b[31m", "\0", "\x7f", "a\n"])
@story
async def test_a_memo_is_one_short_line(memo):
    world = await funded()
    await refused(400, transfer(world, memo=memo))


# the wallet


async def crumbs(world: World, count: int, amount: int = 1, account: str = ORG2) -> None:
    """So many small credits for an account."""
    start = await world.view.all_credits(ORG1)
    assert sum(line.amount for line in start) >= count * amount
    for _ in range(count):
        await world.pay(account, amount)


@story
async def test_the_largest_credits_are_spent_first_so_dust_costs_nothing():
    world = await funded(10_000)
    await crumbs(world, 30)
    await world.pay(ORG2, 500)
    assert len(await world.view.credits(ORG2, 400)) == 1
    assert len(await world.view.credits(ORG2, 510)) == 11


@story
async def test_a_wallet_merges_when_a_payment_takes_more_credits_than_a_spend_may_name(monkeypatch):
    monkeypatch.setattr(wallet, "SPENDABLE", 20)
    world = await funded(10_000)
    await crumbs(world, 50)
    view = View(world.admins[ORG2])
    credits = await view.credits(ORG2, 45)
    assert len(credits) <= 20
    await world.admins[ORG2].submit("Token:transfer", ORG2, ORG3, 45, credits)
    assert (await world.balance(ORG2), await world.balance(ORG3)) == (5, 45)
    assert sum(line.amount for line in await view.statement(ORG2)) == 5
    await world.holdings()


@story
async def test_a_wallet_says_what_is_missing():
    world = await funded()
    with pytest.raises(BadInput, match="has 10.00 and needs 10.01"):
        await world.view.credits(ORG1, 1001)
    assert await world.view.credits(ORG1, 0) == []


@story
async def test_two_programs_that_pay_from_one_account_at_once_both_succeed():
    world = await funded()
    view = View(world.admin)
    await asyncio.gather(*(wallet.transfer(view, ORG1, ORG2, 10, "at once") for _ in range(3)))
    assert await world.balance(ORG2) == 30
    await refused(422, wallet.transfer(view, ORG1, "Org9MSP", 1))
    await world.holdings()
