"""The bounds of the pure modules from both sides: the last value that is taken, the first that is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from chaincode import committees, draw, encoding, report
from chaincode import view as views
from chaincode.beacon import ROUND_MAX, BadBeacon, Beacon, BeaconInfo, DevSigner, verify
from chaincode.commitment import answer_digest, digest
from chaincode.mechanisms import MECHANISMS
from chaincode.mtpp import RULES, View
from chaincode.mtpp.duplicates import likeness

SIGNER = DevSigner(b"bounds", period=3, genesis_time=1_700_000_000)
INFO, SEED, SALT = SIGNER.info, b"s" * 32, b"s" * 32
VESTING = ("qualify-and-vest", "qualify-and-vest-sharp")


def chain(**changes: Any) -> BeaconInfo:
    """The signer's chain with other fields and the hash that they give, where they give one."""
    changed = msgspec.structs.replace(INFO, **changes)
    try:
        return msgspec.structs.replace(changed, chain_hash=changed.hash())
    except OverflowError:
        return changed


def packed(z: int = 0, z2: int = 1, margin: int = 0, alphabet: int = 4) -> bytes:
    return views.pack(View(np.array([z]), np.array([z2]), np.array([margin])), alphabet)


TAKEN: list[Callable[[], Any]] = [
    *(chain(period=period).check for period in (1, 2**32 - 1)),
    *(chain(genesis_time=time).check for time in (0, 2**62 - 1)),
    *(chain(id=id).check for id in ("a", "a" * 128)),
    *(lambda r=r: verify(INFO, SIGNER.sign(r)) for r in (1, ROUND_MAX)),
    *(lambda a=a: answer_digest(b"", a, "m", "c", SALT) for a in (0, 2**32 - 1)),
    lambda: digest(b"", "m", "r", "u", SALT),
    *(lambda r=r: encoding.domain("c", "n", "j", r) for r in (0, 2**32 - 1)),
    *(lambda c=c: report.bits(c) for c in (2, 256)),
    lambda: report.size(0, 2),
    lambda: report.pack(np.array([0, 3]), 4),
    lambda: report.pack(np.array([], int), 4),
    lambda: report.unpack(b"\x1b", 4, 4),
    lambda: report.unpack(b"", 0, 4),
    *(lambda n=n: draw.Words(SEED).below(n) for n in (1, 2**64)),
    *(lambda k=k: draw.draw(SEED, "abc", k) for k in (0, 3)),
    *(lambda m=m: draw.peers(SEED, list("abcde"), m) for m in (0, 1, 2, 4, 5, 6)),
    *(lambda k=k: draw.committee(SEED, ["a", "b", "c"], k, str) for k in (1, 3, 5)),
    *(lambda d=d: committees.capture(3, d, 1) for d in (0, 3)),
    *(lambda s=s: committees.capture(3, 1, s) for s in (1, 3)),
    lambda: packed(z=3, z2=0, margin=2**31 - 1),
    *(lambda c=c: RULES["dasgupta-ghosh"].pair([0, 1], [0, 1], c) for c in (2, 256)),
    lambda: RULES["dasgupta-ghosh"].pair([0], [0], 2),
    lambda: RULES["dasgupta-ghosh"].check(2**16, 2),
    lambda: RULES["determinant"].pair([0, 1, 0, 1], [0, 1, 0, 1], 2),
    *(lambda c=c: likeness(np.array([[0, 1], [0, 1]]), c) for c in (2, 256)),
]

REFUSED: list[Callable[[], Any]] = [
    *(chain(period=period).check for period in (0, 2**32)),
    *(chain(genesis_time=time).check for time in (-1, 2**62)),
    *(chain(id=id).check for id in ("", "a" * 129)),
    *(lambda r=r: SIGNER.sign(r) for r in (0, ROUND_MAX + 1)),
    lambda: DevSigner(b"", period=0, genesis_time=1),
    *(lambda a=a: answer_digest(b"", a, "m", "c", SALT) for a in (-1, 2**32)),
    *(lambda s=s: digest(b"", "m", "r", "u", s) for s in (SALT[1:], SALT + b"s")),
    *(lambda r=r: encoding.domain("c", "n", "j", r) for r in (-1, 2**32)),
    *(lambda c=c: report.bits(c) for c in (1, 257)),
    lambda: report.size(-1, 2),
    *(lambda s=s: report.pack(np.array([s]), 4) for s in (-1, 4)),
    lambda: report.pack(np.array([[0]]), 4),
    lambda: report.pack(np.array([0.0]), 4),
    lambda: report.unpack(b"\x1b", 3, 3),
    *(lambda n=n: draw.Words(SEED).below(n) for n in (0, 2**64 + 1)),
    *(lambda k=k: draw.draw(SEED, "abc", k) for k in (-1, 4)),
    *(lambda m=m: draw.peers(SEED, list("abcde"), m) for m in (-2, -1, 3)),
    *(lambda k=k: draw.committee(SEED, ["a", "b", "c"], k, str) for k in (-1, 0, 2)),
    *(lambda d=d: committees.capture(3, d, 1) for d in (-1, 4)),
    *(lambda s=s: committees.capture(3, 1, s) for s in (0, 4)),
    *(lambda z=z: packed(z=z, z2=0) for z in (-1, 4)),
    *(lambda z=z: packed(z=0, z2=z) for z in (-1, 4, 0)),
    *(lambda m=m: packed(margin=m) for m in (-1, 2**31)),
    *(lambda c=c: RULES["dasgupta-ghosh"].pair([0, 0], [0, 0], c) for c in (1, 257)),
    lambda: RULES["dasgupta-ghosh"].pair([], [], 2),
    lambda: RULES["dasgupta-ghosh"].check(2**16 + 1, 2),
    lambda: RULES["determinant"].pair([0, 1, 0], [0, 1, 0], 2),
    *(lambda c=c: RULES["determinant"].check(10, c) for c in (1, 5)),
    *(lambda m=m: MECHANISMS[m].check(RULES["dasgupta-ghosh"], 2) for m in VESTING),
    *(lambda m=m: MECHANISMS[m].check(RULES["conditional"], 0) for m in VESTING),
    lambda: MECHANISMS["qualify-and-vest-sharp"].check(RULES["output-agreement"], 0),
    *(lambda c=c: likeness(np.array([[0, 0], [0, 0]]), c) for c in (1, 257)),
    *(lambda s=s: likeness(np.array([[0, s], [0, 1]]), 2) for s in (-1, 2)),
]


@pytest.mark.parametrize("call", TAKEN, ids=range(len(TAKEN)))
def test_the_last_value_inside_a_bound_is_taken(call: Callable[[], Any]) -> None:
    call()


@pytest.mark.parametrize("call", REFUSED, ids=range(len(REFUSED)))
def test_the_first_value_outside_a_bound_is_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # each in words of its own
        call()


def test_a_beacons_round_is_bounded_before_its_signature_is_looked_at() -> None:
    for round in (0, ROUND_MAX + 1):
        with pytest.raises(BadBeacon, match="is not in"):
            verify(INFO, Beacon(round, SIGNER.sign(1).signature))


def test_what_is_too_long_for_its_length_prefix_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "U32", 4)
    assert encoding.lp(b"abc") == b"\0\0\0\3abc"
    with pytest.raises(ValueError, match="long|bytes"):
        encoding.lp(b"abcd")
