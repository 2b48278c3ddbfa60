"""The bytes everybody agrees on: length prefixes, canonical JSON, and what a digest is bound to.

Source: protocol.md, "Encodings".
"""

from typing import Any

import msgspec

U32 = 1 << 32


def lp(data: bytes) -> bytes:
    """Length-prefix: 4 bytes big-endian length, then `data`.

    Raises:
        ValueError: `data` has 2^32 bytes or more.
    """
    if len(data) >= U32:
        raise ValueError(f"cannot length-prefix {len(data)} bytes: the limit is {U32 - 1}")
    return len(data).to_bytes(4, "big") + data


def canonical(value: Any) -> bytes:
    """JSON in its one permitted form: UTF-8, sorted keys, no spaces, integers only.

    Accepts what msgspec encodes (structs, dicts, sequences, str, int, bool, None, bytes as base64).

    Raises:
        TypeError: `value` holds a float or a type msgspec cannot encode.
    """
    _refuse_floats(msgspec.to_builtins(value, str_keys=True))
    return msgspec.json.encode(value, order="sorted")


def domain(channel: str, chaincode: str, job: str, round: int) -> bytes:
    """DOMAIN: what binds a digest or a draw to one round of one job of one chaincode on one channel.

    Raises:
        ValueError: `round` is not in [0, 2^32).
    """
    if not 0 <= round < U32:
        raise ValueError(f"round {round} is not in [0, 2^32)")
    return lp(channel.encode()) + lp(chaincode.encode()) + lp(job.encode()) + round.to_bytes(4, "big")


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError(f"canonical JSON holds integers only, not {value!r}")
    if isinstance(value, dict):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)
