"""The commit digest binds everything it is given."""

import hashlib

import pytest

from chaincode import commitment
from chaincode.encoding import domain, lp

DOMAIN = domain("candor", "candor", "job", 1)
INPUTS = (DOMAIN, "Org1MSP:aa", "bafkreport", "bafkupdate", bytes(32))


def test_the_digest_is_the_protocols() -> None:
    text = (
        b"candor/commit/v1" + DOMAIN + lp(b"Org1MSP:aa") + lp(b"bafkreport") + lp(b"bafkupdate") + bytes(32)
    )
    assert commitment.digest(*INPUTS) == hashlib.sha256(text).digest()


def test_changing_any_input_changes_the_digest() -> None:
    changed = (
        domain("candor", "candor", "job", 2),
        "Org1MSP:ab",
        "bafkreporu",
        "bafkupdatf",
        b"\1" + bytes(31),
    )
    digests = {commitment.digest(*INPUTS)}
    for i, other in enumerate(changed):
        digests.add(commitment.digest(*(other if i == j else same for j, same in enumerate(INPUTS))))  # type: ignore[arg-type]
    assert len(digests) == 1 + len(INPUTS)


def test_moving_a_byte_between_two_inputs_changes_the_digest() -> None:
    one = commitment.digest(DOMAIN, "ab", "c", "d", bytes(32))
    assert one != commitment.digest(DOMAIN, "a", "bc", "d", bytes(32))
    assert one != commitment.digest(DOMAIN, "ab", "", "cd", bytes(32))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_salt_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="salt"):
        commitment.digest(DOMAIN, "m", "r", "u", bytes(size))
