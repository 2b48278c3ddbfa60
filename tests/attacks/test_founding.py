"""Founding and membership: who may begin, vote and register."""

from __future__ import annotations

import msgspec
import pytest

from chaincode.beacon import BeaconInfo, DevSigner
from chaincode.contracts.settings import SETTINGS, load
from chaincode.proposals import AdmitOrganisation, Mint, SetBeacon
from chaincode.records import Registration
from tests.attacks.scenes import (
    admit_to_channel,
    hoard,
    identity_until,
    refused,
    scene,
    staked_world,
    story,
    together,
)
from tests.world import GENESIS, ORGANISATIONS, World


def founding(world: World, **changes):
    """The arguments of Governance:init."""
    terms = msgspec.structs.asdict(world.terms) | changes
    names = ("organisations", "beacon", "freshness", "margin", "registration")
    return [terms[name] for name in names]


@story
async def test_a_stranger_cannot_found_the_consortium():
    world = World()
    admit_to_channel(world)
    await refused(403, world.admins["Org4MSP"].submit("Governance:init", *founding(world)))
    with_own = sorted([*ORGANISATIONS, "Org4MSP"])
    await refused(
        403, world.admins["Org4MSP"].submit("Governance:init", *founding(world, organisations=with_own))
    )
    client = world.client(ORGANISATIONS[0], "client")
    await refused(403, client.submit("Governance:init", *founding(world)))
    await world.found()


@pytest.mark.parametrize(
    "changes",
    [
        {"organisations": ORGANISATIONS[:1]},
        {"organisations": ORGANISATIONS[::-1]},
        {"beacon": DevSigner(b"the founder's own", 3, GENESIS).info},
        {"freshness": 10**6},
        {"margin": 2},
        {"registration": Registration(pre_known=False)},
        {"registration": Registration(deposit=1)},
    ],
    ids=lambda changes: "-".join(changes),
)
@story
async def test_nobody_founds_on_other_terms_than_the_servers_have(changes):
    world = World()
    await refused(403, world.admin.submit("Governance:init", *founding(world, **changes)))


@story
async def test_founding_works_once_also_when_sent_twice_at_the_same_time():
    world = World()
    first = await hoard(world.admin, "Governance:init", *founding(world))
    second = await hoard(world.admins[ORGANISATIONS[1]], "Governance:init", *founding(world))
    assert await together(first, second) == ["VALID", "MVCC_READ_CONFLICT"]
    await refused(409, world.found())


@story
async def test_everything_is_refused_before_founding():
    world = World()
    client, key = world.client(ORGANISATIONS[0], "client"), "0" * 64
    me = client.member_id
    calls = [
        (world.admin, "Governance:propose", "p", Mint(account="Org1MSP", amount=1), world.beacon()),
        (world.admin, "Governance:approve", "p"),
        (world.admin, "Governance:reject", "p"),
        (world.admin, "Registry:allow", key),
        (world.admin, "Registry:allow-name", "somebody"),
        (client, "Registry:register", []),
        (client, "Registry:leave"),
        (world.admin, "Token:transfer", "Org1MSP", me, 1, []),
        (world.admin, "Jobs:create", "job", world.spec(), "Org1MSP", []),
        (world.admin, "Jobs:cancel", "job", 0),
        (world.admin, "Rounds:open", "job", 1, world.beacon()),
        (client, "Rounds:commit", "job", 1, key, []),
        (world.admin, "Rounds:close", "job", 1, world.beacon()),
        (world.admin, "Aggregation:begin", "job", 1, world.beacon()),
        (world.admin, "Settlement:missing", "job", 1, me),
    ]
    before = world.network.state.digest()
    for who, *call in calls:
        await refused((403, 404, 409), who.submit(*call))
    assert world.network.state.digest() == before


