"""CHECKSUM and DATASUM, as FITS 4.0, section 4.4.2.7 and appendix J, define them.

And a sum of raw pixels that is nearly free while they are in the cache, by which a run that is
continued knows whether they are still the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ODD = 0x9E3779B97F4A7C15  # rows are weighted by odd numbers, so that exchanged rows are noticed


def add_checksums(first: int, second: int) -> int:
    """Return the ones'-complement sum of two sums.

    Examples
    --------
    >>> add_checksums(0xFFFFFFFF, 2)
    2
    """
    total = first + second
    return (total & 0xFFFFFFFF) + (total >> 32)


def sum_of_words(words: NDArray[np.uint32]) -> int:
    """Return the 32-bit ones'-complement sum of words.

    Examples
    --------
    >>> sum_of_words(np.array([1, 0xFFFFFFFF], "u4"))
    1
    """
    return folded(int(words.sum(dtype="u8")))


def folded(total: int) -> int:
    """Return a sum of words as a ones'-complement sum of 32 bits.

    Examples
    --------
    >>> folded(0x1FFFFFFFF)
    1
    """
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def checksum_of(data: bytes | memoryview) -> int:
    """Return the 32-bit ones'-complement sum of whole words of four bytes; FITS 4.0, appendix J.

    Examples
    --------
    >>> checksum_of(bytes([0, 0, 0, 1, 255, 255, 255, 255]))
    1
    """
    return sum_of_words(np.frombuffer(data, ">u4"))


def sum_of_rows(rows: NDArray[Any], first: int) -> int:
    """Return a sum modulo 2**64 over the bytes of rows, in which each row has its own weight.

    Sums of the parts of an image add up to that of the whole, modulo 2**64.

    Parameters
    ----------
    rows
        Contiguous pixels ``(y, x)`` of any type.
    first
        The number of the first row.

    Examples
    --------
    >>> image = np.arange(6, dtype="u2").reshape(3, 2)
    >>> (sum_of_rows(image[:1], 0) + sum_of_rows(image[1:], 1)) % 2**64 == sum_of_rows(image, 0)
    True
    """
    row_bytes = rows.view("u1")
    n_whole = row_bytes.shape[1] // 8 * 8
    sums = row_bytes[:, :n_whole].view("u8").sum(axis=1)
    if n_whole < row_bytes.shape[1]:
        sums += row_bytes[:, n_whole:].sum(axis=1, dtype="u8")
    sums *= _weights(first, len(rows))
    return int(sums.sum())


@lru_cache(maxsize=256)
def _weights(first: int, n_rows: int) -> NDArray[np.uint64]:
    numbers = np.arange(first, first + n_rows, dtype="u8")
    return np.asarray((2 * numbers + 1) * np.uint64(_ODD))


def encode_checksum(total: int) -> str:
    """Return the 16 ASCII characters that stand for a sum's complement; FITS 4.0, appendix J.3."""
    value = 0xFFFFFFFF - total
    columns = []
    for shift in (24, 16, 8, 0):
        quotient, remainder = divmod(value >> shift & 0xFF, 4)
        characters = [quotient + remainder + 0x30, *[quotient + 0x30] * 3]
        # Punctuation is stepped away from in pairs, which leaves the sum as it is.
        while any(0x3A <= c <= 0x40 or 0x5B <= c <= 0x60 for c in characters):
            for first in (0, 2):
                pair = characters[first : first + 2]
                if any(0x3A <= c <= 0x40 or 0x5B <= c <= 0x60 for c in pair):
                    characters[first] += 1
                    characters[first + 1] -= 1
        columns.append(characters)
    text = "".join(chr(columns[byte][place]) for place in range(4) for byte in range(4))
    return text[-1] + text[:-1]
