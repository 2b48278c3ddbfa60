"""The commands that talk to a ledger, as an operator types them; here the ledger is the embedded one."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from types import SimpleNamespace

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from chaincode import proposals, rotation
from chaincode.records import TREASURY
from fl_client import beacon, ledger, money
from fl_client.cli import governance, session
from fl_client.cli.app import app
from fl_client.errors import BadInput, Refused
from tests.world import ORGANISATIONS, World

ORG1, ORG2, ORG3 = ORGANISATIONS


class Desk:
    """An operator at a terminal: types commands as an organisation's identity."""

    def __init__(self, world: World) -> None:
        self.world, self.ledgers = world, dict[str, object]()
        for msp_id, admin in world.admins.items():
            self.ledgers[f"{msp_id}/Admin"] = admin

    def type(self, line: str, *more: str, org: str = ORG1, who: str = "Admin") -> str:
        """Run a command; what it printed. Its error comes out as it is."""
        options = ["--connection", org, "--identity", who]
        result = CliRunner().invoke(app, [*line.split(), *more, *options], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, line: str, *more: str, **as_whom: str):
        return json.loads(self.type(line, *more, "--json", **as_whom))


@pytest.fixture
def desk(monkeypatch) -> Desk:
    """A founded consortium with some money, and the commands wired to it."""
    world = World()
    desk = Desk(world)

    def connection(file):
        org = str(file)
        return SimpleNamespace(identity=lambda name: f"{org}/{name.partition('@')[0]}")

    @asynccontextmanager
    async def open_ledger(_, identity):
        if identity not in desk.ledgers:
            raise BadInput(f"no identity {identity}")
        yield desk.ledgers[identity]

    @asynccontextmanager
    async def open_beacon(_):
        async def latest():
            return world.beacon()

        yield SimpleNamespace(latest=latest)

    monkeypatch.setattr(session, "connection", connection)
    monkeypatch.setattr(ledger, "open_ledger", open_ledger)
    monkeypatch.setattr(beacon, "open_beacon", open_beacon)

    async def begin() -> None:
        await world.found()
        await world.mint(10**6)

    asyncio.run(begin())
    return desk


def test_a_payment_is_made_shown_and_accounted_for(desk):
    paid = desk.json("token transfer", ORG2, "12.50", "--memo", "for the job")
    assert paid["amount"] == 1250
    assert desk.json("token balance", org=ORG2) == {"account": ORG2, "balance": 1250}
    assert "12.50" in desk.type("token balance", ORG2)
    (line,) = desk.json("token statement", ORG2)
    assert (line["amount"], line["other"], line["memo"]) == (1250, ORG1, "for the job")
    assert "for the job" in desk.type("token statement", ORG2)
    assert "which adds up" in desk.type("token supply")
    assert desk.json("token supply")["minted"] == 10**6
    with pytest.raises(BadInput):
        desk.type("token transfer", ORG2, "1e9")