@story
async def test_an_organisation_of_the_channel_that_is_not_in_the_consortium_has_no_say():
    world = World()
    admit_to_channel(world)
    await world.found()
    outsider, client = world.admins["Org4MSP"], world.client("Org4MSP", "client")
    mint = Mint(account="Org1MSP", amount=1)
    await refused(403, outsider.submit("Governance:propose", "p", mint, world.beacon()))
    await world.admin.submit("Governance:propose", "p", mint, world.beacon())
    await refused(403, outsider.submit("Governance:approve", "p"))
    await refused(403, outsider.submit("Governance:reject", "p"))
    await refused(403, outsider.submit("Registry:allow", client.member_id.partition(":")[2]))
    await refused(403, outsider.submit("Registry:allow-name", "client"))
    await refused(403, client.submit("Registry:register", []))
    await world.mint(10)
    credits = await world.view.credits("Org1MSP", 5)
    await refused(422, world.admin.submit("Token:transfer", "Org1MSP", "Org4MSP", 5, credits))
    await refused(422, world.admin.submit("Token:transfer", "Org1MSP", client.member_id, 5, credits))


@story
async def test_open_registration_is_open_to_the_consortiums_organisations_alone():
    world = World(registration=Registration(pre_known=False))
    admit_to_channel(world)
    await world.found()
    await world.client(ORGANISATIONS[0], "client").submit("Registry:register", [])
    await refused(403, world.client("Org4MSP", "client").submit("Registry:register", []))


@story
async def test_one_organisation_has_one_vote_however_often_it_votes():
    world = World()
    await world.found()
    other_admin = world.ledger(world.identities.issue(ORGANISATIONS[0], "Second@Org1", "admin"))
    await world.admin.submit("Governance:propose", "p", Mint(account="Org1MSP", amount=5), world.beacon())
    await refused(409, world.admin.submit("Governance:approve", "p"))
    await refused(409, world.admin.submit("Governance:reject", "p"))
    await refused(409, other_admin.submit("Governance:approve", "p"))
    await refused(
        409,
        world.admin.submit("Governance:propose", "p", Mint(account="Org1MSP", amount=6), world.beacon()),
    )
    client = world.client(ORGANISATIONS[1], "client")
    await refused(403, client.submit("Governance:approve", "p"))
    assert (await world.holdings()).minted == 0


@story
async def test_two_deciding_votes_at_once_execute_the_proposal_once():
    world = World()
    await world.found()
    await world.admin.submit("Governance:propose", "p", Mint(account="Org1MSP", amount=5), world.beacon())
    second = await hoard(world.admins[ORGANISATIONS[1]], "Governance:approve", "p")
    third = await hoard(world.admins[ORGANISATIONS[2]], "Governance:approve", "p")
    assert await together(second, third) == ["VALID", "MVCC_READ_CONFLICT"]
    await refused(409, world.admins[ORGANISATIONS[2]].submit("Governance:approve", "p"))
    assert (await world.holdings()).minted == 5


@story
async def test_rejected_and_expired_proposals_stay_dead():
    world = World()
    await world.found()
    for name in ("rejected", "expired"):
        await world.admin.submit(
            "Governance:propose", name, Mint(account="Org1MSP", amount=5), world.beacon()
        )
    for msp_id in ORGANISATIONS[1:]:
        await world.admins[msp_id].submit("Governance:reject", "rejected")
    await refused(409, world.admins[ORGANISATIONS[1]].submit("Governance:approve", "rejected"))
    world.clock.time += 7 * 24 * 3600 + 60
    await refused((409, 422), world.admins[ORGANISATIONS[1]].submit("Governance:approve", "expired"))
    assert (await world.holdings()).minted == 0


@story
async def test_the_supply_cannot_pass_its_limit_by_many_mints():
    world = World()
    await world.found()
    most = Mint(account="Org1MSP", amount=2**63 - 1)
    await world.pass_vote("first", most)
    await world.admin.submit("Governance:propose", "second", most, world.beacon())
    await refused(422, world.admins[ORGANISATIONS[1]].submit("Governance:approve", "second"))
    await world.propose("one", Mint(account="Org1MSP", amount=1))
    await refused(422, world.approve("one"))
    assert (await world.holdings()).minted == 2**63 - 1


@pytest.mark.parametrize("name", ["treasury", "Org1MSP", "Org/1", "Org1MSP\n", "", "Org\0", "Örg"])
@story
async def test_an_organisation_cannot_be_admitted_under_a_name_that_is_taken_or_odd(name):
    world = World()
    await world.found()
    action = {"action": "admit-org", "msp_id": name}
    await refused((400, 409, 422), world.admin.submit("Governance:propose", "p", action, world.beacon()))


