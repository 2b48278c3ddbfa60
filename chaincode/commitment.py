"""The commitments of steps 3 and 9: all that leaves a member before the reveal.

Source: paper section IV.A, step 4 (Hash-Commit); protocol.md, "Commit digest".
"""

import hashlib

from chaincode.encoding import U32, lp

TAG = b"candor/commit/v1"
ANSWER_TAG = b"candor/answer/v2"
SALT_BYTES = 32


def digest(domain: bytes, member: str, report_cid: str, update_cid: str, salt: bytes) -> bytes:
    """SHA-256(tag ‖ DOMAIN ‖ lp(member) ‖ lp(report CID) ‖ lp(update CID) ‖ salt), 32 bytes.

    `domain` is `chaincode.encoding.domain(...)`: it and the member's id make a copied commit useless.

    Raises:
        ValueError: `salt` is not 32 bytes.
    """
    return _digest(TAG + domain, (member, report_cid, update_cid), salt)


def answer_digest(
    domain: bytes, attempt: int, member: str, model_cid: str, salt: bytes, view_cid: str = ""
) -> bytes:
    """SHA-256(answer tag ‖ DOMAIN ‖ u32 attempt ‖ lp(member) ‖ lp(model CID) ‖ lp(view CID) ‖ salt), 32 bytes.

    What a committee member commits to before anybody's aggregate is known (step 9). The view is the member's
    own of that model; its CID is empty where none is agreed on.

    Raises:
        ValueError: `salt` is not 32 bytes, or `attempt` is not in [0, 2^32).
    """
    if not 0 <= attempt < U32:
        raise ValueError(f"attempt {attempt} is not in [0, 2^32)")
    return _digest(ANSWER_TAG + domain + attempt.to_bytes(4, "big"), (member, model_cid, view_cid), salt)


def _digest(head: bytes, names: tuple[str, ...], salt: bytes) -> bytes:
    if len(salt) != SALT_BYTES:
        raise ValueError(f"salt has {len(salt)} bytes, not {SALT_BYTES}")
    return hashlib.sha256(head + b"".join(lp(name.encode()) for name in names) + salt).digest()