def test_a_client_is_allowed_registers_rotates_and_leaves(desk, tmp_path):
    world = desk.world
    client = desk.ledgers[f"{ORG1}/User1"] = world.client(ORG1, "User1@org1.test")
    with pytest.raises(Refused):
        desk.type("member register", who="User1")
    desk.type("member allow", client.member_id)
    assert desk.json("member register", who="User1")["id"] == client.member_id
    assert desk.json("member register", who="User1")["id"] == client.member_id
    assert "User1@org1.test" in desk.type("member list")
    new = ec.generate_private_key(ec.SECP256R1())
    pem = tmp_path / "new.pem"
    pem.write_bytes(new.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    rotated = desk.json("member rotate", "--new-key", str(pem), who="User1")
    issued = world.identities.issue(ORG1, "User1@org1.test", key=new)
    desk.ledgers[f"{ORG1}/User1"] = world.ledger(issued)
    assert (rotated["id"], rotated["rotations"]) == (client.member_id, 1)
    assert rotated["key"] == issued.member_id.partition(":")[2]
    assert desk.json("member show", who="User1") == rotated
    desk.type("member leave", who="User1")
    assert desk.json("member show", client.member_id)["status"] == "left"
    with pytest.raises(BadInput):
        desk.type("member show")
    desk.type("member allow", "User9@org1.test")
    assert rotation.TAG


def test_who_has_left_registers_again_as_the_same_member_and_pays_the_deposit_anew(desk):
    client = desk.ledgers[f"{ORG1}/User1"] = desk.world.client(ORG1, "User1@org1.test")
    with pytest.raises(BadInput, match=f"its account would be {client.member_id}"):
        desk.type("member show", who="User1")
    terms = '{"action":"set-registration","registration":{"pre_known":true,"deposit":300}}'
    desk.type("governance propose terms", terms)
    desk.type("governance approve terms", org=ORG2)
    desk.type("member allow User1@org1.test")
    desk.type("token transfer", client.member_id, "10.00")
    assert desk.json("member register", who="User1")["deposit"] == 300
    desk.type("member leave", who="User1")
    back = desk.json("member register", who="User1")
    assert (back["id"], back["status"], back["deposit"]) == (client.member_id, "active", 300)
    assert desk.json("token balance", who="User1")["balance"] == 700


def test_an_admin_takes_back_whom_it_has_allowed(desk):
    client = desk.ledgers[f"{ORG1}/User1"] = desk.world.client(ORG1, "User1@org1.test")
    for who in ("User1@org1.test", client.member_id):
        assert f"of {ORG1} may register now" in desk.type("member allow", who)
        assert "may not register" in desk.type("member disallow", who)
        with pytest.raises(Refused, match="nothing to take back"):
            desk.type("member disallow", who)
        with pytest.raises(Refused, match="has not allowed this key"):
            desk.type("member register", who="User1")


def test_a_job_is_created_from_a_file_watched_and_cancelled(desk, tmp_path):
    world, file = desk.world, tmp_path / "job.json"
    spec = world.spec()
    file.write_bytes(msgspec.json.encode(spec))
    desk.type("job create first", str(file))
    assert "none open yet" in desk.type("job list")
    found = desk.json("job show first")
    assert found["escrow"] == spec.pool
    assert found["round"] is None
    asyncio.run(world.open("first"))
    assert "round 1 of 2: commit" in desk.type("job show first")
    assert desk.json("job cancel first") == {"job": "first", "after": 1}

    async def void() -> None:
        for _ in range(2):
            await world.close("first")
            await world.pair("first")

    asyncio.run(void())
    assert "over" in desk.type("job watch first")
    with pytest.raises(BadInput):
        desk.type("job show second")


def test_who_creates_a_job_with_too_small_a_committee_is_told(desk, tmp_path):
    for size, told in ((1, True), (3, False)):
        file = tmp_path / f"{size}.json"
        spec = msgspec.structs.replace(desk.world.spec(), max_participants=6, committee=size, bond=100)
        file.write_bytes(msgspec.json.encode(msgspec.structs.replace(spec, round_pool=2 * spec.round_pool)))
        line = ["job", "create", f"of-{size}", str(file), "--connection", ORG1]
        result = CliRunner().invoke(app, line, catch_exceptions=False)
        assert (f"committee of {size}: if 1 of 6 members are dishonest" in result.stderr) == told
        assert "is created" in result.stdout


def test_a_specification_with_a_fault_names_its_field_before_anything_is_sent(desk, tmp_path):
    file = tmp_path / "job.json"
    raw = json.loads(msgspec.json.encode(desk.world.spec()))
    for content in (raw | {"tasks": "many"}, raw | {"alphabet": 1}):
        file.write_text(json.dumps(content))
        with pytest.raises(BadInput, match=r"\$\.(tasks|alphabet)"):
            desk.type("job create bad", str(file))
    file.write_text(json.dumps(raw | {"peers": 3}))
    with pytest.raises(Refused, match="peers: must be even"):
        desk.type("job create bad", str(file))


def test_organisations_propose_vote_and_see_what_was_decided(desk):
    world = desk.world
    assert "open" in desk.type(
        "governance propose mint", f'{{"action":"mint","account":"{TREASURY}","amount":5}}'
    )
    assert desk.json("governance approve mint", org=ORG2)["status"] == "executed"
    desk.type("governance propose other", '{"action":"admit-org","msp_id":"Org4MSP"}')
    assert "open until " in desk.type("governance list")
    assert desk.json("governance reject other", org=ORG2)["rejections"] == [ORG2]
    desk.type("governance propose third", '{"action":"admit-org","msp_id":"Org5MSP"}')
    assert f"against it: {ORG3}" in desk.type("governance reject third", org=ORG3)
    desk.type("governance withdraw third")
    assert desk.json("governance withdraw other")["status"] == "withdrawn"
    shown = desk.json("governance list")
    assert {name: each["status"] for name, each in shown.items() if not name.startswith("mint-")} == {
        "mint": "executed",
        "other": "withdrawn",
        "third": "withdrawn",
    }
    assert "admit-org" in desk.type("governance list")
    asyncio.run(world.create())
    asyncio.run(world.open())
    desk.type("governance propose void", '{"action":"void-round","job":"job","round":1}')
    with pytest.raises(Refused, match="may still go on"):
        desk.type("governance approve void", org=ORG2)
    world.clock.time += 1000
    assert desk.json("governance approve void", org=ORG2)["status"] == "executed"
    with pytest.raises(BadInput):
        desk.type("governance propose x", '{"action":"nothing"}')


def test_an_operator_sees_what_holds_after_a_vote(desk):
    assert desk.json("governance show")["organisations"] == [ORG1, ORG2, ORG3]
    assert "allowed by its admin, deposit 0.00" in desk.type("governance show")
    terms = '{"action":"set-registration","registration":{"pre_known":false,"deposit":300}}'
    desk.type("governance propose terms", terms)
    desk.type("governance approve terms", org=ORG2)
    assert "any client of an organisation, deposit 3.00" in desk.type("governance show")


def test_an_open_proposal_says_until_when_and_that_it_has_expired():
    action = proposals.AdmitOrganisation(msp_id="Org4MSP")
    made = proposals.Proposal(action=action, proposer=ORG1, approvals=[ORG1], rejections=[], expires=86_460)
    assert governance.standing(made, 86_460) == "open until 1970-01-02 00:01"
    assert governance.standing(made, 86_461) == "expired"
    assert governance.standing(msgspec.structs.replace(made, status="executed"), 86_461) == "executed"


def test_a_consortium_is_founded_from_a_servers_settings_file(desk, tmp_path):
    terms, file = desk.world.terms, tmp_path / "settings.json"
    content = json.loads(msgspec.json.encode(terms)) | {"msp_id": ORG1, "drand": "http://x"}
    file.write_text(json.dumps(content))
    with pytest.raises(Refused, match="founded already"):
        desk.type("governance found", "--settings", str(file))
    file.write_text("{}")
    with pytest.raises(BadInput):
        desk.type("governance found", "--settings", str(file))


@pytest.mark.parametrize(
    ("text", "units"), [("1", 100), ("1.5", 150), ("0.01", 1), ("1,234.50", 123450), ("007", 700)]
)
def test_amounts_are_read_as_people_write_them(text, units):
    assert money.read(text) == units
    assert money.read(money.shown(units)) == units


@pytest.mark.parametrize(
    "text", ["", "0", "0.00", "-1", "1.234", "1e3", ".5", "1.", "٣", "9" * 30, "92233720368547758.08", "1 2"]
)
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(BadInput):
        money.read(text)
