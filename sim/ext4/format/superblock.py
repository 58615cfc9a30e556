"""
The superblock: its codec, and the arithmetic of block groups. sim.ext4.format.judging says if it can be used.

Source of the format: Documentation/filesystems/ext4 (super.rst, blockgroup.rst), Linux 6.1.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from sim.ext4.format.descriptor import DESCRIPTOR_BYTES
from sim.ext4.format.features import Compat, Incompat, RoCompat
from sim.ext4.format.inode import FIRST_USER_INODE, GOOD_OLD_BYTES
from sim.ext4.store import ByteStore

SUPERBLOCK_OFFSET = 1024
SUPERBLOCK_BYTES = 1024
SUPERBLOCK_MAGIC = 0xEF53
BLOCK_SIZES = (1024, 2048, 4096, 8192, 16384, 32768, 65536)
MOST_GROUP_BLOCKS = (1 << 16) - 8
"""What mke2fs makes at most: a group descriptor of 32 bytes counts to 16 bits (EXT2_MAX_BLOCKS_PER_GROUP)."""

_FIELDS: dict[str, tuple[int, str]] = {
    "inodes_count": (0x00, "<I"),
    "blocks_count_lo": (0x04, "<I"),
    "reserved_blocks_lo": (0x08, "<I"),
    "free_blocks_lo": (0x0C, "<I"),
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
    "creator_os": (0x48, "<I"),
    "rev_level": (0x4C, "<I"),
    "first_inode": (0x54, "<I"),
    "inode_size": (0x58, "<H"),
    "group_number": (0x5A, "<H"),
    "compat": (0x5C, "<I"),
    "incompat": (0x60, "<I"),
    "ro_compat": (0x64, "<I"),
    "uuid": (0x68, "<16s"),
    "label": (0x78, "<16s"),
    "prealloc_directory_blocks": (0xCD, "<B"),
    "reserved_gdt_blocks": (0xCE, "<H"),
    "journal_uuid": (0xD0, "<16s"),
    "journal_inode": (0xE0, "<I"),
    "journal_device": (0xE4, "<I"),
    "hash_seed": (0xEC, "<16s"),
    "hash_version": (0xFC, "<B"),
    "desc_size": (0xFE, "<H"),
    "journal_backup_type": (0xFD, "<B"),
    "default_mount_options": (0x100, "<I"),
    "first_meta_bg": (0x104, "<I"),
    "mkfs_time_s": (0x108, "<I"),
    "journal_backup": (0x10C, "<68s"),
    "blocks_count_hi": (0x150, "<I"),
    "reserved_blocks_hi": (0x154, "<I"),
    "free_blocks_hi": (0x158, "<I"),
    "min_extra_isize": (0x15C, "<H"),
    "want_extra_isize": (0x15E, "<H"),
    "flags": (0x160, "<I"),
    "mmp_block": (0x168, "<Q"),
    "log_groups_per_flex": (0x174, "<B"),
    "checksum_type": (0x175, "<B"),
    "user_quota": (0x240, "<I"),
    "group_quota": (0x244, "<I"),
    "backup_groups": (0x24C, "<8s"),
    "project_quota": (0x26C, "<I"),
    "checksum_seed": (0x270, "<I"),
    "orphan_file": (0x280, "<I"),
    "checksum": (0x3FC, "<I"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Superblock:
    """The fields of a superblock that a reader or a maker of images uses; counts in blocks and inodes."""

    inodes_count: int
    blocks_count_lo: int
    reserved_blocks_lo: int = 0
    free_blocks_lo: int = 0
    free_inodes_count: int = 0
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
    creator_os: int = 0
    rev_level: int = 1
    first_inode: int = 11
    inode_size: int = 256
    group_number: int = 0
    compat: int
    incompat: int
    ro_compat: int
    uuid: bytes
    label: bytes = b""
    prealloc_directory_blocks: int = 0
    reserved_gdt_blocks: int = 0
    journal_uuid: bytes = b""
    journal_inode: int = 0
    journal_device: int = 0
    hash_seed: bytes
    hash_version: int = 1
    desc_size: int = 0
    journal_backup_type: int = 0
    journal_backup: bytes = b""
    default_mount_options: int = 0xC
    first_meta_bg: int = 0
    mkfs_time_s: int
    blocks_count_hi: int = 0
    reserved_blocks_hi: int = 0
    free_blocks_hi: int = 0
    min_extra_isize: int = 32
    want_extra_isize: int = 32
    flags: int = 1
    mmp_block: int = 0
    log_groups_per_flex: int = 0
    checksum_type: int = 0
    user_quota: int = 0
    group_quota: int = 0
    backup_groups: bytes = b""
    project_quota: int = 0
    checksum_seed: int = 0
    orphan_file: int = 0
    checksum: int = 0

    def has(self, feature: Compat | Incompat | RoCompat) -> bool:
        """Return whether a feature is set."""
        words = {Compat: self.compat, Incompat: self.incompat, RoCompat: self.ro_compat}
        return bool(words[type(feature)] & feature)

    def _wide(self, low: int, high: int) -> int:
        return (high << 32 if self.has(Incompat.BIT64) else 0) | low

    @property
    def block_size(self) -> int:
        """Bytes of a block."""
        return 1024 << self.log_block_size

    @property
    def blocks_count(self) -> int:
        """Blocks of the file system."""
        return self._wide(self.blocks_count_lo, self.blocks_count_hi)

    @property
    def reserved_blocks_count(self) -> int:
        """Blocks kept for root."""
        return self._wide(self.reserved_blocks_lo, self.reserved_blocks_hi)

    @property
    def free_blocks_count(self) -> int:
        """Free blocks, as recorded."""
        return self._wide(self.free_blocks_lo, self.free_blocks_hi)

    @property
    def cluster_blocks(self) -> int:
        """Blocks of a cluster, of which a bit of a block bitmap tells: 1 without bigalloc."""
        if not self.has(RoCompat.BIGALLOC):
            return 1
        return 1 << max(self.log_cluster_size - self.log_block_size, 0)

    @property
    def groups_count(self) -> int:
        """Block groups; the last may be shorter."""
        return -(-(self.blocks_count - self.first_data_block) // self.blocks_per_group)

    @property
    def has_group_checksums(self) -> bool:
        """Whether descriptors have checksums: only then flags and unused inodes mean anything."""
        return self.has(RoCompat.UNINIT_BG) or self.has(RoCompat.METADATA_CSUM)

    @property
    def descriptor_bytes(self) -> int:
        """Bytes of a group descriptor."""
        return self.desc_size if self.has(Incompat.BIT64) else DESCRIPTOR_BYTES

    @property
    def descriptor_blocks(self) -> int:
        """Blocks of the table of group descriptors."""
        return -(-self.groups_count * self.descriptor_bytes // self.block_size)

    def descriptor_block(self, index: int, superblock_at: int | None = None) -> int:
        """
        Return where a block of the table of group descriptors lies.

        superblock_at: the block of the copy whose table is meant (default: the primary superblock's). With
        meta_bg the blocks from first_meta_bg on lie each at the head of the first group they tell of.
        """
        if not self.has(Incompat.META_BG) or index < self.first_meta_bg:
            return (self.superblock_block(0) if superblock_at is None else superblock_at) + 1 + index
        group = index * (self.block_size // self.descriptor_bytes)
        return self.superblock_block(group) + int(self.has_backup(group))

    @property
    def inode_table_blocks(self) -> int:
        """Blocks of one group's inode table."""
        return -(-self.inodes_per_group * self.inode_size // self.block_size)

    def group_blocks(self, group: int) -> range:
        """Return the physical blocks of a group."""
        first = self.first_data_block + group * self.blocks_per_group
        return range(first, min(first + self.blocks_per_group, self.blocks_count))

    def superblock_block(self, group: int) -> int:
        """Return the block at which a group's superblock lies, or would."""
        return self.group_blocks(group).start if group else SUPERBLOCK_OFFSET // self.block_size

    def has_backup(self, group: int) -> bool:
        """Return whether a group starts with a superblock and a descriptor table (group 0: the primary)."""
        if self.has(Compat.SPARSE_SUPER2):
            return group == 0 or group in struct.unpack("<2I", self.backup_groups)
        if group <= 1 or not self.has(RoCompat.SPARSE_SUPER):
            return True
        return any(_is_power(group, base) for base in (3, 5, 7))

    def own_blocks(self, group: int) -> list[range]:
        """Return what a group keeps for superblock and descriptors, those to come (resize_inode) included."""
        at, found = self.superblock_block(group), []
        after = at + int(self.has_backup(group))
        if after > at:
            found.append(range(min(at, self.group_blocks(group).start), after))  # with the boot block
        per_block = self.block_size // self.descriptor_bytes
        meta_bg = self.has(Incompat.META_BG)
        if meta_bg and group // per_block >= self.first_meta_bg:
            if group % per_block in (0, 1, per_block - 1):
                found.append(range(after, after + 1))
        elif after > at:
            count = self.first_meta_bg if meta_bg else self.descriptor_blocks + self.reserved_gdt_blocks
            found.append(range(after, after + count))
        return found

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


MAX_LOG_BLOCK_SIZE = 6
"""64 KiB, the largest block of ext4."""


def looks_like_superblock(store: ByteStore, offset: int) -> bool:
    """
    Return whether there is a superblock of ext2, 3 or 4 at a byte, readable here or not.

    Its magic and two numbers that no superblock has otherwise. Of noise one in 2^76 passes for one: one magic
    of 2^16, two revisions of 2^32, seven block sizes of 2^32 (16 + 31 + 29.2 bits).
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
    return bool(known and said["log_block_size"] <= MAX_LOG_BLOCK_SIZE)


def parse_superblock(raw: bytes | memoryview) -> Superblock:
    """Return the superblock in 1,024 bytes as it is; nothing is judged."""
    values: dict[str, Any] = {
        name: struct.unpack_from(code, raw, offset)[0] for name, (offset, code) in _FIELDS.items()
    }
    if values["rev_level"] == 0:  # before sizes were recorded
        values |= {"inode_size": GOOD_OLD_BYTES, "first_inode": FIRST_USER_INODE}
    return Superblock(**values)
