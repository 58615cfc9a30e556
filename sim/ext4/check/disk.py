"""
A file system that may be damaged: its blocks, its group descriptors, its inodes.
"""

from __future__ import annotations

from sim.errors import ImageError
from sim.ext4.format.checksums import Checksums
from sim.ext4.format.descriptor import GroupDescriptor, decode_descriptor
from sim.ext4.format.features import Compat, Incompat, RoCompat
from sim.ext4.format.superblock import Superblock
from sim.ext4.store import ByteStore

JOURNAL_INODE = 8
HURD = 1
"""The creator of images in which some words of an inode mean something else."""


class Disk:
    """
    One file system: `sb` has no faults, so that the arithmetic here is bounded; nothing else has been judged.

    superblock_at: the block of the superblock behind which the table of descriptors is read.
    """

    def __init__(self, store: ByteStore, name: str, sb: Superblock, superblock_at: int) -> None:
        self.store = store
        self.name = name
        self.sb = sb
        self.block_size = sb.block_size
        self.blocks = range(sb.first_data_block, sb.blocks_count)
        self.wide = sb.has(Incompat.BIT64)
        self.checksums = Checksums(sb)
        self._superblock_at = superblock_at
        self.groups: list[GroupDescriptor] = [
            decode_descriptor(self.descriptor(number)) for number in range(sb.groups_count)
        ]

    def block(self, number: int) -> bytes | memoryview:
        """Return the bytes of a block; ImageError if there is none."""
        if number not in self.blocks:
            raise ImageError(self.name, f"block {number} is asked for", f"{self.blocks}")
        return self.store.read(number * self.block_size, self.block_size)

    def descriptor(self, group: int) -> bytes | memoryview:
        """Return the bytes of a group's descriptor."""
        size = self.sb.descriptor_bytes
        index, inside = divmod(group, self.block_size // size)
        block = self.sb.descriptor_block(index, self._superblock_at)
        return self.store.read(block * self.block_size + inside * size, size)

    def inode_at(self, number: int) -> int:
        """Return the byte at which an inode lies."""
        group, index = divmod(number - 1, self.sb.inodes_per_group)
        return self.groups[group].inode_table * self.block_size + index * self.sb.inode_size

    def inode_raw(self, number: int) -> bytes:
        """Return an inode's bytes; ImageError if its table does not lie in the image."""
        return bytes(self.store.read(self.inode_at(number), self.sb.inode_size))

    def flags(self, group: int) -> int:
        """Return a group's flags, none where the features give them no meaning."""
        return self.groups[group].flags if self.sb.has_group_checksums else 0

    def named_inodes(self) -> set[int]:
        """Return the inodes to which the superblock leads: journal, quotas, orphan file."""
        sb = self.sb
        found = set()
        if sb.has(Compat.HAS_JOURNAL) or sb.journal_inode == JOURNAL_INODE:
            found.add(sb.journal_inode)
        if sb.has(RoCompat.QUOTA):
            found |= {sb.user_quota, sb.group_quota}
            if sb.has(RoCompat.PROJECT):
                found.add(sb.project_quota)
        if sb.has(Compat.ORPHAN_FILE):
            found.add(sb.orphan_file)
        return found - {0}
