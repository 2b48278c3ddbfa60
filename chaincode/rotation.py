"""The proof of a key rotation: what the new key signs, and how it is checked.

Source: docs/protocol.md, "Identities". The old key's consent is the proposal's own signature.
"""

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from chaincode.encoding import lp

TAG = b"candor/rotate/v1"


def message(channel: str, chaincode: str, member: str, old: str, new: str, counter: int) -> bytes:
    """tag ‖ lp(channel) ‖ lp(chaincode) ‖ lp(member) ‖ lp(old) ‖ lp(new) ‖ counter as 4 bytes big-endian.

    `old` and `new` are the keys' ids (`key_id`), `counter` the member's rotations so far: no proof is of use
    twice, nor for another member or ledger.
    """
    parts = (channel, chaincode, member, old, new)
    return TAG + b"".join(lp(part.encode()) for part in parts) + counter.to_bytes(4, "big")


def key_id(key: bytes) -> str:
    """Hex SHA-256 of a DER SubjectPublicKeyInfo: what the registry calls a key by."""
    return hashlib.sha256(key).hexdigest()


def verify(key: bytes, signature: bytes, signed: bytes) -> None:
    """Check an ECDSA signature with SHA-256 (DER; a high s is accepted) of a P-256 or P-384 key.

    Raises:
        ValueError: `key` is not the DER SubjectPublicKeyInfo of such a key, in the form certificates have, or it
            did not sign. The message begins with "key" or "signature".
    """
    try:
        public = load_der_public_key(key)
    except Exception as fault:  # whatever the parser makes of foreign bytes
        raise ValueError("key: not a DER SubjectPublicKeyInfo") from fault
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name not in (
        "secp256r1",
        "secp384r1",
    ):
        raise ValueError("key: must be an EC key on P-256 or P-384")
    if public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != key:
        raise ValueError("key: not in the form that certificates hold it in")
    try:
        public.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as fault:
        raise ValueError("signature: the new key did not sign this rotation") from fault


def sign(private: ec.EllipticCurvePrivateKey, signed: bytes) -> bytes:
    """The new key's consent, DER."""
    return private.sign(signed, ec.ECDSA(hashes.SHA256()))
