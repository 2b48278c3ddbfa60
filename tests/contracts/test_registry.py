"""How clients become members, change keys, and go."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chaincode import rotation
from chaincode.proposals import SuspendMember
from chaincode.records import Member, Phase, Registration
from fl_client import participant, steps
from fl_client.ledger.embedded import EmbeddedIdentity, EmbeddedLedger
from tests.attacks.scenes import RUNNING, refused, scene, story
from tests.world import ORGANISATIONS, World

ORG1, ORG2, ORG3 = ORGANISATIONS


def spki(private) -> bytes:
    """A private key's public half, as certificates hold it."""
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_of(who: EmbeddedLedger) -> str:
    return who.member_id.partition(":")[2]


async def member_of(world: World, member: str) -> Member:
    found = await world.view.member(member)
    assert found
    return found


class Holder:
    """A client whose keys are in the test's hands."""

    def __init__(self, world: World, msp_id: str = ORG1, name: str = "holder") -> None:
        self.world, self.msp_id, self.name = world, msp_id, name
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.ledger = self.as_key(self.private)
        self.id = self.ledger.member_id

    def as_key(self, private, name: str = "") -> EmbeddedLedger:
        """The ledger under a certificate over that key."""
        issued = self.world.identities.issue(self.msp_id, name or self.name, key=private)
        return self.world.ledger(issued)

    def message(self, old_key, new_key, counter: int = 0, **changes: str) -> bytes:
        """What the new key signs."""
        parts = {
            "channel": self.world.network.channel,
            "chaincode": self.world.network.chaincode,
            "member": self.id,
            "old": rotation.key_id(spki(old_key)),
            "new": rotation.key_id(spki(new_key)),
        } | changes
        return rotation.message(*parts.values(), counter)

    async def rotate(self, to, counter: int = 0, **changes: str) -> None:
        """Hand over to `to`, as an honest holder of both keys does."""
        signed = self.message(self.private, to, counter, **changes)
        await self.ledger.submit("Registry:rotate", spki(to), rotation.sign(to, signed))
        self.private, self.ledger = to, self.as_key(to)


async def held(**world) -> tuple[World, Holder]:
    made = World(**world)
    await made.found()
    holder = Holder(made)
    await made.admins[ORG1].submit("Registry:allow", key_of(holder.ledger))
    await holder.ledger.submit("Registry:register", [])
    return made, holder


# registering


@pytest.mark.parametrize("pre_known", [True, False])
@pytest.mark.parametrize("deposit", [0, 100])
@story
async def test_registration_by_permission_by_deposit_by_both_or_open(pre_known, deposit):
    world = World(registration=Registration(pre_known=pre_known, deposit=deposit))
    await world.found()
    await world.mint(1000)
    client = world.client(ORG2, "c")
    if deposit:
        await world.pay(client.member_id, deposit + 7)
    credits = await world.view.credits(client.member_id, deposit)
    if pre_known:
        await refused(403, client.submit("Registry:register", credits))
        await world.admins[ORG2].submit("Registry:allow", key_of(client))
    if deposit:
        await refused(422, client.submit("Registry:register", []))
    await client.submit("Registry:register", credits)
    assert (await member_of(world, client.member_id)).deposit == deposit
    held = await world.holdings()
    assert held.deposits == deposit
    assert await world.balance(client.member_id) == (7 if deposit else 0)
    await refused(409, client.submit("Registry:register", []))


@story
async def test_an_allowed_enrolment_id_registers_one_key_and_no_second():
    world = World()
    await world.found()
    await world.admins[ORG1].submit("Registry:allow-name", "User1@org1.test")
    first, second = (world.client(ORG1, "User1@org1.test") for _ in range(2))
    await refused(403, world.client(ORG2, "User1@org1.test").submit("Registry:register", []))
    await first.submit("Registry:register", [])
    await refused(403, second.submit("Registry:register", []))
    await refused(409, world.admins[ORG1].submit("Registry:allow-name", "User1@org1.test"))
    await first.submit("Registry:leave")
    await refused(403, second.submit("Registry:register", []))
    await first.submit("Registry:register", [])