@story
async def test_an_admitted_organisation_counts_in_the_electorate_at_the_deciding_vote():
    world = World()
    admit_to_channel(world)
    await world.found()
    await world.admin.submit("Governance:propose", "m", Mint(account="Org1MSP", amount=5), world.beacon())
    await world.pass_vote("admit", AdmitOrganisation(msp_id="Org4MSP"))
    await world.admins[ORGANISATIONS[1]].submit("Governance:approve", "m")  # two of four: not more than half
    assert (await world.holdings()).minted == 0
    await world.admins["Org4MSP"].submit("Governance:approve", "m")
    assert (await world.holdings()).minted == 5


@story
async def test_a_client_nobody_allowed_and_an_admin_cannot_register():
    world = World()
    await world.found()
    await refused(403, world.client(ORGANISATIONS[0], "unknown").submit("Registry:register", []))
    await world.admin.submit("Registry:allow", world.admin.member_id.partition(":")[2])
    await refused(403, world.admin.submit("Registry:register", []))


@story
async def test_an_admin_cannot_act_for_another_organisation():
    world = World()
    await world.found()
    await world.mint(100)
    other = world.admins[ORGANISATIONS[1]]
    client = world.client(ORGANISATIONS[0], "client")
    await other.submit("Registry:allow", client.member_id.partition(":")[2])  # allows it in its own alone
    await other.submit("Registry:allow-name", "client")
    await refused(403, client.submit("Registry:register", []))
    credits = await world.view.credits("Org1MSP", 100)
    await refused(403, other.submit("Token:transfer", "Org1MSP", "Org2MSP", 100, credits))
    await refused(403, other.submit("Jobs:create", "job", world.spec(), "Org1MSP", credits))
    await refused(403, other.submit("Token:transfer", "treasury", "Org2MSP", 1, []))
    await refused(403, client.submit("Token:transfer", "Org1MSP", client.member_id, 100, credits))


@story
async def test_an_admin_can_neither_spend_for_its_members_nor_cancel_anothers_job():
    at = await scene()
    member = at.members[0].member_id
    credits = await at.world.view.credits(member, 1)
    await refused(403, at.world.admin.submit("Token:transfer", member, "Org1MSP", 1, credits))
    other = at.world.admins[ORGANISATIONS[1]]
    await refused(403, other.submit("Jobs:cancel", "job", 0))
    await refused(403, at.members[0].submit("Jobs:cancel", "job", 0))
    await refused(403, at.members[0].submit("Registry:allow", "0" * 64))
    stolen = await at.world.view.credits(at.members[1].member_id, 1)
    await refused(409, at.members[0].submit("Token:transfer", member, "Org1MSP", 1, stolen))
    await refused(403, at.members[0].submit("Token:transfer", at.members[1].member_id, "Org1MSP", 1, stolen))


@story
async def test_a_client_of_a_foreign_msp_gets_no_endorsement():
    world = World()
    await world.found()
    stranger = world.client("ForeignMSP", "client")
    await refused(403, stranger.submit("Registry:register", []))
    await refused(403, stranger.evaluate("Governance:get"))


@story
async def test_an_expired_certificate_gets_no_endorsement():
    world = World()
    world.network._clock = world.clock.now
    await world.found()
    who = world.ledger(identity_until(ORGANISATIONS[0], "client", int(world.clock.time) + 60))
    await world.admin.submit("Registry:allow", who.member_id.partition(":")[2])
    await who.submit("Registry:register", [])
    world.clock.time += 60
    await refused(403, who.submit("Registry:leave"))
    await refused(403, who.evaluate("Governance:get"))


@story
async def test_one_deposit_is_pledged_once_and_returned_once():
    world = staked_world(100)
    await world.found()
    await world.mint(1000)
    client = world.client(ORGANISATIONS[0], "client")
    await refused(422, client.submit("Registry:register", []))
    await world.pay(client.member_id, 150)
    credits = await world.view.credits(client.member_id, 100)
    await refused(400, client.submit("Registry:register", credits * 2))
    first = await hoard(client, "Registry:register", credits)
    second = await hoard(client, "Registry:register", credits)
    assert await together(first, second) == ["VALID", "MVCC_READ_CONFLICT"]
    await refused(409, client.submit("Registry:register", await world.view.credits(client.member_id, 1)))
    assert (await world.holdings()).deposits == 100
    twice = [await hoard(client, "Registry:leave") for _ in range(2)]
    assert await together(*twice) == ["VALID", "MVCC_READ_CONFLICT"]
    await refused(403, client.submit("Registry:leave"))
    assert await world.balance(client.member_id) == 150
    assert (await world.holdings()).deposits == 0


