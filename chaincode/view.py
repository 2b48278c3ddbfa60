"""The public view on the wire: what the public model answers on each of a job's N public items.

6 bytes an item, in the order of the public items: z, its first label (1 byte); z2, its second label (1 byte);
the integer margin between them (4 bytes, signed, big-endian, at least 0). One raw block, like a report. A job
names it by CID where its rule needs one. Source: docs/protocol.md, step 8.
"""

import numpy as np

from chaincode.mtpp import View

ITEM_BYTES = 6
MARGIN_MAX = 2**31 - 1
_ITEM = np.dtype([("z", "u1"), ("z2", "u1"), ("margin", ">i4")])


def size(items: int) -> int:
    """Bytes of a packed view over `items` public items."""
    return ITEM_BYTES * items


def pack(view: View, alphabet: int) -> bytes:
    """Pack a view that has all three fields.

    Raises:
        ValueError: a field is missing, not of integers or not of the first one's length, or an item is not as
            `unpack` wants it.
    """
    items = 0 if view.z is None else len(view.z)
    z, z2, margin = (view.field(name, items) for name in ("z", "z2", "margin"))
    _check(z, z2, margin, alphabet)
    packed = np.empty(items, _ITEM)
    packed["z"], packed["z2"], packed["margin"] = z, z2, margin
    return packed.tobytes()


def unpack(data: bytes, items: int, alphabet: int) -> View:
    """Unpack a view: three fields of shape (items,), int64.

    Raises:
        ValueError: wrong length, a label outside the alphabet, two equal labels, or a negative margin.
    """
    if len(data) != size(items):
        raise ValueError(f"wrong length: {len(data)} bytes, not {size(items)} for {items} items")
    packed = np.frombuffer(data, _ITEM)
    z, z2, margin = (packed[name].astype(np.int64) for name in ("z", "z2", "margin"))
    _check(z, z2, margin, alphabet)
    return View(z, z2, margin)


def _check(z: np.ndarray, z2: np.ndarray, margin: np.ndarray, alphabet: int) -> None:
    """Refuse the first item that is wrong, by its number."""
    for name, labels in (("z", z), ("z2", z2)):
        _refuse((labels < 0) | (labels >= alphabet), f"{name} is outside [0, {alphabet})")
    _refuse(z == z2, "z and z2 are the same label")
    _refuse((margin < 0) | (margin > MARGIN_MAX), f"the margin is outside [0, {MARGIN_MAX}]")


def _refuse(wrong: np.ndarray, what: str) -> None:
    if wrong.any():
        raise ValueError(f"item {int(np.argmax(wrong))}: {what}")
