"""
The superblock's fields, all that a check looks at, undecoded: a damaged one must still be told about.

Source of the format: Documentation/filesystems/ext4/super.rst, Linux 6.1.
"""

from __future__ import annotations

import struct

from sim.ext4.format.features import Compat, Incompat, RoCompat

_FIELDS: dict[str, tuple[int, str]] = {
    "inodes_count": (0x00, "<I"),
    "blocks_lo": (0x04, "<I"),
    "reserved_lo": (0x08, "<I"),
    "free_blocks_lo": (0x0C, "<I"),
    "free_inodes": (0x10, "<I"),
    "first_data_block": (0x14, "<I"),
    "log_block_size": (0x18, "<I"),
    "log_cluster_size": (0x1C, "<I"),
    "blocks_per_group": (0x20, "<I"),
    "clusters_per_group": (0x24, "<I"),
    "inodes_per_group": (0x28, "<I"),
    "mount_time": (0x2C, "<I"),
    "write_time": (0x30, "<I"),
    "magic": (0x38, "<H"),
    "state": (0x3A, "<H"),
    "creator_os": (0x48, "<I"),
    "revision": (0x4C, "<I"),
    "first_inode": (0x54, "<I"),
    "inode_size": (0x58, "<H"),
    "compat": (0x5C, "<I"),
    "incompat": (0x60, "<I"),
    "ro_compat": (0x64, "<I"),
    "prealloc_directory_blocks": (0xCD, "<B"),
    "reserved_gdt_blocks": (0xCE, "<H"),
    "journal_inode": (0xE0, "<I"),
    "journal_device": (0xE4, "<I"),
    "last_orphan": (0xE8, "<I"),
    "journal_backup_type": (0xFD, "<B"),
    "descriptor_size": (0xFE, "<H"),
    "first_meta_bg": (0x104, "<I"),
    "mkfs_time": (0x108, "<I"),
    "blocks_hi": (0x150, "<I"),
    "reserved_hi": (0x154, "<I"),
    "free_blocks_hi": (0x158, "<I"),
    "min_extra_isize": (0x15C, "<H"),
    "want_extra_isize": (0x15E, "<H"),
    "flags": (0x160, "<I"),
    "mmp_block": (0x168, "<Q"),
    "checksum_type": (0x175, "<B"),
    "user_quota": (0x240, "<I"),
    "group_quota": (0x244, "<I"),
    "backup_group_1": (0x24C, "<I"),
    "backup_group_2": (0x250, "<I"),
    "project_quota": (0x26C, "<I"),
    "checksum_seed": (0x270, "<I"),
    "orphan_file": (0x280, "<I"),
    "checksum": (0x3FC, "<I"),
}
_OLD_INODE_BYTES, _OLD_FIRST_INODE = 128, 11
_DESCRIPTOR_BYTES = 32


class Fields:
    """The 1,024 bytes of a superblock, by field: sb["inodes_count"]; nothing is judged."""

    def __init__(self, raw: bytes | memoryview) -> None:
        self.raw = bytes(raw)
        self._values: dict[str, int] = {
            name: struct.unpack_from(code, self.raw, at)[0] for name, (at, code) in _FIELDS.items()
        }

    def __getitem__(self, name: str) -> int:
        return self._values[name]

    def bytes_at(self, at: int, length: int) -> bytes:
        """Return bytes of the superblock."""
        return self.raw[at : at + length]

    def has(self, feature: Compat | Incompat | RoCompat) -> bool:
        """Return whether a feature is set."""
        word = {Compat: "compat", Incompat: "incompat", RoCompat: "ro_compat"}[type(feature)]
        return bool(self[word] & feature)

    def _wide(self, name: str) -> int:
        high = self[f"{name}_hi"] if self.has(Incompat.BIT64) else 0
        return high << 32 | self[f"{name}_lo"]

    @property
    def blocks_count(self) -> int:
        """Blocks of the file system."""
        return self._wide("blocks")

    @property
    def reserved_blocks(self) -> int:
        """Blocks reserved for root."""
        return self._wide("reserved")

    @property
    def free_blocks(self) -> int:
        """Free blocks, as recorded."""
        return self._wide("free_blocks")

    @property
    def block_size(self) -> int:
        """Bytes of a block."""
        return 1024 << self["log_block_size"]

    @property
    def ratio(self) -> int:
        """Blocks of a cluster: 1 without bigalloc."""
        if not self.has(RoCompat.BIGALLOC):
            return 1
        return 1 << max(self["log_cluster_size"] - self["log_block_size"], 0)

    @property
    def inode_size(self) -> int:
        """Bytes of an inode."""
        return self["inode_size"] if self["revision"] else _OLD_INODE_BYTES

    @property
    def first_inode(self) -> int:
        """The first inode that is not reserved."""
        return self["first_inode"] if self["revision"] else _OLD_FIRST_INODE

    @property
    def descriptor_bytes(self) -> int:
        """Bytes of a group descriptor."""
        return self["descriptor_size"] if self.has(Incompat.BIT64) else _DESCRIPTOR_BYTES

    @property
    def groups_count(self) -> int:
        """Block groups."""
        return -(-(self.blocks_count - self["first_data_block"]) // self["blocks_per_group"])

    @property
    def descriptor_blocks(self) -> int:
        """Blocks of all group descriptors."""
        return -(-self.groups_count // (self.block_size // self.descriptor_bytes))

    @property
    def group_checksums(self) -> bool:
        """Whether group descriptors have checksums, and so flags and a count of unused inodes that count."""
        return self.has(RoCompat.UNINIT_BG) or self.has(RoCompat.METADATA_CSUM)
