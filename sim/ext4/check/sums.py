"""
Checking checksums (features metadata_csum and uninit_bg).

Source of the format: Documentation/filesystems/ext4 (checksums.rst, group_descr.rst), Linux 6.1.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from sim.ext4.check.disk import Disk
from sim.ext4.format.crc32c import crc32c, crc32c_rows
from sim.ext4.format.features import RoCompat

_GENERATION_AT = 0x64
_LOW_AT, _HIGH_AT = 0x7C, 0x82
_GOOD_OLD = 128
_DESCRIPTOR_AT = 0x1E
_CRC16_POLYNOMIAL = 0xA001
"""x^16 + x^15 + x^2 + 1, its bits reversed (CRC-16 of the kernel's lib/crc16.c)."""


def crc16(seed: int, data: bytes) -> int:
    """Return the CRC-16 register after `data`."""
    crc = seed
    for byte in data:
        crc ^= byte
        for _bit in range(8):
            crc = crc >> 1 ^ (_CRC16_POLYNOMIAL if crc & 1 else 0)
    return crc


def inode_seed(disk: Disk, number: int, raw: bytes) -> int:
    """Return what the checksums of all that belongs to an inode start from."""
    generation = raw[_GENERATION_AT : _GENERATION_AT + 4]
    return crc32c(crc32c(disk.seed, number.to_bytes(4, "little")), generation)


def tail_is_wrong(seed: int, raw: bytes | memoryview, at: int) -> bool:
    """Return whether the four bytes at `at` are not the checksum of what lies before them."""
    said = struct.unpack_from("<I", raw, at)[0]
    return bool(said != crc32c(seed, raw[:at]))


def descriptor_fault(disk: Disk, group: int) -> str | None:
    """Return what is wrong with the checksum of a group's descriptor."""
    sb = disk.sb
    raw = bytearray(disk.descriptor(group))
    said = struct.unpack_from("<H", raw, _DESCRIPTOR_AT)[0]
    label = group.to_bytes(4, "little")
    if disk.checksums:
        raw[_DESCRIPTOR_AT : _DESCRIPTOR_AT + 2] = b"\0\0"
        counted = crc32c(crc32c(disk.seed, label), raw) & 0xFFFF
    elif sb.has(RoCompat.UNINIT_BG):
        counted = crc16(crc16(crc16(0xFFFF, sb.bytes_at(0x68, 16)), label), bytes(raw[:_DESCRIPTOR_AT]))
        counted = crc16(counted, bytes(raw[_DESCRIPTOR_AT + 2 :])) if disk.wide else counted
    else:
        return None
    return None if said == counted else f"the descriptor's checksum is {said:#06x}, {counted:#06x} counted"


def bitmap_is_wrong(disk: Disk, raw: bytes | memoryview, bits: int, said: int) -> bool:
    """Return whether the checksum of a bitmap's first `bits` bits is not what the descriptor says."""
    if not disk.checksums:
        return False
    counted = crc32c(disk.seed, raw[: bits // 8])
    return said != (counted if disk.wide else counted & 0xFFFF)


def wrong_inodes(disk: Disk, first: int, table: bytes | memoryview) -> npt.NDArray[np.int64]:
    """
    Return the numbers of the inodes of a table, from inode `first`, whose checksum is wrong.

    One of zeros has none.
    """
    size = disk.sb.inode_size
    rows = np.frombuffer(table, dtype=np.uint8).reshape(-1, size).copy()
    number = np.arange(first, first + len(rows), dtype=np.int64)
    keep = rows.any(axis=1)
    rows, number = rows[keep], number[keep]
    if not len(rows):
        return number
    said = rows[:, _LOW_AT].astype(np.uint32) | rows[:, _LOW_AT + 1].astype(np.uint32) << 8
    rows[:, _LOW_AT : _LOW_AT + 2] = 0
    if size > _GOOD_OLD:
        extra = rows[:, _GOOD_OLD].astype(np.int64) | rows[:, _GOOD_OLD + 1].astype(np.int64) << 8
        high = extra >= _HIGH_AT + 2 - _GOOD_OLD
        words = rows[:, _HIGH_AT].astype(np.uint32) | rows[:, _HIGH_AT + 1].astype(np.uint32) << 8
        said = np.where(high, said | words << 16, said)
        rows[high, _HIGH_AT : _HIGH_AT + 2] = 0
    else:
        high = np.zeros(len(rows), dtype=np.bool_)
    labels = np.empty((len(rows), 8), dtype=np.uint8)
    labels[:, :4] = number.astype("<u4").view(np.uint8).reshape(-1, 4)
    labels[:, 4:] = rows[:, _GENERATION_AT : _GENERATION_AT + 4]
    seeds = crc32c_rows(np.full(len(rows), disk.seed, dtype=np.uint32), labels)
    counted = crc32c_rows(seeds, rows)
    wrong: npt.NDArray[np.int64] = number[np.where(high, counted, counted & 0xFFFF) != said]
    return wrong
