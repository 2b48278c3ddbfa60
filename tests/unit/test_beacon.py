"""Beacons: real ones pass, everything else is refused with its reason."""

import hashlib
import sys
from collections.abc import Iterator

import msgspec
import pytest
from py_arkworks_bls12381 import G1Point, G2Point

from chaincode.beacon import SCHEME, BadBeacon, Beacon, BeaconInfo, DevSigner, verify

QUICKNET = BeaconInfo(
    public_key="83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451"
    "0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a",
    period=3,
    genesis_time=1692803367,
    genesis_seed="f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e",
    scheme=SCHEME,
    id="quicknet",
    chain_hash="52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971",
)
QUICKNET_BEACON = Beacon(
    5928395,
    "a5d07c0071b4e386b3ae09206522253c68fefe8490ad59ecc44a7dd0d0745be91da5779e2247a82403fbc0cb9a34cb61",
)
SIGNER = DevSigner(b"test", period=3, genesis_time=1_700_000_000)
INFO = SIGNER.info
INFINITY_G1 = "c0" + "00" * 47
FIELD_PRIME = (
    0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
)


def off_subgroup(group: type, size: int) -> str:
    """A point of the curve outside the prime-order subgroup, compressed."""
    for x in range(1, 100):
        data = bytes([0x80, *bytes(size - 2), x])
        try:
            point = group.from_compressed_bytes_unchecked(data)  # type: ignore[attr-defined]
        except ValueError:
            continue
        if not point.is_in_subgroup():
            return data.hex()
    raise AssertionError("no such point found")


def off_curve() -> str:
    for x in range(1, 100):
        data = bytes([0x80, *bytes(46), x])
        try:
            G1Point.from_compressed_bytes_unchecked(data)
        except ValueError:
            return data.hex()
    raise AssertionError("every x was on the curve")


def test_a_beacon_of_the_public_quicknet_chain_passes() -> None:
    QUICKNET.check()
    verify(QUICKNET, QUICKNET_BEACON)
    assert QUICKNET_BEACON.randomness == hashlib.sha256(bytes.fromhex(QUICKNET_BEACON.signature)).digest()


def test_a_development_beacon_passes_and_its_info_is_marked() -> None:
    INFO.check()
    assert INFO.id == "candor-dev"
    for round in (1, 2, (1 << 63) - 1):
        verify(INFO, SIGNER.sign(round))


def test_a_development_signer_depends_on_its_seed_alone() -> None:
    assert DevSigner(b"test", 3, 1_700_000_000).sign(9) == SIGNER.sign(9)
    assert DevSigner(b"tess", 3, 1_700_000_000).info.public_key != INFO.public_key


@pytest.fixture
def own_recursion_limit() -> Iterator[None]:
    """py_ecc raises the limit for the whole process, above what the C stack of a JSON decoder bears."""
    limit = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("own_recursion_limit")
def test_an_independent_implementation_agrees() -> None:
    from py_ecc.bls.hash_to_curve import hash_to_G1
    from py_ecc.bls.point_compression import decompress_G1, decompress_G2
    from py_ecc.optimized_bls12_381 import G2, pairing

    dst = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
    beacon = SIGNER.sign(7)
    key = bytes.fromhex(INFO.public_key)
    point = decompress_G1(int(beacon.signature, 16))
    public = decompress_G2((int.from_bytes(key[:48], "big"), int.from_bytes(key[48:], "big")))
    message = hash_to_G1(hashlib.sha256((7).to_bytes(8, "big")).digest(), dst, hashlib.sha256)
    assert pairing(G2, point) == pairing(public, message)


@pytest.mark.parametrize("round", [0, -1, 1 << 63])
def test_a_round_out_of_range_is_refused(round: int) -> None:
    with pytest.raises(BadBeacon, match="is not in"):
        verify(INFO, Beacon(round, SIGNER.sign(1).signature))
    with pytest.raises(ValueError, match="is not in"):
        SIGNER.sign(round)


