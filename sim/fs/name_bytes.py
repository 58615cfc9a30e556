"""
The bytes of names: directories, inode bitmaps, what descriptors say of inodes, the superblock's list of
orphans.

Left out: directories of more than one block, hashed ones, encrypted names; the superblock's counts.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from sim.ext4.format.checksums import Checksums
from sim.ext4.format.descriptor import DESCRIPTOR_BYTES_64BIT, GroupDescriptor
from sim.ext4.format.superblock import SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET
from sim.ext4.read.reader import Image
from sim.ext4.store import ByteStore
from sim.fs.directory import Directory
from sim.fs.ialloc import InodeAllocator

_FREE_INODES_AT, _FLAGS_AT, _UNUSED_AT = 0x0E, 0x12, 0x1C
_FREE_INODES_HIGH_AT, _UNUSED_HIGH_AT = 0x2E, 0x32
_LAST_ORPHAN_AT: Final = 0xE8


class NameBytes:
    """
    image: as it was mounted. disk: what the superblock is on it now. inodes: which are free. unused: of each
    group, how many inodes at its end were never used.
    """

    def __init__(self, image: Image, disk: ByteStore, inodes: InodeAllocator, unused: Sequence[int]) -> None:
        self._image = image
        self._inodes = inodes
        self._unused = unused
        self._sums = Checksums(image.superblock)
        self._bitmaps = {group.bitmap_block: number for number, group in enumerate(inodes.groups)}
        self._directories: dict[int, Directory] = {}
        size = image.block_size
        self._superblock = SUPERBLOCK_OFFSET // size
        self._held = bytearray(disk.read(self._superblock * size, size))

    def directory(self, directory: Directory) -> None:
        """A directory is in memory."""
        self._directories[directory.block] = directory

    def last_orphan(self, number: int) -> None:
        """Have the superblock name the newest orphan; 0: there is none."""
        at = SUPERBLOCK_OFFSET % self._image.block_size
        raw = self._held[at : at + SUPERBLOCK_BYTES]
        struct.pack_into("<I", raw, _LAST_ORPHAN_AT, number)
        self._sums.superblock(raw)
        self._held[at : at + SUPERBLOCK_BYTES] = raw

    def block(self, block: int) -> bytes | None:
        """Return what a block holds; None for one that is of something else."""
        if block == self._superblock:
            return bytes(self._held)
        found = self._directories.get(block)
        if found is not None:
            raw, number = bytearray(found.raw), found.inode.number
            self._sums.directory_block(raw, self._image.inode(number).raw_bytes, number)
            return bytes(raw)
        group = self._bitmaps.get(block)
        return None if group is None else self._inodes.packed_bitmap(group)

    def describe(self, raw: bytearray, number: int) -> None:
        """Put what is known of a group's inodes into its descriptor; not its checksum."""
        group = self._inodes.groups[number]
        if group.bitmap is None:
            return
        flags = struct.unpack_from("<H", raw, _FLAGS_AT)[0]
        struct.pack_into("<H", raw, _FLAGS_AT, flags & ~GroupDescriptor.INODE_UNINIT)
        struct.pack_into("<H", raw, _FREE_INODES_AT, group.free & 0xFFFF)
        struct.pack_into("<H", raw, _UNUSED_AT, self._unused[number] & 0xFFFF)
        if len(raw) >= DESCRIPTOR_BYTES_64BIT:
            struct.pack_into("<H", raw, _FREE_INODES_HIGH_AT, group.free >> 16)
            struct.pack_into("<H", raw, _UNUSED_HIGH_AT, self._unused[number] >> 16)
        self._sums.inode_bitmap(self._inodes.packed_bitmap(number), raw)
