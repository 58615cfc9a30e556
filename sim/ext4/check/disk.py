"""
A file system that may be damaged: its geometry, its blocks, its group descriptors, its inodes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from sim.errors import ImageError
from sim.ext4.check.fields import Fields
from sim.ext4.format.crc32c import crc32c
from sim.ext4.format.features import Compat, Incompat, RoCompat
from sim.ext4.store import ByteStore

_LOW = struct.Struct("<IIIHHHHIHHHH")
_HIGH = struct.Struct("<IIIHHHHIHHI")
_WIDE_BYTES = 64

BLOCK_UNINIT, INODE_UNINIT = 0x2, 0x1


class Group(NamedTuple):
    """A group descriptor as it lies on the disk; block numbers are not judged."""

    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    free_blocks: int
    free_inodes: int
    directories: int
    flags: int
    block_bitmap_checksum: int
    inode_bitmap_checksum: int
    unused_inodes: int
    checksum: int


def decode_group(raw: bytes | memoryview) -> Group:
    """Return a descriptor of 32 bytes, or of 64 and more."""
    low = _LOW.unpack_from(raw)
    high = _HIGH.unpack_from(raw, 32) if len(raw) >= _WIDE_BYTES else (0,) * 11
    return Group(
        low[0] | high[0] << 32,
        low[1] | high[1] << 32,
        low[2] | high[2] << 32,
        low[3] | high[3] << 16,
        low[4] | high[4] << 16,
        low[5] | high[5] << 16,
        low[6],
        low[8] | high[8] << 16,
        low[9] | high[9] << 16,
        low[10] | high[6] << 16,
        low[11],
    )


class Disk:
    """
    One file system: `sb` has been judged, so that the arithmetic here is bounded; nothing else has.

    descriptors_at: the block after which the table of descriptors is read, which is the superblock's.
    """

    def __init__(self, store: ByteStore, name: str, sb: Fields, superblock_at: int) -> None:
        self.store = store
        self.name = name
        self.sb = sb
        self.block_size = sb.block_size
        self.blocks = range(sb["first_data_block"], sb.blocks_count)
        self.ratio = sb.ratio
        self.wide = bool(sb.has(Incompat.BIT64))
        self.checksums = sb.has(RoCompat.METADATA_CSUM)
        if sb.has(Incompat.CSUM_SEED):
            self.seed = sb["checksum_seed"]
        else:
            self.seed = crc32c(0xFFFF_FFFF, sb.bytes_at(0x68, 16))
        self.superblock_at = superblock_at
        self.groups = [decode_group(self.descriptor(n)) for n in range(sb.groups_count)]

    def block(self, number: int) -> bytes | memoryview:
        """Return the bytes of a block; ImageError if there is none."""
        if number not in self.blocks:
            raise ImageError(self.name, f"block {number} is asked for", f"{self.blocks}")
        return self.store.read(number * self.block_size, self.block_size)

    def descriptor(self, group: int) -> bytes | memoryview:
        """Return the bytes of a group's descriptor."""
        size = self.sb.descriptor_bytes
        per_block = self.block_size // size
        index = group // per_block
        block = self.descriptor_block(index)
        return self.store.read(block * self.block_size + group % per_block * size, size)

    def descriptor_block(self, index: int) -> int:
        """Return where a block of the table of descriptors lies."""
        sb = self.sb
        if not sb.has(Incompat.META_BG) or index < sb["first_meta_bg"]:
            extra = 1 if self.superblock_at == 0 and self.block_size == 1024 else 0
            return self.superblock_at + 1 + index + extra * (sb["first_data_block"] == 0)
        first = index * (self.block_size // sb.descriptor_bytes)
        has_super = int(self.has_super(first))
        if sb["first_data_block"] == 0 and first == 0 and self.block_size == 1024:
            has_super = 2  # block 0 is the boot block, block 1 the superblock
        return self.group_blocks(first).start + has_super

    def group_blocks(self, group: int) -> range:
        """Return the blocks of a group."""
        first = self.sb["first_data_block"] + group * self.sb["blocks_per_group"]
        return range(first, min(first + self.sb["blocks_per_group"], self.sb.blocks_count))

    def has_super(self, group: int) -> bool:
        """Return whether a group has a copy of the superblock."""
        sb = self.sb
        if sb.has(Compat.SPARSE_SUPER2):
            return group in (0, sb["backup_group_1"], sb["backup_group_2"])
        if group <= 1 or not sb.has(RoCompat.SPARSE_SUPER):
            return True
        return any(_is_power(group, base) for base in (3, 5, 7))

    def own_blocks(self, group: int) -> Iterator[range]:
        """Yield what a group keeps for superblock and descriptors, and for descriptors to come."""
        sb = self.sb
        start = self.group_blocks(group).start
        has_super = self.has_super(group)
        if has_super:
            first = 0 if group == 0 else start  # the boot block belongs to group 0
            yield range(max(first, sb["first_data_block"]), start + 1)
        per_block = self.block_size // sb.descriptor_bytes
        meta_bg = sb.has(Incompat.META_BG)
        if not meta_bg or group // per_block < sb["first_meta_bg"]:
            if has_super:
                count = sb["first_meta_bg"] if meta_bg else sb.descriptor_blocks + sb["reserved_gdt_blocks"]
                extra = int(group == 0 and self.block_size == 1024 and sb["first_data_block"] == 0)
                yield range(start + 1, start + 1 + extra + count)
        elif group % per_block in (0, 1, per_block - 1):
            at = start + int(has_super)
            if group == 0 and self.block_size == 1024 and sb["first_data_block"] == 0:
                at += 1
            yield range(start if has_super else at, at + 1)

    @property
    def inode_table_blocks(self) -> int:
        """Blocks of a group's inode table."""
        return -(-self.sb["inodes_per_group"] * self.sb.inode_size // self.block_size)

    def inode_at(self, number: int) -> int:
        """Return the byte at which an inode lies."""
        group, index = divmod(number - 1, self.sb["inodes_per_group"])
        return self.groups[group].inode_table * self.block_size + index * self.sb.inode_size

    def inode_raw(self, number: int) -> bytes:
        """Return an inode's bytes; ImageError if its table does not lie in the image."""
        return bytes(self.store.read(self.inode_at(number), self.sb.inode_size))

    def flags(self, group: int) -> int:
        """Return a group's flags, none where the features give them no meaning."""
        return self.groups[group].flags if self.sb.group_checksums else 0


def _is_power(number: int, base: int) -> bool:
    power = base
    while power < number:
        power *= base
    return power == number