GOOD = SIGNER.sign(1).signature


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("", "hex"),
        (GOOD.upper(), "hex"),
        (GOOD[:-2], "hex"),
        (GOOD + "00", "hex"),
        (GOOD[:-1] + "g", "hex"),
        (GOOD + "\n", "hex"),
        (" " + GOOD[1:], "hex"),
        (INFINITY_G1, "infinity"),
        ("e0" + "00" * 47, "canonical"),  # infinity with the sign bit set
        ("40" + "00" * 47, "subgroup"),  # not compressed
        (f"{FIELD_PRIME + 4 | 1 << 383:096x}", "subgroup"),  # x not reduced
        (off_curve(), "subgroup"),
        (off_subgroup(G1Point, 48), "subgroup"),
        (SIGNER.sign(2).signature, "not this chain's"),
        (DevSigner(b"other", 3, 1_700_000_000).sign(1).signature, "not this chain's"),
        (f"{int(GOOD, 16) ^ 1 << 381:096x}", "not this chain's"),  # the negated point
    ],
)
def test_a_signature_that_is_not_the_rounds_is_refused(signature: str, reason: str) -> None:
    for _ in range(2):  # the second time from the cache
        with pytest.raises(BadBeacon, match=reason):
            verify(INFO, Beacon(1, signature))


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("c0" + "00" * 95, "infinity"),
        ("e0" + "00" * 95, "canonical"),
        (off_subgroup(G2Point, 96), "subgroup"),
    ],
)
def test_a_key_that_is_no_key_is_refused_with_its_reason(key: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^public_key: .*{reason}"):
        msgspec.structs.replace(INFO, public_key=key).check()


def test_the_subgroup_is_checked_whatever_the_library_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    for group in (G1Point, G2Point):
        lenient = type("Lenient", (), {"from_compressed_bytes": group.from_compressed_bytes_unchecked})
        lenient.identity = group.identity  # type: ignore[attr-defined]
        monkeypatch.setattr(f"chaincode.beacon.{group.__name__}", lenient)
    with pytest.raises(ValueError, match="public_key: .*canonical point of the subgroup"):
        msgspec.structs.replace(INFO, public_key=off_subgroup(G2Point, 96)).check()
    monkeypatch.setattr("chaincode.beacon.G2Point", G2Point)
    with pytest.raises(BadBeacon, match="canonical point of the subgroup"):
        verify(INFO, Beacon(77, off_subgroup(G1Point, 48)))


def test_a_true_signature_has_one_form_only() -> None:
    """Its x plus the field's prime names the same point to whoever forgets to look."""
    for round in range(1, 100):
        signature = int(SIGNER.sign(round).signature, 16)
        flags, x = signature >> 381, signature & (1 << 381) - 1
        if x + FIELD_PRIME < 1 << 381:
            break
    with pytest.raises(BadBeacon, match="subgroup"):
        verify(INFO, Beacon(round, f"{flags << 381 | x + FIELD_PRIME:096x}"))


def test_a_beacon_of_another_chain_is_refused() -> None:
    with pytest.raises(BadBeacon, match="not this chain's"):
        verify(INFO, Beacon(QUICKNET_BEACON.round, QUICKNET_BEACON.signature))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("public_key", INFO.public_key.upper()),
        ("public_key", INFO.public_key[:-2]),
        ("public_key", "c0" + "00" * 95),
        ("public_key", off_subgroup(G2Point, 96)),
        ("public_key", QUICKNET.public_key[:-1] + "b"),
        ("period", 0),
        ("period", 1 << 32),
        ("genesis_time", -1),
        ("genesis_time", 1 << 63),
        ("genesis_seed", ""),
        ("genesis_seed", INFO.genesis_seed.upper()),
        ("scheme", "pedersen-bls-chained"),
        ("id", ""),
        ("id", "a\nb"),
        ("id", "default"),
        ("chain_hash", INFO.chain_hash[:-1]),
        ("chain_hash", QUICKNET.chain_hash),
    ],
)
def test_a_chain_with_a_wrong_field_is_refused_by_its_name(field: str, value: object) -> None:
    named = "chain_hash" if (field, value) == ("id", "default") else field
    with pytest.raises(ValueError, match=f"^{named}: "):
        msgspec.structs.replace(INFO, **{field: value}).check()


@pytest.mark.parametrize("field", ["public_key", "period", "genesis_time", "genesis_seed", "id"])
def test_the_chain_hash_depends_on_every_field(field: str) -> None:
    other = DevSigner(b"other", 4, 1_700_000_001).info
    value = "default" if field == "id" else getattr(other, field)
    with pytest.raises(ValueError, match="^chain_hash: "):
        msgspec.structs.replace(INFO, **{field: value}).check()


def test_rounds_and_times_follow_the_period() -> None:
    assert [INFO.time(round) - INFO.genesis_time for round in (1, 2, 11)] == [0, 3, 30]
    offsets = (-100, -1, 0, 2, 3, 5, 6)
    assert [INFO.round_at(INFO.genesis_time + offset) for offset in offsets] == [0, 0, 1, 1, 2, 2, 3]
    assert all(INFO.round_at(INFO.time(round)) == round for round in range(1, 50))


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(b'{"round":1,"signature":"00","randomness":"00"}', type=Beacon)
