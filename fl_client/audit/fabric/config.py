"""The channel's configuration: its organisations, their root certificates, and who orders.

Certificates are judged as Fabric judges them in blocks: by chain and revocation list, not by today's date, so
that an audit years later comes to the same result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from fl_client.ledger.embedded.identities import ORDERS

from . import protos

_DEPTH = 8  # intermediate certificates in a row


@dataclass(frozen=True)
class Msp:
    """One organisation's certificate authorities, as the channel's configuration names them."""

    msp_id: str
    roots: tuple[bytes, ...]  # PEM
    intermediates: tuple[bytes, ...] = ()
    revoked: frozenset[int] = frozenset()
    roles: Mapping[str, str] = field(default_factory=dict, hash=False)  # NodeOU -> role
    admins: tuple[bytes, ...] = ()  # PEM, beside those whose NodeOU says so

    def vouches_for(self, pem: bytes) -> bool:
        """Whether the certificate chains to one of the roots and is not revoked."""
        return _chains(pem, self.roots, self.intermediates, self.revoked)

    def role(self, pem: bytes) -> str:
        """The role its NodeOU gives the certificate: peer, admin, client, orderer or ""."""
        certificate = _certificate(pem)
        if certificate is None:
            return ""
        units = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        found = (self.roles.get(str(unit.value), "") for unit in units)
        return next((role for role in found if role), "")

    def fingerprint(self) -> str:
        """SHA-256 over the roots, to be compared with what an organisation says of itself."""
        return hashlib.sha256(b"".join(sorted(self.roots))).hexdigest()


@dataclass(frozen=True)
class Config:
    """What a config block fixes until the next one."""

    sequence: int
    channel: str
    organisations: Mapping[str, Msp]
    orderers: Mapping[str, Msp]
    endorsement: str  # the rule of the channel's policy /Channel/Application/Endorsement
    consensus: str
    consenters: Mapping[int, tuple[str, bytes]]  # BFT: number -> MSP id and certificate

    def describe(self) -> str:
        """One line for a report."""
        members = ", ".join(
            f"{each.msp_id} (roots {each.fingerprint()[:16]})" for each in self.organisations.values()
        )
        ordering = ", ".join(
            f"{each.msp_id} (roots {each.fingerprint()[:16]})" for each in self.orderers.values()
        )
        return (
            f"configuration {self.sequence}: organisations {members}; endorsed by {self.endorsement}; "
            f"ordered by {ordering}, {self.consensus}"
        )


def read_config(envelope: Any) -> Config:
    """The configuration in a config block's envelope. Raises: DecodeError, ValueError, KeyError."""
    payload = protos.common.Payload.FromString(envelope.payload)
    header = protos.common.ChannelHeader.FromString(payload.header.channel_header)
    config = protos.configs.ConfigEnvelope.FromString(payload.data).config
    groups = config.channel_group.groups
    orderer = groups["Orderer"]
    kind = protos.consensus.ConsensusType.FromString(orderer.values["ConsensusType"].value).type
    listed = protos.configurations.Orderers.FromString(orderer.values["Orderers"].value)
    return Config(
        sequence=config.sequence,
        channel=header.channel_id,
        organisations=_msps(groups["Application"].groups),
        orderers=_msps(orderer.groups),
        endorsement=_rule(groups["Application"].policies["Endorsement"].policy),
        consensus=kind,
        consenters={each.id: (each.msp_id, each.identity) for each in listed.consenter_mapping},
    )


def verifies(pem: bytes, signature: bytes, signed: bytes) -> bool:
    """Whether the certificate's key made the ECDSA signature (SHA-256), in the one form that Fabric takes: low S."""
    certificate = _certificate(pem)
    try:
        key = certificate.public_key() if certificate else None
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return False
        key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        if 2 * decode_dss_signature(signature)[1] > ORDERS.get(key.curve.name, 0):
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _rule(policy: Any) -> str:
    if policy.type != protos.policies.Policy.IMPLICIT_META:
        return "a policy of its own"
    implicit = protos.policies.ImplicitMetaPolicy.FromString(policy.value)
    return f"{protos.policies.ImplicitMetaPolicy.Rule.Name(implicit.rule)} {implicit.sub_policy}"


def _msps(groups: Any) -> dict[str, Msp]:
    found = {}
    for name in sorted(groups):
        config = protos.msps.MSPConfig.FromString(groups[name].values["MSP"].value)
        made = _msp(protos.msps.FabricMSPConfig.FromString(config.config))
        found[made.msp_id] = made
    return found


def _msp(config: Any) -> Msp:
    units, roles = config.fabric_node_ous, {}
    for role in ("client", "peer", "admin", "orderer"):
        unit = getattr(units, f"{role}_ou_identifier").organizational_unit_identifier
        if units.enable and unit:
            roles[unit] = role
    return Msp(
        config.name,
        tuple(config.root_certs),
        tuple(config.intermediate_certs),
        frozenset(_revoked(config.revocation_list)),
        roles,
        tuple(config.admins),
    )


def _revoked(lists: Iterable[bytes]) -> Iterable[int]:
    for pem in lists:
        for entry in x509.load_pem_x509_crl(pem):  # one that cannot be read ends the configuration's reading
            yield entry.serial_number


@lru_cache(maxsize=4096)
def _chains(
    pem: bytes, roots: tuple[bytes, ...], intermediates: tuple[bytes, ...], revoked: frozenset[int]
) -> bool:
    certificate = _certificate(pem)
    for _ in range(_DEPTH):
        if certificate is None or certificate.serial_number in revoked:
            return False
        if any(_issued(certificate, _certificate(root)) for root in roots):
            return True
        above = (_certificate(each) for each in intermediates)
        certificate = next((each for each in above if _issued(certificate, each)), None)
    return False


def _issued(certificate: x509.Certificate, issuer: x509.Certificate | None) -> bool:
    if issuer is None or certificate == issuer:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


@lru_cache(maxsize=4096)
def _certificate(pem: bytes) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(pem)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return None
