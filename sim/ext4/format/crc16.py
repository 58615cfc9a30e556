"""
CRC-16 as group descriptors without metadata_csum have it (feature uninit_bg; Linux: lib/crc16.c).
"""

from __future__ import annotations

_POLYNOMIAL = 0xA001
"""x^16 + x^15 + x^2 + 1, its bits reversed."""


def crc16(seed: int, data: bytes | bytearray | memoryview) -> int:
    """Return the register after `data`, from `seed`."""
    crc = seed
    for byte in bytes(data):
        crc ^= byte
        for _bit in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc
