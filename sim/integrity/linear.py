"""
What linearity makes of CRC-32C: the checksum of a part from that of the whole, without reading the part.

crc(A B) = crc(A) * x^(8 bytes of B) + crc(B), in polynomials over GF(2) modulo the generator. x has an
inverse there, so a part at either end can be taken away. No hash and no MAC can do that: it is what they are
for.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from sim.ext4.format.crc32c import crc32c

_GENERATOR: Final = 0x82F6_3B78
_ONE: Final = 0x8000_0000
_X: Final = 0x4000_0000
"""Reflected: the highest bit is x^0."""
_ORDER: Final = (1 << 31) - 1
"""x^_ORDER is 1: the generator is x + 1 times a primitive polynomial of degree 31."""
_ALL: Final = 0xFFFF_FFFF


def _times(one: int, other: int) -> int:
    """Return the product of two polynomials, modulo the generator."""
    product = 0
    while one:
        if one & _ONE:
            product ^= other
        one = one << 1 & _ALL
        other = other >> 1 ^ (_GENERATOR if other & 1 else 0)
    return product


@cache
def _power(exponent: int) -> int:
    """Return x to a power."""
    if not exponent:
        return _ONE
    half = _power(exponent // 2)
    return _times(_times(half, half), _X) if exponent & 1 else _times(half, half)


def moved(crc: int, count: int) -> int:
    """Return a checksum times x^(8 count): `count` bytes follow; negative: so many are taken away."""
    return _times(crc, _power(8 * count % _ORDER))


def crc_of(data: bytes) -> int:
    """Return the CRC-32C of bytes, as it is kept."""
    return crc32c(_ALL, data) ^ _ALL


def of_both(head: int, tail: int, tail_bytes: int) -> int:
    """Return the checksum of two parts, one behind the other."""
    return moved(head, tail_bytes) ^ tail


def of_tail(whole: int, head: int, tail_bytes: int) -> int:
    """Return the checksum of what follows a part in a whole."""
    return whole ^ moved(head, tail_bytes)


def of_head(whole: int, tail: int, tail_bytes: int) -> int:
    """Return the checksum of what a part follows in a whole."""
    return moved(whole ^ tail, -tail_bytes)


def tag_of_piece(
    tag: bytes, context: bytes, before: bytes, after: bytes, piece_bytes: int, piece_context: bytes
) -> bytes:
    """
    Return the tag of a piece of a run, from that of the run and what lay round the piece when it was made.

    context, piece_context: what is hashed before the data of each.
    """
    without_tail = of_head(int.from_bytes(tag, "little"), crc_of(after), len(after))
    piece = of_tail(without_tail, crc_of(context + before), piece_bytes)
    return of_both(crc_of(piece_context), piece, piece_bytes).to_bytes(4, "little")
