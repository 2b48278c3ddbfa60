"""The commitment of step 3: the only thing about a report that leaves a client before the reveal.

Source: paper section IV.A, step 4 (Hash-Commit); protocol.md, "Commit digest".
"""

import hashlib

from chaincode.encoding import lp

TAG = b"candor/commit/v1"
SALT_BYTES = 32


def digest(domain: bytes, member: str, report_cid: str, update_cid: str, salt: bytes) -> bytes:
    """SHA-256(tag ‖ DOMAIN ‖ lp(member) ‖ lp(report CID) ‖ lp(update CID) ‖ salt), 32 bytes.

    `domain` is `chaincode.encoding.domain(...)`: it and the member's id make a copied commit useless.

    Raises:
        ValueError: `salt` is not 32 bytes.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"salt has {len(salt)} bytes, not {SALT_BYTES}")
    names = (member, report_cid, update_cid)
    return hashlib.sha256(TAG + domain + b"".join(lp(name.encode()) for name in names) + salt).digest()
