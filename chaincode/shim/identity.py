"""Who signed the proposal."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier

from chaincode.shim.errors import Forbidden
from chaincode.shim.protos import DecodeError, identities

NODE_OUS = frozenset({"client", "peer", "admin", "orderer"})
# Fabric CA puts the attributes of an enrolment into this extension, as JSON {"attrs": {name: value}}.
ATTRIBUTES = ObjectIdentifier("1.2.3.4.5.6.7.8.1")


@dataclass(frozen=True, slots=True)
class Identity:
    """An MSP's identity. The peer has verified its signature and its chain, the shim only reads it."""

    msp_id: str
    certificate: bytes  # PEM
    key_sha256: str  # hex SHA-256 of the DER SubjectPublicKeyInfo
    roles: frozenset[str]  # NodeOUs among NODE_OUS
    common_name: str
    not_after: int  # unix seconds
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)  # of Fabric CA's enrolment

    @staticmethod
    def parse(serialized_identity: bytes) -> Identity:
        """Read an ``msp.SerializedIdentity``; repeats cost a look-up. Refused (403) if it is not X.509."""
        return _parse(serialized_identity)


@lru_cache(maxsize=4096)
def _parse(serialized_identity: bytes) -> Identity:
    try:
        message = identities.SerializedIdentity.FromString(serialized_identity)
        certificate = x509.load_pem_x509_certificate(message.id_bytes)
        return _read(message.mspid, message.id_bytes, certificate)
    except (DecodeError, ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise Forbidden("the creator is not an X.509 identity") from None


def _read(msp_id: str, pem: bytes, certificate: x509.Certificate) -> Identity:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Identity(
        msp_id=msp_id,
        certificate=pem,
        key_sha256=hashlib.sha256(key).hexdigest(),
        roles=frozenset(_subject(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME)) & NODE_OUS,
        common_name=next(iter(_subject(certificate, NameOID.COMMON_NAME)), ""),
        not_after=int(certificate.not_valid_after_utc.timestamp()),
        attributes=MappingProxyType(_attributes(certificate)),
    )


def _subject(certificate: x509.Certificate, oid: ObjectIdentifier) -> list[str]:
    return [str(name.value) for name in certificate.subject.get_attributes_for_oid(oid)]


def _attributes(certificate: x509.Certificate) -> dict[str, str]:
    try:
        extension = certificate.extensions.get_extension_for_oid(ATTRIBUTES).value
    except x509.ExtensionNotFound:
        return {}
    assert isinstance(extension, x509.UnrecognizedExtension)
    decoded = msgspec.json.decode(extension.value, type=dict[str, dict[str, str]])
    return decoded.get("attrs", {})
