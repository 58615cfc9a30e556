"""
Which checksums are wrong: each is set anew, as a writer would, and compared.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sim.ext4.check.disk import Disk
from sim.ext4.format.checksums import GENERATION_AT, INODE_HIGH_AT, INODE_LOW_AT
from sim.ext4.format.crc32c import crc32c, crc32c_rows
from sim.ext4.format.inode import GOOD_OLD_BYTES


def is_wrong(raw: bytes | memoryview, set_checksum: Callable[[bytearray], None]) -> bool:
    """Return whether a structure changes when its checksum is set."""
    right = bytearray(raw)
    set_checksum(right)
    return bytes(right) != bytes(raw)


def tail_is_wrong(seed: int, raw: bytes | memoryview, at: int) -> bool:
    """Return whether the four bytes at `at` are not the checksum of what lies before them."""
    said = struct.unpack_from("<I", raw, at)[0]
    return bool(said != crc32c(seed, raw[:at]))


def wrong_inodes(disk: Disk, first: int, table: bytes | memoryview) -> npt.NDArray[np.int64]:
    """
    Return the numbers of the inodes of a table, from inode `first`, whose checksum is wrong.

    One of zeros has none. `Checksums.inode` does the same to one.
    """
    size = disk.sb.inode_size
    rows = np.frombuffer(table, dtype=np.uint8).reshape(-1, size).copy()
    number = np.arange(first, first + len(rows), dtype=np.int64)
    keep = rows.any(axis=1)
    rows, number = rows[keep], number[keep]
    if not len(rows):
        return number
    said = _words(rows, INODE_LOW_AT)
    rows[:, INODE_LOW_AT : INODE_LOW_AT + 2] = 0
    high = np.zeros(len(rows), dtype=np.bool_)
    if size > GOOD_OLD_BYTES:
        high = _words(rows, GOOD_OLD_BYTES) >= INODE_HIGH_AT + 2 - GOOD_OLD_BYTES
        said[high] |= _words(rows, INODE_HIGH_AT)[high] << 16
        rows[high, INODE_HIGH_AT : INODE_HIGH_AT + 2] = 0
    labels = np.empty((len(rows), 8), dtype=np.uint8)
    labels[:, :4] = number.astype("<u4").view(np.uint8).reshape(-1, 4)
    labels[:, 4:] = rows[:, GENERATION_AT : GENERATION_AT + 4]
    seeds = crc32c_rows(np.full(len(rows), disk.checksums.seed, dtype=np.uint32), labels)
    counted = crc32c_rows(seeds, rows)
    wrong: npt.NDArray[np.int64] = number[np.where(high, counted, counted & 0xFFFF) != said]
    return wrong


def _words(rows: npt.NDArray[np.uint8], at: int) -> npt.NDArray[np.uint32]:
    """Return the 16-bit word at a byte of each row."""
    return np.ascontiguousarray(rows[:, at : at + 2]).view("<u2")[:, 0].astype(np.uint32)
