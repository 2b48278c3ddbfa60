"""What the shim reads from a creator."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from shim_helpers import END, certificate, serialized

from chaincode.shim import Identity
from chaincode.shim.errors import Forbidden


def test_an_identity_has_the_msps_and_the_certificates_facts() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = certificate("Admin@org1.test", "admin", "department1", key=key)
    identity = Identity.parse(serialized("Org1MSP", pem))
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert identity.msp_id == "Org1MSP"
    assert identity.certificate == pem
    assert identity.key_sha256 == hashlib.sha256(spki).hexdigest()
    assert identity.roles == {"admin"}
    assert identity.common_name == "Admin@org1.test"
    assert identity.not_after == int(END.timestamp())


def test_a_renewed_certificate_over_the_same_key_keeps_the_keys_digest() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    one, other = (Identity.parse(serialized("Org1MSP", certificate("a", key=key))) for _ in range(2))
    assert one.certificate != other.certificate
    assert one.key_sha256 == other.key_sha256


def test_roles_are_the_node_ous_alone_and_case_matters() -> None:
    parse = lambda *units: Identity.parse(serialized("M", certificate("client", *units))).roles  # noqa: E731
    assert parse() == frozenset()
    assert parse("Client", "administrators") == frozenset()
    assert parse("client", "peer") == {"client", "peer"}


def test_attributes_of_fabric_ca_are_read() -> None:
    pem = certificate("u", "client", attributes=b'{"attrs":{"hf.Affiliation":"x","role":"auditor"}}')
    assert Identity.parse(serialized("M", pem)).attributes == {"hf.Affiliation": "x", "role": "auditor"}


def test_repeats_are_parsed_once_and_identities_are_frozen_and_hashable() -> None:
    raw = serialized("Org1MSP", certificate("u", "client"))
    identity = Identity.parse(raw)
    assert Identity.parse(bytes(bytearray(raw))) is identity
    assert {identity: 1}[identity] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        identity.msp_id = "Org2MSP"  # type: ignore[misc]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xff",
        serialized("Org1MSP", b"not a certificate"),
        serialized("Org1MSP", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        serialized("Org1MSP", certificate("u", attributes=b"not json")),
        serialized("Org1MSP", certificate("u", attributes=b'{"attrs":7}')),
    ],
)
def test_what_is_not_an_x509_identity_is_refused(raw: bytes) -> None:
    with pytest.raises(Forbidden):
        Identity.parse(raw)