@story
async def test_who_has_left_keeps_its_money_and_cannot_take_part():
    at = await scene()
    await at.world.open()
    leaver = at.members[0]
    await leaver.submit("Registry:leave")
    await refused(403, at.world.commit(leaver, at.work(leaver)))
    balance = await at.world.balance(leaver.member_id)
    credits = await at.world.view.credits(leaver.member_id, balance)
    await leaver.submit("Token:transfer", leaver.member_id, "Org1MSP", balance, credits)
    assert await at.world.balance(leaver.member_id) == 0


@story
async def test_a_renewed_certificate_over_the_same_key_is_the_same_member():
    world = World()
    await world.found()
    first = world.identities.issue(ORGANISATIONS[0], "client")
    await world.admin.submit("Registry:allow", first.member_id.partition(":")[2])
    await world.ledger(first).submit("Registry:register", [])
    renewed = world.identities.issue(ORGANISATIONS[0], "client-renewed", key=first.private_key)
    await refused(409, world.ledger(renewed).submit("Registry:register", []))
    elsewhere = world.identities.issue(ORGANISATIONS[1], "client", key=first.private_key)
    await refused(403, world.ledger(elsewhere).submit("Registry:leave"))
    await world.ledger(renewed).submit("Registry:leave")


def named(info: BeaconInfo, id: str) -> BeaconInfo:
    """The same chain under another name: what a beacon of several organisations looks like from outside."""
    unnamed = msgspec.structs.replace(info, id=id)
    return msgspec.structs.replace(unnamed, chain_hash=unnamed.hash())


@story
async def test_in_production_no_development_beacon_founds():
    fault = await refused(403, World(production=ORGANISATIONS[:2]).found())
    assert "development beacon" in str(fault)
    await World(production=ORGANISATIONS[:1]).found()  # one organisation does not decide for the others


@story
async def test_in_production_no_vote_brings_a_development_beacon():
    world = World(production=ORGANISATIONS, beacon=named(DevSigner(b"world", 3, GENESIS).info, "default"))
    await world.found()
    development = SetBeacon(beacon=DevSigner(b"easy", 3, GENESIS).info)
    await refused(403, world.propose("easy", development))
    switch(world, [])
    await world.propose("easy", development)
    switch(world, ORGANISATIONS)
    await refused(403, world.approve("easy"))
    await world.pass_vote("other", SetBeacon(beacon=named(DevSigner(b"other", 3, GENESIS).info, "other")))
    assert (await world.view.consortium()).beacon.id == "other"


def switch(world: World, production: list[str]) -> None:
    """Start every server anew, these in production."""
    world.production = production
    for msp_id in ORGANISATIONS:
        world.network._chaincodes[msp_id] = world.server(msp_id)


@pytest.mark.parametrize("production", [False, True])
def test_a_production_server_does_not_start_with_a_development_beacon(production, tmp_path, monkeypatch):
    world = World()
    settings = msgspec.structs.asdict(world.terms) | {"msp_id": ORGANISATIONS[0], "production": production}
    (tmp_path / "settings.json").write_bytes(msgspec.json.encode(settings))
    monkeypatch.setenv(SETTINGS, str(tmp_path / "settings.json"))
    if not production:
        assert load().beacon == world.terms.beacon
        return
    with pytest.raises(SystemExit, match="development beacon"):
        load()


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"msp_id":"Org1MSP"}', "not JSON"], ids=str)
def test_a_server_without_whole_settings_does_not_start(content, tmp_path, monkeypatch):
    monkeypatch.delenv(SETTINGS, raising=False)
    if content is not None:
        (tmp_path / "settings.json").write_text(content)
        monkeypatch.setenv(SETTINGS, str(tmp_path / "settings.json"))
    with pytest.raises(SystemExit, match="settings"):
        load()
    monkeypatch.setenv(SETTINGS, str(tmp_path / "missing.json"))
    with pytest.raises(SystemExit, match="settings"):
        load()
