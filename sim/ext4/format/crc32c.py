"""
CRC-32C (Castagnoli) as ext4 uses it: the register as it is, without the final inversion (Linux: crc32c()).

google_crc32c computes it, with the CPU's instruction where there is one: 8 to 14 GiB/s on 4 KiB.
"""

from __future__ import annotations

import google_crc32c
import numpy as np
import numpy.typing as npt

_POLYNOMIAL = 0x82F63B78
"""0x1EDC6F41 (RFC 3720, 12.1) with its bits reversed."""
_INVERTED = 0xFFFF_FFFF


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _bit in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_TABLE = _table()


def crc32c(seed: int, data: bytes | bytearray | memoryview) -> int:
    """
    Return the register after `data`, from `seed`; the published CRC is crc32c(0xFFFFFFFF, data) ^
    0xFFFFFFFF.
    """
    whole = data if isinstance(data, bytes) else bytes(data)
    return int(google_crc32c.extend(seed ^ _INVERTED, whole)) ^ _INVERTED


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
