"""Reports on the wire: one symbol a task, ceil(log2 C) bits a symbol, big-endian, padding zero.

Source: protocol.md, step 2. T = tasks of the batch, C = symbols of the alphabet.
"""

import numpy as np
import numpy.typing as npt

ALPHABET_MIN, ALPHABET_MAX = 2, 256

Symbols = npt.NDArray[np.uint8]


def bits(alphabet: int) -> int:
    """Bits a symbol: ceil(log2 C), 1 to 8.

    Raises:
        ValueError: C is not in [2, 256].
    """
    if not ALPHABET_MIN <= alphabet <= ALPHABET_MAX:
        raise ValueError(f"alphabet of {alphabet} symbols is not in [{ALPHABET_MIN}, {ALPHABET_MAX}]")
    return (alphabet - 1).bit_length()


def size(tasks: int, alphabet: int) -> int:
    """Bytes of a packed report over `tasks` tasks."""
    if tasks < 0:
        raise ValueError(f"{tasks} tasks: a report cannot have fewer than none")
    return (tasks * bits(alphabet) + 7) // 8


def pack(symbols: npt.NDArray[np.integer], alphabet: int) -> bytes:
    """Pack a report.

    Args:
        symbols: shape (T,), integers in [0, C).

    Raises:
        ValueError: wrong shape or type, or a symbol outside the alphabet.
    """
    width = bits(alphabet)
    if symbols.ndim != 1 or not np.issubdtype(symbols.dtype, np.integer):
        raise ValueError(f"a report is one row of integers, not {symbols.dtype} of shape {symbols.shape}")
    if symbols.size and (symbols.min() < 0 or symbols.max() >= alphabet):
        raise ValueError(f"a symbol is outside [0, {alphabet})")
    columns = np.unpackbits(symbols.astype(np.uint8)[:, None], axis=1)
    return np.packbits(columns[:, 8 - width :]).tobytes()


def unpack(data: bytes, tasks: int, alphabet: int) -> Symbols:
    """Unpack a report: shape (T,), uint8.

    Raises:
        ValueError: wrong length, non-zero padding, or a symbol outside the alphabet.
    """
    width = bits(alphabet)
    if len(data) != size(tasks, alphabet):
        raise ValueError(f"wrong length: {len(data)} bytes, not {size(tasks, alphabet)} for {tasks} tasks")
    stream = np.unpackbits(np.frombuffer(data, np.uint8))
    if stream[tasks * width :].any():
        raise ValueError("non-zero padding after the last symbol")
    columns = stream[: tasks * width].reshape(tasks, width)
    symbols = columns[:, 0].copy()
    for place in range(1, width):
        symbols <<= 1
        symbols |= columns[:, place]
    if symbols.size and symbols.max() >= alphabet:
        task = int(np.argmax(symbols >= alphabet))
        raise ValueError(f"symbol {symbols[task]} of task {task} is outside [0, {alphabet})")
    return symbols
