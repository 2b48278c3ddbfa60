"""Rules for keys of the world state, and Fabric's composite keys."""

from __future__ import annotations

from chaincode.shim.errors import Invalid

LAST = "\U0010ffff"  # sorts after every other character
NUL = "\0"
FIRST_SIMPLE = "\x01"  # composite keys start with NUL: a simple range must not reach them


def check_key(key: str) -> None:
    """Refuse what Fabric cannot hold: empty keys, malformed UTF-8, a NUL in front of a simple key."""
    if not key:
        raise Invalid("a key must not be empty")
    _check_text(key)
    if key[0] == NUL and not _is_composite(key):
        raise Invalid("a simple key must not start with NUL")


def check_value(value: bytes) -> None:
    """Refuse empty values: Fabric takes a put of nothing for a delete."""
    if not value:
        raise Invalid("a value must not be empty; use delete")


def check_range(start: str, end: str) -> tuple[str, str]:
    """The range of simple keys [start, end) as Fabric wants it; an empty end is open."""
    for bound in (start, end):
        _check_text(bound)
        if bound.startswith(NUL):
            raise Invalid("a range of simple keys must not start or end with NUL")
    return start or FIRST_SIMPLE, end


def prefix_range(prefix: str) -> tuple[str, str]:
    """Bounds of all simple keys that start with ``prefix``."""
    return check_range(prefix, prefix + LAST)


def composite_key(object_type: str, *attributes: str) -> str:
    """Fabric's composite key of a type and its attributes, in their own key space."""
    if not object_type:
        raise Invalid("a composite key needs a type")
    for part in (object_type, *attributes):
        _check_text(part)
        if NUL in part or LAST in part:
            raise Invalid("a part of a composite key must not contain U+0000 or U+10FFFF")
    return NUL + NUL.join((object_type, *attributes)) + NUL


def split_composite_key(key: str) -> tuple[str, tuple[str, ...]]:
    """The type and attributes of a composite key."""
    if not _is_composite(key):
        raise Invalid("not a composite key")
    object_type, *attributes = key[1:-1].split(NUL)
    return object_type, tuple(attributes)


def _is_composite(key: str) -> bool:
    return len(key) > 2 and key[0] == NUL and key[-1] == NUL and key[1] != NUL and LAST not in key


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid("a key must be valid UTF-8") from None
