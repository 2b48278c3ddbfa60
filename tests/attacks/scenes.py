"""Where attacks begin: a round in any phase, calls that must be refused, endorsements kept back.

Scenes take a World and use its verbs, so that the same attack runs on anything with these verbs.
"""

from __future__ import annotations

import asyncio
import datetime
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from chaincode.records import JobSpec, Phase, Registration
from chaincode.shim.memory import Endorsement
from fl_client.contracts import View
from fl_client.errors import Refused
from fl_client.ledger.embedded import EmbeddedIdentity, EmbeddedLedger, EmbeddedNetwork, TransactionRecord
from fl_client.ledger.embedded.network import Call
from tests.world import ORGANISATIONS, Work, World

ORDER = (Phase.COMMIT, Phase.CLOSED, Phase.REVEAL, Phase.SEALED, Phase.SETTLED, Phase.AGGREGATE, Phase.FINAL)
RUNNING = ORDER[:-1]


def story(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """An async test as pytest runs it."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


async def refused(code: int | Sequence[int], call: Awaitable[object]) -> Refused:
    """The call must be refused with this code (or one of these)."""
    with pytest.raises(Refused) as caught:
        await call
    codes = (code,) if isinstance(code, int) else tuple(code)
    assert caught.value.code in codes, caught.value
    return caught.value


@dataclass
class Scene:
    """A funded consortium, one job, its members, and what each would report."""

    world: World
    members: list[EmbeddedLedger]
    spec: JobSpec
    job: str = "job"
    works: dict[str, Work] = field(default_factory=dict)

    def work(self, who: EmbeddedLedger) -> Work:
        """What the member reports (made once)."""
        return self.works.setdefault(who.member_id, self.world.work(self.spec))

    async def commit(self, round: int = 1) -> None:
        """Everybody commits."""
        for who in self.members:
            await self.world.commit(who, self.work(who), self.job, round)

    async def reveal(self, round: int = 1, *, but: Sequence[EmbeddedLedger] = ()) -> None:
        """Everybody who has not yet reveals, or all but some."""
        shown = await self.world.view.reveals(self.job, round)
        for who in self.members:
            if who not in but and who.member_id not in shown:
                await self.world.reveal(who, self.work(who), self.job, round)

    async def settle(self, round: int = 1, *, but: Sequence[EmbeddedLedger] = ()) -> None:
        """With the reports of all who revealed."""
        absent = {who.member_id for who in but}
        works = {member: work for member, work in self.works.items() if member not in absent}
        await self.world.settle(works, self.job, round)

    async def to(self, phase: Phase, round: int = 1, *, but: Sequence[EmbeddedLedger] = ()) -> None:
        """From wherever the round is to the phase; `but` do not reveal. Everybody acts before a window ends."""
        world, job = self.world, self.job
        found = await world.view.round(job, round)
        if found is None:
            await world.open(job, round)
            await self.commit(round)
        while (now := (await world.state(job, round)).phase) is not phase:
            await self._step(now, round, but)

    async def _step(self, now: Phase, round: int, but: Sequence[EmbeddedLedger]) -> None:
        world, job = self.world, self.job
        match now:
            case Phase.COMMIT:
                await world.close(job, round)
            case Phase.CLOSED:
                await world.pair(job, round)
            case Phase.REVEAL:
                await self.reveal(round, but=but)
                await world.seal(job, round)
            case Phase.SEALED:
                await self.settle(round, but=but)
            case Phase.SETTLED:
                await world.begin(job, round)
            case Phase.AGGREGATE:
                await self.skip_aggregation(round)
            case _:
                raise AssertionError(f"the round has ended in {now}")

    async def skip_aggregation(self, round: int = 1) -> None:
        """Nobody aggregates: the next attempt, or the previous model."""
        deadline = (await self.world.state(self.job, round)).deadline
        self.world.clock.time = max(self.world.clock.time, deadline) + self.world.terms.beacon.period
        await self.world.admin.submit("Aggregation:finalise", self.job, round, self.world.beacon())


async def scene(count: int = 4, *, world: World | None = None, **spec: Any) -> Scene:
    """A founded consortium with funded members and one job."""
    world = world or World()
    await world.found()
    made = world.spec(**spec)
    await world.mint(made.pool * 2 + count * made.lock * 4 + 1000)
    members = await world.members(count, made.lock * 3)
    return Scene(world, members, await world.create(**spec))


def staked_world(deposit: int = 100) -> World:
    """A consortium in which registration costs a deposit."""
    return World(registration=Registration(pre_known=False, deposit=deposit))


def identity_until(msp_id: str, name: str, not_after: int) -> EmbeddedIdentity:
    """A client whose certificate ends at this second."""
    key = ec.generate_private_key(ec.SECP256R1())
    units = [(NameOID.ORGANIZATIONAL_UNIT_NAME, "client"), (NameOID.COMMON_NAME, name)]
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in units])
    begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(datetime.datetime.fromtimestamp(not_after, datetime.UTC))
        .sign(key, hashes.SHA256())
    )
    return EmbeddedIdentity(msp_id, name, key, certificate.public_bytes(Encoding.PEM))


async def joined(world: World, identity: EmbeddedIdentity, funds: int) -> EmbeddedLedger:
    """That identity as a funded member."""
    who = world.ledger(identity)
    await world.admins[who.msp_id].submit("Registry:allow", who.member_id.partition(":")[2])
    await who.submit("Registry:register", [])
    await world.pay(who.member_id, funds)
    return who


def admit_to_channel(world: World, msp_id: str = "Org4MSP") -> None:
    """Another organisation joins the channel, not the consortium: call before anything else."""
    servers = {each: world.server(each) for each in [*ORGANISATIONS, msp_id]}
    world.network = EmbeddedNetwork(servers, batch=0.0)
    world.admins = {m: world.ledger(world.identities.issue(m, f"Admin@{m}", "admin")) for m in servers}
    world.view = View(world.admin)


@dataclass(frozen=True)
class Hoarded:
    """An endorsed transaction that its client has not sent to the orderer (yet)."""

    network: EmbeddedNetwork
    call: Call
    endorsers: Sequence[str]
    endorsement: Endorsement

    async def send(self) -> TransactionRecord:
        """Order it now; the record's code says whether it was valid."""
        _, record = await self.network.order(self.call, self.endorsers, self.endorsement)
        return record


async def hoard(
    who: EmbeddedLedger, transaction: str, *args: Any, transient: Mapping[str, bytes] | None = None
) -> Hoarded:
    """Have a transaction endorsed by a majority and keep it back; raises as ``submit`` does."""
    call = who._call(transaction, args, transient)
    answers = await who._agreed(transaction, call, Endorsement.to_bytes)
    return Hoarded(who._network, call, [each.organisation for each in answers], answers[0].response)


async def together(*hoarded: Hoarded) -> list[str]:
    """Send all in one block; the codes, in order."""
    return [record.code for record in await asyncio.gather(*(each.send() for each in hoarded))]
