"""Content identifiers, computed and checked without an IPFS node.

CIDv1, lowercase base32, SHA-256. A file of at most 1 MiB is one raw block; a longer one is a balanced dag-pb
tree of 1 MiB raw leaves with at most 1,024 links a node, equal to
`ipfs add --cid-version=1 --raw-leaves --chunker=size-1048576 --max-file-links=1024`.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

LEAF_BYTES = 1 << 20
LINKS = 1024

Codec = Literal["raw", "dag-pb"]
_CODES: dict[Codec, int] = {"raw": 0x55, "dag-pb": 0x70}
_CODECS: dict[int, Codec] = {code: codec for codec, code in _CODES.items()}
_TEXT = re.compile(r"b[a-z2-7]{58}")  # multibase prefix, then 36 bytes


class Cid(NamedTuple):
    """A parsed CID: `codec` of the block it names, and the block's SHA-256 `digest` (32 bytes)."""

    codec: Codec
    digest: bytes

    def __str__(self) -> str:
        return "b" + base64.b32encode(_binary(self)).decode().lower().rstrip("=")


class _Node(NamedTuple):
    """A subtree: its CID, the bytes of the file under it, and the bytes of all its blocks."""

    cid: Cid
    file_bytes: int
    total_bytes: int


def raw_cid(data: bytes) -> str:
    """CID of `data` as one raw block (the form of a report, of at most 1 MiB)."""
    return str(Cid("raw", hashlib.sha256(data).digest()))


class Hashing:
    """The CID of a file that comes in chunks of any size, of which it keeps at most 1 MiB."""

    def __init__(self) -> None:
        self._leaves: list[_Node] = []
        self._pending = bytearray()

    def update(self, chunk: bytes) -> None:
        """The file's next bytes."""
        self._pending += chunk
        start = 0
        while len(self._pending) - start >= LEAF_BYTES:
            self._leaves.append(_leaf(bytes(self._pending[start : start + LEAF_BYTES])))
            start += LEAF_BYTES
        del self._pending[:start]

    def cid(self) -> str:
        """That of all bytes until now; an empty file is one empty leaf."""
        last = [_leaf(bytes(self._pending))] if self._pending or not self._leaves else []
        level = [*self._leaves, *last]
        while len(level) > 1:
            level = [_parent(level[i : i + LINKS]) for i in range(0, len(level), LINKS)]
        return str(level[0].cid)


def file_cid(data: bytes | Iterable[bytes]) -> str:
    """CID of a file given whole or as chunks of any size; at most 1 MiB gives the raw CID."""
    found = Hashing()
    for chunk in [data] if isinstance(data, bytes) else data:
        found.update(chunk)
    return found.cid()


def parse(cid: str) -> Cid:
    """Parse a canonical CID.

    Raises:
        ValueError: anything but a canonical lowercase base32 CIDv1, SHA-256, raw or dag-pb.
    """
    if not _TEXT.fullmatch(cid):
        raise ValueError(f"{cid[:80]!r} is not a CIDv1 in lowercase base32 with a 32-byte digest")
    binary = base64.b32decode(cid[1:].upper() + "=" * 6)
    if binary[0] != 1 or binary[1] not in _CODECS or binary[2:4] != b"\x12\x20":
        raise ValueError(f"{cid!r} is not a CIDv1 of a raw or dag-pb block by SHA-256")
    parsed = Cid(_CODECS[binary[1]], binary[4:])
    if str(parsed) != cid:
        raise ValueError(f"{cid!r} is not canonical: {parsed} names the same block")
    return parsed


def check(cid: str, data: bytes | Iterable[bytes]) -> None:
    """Check that `cid` names the file `data`.

    Raises:
        ValueError: `cid` is not canonical, or it names other content.
    """
    actual = file_cid(data)
    if actual != cid:
        raise ValueError(f"the content's CID is {actual}, not {cid}")


def _binary(cid: Cid) -> bytes:
    return bytes([1, _CODES[cid.codec], 0x12, 0x20]) + cid.digest


def _leaf(data: bytes) -> _Node:
    return _Node(Cid("raw", hashlib.sha256(data).digest()), len(data), len(data))


def _parent(children: list[_Node]) -> _Node:
    """A dag-pb node: a PBLink a child (Hash, empty Name, Tsize), then UnixFS data (File, sizes)."""
    links = b"".join(
        _field(2, _field(1, _binary(c.cid)) + b"\x12\x00\x18" + _varint(c.total_bytes)) for c in children
    )
    size = sum(child.file_bytes for child in children)
    unixfs = b"\x08\x02\x18" + _varint(size) + b"".join(b"\x20" + _varint(c.file_bytes) for c in children)
    block = links + _field(1, unixfs)
    total = len(block) + sum(child.total_bytes for child in children)
    return _Node(Cid("dag-pb", hashlib.sha256(block).digest()), size, total)


def _field(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
