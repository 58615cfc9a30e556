"""
The hashes of names in indexed directories: legacy, half MD4 and TEA, of many names at once.

Source of the format: Documentation/filesystems/ext4/directory.rst (dx_root, hash versions), Linux 6.1; half
MD4 is the three rounds of RFC 1320 over eight words, TEA is Wheeler and Needham's cipher (1994).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

LEGACY, HALF_MD4, TEA = 0, 1, 2
UNSIGNED = 3
"""Added to a version: the names' bytes count from 0 to 255, not from -128 to 127."""
_DEFAULT_SEED = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_END = 0x7FFFFFFF << 1
"""No name has this hash: it marks the end of a directory (ext4_readdir)."""
_ROUND_2, _ROUND_3 = 0x5A827999, 0x6ED9EBA1
_ROUNDS = (
    (0, (0, 1, 2, 3, 4, 5, 6, 7), (3, 7, 11, 19)),
    (_ROUND_2, (1, 3, 5, 7, 0, 2, 4, 6), (3, 5, 9, 13)),
    (_ROUND_3, (3, 7, 2, 6, 1, 5, 0, 4), (3, 9, 11, 15)),
)
_GOLDEN = 0x9E3779B9
_TEA_ROUNDS = 16
_LEGACY_START = (0x12A3FE2D, 0x37ABE8F9)
_LEGACY_FACTOR = 7152373

Words = npt.NDArray[np.uint32]


def _left(value: Words, bits: int) -> Words:
    return value << np.uint32(bits) | value >> np.uint32(32 - bits)


def _words(names: Sequence[bytes], offset: int, count: int, signed: bool) -> Words:
    """Return for each name the `count` words of it from byte `offset`, big-endian, padded with its length."""
    found = np.empty((len(names), count), dtype=np.uint32)
    for row, name in enumerate(names):
        rest = name[offset:]
        pad = len(rest) | len(rest) << 8
        pad |= pad << 16
        part = rest[: 4 * count]
        for word in range(count):
            value = pad
            for byte in part[4 * word : 4 * word + 4]:
                value = (byte - 256 if signed and byte > 127 else byte) + (value << 8)
            found[row, word] = value & 0xFFFF_FFFF
    return found


def _half_md4(state: list[Words], words: Words) -> list[Words]:
    a, b, c, d = state
    for constant, order, shifts in _ROUNDS:
        for step, index in enumerate(order):
            if constant == 0:
                mixed = d ^ (b & (c ^ d))
            elif constant == _ROUND_2:
                mixed = (b & c) + ((b ^ c) & d)
            else:
                mixed = b ^ c ^ d
            a = _left(a + mixed + words[:, index] + np.uint32(constant), shifts[step % 4])
            a, b, c, d = d, a, b, c
    return [old + new for old, new in zip(state, (a, b, c, d), strict=True)]


def _tea(state: list[Words], words: Words) -> list[Words]:
    low, high = state[0], state[1]
    a, b, c, d = (words[:, n] for n in range(4))
    total = 0
    for _round in range(_TEA_ROUNDS):
        total = (total + _GOLDEN) & 0xFFFF_FFFF
        constant = np.uint32(total)
        low = low + ((high << np.uint32(4)) + a ^ high + constant ^ (high >> np.uint32(5)) + b)
        high = high + ((low << np.uint32(4)) + c ^ low + constant ^ (low >> np.uint32(5)) + d)
    return [state[0] + low, state[1] + high, *state[2:]]


def _legacy(name: bytes, signed: bool) -> int:
    first, second = _LEGACY_START
    for byte in name:
        value = byte - 256 if signed and byte > 127 else byte
        mixed = (second + (first ^ (value * _LEGACY_FACTOR & 0xFFFF_FFFF))) & 0xFFFF_FFFF
        if mixed & 0x8000_0000:
            mixed -= 0x7FFF_FFFF
        first, second = mixed, first
    return first << 1 & 0xFFFF_FFFF


def name_hashes(names: Sequence[bytes], version: int, seed: bytes) -> list[int]:
    """
    Return the hash of each name, its lowest bit 0 as in an index.

    version: LEGACY, HALF_MD4 or TEA, plus UNSIGNED. seed: 16 bytes of the superblock; zeros for the default.
    """
    kind, signed = version % UNSIGNED, version < UNSIGNED
    if kind == LEGACY:
        found = [_legacy(name, signed) for name in names]
    else:
        count, step = (8, _half_md4) if kind == HALF_MD4 else (4, _tea)
        found = [0] * len(names)
        by_pieces: dict[int, list[int]] = {}
        for index, name in enumerate(names):
            by_pieces.setdefault(-(-len(name) // (4 * count)), []).append(index)
        start = np.frombuffer(seed, dtype="<u4") if any(seed) else np.array(_DEFAULT_SEED, dtype=np.uint32)
        for pieces, indices in by_pieces.items():
            part = [names[index] for index in indices]
            state = [np.full(len(part), word, dtype=np.uint32) for word in start.tolist()]
            for piece in range(pieces):
                state = step(state, _words(part, piece * 4 * count, count, signed))
            result = state[1] if kind == HALF_MD4 else state[0]
            for index, value in zip(indices, result.tolist(), strict=True):
                found[index] = value
    hashes = [value & ~1 for value in found]
    return [_END - 2 if value == _END else value for value in hashes]
