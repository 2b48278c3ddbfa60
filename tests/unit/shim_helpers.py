"""What the tests of the shim share: identities with real certificates, and calls in memory."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from chaincode.shim import Identity
from chaincode.shim.memory import MemoryStub, Other, WorldState
from chaincode.shim.protos import identities

START = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
END = datetime.datetime(2045, 1, 1, tzinfo=datetime.UTC)


def certificate(
    common_name: str, *units: str, key: ec.EllipticCurvePrivateKey | None = None, attributes: bytes = b""
) -> bytes:
    """A self-signed PEM certificate; the peer checks chains, the shim does not."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    unit = NameOID.ORGANIZATIONAL_UNIT_NAME
    subject = [x509.NameAttribute(unit, value) for value in units]
    name = x509.Name([*subject, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(START).not_valid_after(END)
    if attributes:
        oid = ObjectIdentifier("1.2.3.4.5.6.7.8.1")
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, attributes), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def serialized(msp_id: str, pem: bytes) -> bytes:
    return bytes(identities.SerializedIdentity(mspid=msp_id, id_bytes=pem).SerializeToString())


CREATOR = serialized("Org1MSP", certificate("User1@org1.test", "client"))


def wire(*args: object) -> list[bytes]:
    """Arguments as a client sends them."""
    return [_argument(argument) for argument in args]


def _argument(argument: object) -> bytes:
    if isinstance(argument, bytes):
        return argument
    if isinstance(argument, str):
        return argument.encode()
    return msgspec.json.encode(argument, order="sorted")


def call(
    state: WorldState,
    *args: object,
    transient: Mapping[str, bytes] | None = None,
    others: Mapping[str, Other] | None = None,
) -> MemoryStub:
    """A stub for one call."""
    raw = wire(*args)
    return MemoryStub(
        state,
        channel="candor",
        tx_id=hashlib.sha256(b"\0".join(raw)).hexdigest(),
        chaincode="example",
        args=raw,
        transient=transient or {},
        creator=Identity.parse(CREATOR),
        others=others,
    )
