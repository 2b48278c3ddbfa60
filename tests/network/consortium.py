"""A real network seen by attackers: parties with ledgers of their own, forged certificates, beacons by number."""

from __future__ import annotations

import asyncio
import datetime
import secrets
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chaincode import cid, commitment, report
from chaincode.beacon import Beacon, BeaconInfo
from chaincode.encoding import domain
from chaincode.mtpp import RULES
from chaincode.mtpp.payment import best_gain, worst_loss
from chaincode.proposals import Mint
from chaincode.records import JobSpec, RoundState
from fl_client.beacon import BeaconSource, open_beacon
from fl_client.connection import Connection, read_connection
from fl_client.contracts import View
from fl_client.ledger.fabric import FabricLedger
from network.network import Network

SPONSOR = "Org1MSP"
UPDATE = cid.raw_cid(b"update")


@dataclass
class Work:
    """A report, and what opens its commit."""

    data: bytes
    report: str
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(32))


class Parties:
    """Admins, members and strangers of one network; an async context manager."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.connections = {m: read_connection(p) for m, p in network.connection_files.items()}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.admins = {m: await self.enter(c, c.admin) for m, c in self.connections.items()}
        self.beacons = await self._stack.enter_async_context(self.open_beacons())
        self.view = View(self.admin)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def open_beacons(self) -> BeaconSource:
        """Where the beacons come from."""
        return open_beacon(self.sponsor_side)

    @property
    def sponsor_side(self) -> Connection:
        return self.connections[SPONSOR]

    @property
    def admin(self) -> FabricLedger:
        """The sponsor's admin."""
        return self.admins[SPONSOR]

    @property
    def info(self) -> BeaconInfo:
        return self.beacons.info

    async def enter(self, connection: Connection, identity: Any) -> FabricLedger:
        """A ledger for an identity's files."""
        ledger = FabricLedger(connection, key=identity.key, certificate=identity.certificate)
        return await self._stack.enter_async_context(ledger)

    async def client(self, msp_id: str, number: int) -> FabricLedger:
        """An enrolled client."""
        connection = self.connections[msp_id]
        return await self.enter(connection, connection.clients[number])

    async def member(self, msp_id: str, number: int, funds: int) -> FabricLedger:
        """A client that is registered and has money."""
        client = await self.client(msp_id, number)
        if await self.view.member(client.member_id) is None:
            await self.admins[msp_id].submit("Registry:allow", client.member_id.partition(":")[2])
            await client.submit("Registry:register", [])
        credits = await self.view.credits(SPONSOR, funds)
        await self.admin.submit("Token:transfer", SPONSOR, client.member_id, funds, credits)
        return client

    # founding and jobs

    def terms(self) -> list[Any]:
        """What the chaincode servers are configured with."""
        settings = self.network.topology.chaincode.settings
        names = [org.msp_id for org in self.network.topology.organisations]
        return [names, self.info, settings["freshness"], settings["margin"], settings["registration"]]

    async def found(self) -> None:
        """Found the consortium and give the sponsor money, unless it was done."""
        if await self.view.holdings() and await self._founded():
            return
        await self.admin.submit("Governance:init", *self.terms())
        action = Mint(account=SPONSOR, amount=10**7)
        await self.admin.submit("Governance:propose", "mint", action, await self.beacons.latest())
        await self.admins["Org2MSP"].submit("Governance:approve", "mint")

    async def _founded(self) -> bool:
        try:
            return bool(await self.view.consortium())
        except Exception:
            return False

    async def create(self, job: str, members: list[FabricLedger], **changes: Any) -> JobSpec:
        """A small job with these members on its roster."""
        rule, price, scored, alphabet = RULES["dasgupta-ghosh"], 1000, 12, 4
        gap = 2 * self.terms()[2] + self.terms()[3] + 1
        spec = JobSpec(
            **{
                "model": cid.raw_cid(b"model"),
                "public_set": cid.raw_cid(b"public"),
                "model_bytes": 1 << 16,
                "public_items": 24,
                "tasks": 16,
                "scored_tasks": scored,
                "alphabet": alphabet,
                "rounds": 1,
                "mechanism": "paper",
                "rule": rule.name,
                "price": price,
                "stake": worst_loss(rule, scored, alphabet, price),
                "round_pool": 3 * best_gain(rule, scored, alphabet, price),
                "min_participants": 3,
                "max_participants": 3,
                "max_members_per_org": 3,
                "gap": gap,
                **dict.fromkeys(
                    ("commit_seconds", "reveal_seconds", "missing_seconds", "aggregate_seconds"), 60
                ),
                "allow_list": sorted(who.member_id for who in members),
                **changes,
            }
        )
        credits = await self.view.credits(SPONSOR, spec.pool)
        await self.admin.submit("Jobs:create", job, spec, SPONSOR, credits)
        await self.admin.submit("Rounds:open", job, 1, await self.beacons.latest())
        return spec

    # rounds

    async def state(self, job: str) -> RoundState:
        found = await self.view.round(job, 1)
        assert found is not None
        return found

    def work(self, spec: JobSpec) -> Work:
        """A random report."""
        symbols = np.random.default_rng(secrets.randbits(64)).integers(0, spec.alphabet, spec.tasks)
        data = report.pack(symbols, spec.alphabet)
        return Work(data, cid.raw_cid(data))

    def digest(self, who: FabricLedger, work: Work, job: str) -> str:
        base = domain(who.channel, who.chaincode, job, 1)
        return commitment.digest(base, who.member_id, work.report, UPDATE, work.salt).hex()

    async def commit(self, who: FabricLedger, digest: str, job: str, spec: JobSpec) -> None:
        credits = await self.view.credits(who.member_id, spec.lock)
        await who.submit("Rounds:commit", job, 1, digest, credits)

    async def reveal(self, who: FabricLedger, work: Work, job: str) -> None:
        arguments = (job, 1, work.report, UPDATE, work.salt.hex())
        await who.submit("Rounds:reveal", *arguments, transient={"report": work.data})

    async def fresh(self) -> Beacon:
        return await self.beacons.latest()


