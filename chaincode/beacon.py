"""drand's beacon, verified: where every draw and every "it is later than" comes from.

Scheme `bls-unchained-g1-rfc9380`, that of the League of Entropy's quicknet: a signature is a BLS12-381
point of G1 (48 bytes compressed), the public key one of G2 (96 bytes), the message SHA-256(round as 8 bytes
big-endian).
"""

import hashlib
import re
from functools import lru_cache

import msgspec
from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

SCHEME = "bls-unchained-g1-rfc9380"
DEV_ID = "candor-dev"
ROUND_MAX = (1 << 63) - 1

_DST = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
_GROUP_ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
_SIGNATURE = re.compile(r"[0-9a-f]{96}")
_PUBLIC_KEY = re.compile(r"[0-9a-f]{192}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BadBeacon(ValueError):
    """A beacon that this chain did not produce; the message says what is wrong with it."""


class Beacon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One round's beacon: `signature` is lowercase hex of 48 bytes. Not trusted until `verify` passes."""

    round: int
    signature: str

    @property
    def randomness(self) -> bytes:
        """SHA-256 of the signature's bytes, 32 bytes."""
        return hashlib.sha256(bytes.fromhex(self.signature)).digest()


class BeaconInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What identifies a drand chain: period in seconds, genesis in unix seconds, keys and hashes in hex."""

    public_key: str
    period: int
    genesis_time: int
    genesis_seed: str
    scheme: str
    id: str
    chain_hash: str

    def time(self, round: int) -> int:
        """Unix seconds at which `round` is due: genesis + (round − 1)·period."""
        return self.genesis_time + (round - 1) * self.period

    def round_at(self, time: int) -> int:
        """The newest round due at or before `time` (unix seconds); 0 before the first."""
        return max(0, (time - self.genesis_time) // self.period + 1)

    def hash(self) -> str:
        """The chain hash these fields give: SHA-256(period ‖ genesis ‖ key ‖ seed ‖ id unless "default")."""
        digest = hashlib.sha256(self.period.to_bytes(4, "big") + self.genesis_time.to_bytes(8, "big"))
        digest.update(bytes.fromhex(self.public_key) + bytes.fromhex(self.genesis_seed))
        digest.update(b"" if self.id == "default" else self.id.encode())
        return digest.hexdigest()

    def check(self) -> None:
        """Check every field, and that the chain hash follows from them.

        Raises:
            ValueError: a field is malformed or the key unusable; the message begins with the field's name.
        """
        self._check_fields()
        _require(self.chain_hash == self.hash(), "chain_hash", f"the other fields give {self.hash()}")

    def _check_fields(self) -> None:
        try:
            _public_key(self.public_key)
        except ValueError as error:
            raise ValueError(f"public_key: {error}") from None
        _require(1 <= self.period < 1 << 32, "period", "must be in [1, 2^32) seconds")
        _require(0 <= self.genesis_time < 1 << 62, "genesis_time", "must be unix seconds in [0, 2^62)")
        _require(
            bool(_SHA256.fullmatch(self.genesis_seed)), "genesis_seed", "must be 64 lowercase hex digits"
        )
        _require(self.scheme == SCHEME, "scheme", f"must be {SCHEME}")
        _require(
            0 < len(self.id) <= 128 and self.id.isprintable(), "id", "must be 1 to 128 printable characters"
        )


def verify(info: BeaconInfo, beacon: Beacon) -> None:
    """Check that the chain's key signed the beacon's round. About 2 ms, then remembered.

    Raises:
        BadBeacon: the round is below 1; the signature is not 96 lowercase hex digits, not a canonical point
            of the subgroup, or the point at infinity; or the key did not sign this round.
    """
    if not 1 <= beacon.round <= ROUND_MAX:
        raise BadBeacon(f"beacon round {beacon.round} is not in [1, 2^63)")
    if not _SIGNATURE.fullmatch(beacon.signature):
        raise BadBeacon(f"signature of beacon round {beacon.round} is not 96 lowercase hex digits")
    fault = _fault(info.public_key, beacon.round, beacon.signature)
    if fault:
        raise BadBeacon(f"beacon round {beacon.round}: {fault}")


class DevSigner:
    """A chain of one signer, for development only: whoever knows `seed` knows every beacon of it in advance.

    Its info has the id "candor-dev", which a production profile refuses.

    Args:
        seed: any bytes; the same seed gives the same key.
        period: seconds between rounds.
        genesis_time: unix seconds of round 1.
    """

    def __init__(self, seed: bytes, period: int, genesis_time: int) -> None:
        wide = int.from_bytes(hashlib.sha512(b"candor/dev-beacon/v1" + seed).digest(), "big")
        self._secret = Scalar.from_be_bytes((wide % (_GROUP_ORDER - 1) + 1).to_bytes(32, "big"))
        unnamed = BeaconInfo(
            public_key=bytes((G2Point() * self._secret).to_compressed_bytes()).hex(),
            period=period,
            genesis_time=genesis_time,
            genesis_seed=hashlib.sha256(b"candor/dev-beacon/genesis" + seed).hexdigest(),
            scheme=SCHEME,
            id=DEV_ID,
            chain_hash="",
        )
        unnamed._check_fields()
        self.info = msgspec.structs.replace(unnamed, chain_hash=unnamed.hash())

    def sign(self, round: int) -> Beacon:
        """The beacon of `round`, whether it is due or not."""
        if not 1 <= round <= ROUND_MAX:
            raise ValueError(f"beacon round {round} is not in [1, 2^63)")
        return Beacon(round, bytes((_message(round) * self._secret).to_compressed_bytes()).hex())


@lru_cache(maxsize=4096)
def _fault(public_key: str, round: int, signature: str) -> str | None:
    """What is wrong with a signature, or None. Failures are remembered too: repeating one costs nothing."""
    try:
        key, point = _public_key(public_key), _signature(signature)
    except ValueError as error:
        return str(error)
    if GT.pairing_check([point, -_message(round)], [G2Point(), key]):
        return None
    return "the signature is not this chain's for this round"


def _message(round: int) -> G1Point:
    return G1Point.hash_to_curve(hashlib.sha256(round.to_bytes(8, "big")).digest(), _DST)


def _signature(text: str) -> G1Point:
    data = bytes.fromhex(text)
    try:
        point = G1Point.from_compressed_bytes(data)
    except ValueError:
        raise ValueError("the signature is not a point of the subgroup of G1") from None
    if not point.is_in_subgroup() or bytes(point.to_compressed_bytes()) != data:
        raise ValueError("the signature is not a canonical point of the subgroup of G1")
    if point == G1Point.identity():
        raise ValueError("the signature is the point at infinity")
    return point


@lru_cache(maxsize=64)
def _public_key(text: str) -> G2Point:
    if not _PUBLIC_KEY.fullmatch(text):
        raise ValueError("the public key is not 192 lowercase hex digits")
    data = bytes.fromhex(text)
    try:
        point = G2Point.from_compressed_bytes(data)
    except ValueError:
        raise ValueError("the public key is not a point of the subgroup of G2") from None
    if not point.is_in_subgroup() or bytes(point.to_compressed_bytes()) != data:
        raise ValueError("the public key is not a canonical point of the subgroup of G2")
    if point == G2Point.identity():
        raise ValueError("the public key is the point at infinity")
    return point


def _require(condition: bool, field: str, message: str) -> None:
    if not condition:
        raise ValueError(f"{field}: {message}")
