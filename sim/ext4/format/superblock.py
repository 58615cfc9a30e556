"""
The superblock and the group descriptors: codecs, and the arithmetic of block groups.

Source of the format: Documentation/filesystems/ext4 (super.rst, group_descr.rst), Linux 6.1.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from typing import Any

from sim.errors import ImageError
from sim.ext4.format.features import Compat, Incompat, RoCompat, refuse_unsupported
from sim.ext4.store import ByteStore

SUPERBLOCK_OFFSET = 1024
SUPERBLOCK_BYTES = 1024
SUPERBLOCK_MAGIC = 0xEF53
BLOCK_SIZES = (1024, 2048, 4096)
DESCRIPTOR_BYTES = 32
DESCRIPTOR_BYTES_64BIT = 64

_FIELDS: dict[str, tuple[int, str]] = {
    "inodes_count": (0x00, "<I"),
    "blocks_count_lo": (0x04, "<I"),
    "free_blocks_count": (0x0C, "<I"),
    "free_inodes_count": (0x10, "<I"),
    "first_data_block": (0x14, "<I"),
    "log_block_size": (0x18, "<I"),
    "log_cluster_size": (0x1C, "<I"),
    "blocks_per_group": (0x20, "<I"),
    "clusters_per_group": (0x24, "<I"),
    "inodes_per_group": (0x28, "<I"),
    "mount_time_s": (0x2C, "<I"),
    "write_time_s": (0x30, "<I"),
    "max_mount_count": (0x36, "<H"),
    "magic": (0x38, "<H"),
    "state": (0x3A, "<H"),
    "errors": (0x3C, "<H"),
    "last_check_s": (0x40, "<I"),
    "rev_level": (0x4C, "<I"),
    "first_inode": (0x54, "<I"),
    "inode_size": (0x58, "<H"),
    "group_number": (0x5A, "<H"),
    "compat": (0x5C, "<I"),
    "incompat": (0x60, "<I"),
    "ro_compat": (0x64, "<I"),
    "uuid": (0x68, "<16s"),
    "label": (0x78, "<16s"),
    "journal_inode": (0xE0, "<I"),
    "hash_seed": (0xEC, "<16s"),
    "hash_version": (0xFC, "<B"),
    "desc_size": (0xFE, "<H"),
    "journal_backup_type": (0xFD, "<B"),
    "default_mount_options": (0x100, "<I"),
    "first_meta_bg": (0x104, "<I"),
    "mkfs_time_s": (0x108, "<I"),
    "journal_backup": (0x10C, "<68s"),
    "blocks_count_hi": (0x150, "<I"),
    "min_extra_isize": (0x15C, "<H"),
    "want_extra_isize": (0x15E, "<H"),
    "flags": (0x160, "<I"),
    "log_groups_per_flex": (0x174, "<B"),
    "checksum_type": (0x175, "<B"),
    "backup_groups": (0x24C, "<8s"),
    "checksum_seed": (0x270, "<I"),
    "checksum": (0x3FC, "<I"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Superblock:
    """The fields of a superblock that a reader or a maker of images uses; counts in blocks and inodes."""

    inodes_count: int
    blocks_count_lo: int
    free_blocks_count: int
    free_inodes_count: int
    first_data_block: int
    log_block_size: int
    log_cluster_size: int
    blocks_per_group: int
    clusters_per_group: int
    inodes_per_group: int
    mount_time_s: int = 0
    write_time_s: int
    max_mount_count: int = 0xFFFF
    magic: int = SUPERBLOCK_MAGIC
    state: int = 1
    errors: int = 1
    last_check_s: int
    rev_level: int = 1
    first_inode: int = 11
    inode_size: int = 256
    group_number: int = 0
    compat: int
    incompat: int
    ro_compat: int
    uuid: bytes
    label: bytes = b""
    journal_inode: int = 0
    hash_seed: bytes
    hash_version: int = 1
    desc_size: int = 0
    journal_backup_type: int = 0
    journal_backup: bytes = b""
    default_mount_options: int = 0xC
    first_meta_bg: int = 0
    mkfs_time_s: int
    blocks_count_hi: int = 0
    min_extra_isize: int = 32
    want_extra_isize: int = 32
    flags: int = 1
    log_groups_per_flex: int = 0
    checksum_type: int = 0
    backup_groups: bytes = b""
    checksum_seed: int = 0
    checksum: int = 0

    @property
    def block_size(self) -> int:
        """Bytes of a block."""
        return 1024 << self.log_block_size

    @property
    def blocks_count(self) -> int:
        """Blocks of the file system."""
        high = self.blocks_count_hi if self.incompat & Incompat.BIT64 else 0
        return high << 32 | self.blocks_count_lo

    @property
    def groups_count(self) -> int:
        """Block groups; the last may be shorter."""
        return -(-(self.blocks_count - self.first_data_block) // self.blocks_per_group)

    @property
    def descriptor_bytes(self) -> int:
        """Bytes of a group descriptor."""
        return self.desc_size if self.incompat & Incompat.BIT64 else DESCRIPTOR_BYTES

    @property
    def descriptor_blocks(self) -> int:
        """Blocks of the table of group descriptors."""
        return -(-self.groups_count * self.descriptor_bytes // self.block_size)

    def descriptor_block(self, index: int) -> int:
        """
        Return where a block of the table of group descriptors lies.

        With meta_bg the blocks from first_meta_bg on lie each at the head of the first group they tell of.
        """
        if not self.incompat & Incompat.META_BG or index < self.first_meta_bg:
            return self.first_data_block + 1 + index
        group = index * (self.block_size // self.descriptor_bytes)
        return self.group_blocks(group).start + int(self.has_backup(group))

    @property
    def inode_table_blocks(self) -> int:
        """Blocks of one group's inode table."""
        return -(-self.inodes_per_group * self.inode_size // self.block_size)

    def group_blocks(self, group: int) -> range:
        """Return the physical blocks of a group."""
        first = self.first_data_block + group * self.blocks_per_group
        return range(first, min(first + self.blocks_per_group, self.blocks_count))

    def has_backup(self, group: int) -> bool:
        """Return whether a group starts with a superblock and a descriptor table (group 0: the primary)."""
        if self.compat & Compat.SPARSE_SUPER2:
            return group == 0 or group in struct.unpack("<2I", self.backup_groups)
        if group <= 1 or not self.ro_compat & RoCompat.SPARSE_SUPER:
            return True
        return any(_is_power(group, base) for base in (3, 5, 7))

    def encode(self) -> bytes:
        """Return the 1,024 bytes of the superblock."""
        raw = bytearray(SUPERBLOCK_BYTES)
        for name, (offset, code) in _FIELDS.items():
            struct.pack_into(code, raw, offset, getattr(self, name))
        return bytes(raw)


def _is_power(number: int, base: int) -> bool:
    power = base
    while power < number:
        power *= base
    return power == number


_MAX_LOG_BLOCK_SIZE = 6
"""64 KiB, the largest block of ext4."""


def looks_like_superblock(store: ByteStore, offset: int) -> bool:
    """
    Return whether there is a superblock of ext2, 3 or 4 at a byte, readable here or not.

    Its magic and a few numbers that no superblock has otherwise: noise passes for one in 2^70 images.
    """
    if store.size_bytes < offset + SUPERBLOCK_BYTES:
        return False
    raw = store.read(offset, SUPERBLOCK_BYTES)
    said = {
        name: struct.unpack_from(code, raw, at)[0]
        for name, (at, code) in _FIELDS.items()
        if name in ("magic", "log_block_size", "rev_level")
    }
    known = said["magic"] == SUPERBLOCK_MAGIC and said["rev_level"] <= 1
    return bool(known and said["log_block_size"] <= _MAX_LOG_BLOCK_SIZE)


def decode_superblock(raw: bytes | memoryview, place: str) -> Superblock:
    """
    Return the superblock in 1,024 bytes.

    Raises ImageError, naming `place`, if it is not ext4's, uses an unsupported feature, or holds numbers
    that contradict each other, so that what follows from it is bounded by blocks_count.
    """
    values: dict[str, Any] = {
        name: struct.unpack_from(code, raw, offset)[0] for name, (offset, code) in _FIELDS.items()
    }
    sb = Superblock(**values)
    if sb.magic != SUPERBLOCK_MAGIC:
        raise ImageError(
            place, f"the magic is {sb.magic:#06x}, this is no ext4 image", f"{SUPERBLOCK_MAGIC:#06x}"
        )
    if sb.incompat & Incompat.JOURNAL_DEV:  # its other fields mean nothing
        refuse_unsupported(sb.incompat, 0, place)
    if sb.rev_level != 1:
        raise ImageError(place, f"the revision is {sb.rev_level}", "1 (dynamic inode sizes)")
    refuse_unsupported(sb.incompat, sb.ro_compat, place)
    if sb.log_block_size > 2:
        raise ImageError(
            place,
            f"the block size code is {sb.log_block_size}"
            + (f" ({1024 << sb.log_block_size} bytes)" if sb.log_block_size <= _MAX_LOG_BLOCK_SIZE else ""),
            "0, 1 or 2 (1, 2 or 4 KiB)",
        )
    _judge(sb, place)
    return sb


def _judge(sb: Superblock, place: str) -> None:
    size = sb.block_size
    want_first = 1 if size == 1024 else 0
    if sb.first_data_block != want_first:
        raise ImageError(place, f"the first data block is {sb.first_data_block}", f"{want_first}")
    if not 0 < sb.blocks_per_group <= 8 * size:
        raise ImageError(place, f"{sb.blocks_per_group} blocks per group", f"1 to {8 * size}")
    if not 0 < sb.inodes_per_group <= 8 * size:
        raise ImageError(place, f"{sb.inodes_per_group} inodes per group", f"1 to {8 * size}")
    if sb.inode_size < 128 or sb.inode_size > size or sb.inode_size & (sb.inode_size - 1):
        raise ImageError(place, f"the inode size is {sb.inode_size}", f"a power of 2 from 128 to {size}")
    if sb.blocks_count <= sb.first_data_block + 1:
        raise ImageError(place, f"{sb.blocks_count} blocks", "room for a superblock and descriptors")
    if sb.inodes_count != sb.inodes_per_group * sb.groups_count:
        raise ImageError(
            place, f"{sb.inodes_count} inodes", f"{sb.inodes_per_group} in each of {sb.groups_count} groups"
        )
    if sb.incompat & Incompat.BIT64 and (
        sb.desc_size < DESCRIPTOR_BYTES_64BIT or sb.desc_size > size or sb.desc_size & (sb.desc_size - 1)
    ):
        raise ImageError(place, f"the descriptor size is {sb.desc_size}", f"a power of 2 from 64 to {size}")
    if sb.incompat & Incompat.META_BG and sb.first_meta_bg > sb.descriptor_blocks:
        raise ImageError(place, f"first_meta_bg is {sb.first_meta_bg}", f"at most {sb.descriptor_blocks}")
    if sb.first_data_block + 1 + sb.descriptor_blocks > sb.blocks_count:
        raise ImageError(
            place, f"{sb.groups_count} group descriptors do not fit", f"{sb.blocks_count} blocks"
        )


_LOW = struct.Struct("<IIIHHHHIHHHH")
_HIGH = struct.Struct("<IIIHHHHIHHI")


@dataclass(frozen=True, slots=True)
class GroupDescriptor:
    """Where a group's bitmaps and inode table lie (blocks), and its counters."""

    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    free_blocks: int
    free_inodes: int
    directories: int
    flags: int = 0

    INODE_UNINIT = 0x1
    BLOCK_UNINIT = 0x2
    INODE_ZEROED = 0x4
    """The inode table was written as a whole: no kernel zeroes it in the background after mounting."""

    def encode(self) -> bytes:
        """Return the 32 bytes of a descriptor without 64-bit fields and checksum."""
        low = [getattr(self, field.name) for field in fields(self)]
        return _LOW.pack(*low, 0, 0, 0, 0, 0)


def decode_descriptor(raw: bytes | memoryview) -> GroupDescriptor:
    """Return the descriptor in 32 bytes, or in 64 and more with the upper halves."""
    low = _LOW.unpack_from(raw)
    high = _HIGH.unpack_from(raw, DESCRIPTOR_BYTES) if len(raw) >= DESCRIPTOR_BYTES_64BIT else (0,) * 11
    return GroupDescriptor(
        low[0] | high[0] << 32,
        low[1] | high[1] << 32,
        low[2] | high[2] << 32,
        low[3] | high[3] << 16,
        low[4] | high[4] << 16,
        low[5] | high[5] << 16,
        low[6],
    )
