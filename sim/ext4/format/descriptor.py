"""
The group descriptor: where a group's bitmaps and inode table lie, its counts, flags and checksums.

Source of the format: Documentation/filesystems/ext4/group_descr.rst, Linux 6.1.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

DESCRIPTOR_BYTES = 32
DESCRIPTOR_BYTES_64BIT = 64

_LOW = struct.Struct("<IIIHHHH4xHHHH")
_HIGH = struct.Struct("<IIIHHHH4xHH4x")


@dataclass(frozen=True, slots=True)
class GroupDescriptor:
    """
    Block numbers and counts of a group as they are recorded; nothing is judged.

    unused_inodes: how many at the end of the table were never used. Checksums of bitmaps have 16 bits where
    the descriptor has 32 bytes.
    """

    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    free_blocks: int
    free_inodes: int
    directories: int
    flags: int = 0
    block_bitmap_checksum: int = 0
    inode_bitmap_checksum: int = 0
    unused_inodes: int = 0
    checksum: int = 0

    INODE_UNINIT = 0x1
    BLOCK_UNINIT = 0x2
    INODE_ZEROED = 0x4
    """The inode table was written as a whole: no kernel zeroes it in the background after mounting."""

    def encode(self) -> bytes:
        """Return the 32 bytes of a descriptor without 64-bit fields."""
        return _LOW.pack(
            self.block_bitmap,
            self.inode_bitmap,
            self.inode_table,
            self.free_blocks,
            self.free_inodes,
            self.directories,
            self.flags,
            self.block_bitmap_checksum,
            self.inode_bitmap_checksum,
            self.unused_inodes,
            self.checksum,
        )


def decode_descriptor(raw: bytes | memoryview) -> GroupDescriptor:
    """Return the descriptor in 32 bytes, or in 64 and more with the upper halves."""
    low = _LOW.unpack_from(raw)
    if len(raw) < DESCRIPTOR_BYTES_64BIT:
        return GroupDescriptor(*low)
    bitmap, inodes, table, blocks_free, inodes_free, directories, unused, block_sum, inode_sum = (
        _HIGH.unpack_from(raw, DESCRIPTOR_BYTES)
    )
    return GroupDescriptor(
        low[0] | bitmap << 32,
        low[1] | inodes << 32,
        low[2] | table << 32,
        low[3] | blocks_free << 16,
        low[4] | inodes_free << 16,
        low[5] | directories << 16,
        low[6],
        low[7] | block_sum << 16,
        low[8] | inode_sum << 16,
        low[9] | unused << 16,
        low[10],
    )
