"""Certificates for the embedded ledger: real X.509 ones, as Fabric's MSPs have them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from fabric_protos.msp import identities_pb2

from chaincode.shim import Identity

_MSP: Any = identities_pb2
ORDERS = {  # of the curves' groups (SEC 2, version 2)
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": int("F" * 48 + "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16),
}
_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class EmbeddedIdentity:
    """A key and its certificate; ``creator`` is the SerializedIdentity that goes into proposals."""

    msp_id: str
    name: str
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: bytes = field(repr=False)  # PEM

    @property
    def creator(self) -> bytes:
        raw: bytes = _MSP.SerializedIdentity(mspid=self.msp_id, id_bytes=self.certificate).SerializeToString()
        return raw

    def sign(self, data: bytes) -> bytes:
        """An ECDSA signature in Fabric's form, with the lower of the two possible S."""
        r, s = decode_dss_signature(self.private_key.sign(data, ec.ECDSA(hashes.SHA256())))
        return encode_dss_signature(r, min(s, ORDERS[self.private_key.curve.name] - s))

    @property
    def member_id(self) -> str:
        return f"{self.msp_id}:{Identity.parse(self.creator).key_sha256}"


class EmbeddedIdentities:
    """One certificate authority an organisation, made when first asked."""

    def __init__(self) -> None:
        self._roots: dict[str, tuple[ec.EllipticCurvePrivateKey, x509.Name]] = {}

    def issue(
        self,
        msp_id: str,
        name: str,
        role: str = "client",
        *,
        key: ec.EllipticCurvePrivateKey | None = None,
        days: int = 365,
    ) -> EmbeddedIdentity:
        """An identity with the NodeOU ``role`` (client, admin, peer or orderer).

        With ``key`` a certificate over an existing key, which is how one is renewed.
        """
        root, issuer = self._root(msp_id)
        own = key or ec.generate_private_key(ec.SECP256R1())
        subject = _subject(msp_id, name, role)
        certificate = _builder(subject, issuer, own, days).sign(root, hashes.SHA256())
        return EmbeddedIdentity(msp_id, name, own, certificate.public_bytes(Encoding.PEM))

    def _root(self, msp_id: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Name]:
        if msp_id not in self._roots:
            self._roots[msp_id] = (ec.generate_private_key(ec.SECP256R1()), _subject(msp_id, f"ca.{msp_id}"))
        return self._roots[msp_id]


def _subject(msp_id: str, name: str, role: str = "") -> x509.Name:
    parts = [(NameOID.ORGANIZATION_NAME, msp_id), (NameOID.ORGANIZATIONAL_UNIT_NAME, role)]
    named = [*parts, (NameOID.COMMON_NAME, name)]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in named if value])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + datetime.timedelta(days=days))
    )