@story
async def test_a_permission_can_be_taken_back_until_it_is_used():
    world = World()
    await world.found()
    client, admin = world.client(ORG1, "c"), world.admins[ORG1]
    await refused(409, admin.submit("Registry:disallow", key_of(client)))
    await admin.submit("Registry:allow", key_of(client))
    await admin.submit("Registry:disallow", key_of(client))
    await refused(403, client.submit("Registry:register", []))
    await admin.submit("Registry:allow", key_of(client))
    await client.submit("Registry:register", [])
    await admin.submit("Registry:disallow", key_of(client))
    assert (await member_of(world, client.member_id)).status == "active"


@story
async def test_an_allowed_enrolment_id_can_be_taken_back_by_its_own_admin_alone():
    world = World()
    await world.found()
    client, admin = world.client(ORG1, "c"), world.admins[ORG1]
    await refused(409, admin.submit("Registry:disallow-name", "c"))
    await admin.submit("Registry:allow-name", "c")
    await refused(409, admin.submit("Registry:allow-name", "c"))
    await refused(409, world.admins[ORG2].submit("Registry:disallow-name", "c"))
    await refused(403, client.submit("Registry:disallow-name", "c"))
    await admin.submit("Registry:disallow-name", "c")
    await refused(403, client.submit("Registry:register", []))


@pytest.mark.parametrize("name", ["", "a b", "../x", "a/b", "a\n", "ü", "x" * 129])
@story
async def test_odd_enrolment_ids_are_refused(name):
    world = World()
    await world.found()
    await refused(400, world.admins[ORG1].submit("Registry:allow-name", name))


@story
async def test_a_certificate_with_an_odd_name_registers_by_its_key_alone():
    world = World(registration=Registration(pre_known=True))
    await world.found()
    client = world.client(ORG1, "../key/Org1MSP")
    await refused(403, client.submit("Registry:register", []))
    await world.admins[ORG1].submit("Registry:allow", key_of(client))
    await client.submit("Registry:register", [])


@story
async def test_a_renewed_certificate_over_the_same_key_is_the_same_member():
    world, holder = await held()
    renewed = holder.as_key(holder.private, "renewed")
    await refused(409, renewed.submit("Registry:register", []))
    found = await world.view.member(renewed.member_id)
    assert found
    assert found.id == holder.id
    await renewed.submit("Registry:leave")


# leaving


@story
async def test_who_leaves_gets_its_deposit_at_once_and_may_come_back_as_the_same_member():
    world = World(registration=Registration(pre_known=False, deposit=100))
    await world.found()
    await world.mint(1000)
    client = world.client(ORG1, "c")
    await world.pay(client.member_id, 150)
    await client.submit("Registry:register", await world.view.credits(client.member_id, 100))
    await client.submit("Registry:leave")
    assert await world.balance(client.member_id) == 150
    await refused(403, client.submit("Registry:leave"))
    assert await world.balance(client.member_id) == 150
    await client.submit(
        "Token:transfer", client.member_id, ORG1, 50, await world.view.credits(client.member_id, 50)
    )
    await refused(422, client.submit("Registry:register", []))
    await client.submit("Registry:register", await world.view.credits(client.member_id, 100))
    member = await member_of(world, client.member_id)
    assert (member.status, member.deposit) == ("active", 100)
    await world.holdings()


@pytest.mark.parametrize("phase", RUNNING)
@story
async def test_who_leaves_in_the_middle_of_a_round_finishes_it(phase):
    at = await scene(3)
    world, spec = at.world, at.spec
    await at.to(phase)
    before = await world.balance(at.members[0].member_id)
    await at.members[0].submit("Registry:leave")
    await at.to(Phase.FINAL)
    outcome = (await world.outcomes())[at.members[0].member_id]
    assert outcome.slashed == 0
    assert await world.balance(at.members[0].member_id) >= before
    await world.open(round=2)
    await refused(403, world.commit(at.members[0], world.work(spec), round=2))
    await world.holdings()


@story
async def test_a_suspension_is_not_escaped_by_leaving_and_coming_back():
    world = World(registration=Registration(pre_known=False))
    await world.found()
    client = world.client(ORG1, "c")
    await client.submit("Registry:register", [])
    await world.pass_vote("s", SuspendMember(member=client.member_id))
    await refused(403, client.submit("Registry:leave"))
    await refused(409, client.submit("Registry:register", []))
    assert (await member_of(world, client.member_id)).status == "suspended"


