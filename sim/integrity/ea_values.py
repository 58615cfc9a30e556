"""
Values of a file's list that lie in inodes of their own (ea_inode), written over where they lie.

The value's blocks change, and its hash in the inode (i_atime) and in the entry. This is the design's own way:
ext4_xattr_set() of 6.1 makes another ea_inode for each value that is set, and drops the old one, which would
be an inode and blocks allocated and freed for every write. Left out: an ea_inode with several references.
"""

from __future__ import annotations

from sim.ext4.edit import inode_bytes
from sim.ext4.format.checksums import Checksums
from sim.ext4.format.crc32c import crc32c
from sim.ext4.format.xattr import EaValue
from sim.ext4.read.reader import Image


class EaValues:
    """
    The values of an image that are written over. inodes: those that hold them, by number, as they are then;
    blocks: of values, likewise.
    """

    def __init__(self, image: Image) -> None:
        self.inodes: dict[int, bytes] = {}
        self.blocks: dict[int, bytes] = {}
        self._image = image
        self._sums = Checksums(image.superblock)

    def write(self, number: int, value: bytes) -> EaValue:
        """Have another value, for which there is room, in an ea_inode; return what its entry says."""
        inode, size = self._image.inode(number), self._image.block_size
        for extent in inode.tree.extents:
            for at in range(extent.length):
                first = (extent.logical + at) * size
                self.blocks[extent.physical + at] = value[first : first + size].ljust(size, b"\0")
        digest = crc32c(self._image.checksum_seed, value)
        raw = bytearray(inode.raw_bytes)
        inode_bytes.set_size(raw, len(value))
        inode_bytes.set_ea_digest(raw, digest)
        self._sums.inode(raw, number)
        self.inodes[number] = bytes(raw)
        return EaValue(number, len(value), digest)