def forged(
    directory: Path,
    parties: Parties,
    msp_id: str,
    *,
    foreign: bool = False,
    hours: float = 240,
    serial: int = 0,
) -> Any:
    """Files of a client certificate that the organisation's CA (or, if foreign, some other key) has signed."""
    org = next(o for o in parties.network.topology.organisations if o.msp_id == msp_id)
    place = parties.network.directory / "crypto" / "peerOrganizations" / org.domain / "ca"
    root = x509.load_pem_x509_certificate(next(place.glob("*-cert.pem")).read_bytes())
    authority = serialization.load_pem_private_key((place / "priv_sk").read_bytes(), None)
    assert isinstance(authority, ec.EllipticCurvePrivateKey)
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = [
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "client"),
        x509.NameAttribute(NameOID.COMMON_NAME, f"Mallory@{org.domain}"),
    ]
    public = ec.generate_private_key(ec.SECP256R1()) if foreign else authority
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(name))
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(
            root.not_valid_before_utc
        )  # some minutes ago; a peer refuses what is older than its CA
        .not_valid_after(now + datetime.timedelta(hours=hours))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), False)
        .sign(public, hashes.SHA256())
    )
    directory.mkdir(parents=True, exist_ok=True)
    files = directory / "key.pem", directory / "cert.pem"
    plain = serialization.NoEncryption()
    files[0].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    files[1].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return msgspec.defstruct("Files", [("key", Path), ("certificate", Path)])(*files)


def revoke(authority_directory: Path, serial: int, msp: Path) -> None:
    """Put a revocation list of the organisation's CA beside its MSP, before the channel is made."""
    root = x509.load_pem_x509_certificate(next(authority_directory.glob("*-cert.pem")).read_bytes())
    key = serialization.load_pem_private_key((authority_directory / "priv_sk").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    now = datetime.datetime.now(datetime.UTC)
    entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
    revoked = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(root.subject)
        .last_update(now - datetime.timedelta(hours=1))
        .next_update(now + datetime.timedelta(days=30))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False)
        .add_extension(x509.CRLNumber(1), False)
        .add_revoked_certificate(entry)
        .sign(key, hashes.SHA256())
    )
    (msp / "crls").mkdir(exist_ok=True)
    (msp / "crls" / "revoked.pem").write_bytes(revoked.public_bytes(serialization.Encoding.PEM))


async def until(met: Any, seconds: float, what: str) -> None:
    """Wait for an async condition with a deadline."""
    end = time.monotonic() + seconds
    while not await met():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.2)
