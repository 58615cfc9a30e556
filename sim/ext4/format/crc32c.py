"""
CRC-32C (Castagnoli) as ext4 uses it: the register as it is, without the final inversion (Linux: crc32c()).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

_POLYNOMIAL = 0x82F63B78
"""0x1EDC6F41 (RFC 3720, 12.1) with its bits reversed."""


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _bit in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_TABLE = _table()


_SHORT = 64
"""Bytes, below which a loop over them is faster than numpy's own costs."""
_CHUNK = 1024


@cache
def _weights() -> npt.NDArray[np.uint32]:
    """
    Return (1024, 256): what a byte leaves in the register that so many bytes follow.

    A CRC is linear: the register after some bytes is the exclusive or of what each leaves.
    """
    table = np.array(_TABLE, dtype=np.uint32)
    weights = np.empty((_CHUNK, 256), dtype=np.uint32)
    weights[0] = table
    for behind in range(1, _CHUNK):
        weights[behind] = table[weights[behind - 1] & 0xFF] ^ weights[behind - 1] >> 8
    return weights


def crc32c(seed: int, data: bytes | bytearray | memoryview) -> int:
    """
    Return the register after `data`, from `seed`; the published CRC is crc32c(0xFFFFFFFF, data) ^
    0xFFFFFFFF.
    """
    crc, table = seed, _TABLE
    if len(data) < _SHORT:
        for byte in bytes(data):
            crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
        return crc
    raw = np.frombuffer(bytes(data), dtype=np.uint8)
    for first in range(0, len(raw), _CHUNK):
        chunk = raw[first : first + _CHUNK]
        if len(chunk) < 4:
            return crc32c(crc, chunk.tobytes())
        chunk = chunk.copy()  # what is in the register counts as if the first four bytes had it
        chunk[:4] ^= np.frombuffer(crc.to_bytes(4, "little"), dtype=np.uint8)
        behind = np.arange(len(chunk) - 1, -1, -1)
        crc = int(np.bitwise_xor.reduce(_weights()[behind, chunk]))
    return crc


def crc32c_rows(seeds: npt.NDArray[np.uint32], rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """
    Return the registers after each row of `rows`, from a seed each: many short pieces at once.

    seeds: (n,); rows: (n, bytes); the result: (n,).
    """
    table = np.array(_TABLE, dtype=np.uint32)
    crc = seeds.astype(np.uint32)
    for column in rows.T:
        crc = table[(crc ^ column) & 0xFF] ^ crc >> 8
    return crc
