"""A Fabric identity from two PEM files, as hfc's signing user."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from fl_client.errors import BadInput

from . import protos, sdk


class _NoStore:
    """hfc's User pickles its private key into a state store; here there is none."""

    def get_value(self, key: str) -> None:
        return None

    def set_value(self, key: str, value: Any) -> bool:
        return True


def signing_user(msp_id: str, key: Path, certificate: Path) -> Any:
    """hfc's User for these files.

    Raises: BadInput when a file cannot be read or used, or the key is not the certificate's.
    """
    private, parsed, pem = _private_key(key), *_certificate(certificate)
    if _spki(private.public_key()) != _spki(parsed.public_key()):
        raise BadInput(f"the key {key} is not the one in the certificate {certificate}")
    user = sdk.User(certificate.stem, msp_id, _NoStore())
    user.enrollment = sdk.Enrollment(private, pem)
    user.msp_id = msp_id
    user.cryptoSuite = sdk.ecies()
    return user


def member_id(user: Any) -> str:
    """``MSPID:`` and the hex SHA-256 of the certificate's SubjectPublicKeyInfo."""
    public = x509.load_pem_x509_certificate(user.enrollment.cert).public_key()
    return f"{user.msp_id}:{hashlib.sha256(_spki(public)).hexdigest()}"


def endorsed_by(endorsement: Any, payload: bytes, msp_id: str) -> bool:
    """Whether the endorsement is of that organisation and its signature is valid. hfc checks neither.

    Whose certificate it is that says so, only the peers that validate the transaction know.
    """
    try:
        endorser = protos.identities.SerializedIdentity.FromString(endorsement.endorser)
        public = x509.load_pem_x509_certificate(endorser.id_bytes).public_key()
        if endorser.mspid != msp_id or not isinstance(public, ec.EllipticCurvePublicKey):
            return False
        public.verify(endorsement.signature, payload + endorsement.endorser, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion, ValueError, protos.DecodeError):
        return False
    return True


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise BadInput(f"cannot read the private key {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise BadInput(f"{path} is not an unencrypted PEM private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadInput(f"the private key {path} is not an EC key on P-256", "Enroll with an ECDSA P-256 key")
    return key


def _certificate(path: Path) -> tuple[x509.Certificate, bytes]:
    try:
        pem = path.read_bytes()
        return x509.load_pem_x509_certificate(pem), pem
    except OSError as error:
        raise BadInput(f"cannot read the certificate {path}: {error.strerror}") from error
    except ValueError as error:
        raise BadInput(f"{path} is not a PEM certificate") from error


def _spki(public: Any) -> bytes:
    der: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der
