"""
Checksums of metadata (feature metadata_csum): CRC-32C of each structure, set anew after a change.

Source of the format: Documentation/filesystems/ext4 (checksums.rst), Linux 6.1. Every function does nothing
to an image without the feature; descriptors have a CRC-16 with uninit_bg alone.
"""

from __future__ import annotations

import struct

from sim.ext4.format.crc16 import crc16
from sim.ext4.format.crc32c import crc32c
from sim.ext4.format.descriptor import DESCRIPTOR_BYTES_64BIT
from sim.ext4.format.dirs import TAIL, TAIL_TYPE
from sim.ext4.format.extents import ENTRY_BYTES
from sim.ext4.format.features import Incompat, RoCompat
from sim.ext4.format.inode import GOOD_OLD_BYTES
from sim.ext4.format.superblock import Superblock

_SUPERBLOCK_AT = 0x3FC
INODE_LOW_AT, INODE_HIGH_AT = 0x7C, 0x82
GENERATION_AT = 0x64
_GROUP_AT = 0x1E
_BLOCK_BITMAP_LOW_AT, _BLOCK_BITMAP_HIGH_AT = 0x18, 0x38
_INODE_BITMAP_LOW_AT, _INODE_BITMAP_HIGH_AT = 0x1A, 0x3A
_XATTR_AT = 0x10
Bytes = bytes | bytearray | memoryview


class Checksums:
    """The checksums of one file system."""

    def __init__(self, superblock: Superblock) -> None:
        sb = superblock
        self._uuid = sb.uuid
        self._crc16 = sb.has(RoCompat.UNINIT_BG)
        self.on = bool(sb.ro_compat & RoCompat.METADATA_CSUM)
        known = sb.checksum_seed if sb.incompat & Incompat.CSUM_SEED else None
        self.seed = crc32c(0xFFFF_FFFF, sb.uuid) if known is None else known
        self._inodes_per_group = sb.inodes_per_group
        self._clusters_per_group = sb.blocks_per_group // sb.cluster_blocks

    def superblock(self, raw: bytearray) -> None:
        """Set the checksum in the 1,024 bytes of a superblock."""
        if self.on:
            struct.pack_into("<I", raw, _SUPERBLOCK_AT, crc32c(0xFFFF_FFFF, raw[:_SUPERBLOCK_AT]))

    def descriptor(self, raw: bytearray, group: int) -> None:
        """Set the checksum in a group descriptor."""
        if self.on:
            struct.pack_into("<H", raw, _GROUP_AT, 0)
            crc = crc32c(crc32c(self.seed, group.to_bytes(4, "little")), raw)
            struct.pack_into("<H", raw, _GROUP_AT, crc & 0xFFFF)
        elif self._crc16:  # of all but itself
            crc = crc16(crc16(crc16(0xFFFF, self._uuid), group.to_bytes(4, "little")), raw[:_GROUP_AT])
            struct.pack_into("<H", raw, _GROUP_AT, crc16(crc, raw[_GROUP_AT + 2 :]))

    def block_bitmap(self, bitmap: Bytes, descriptor: bytearray) -> None:
        """Set a block bitmap's checksum, which lies in its group's descriptor."""
        self._bitmap(
            bitmap[: self._clusters_per_group // 8], descriptor, _BLOCK_BITMAP_LOW_AT, _BLOCK_BITMAP_HIGH_AT
        )

    def inode_bitmap(self, bitmap: Bytes, descriptor: bytearray) -> None:
        """Set an inode bitmap's checksum, which lies in its group's descriptor."""
        self._bitmap(
            bitmap[: self._inodes_per_group // 8], descriptor, _INODE_BITMAP_LOW_AT, _INODE_BITMAP_HIGH_AT
        )

    def _bitmap(self, bits: Bytes, descriptor: bytearray, low_at: int, high_at: int) -> None:
        if self.on:
            crc = crc32c(self.seed, bits)
            struct.pack_into("<H", descriptor, low_at, crc & 0xFFFF)
            if len(descriptor) >= DESCRIPTOR_BYTES_64BIT:
                struct.pack_into("<H", descriptor, high_at, crc >> 16)

    def inode(self, raw: bytearray, number: int) -> None:
        """Set the checksum in the bytes of an inode; one that is all zero stays so, as e2fsprogs wants it."""
        if not self.on or not any(raw):
            return
        extra = struct.unpack_from("<H", raw, GOOD_OLD_BYTES)[0] if len(raw) > GOOD_OLD_BYTES else 0
        has_high = extra >= INODE_HIGH_AT + 2 - GOOD_OLD_BYTES
        struct.pack_into("<H", raw, INODE_LOW_AT, 0)
        if has_high:
            struct.pack_into("<H", raw, INODE_HIGH_AT, 0)
        crc = crc32c(self.inode_seed(raw, number), raw)
        struct.pack_into("<H", raw, INODE_LOW_AT, crc & 0xFFFF)
        if has_high:
            struct.pack_into("<H", raw, INODE_HIGH_AT, crc >> 16)

    def inode_seed(self, raw: Bytes, number: int) -> int:
        """Return what the checksums of all that belongs to an inode start from; raw: its bytes."""
        generation = bytes(raw[GENERATION_AT : GENERATION_AT + 4])
        return crc32c(crc32c(self.seed, number.to_bytes(4, "little")), generation)

    def xattr_block(self, raw: bytearray, block: int) -> None:
        """Set the checksum in an xattr block."""
        if self.on:
            struct.pack_into("<I", raw, _XATTR_AT, 0)
            crc = crc32c(crc32c(self.seed, block.to_bytes(8, "little")), raw)
            struct.pack_into("<I", raw, _XATTR_AT, crc)

    def extent_block(self, raw: bytearray, inode: Bytes, number: int) -> None:
        """Set the checksum behind the entries of a block of an extent tree; inode: the bytes of its inode."""
        if self.on:
            at = len(raw) // ENTRY_BYTES * ENTRY_BYTES
            struct.pack_into("<I", raw, at, crc32c(self.inode_seed(inode, number), raw[:at]))

    def directory_block(self, raw: bytearray, directory: Bytes, number: int) -> None:
        """Set the checksum in the tail of a directory's block; directory: the bytes of its inode."""
        if self.on and has_tail(raw):
            crc = crc32c(self.inode_seed(directory, number), raw[: len(raw) - TAIL.size])
            struct.pack_into("<I", raw, len(raw) - 4, crc)


def has_tail(raw: Bytes) -> bool:
    """Return whether a directory's block ends in a record for its checksum."""
    inode, length, name_length, kind, _crc = TAIL.unpack_from(raw, len(raw) - TAIL.size)
    return (inode, length, name_length, kind) == (0, TAIL.size, 0, TAIL_TYPE)
