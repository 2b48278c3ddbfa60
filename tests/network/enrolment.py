"""A member whose certificate carries an enrolment's attributes, as Fabric CA puts them there."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from chaincode.shim.identity import ATTRIBUTES
from network.identities import Identities
from network.network import Network
from network.topology import Organisation

# Fabric rewrites a certificate whose signature is not in the lower half of the two that are valid.
HALF_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 // 2


def enrolled(network: Network, org: Organisation, name: str, attributes: dict[str, str]) -> Path:
    """The MSP directory of a new client of the organisation, certified by its CA."""
    identities = Identities(network.directory, network.topology)
    directory = network.directory / f"{name}-msp"
    shutil.copytree(identities.user(org, "Admin") / "msp", directory)
    authority = identities.organisation(org) / "ca"
    issuer = x509.load_pem_x509_certificate((authority / f"ca.{org.domain}-cert.pem").read_bytes())
    signer = load_pem_private_key((authority / "priv_sk").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    unsigned = _certificate(name, key, issuer, attributes)
    signed = (unsigned.sign(signer, hashes.SHA256()) for _ in range(100))
    certificate = next(each for each in signed if decode_dss_signature(each.signature)[1] <= HALF_ORDER)
    (old,) = (directory / "signcerts").iterdir()
    old.unlink()
    (directory / "signcerts" / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "keystore" / "priv_sk").write_bytes(pem)
    return directory


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate, attributes: dict[str, str]
) -> x509.CertificateBuilder:
    unit = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "client")
    subject = x509.Name([unit, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    extension = x509.UnrecognizedExtension(ATTRIBUTES, json.dumps({"attrs": attributes}).encode())
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.subject)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(
        issuer.not_valid_before_utc
    )  # not before: an MSP checks the chain then
    builder = builder.not_valid_after(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1))
    usage = x509.KeyUsage(True, *([False] * 8))
    return builder.add_extension(usage, critical=True).add_extension(extension, critical=False)