# rotating


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
@story
async def test_a_rotation_changes_the_acting_key_and_nothing_else(curve):
    world, holder = await held()
    await world.mint(1000)
    await world.pay(holder.id, 50)
    old = holder.ledger
    await holder.rotate(ec.generate_private_key(curve))
    member = await member_of(world, holder.id)
    assert (member.id, member.key, member.rotations) == (holder.id, key_of(holder.ledger), 1)
    credits = await world.view.credits(holder.id, 10)
    await refused(403, old.submit("Token:transfer", holder.id, ORG1, 10, credits))
    await holder.ledger.submit("Token:transfer", holder.id, ORG1, 10, credits)
    assert await world.balance(holder.id) == 40
    await holder.rotate(ec.generate_private_key(ec.SECP256R1()), counter=1)
    assert (await member_of(world, holder.id)).rotations == 2
    await world.holdings()


@story
async def test_a_member_finds_itself_by_its_acting_key():
    from fl_client.contracts import View

    world, holder = await held()
    old = View(holder.ledger)
    await holder.rotate(ec.generate_private_key(ec.SECP256R1()))
    found = await View(holder.ledger).me()
    assert found
    assert found.id == holder.id
    await refused(403, old.ledger.evaluate("Registry:me"))
    assert await View(world.client(ORG1, "nobody")).me() is None


@story
async def test_a_client_that_starts_under_its_new_key_goes_on_as_the_same_member():
    world, holder = await held()
    assert (await steps.register(holder.ledger)).id == holder.id
    await holder.rotate(ec.generate_private_key(ec.SECP256R1()))
    assert (await steps.register(holder.ledger)).id == holder.id
    fresh = world.client(ORG1, "fresh")
    await world.admins[ORG1].submit("Registry:allow", key_of(fresh))
    assert (await steps.register(fresh)).id == fresh.member_id


@story
async def test_a_client_that_has_left_goes_on_as_it_is_and_comes_back_by_registering():
    world, holder = await held()
    await world.mint(10_000)
    await world.create()
    await holder.ledger.submit("Registry:leave")
    member, _ = await participant.join(holder.ledger, "job")
    assert (member.id, member.status) == (holder.id, "left")
    assert (await steps.register(holder.ledger)).status == "active"


@pytest.mark.parametrize("phase", RUNNING)
@story
async def test_a_rotation_in_the_middle_of_a_round_changes_nothing_in_it(phase):
    world = World()
    at = await scene(2, world=world)
    holder = Holder(world)
    await world.admins[ORG1].submit("Registry:allow", key_of(holder.ledger))
    await holder.ledger.submit("Registry:register", [])
    await world.pay(holder.id, at.spec.lock * 3)
    first = holder.ledger
    at.members.append(first)
    await at.to(phase)
    await holder.rotate(ec.generate_private_key(ec.SECP256R1()))
    if phase in (Phase.COMMIT, Phase.CLOSED, Phase.REVEAL):
        await at.to(Phase.REVEAL)
        await refused(403, world.reveal(first, at.work(first)))
        await world.reveal(holder.ledger, at.work(first))
        await at.reveal(but=[first])
        await world.seal()
    await at.to(Phase.FINAL)
    outcome = (await world.outcomes())[holder.id]
    assert outcome.slashed == 0
    await world.holdings()


@pytest.mark.parametrize(
    "changes",
    [
        {"channel": "other"},
        {"chaincode": "other"},
        {"member": "Org1MSP:" + "0" * 64},
        {"old": "0" * 64},
        {"new": "0" * 64},
        {"counter": 1},
    ],
)
@story
async def test_a_proof_for_anything_else_rotates_nothing(changes):
    world, holder = await held()
    await refused(422, holder.rotate(ec.generate_private_key(ec.SECP256R1()), **changes))
    assert (await member_of(world, holder.id)).rotations == 0


@story
async def test_a_rotation_without_the_new_keys_consent_is_refused():
    world, holder = await held()
    new = ec.generate_private_key(ec.SECP256R1())
    signed = holder.message(holder.private, new)
    by_old = rotation.sign(holder.private, signed)
    for signature in (by_old, b"", b"0", b"\xff" * 72, b"0" * 2000):
        code = 400 if len(signature) > 1024 else 422
        await refused(code, holder.ledger.submit("Registry:rotate", spki(new), signature))
    thief = world.client(ORG1, "thief")
    await refused(403, thief.submit("Registry:rotate", spki(new), rotation.sign(new, signed)))


@story
async def test_a_proof_is_of_no_use_a_second_time():
    world, holder = await held()
    first, second = holder.private, ec.generate_private_key(ec.SECP256R1())
    proof = rotation.sign(second, holder.message(first, second))
    await holder.rotate(second)
    await refused(409, holder.ledger.submit("Registry:rotate", spki(second), proof))
    await refused(409, holder.rotate(first, counter=1))  # a key never comes back
    await refused(403, holder.as_key(first).submit("Registry:register", []))
    assert (await member_of(world, holder.id)).rotations == 1


@pytest.mark.parametrize(
    "private",
    [
        ec.generate_private_key(ec.SECP256K1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
)
@story
async def test_only_keys_that_fabric_uses_are_taken(private):
    _, holder = await held()
    fault = await refused(422, holder.ledger.submit("Registry:rotate", spki(private), b"signature"))
    assert fault.message.startswith("key:")


@pytest.mark.parametrize(
    "change", [lambda der: b"", lambda der: der[:-1], lambda der: der + b"\0", lambda der: b"x"]
)
@story
async def test_a_key_in_another_form_is_refused(change):
    _, holder = await held()
    new = ec.generate_private_key(ec.SECP256R1())
    key = change(spki(new))
    await refused(422, holder.ledger.submit("Registry:rotate", key, b"signature"))


@story
async def test_a_point_in_compressed_form_is_refused_since_no_certificate_would_hash_to_it():
    _, holder = await held()
    new = ec.generate_private_key(ec.SECP256R1())
    point = new.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    prefix = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    fault = await refused(422, holder.ledger.submit("Registry:rotate", prefix + point, b"signature"))
    assert fault.message.startswith("key:")


@story
async def test_nobody_rotates_to_a_key_that_is_a_members():
    world, holder = await held()
    other = Holder(world, name="other")
    await world.admins[ORG1].submit("Registry:allow", key_of(other.ledger))
    await other.ledger.submit("Registry:register", [])
    await refused(409, holder.rotate(other.private))


@story
async def test_a_suspended_member_cannot_rotate_and_one_that_left_can_and_keeps_its_money():
    world, holder = await held()
    await world.mint(1000)
    await world.pay(holder.id, 50)
    await world.pass_vote("s", SuspendMember(member=holder.id))
    await refused(403, holder.rotate(ec.generate_private_key(ec.SECP256R1())))
    gone = Holder(world, name="gone")
    await world.admins[ORG1].submit("Registry:allow", key_of(gone.ledger))
    await gone.ledger.submit("Registry:register", [])
    await world.pay(gone.id, 5)
    await gone.ledger.submit("Registry:leave")
    await gone.rotate(ec.generate_private_key(ec.SECP256R1()))
    await gone.ledger.submit("Token:transfer", gone.id, ORG1, 5, await world.view.credits(gone.id, 5))
    await world.holdings()


@story
async def test_two_rotations_at_once_leave_one_acting_key():
    from tests.attacks.scenes import hoard, together

    world, holder = await held()
    kept = []
    for _ in range(2):
        new = ec.generate_private_key(ec.SECP256R1())
        proof = rotation.sign(new, holder.message(holder.private, new))
        kept.append(await hoard(holder.ledger, "Registry:rotate", spki(new), proof))
    assert sorted(await together(*kept)) == ["MVCC_READ_CONFLICT", "VALID"]
    assert (await member_of(world, holder.id)).rotations == 1


def test_an_identity_of_the_embedded_ledger_names_its_member_as_the_registry_does():
    issued: EmbeddedIdentity = World().identities.issue(ORG1, "x")
    assert issued.member_id == f"{ORG1}:{rotation.key_id(spki(issued.private_key))}"
