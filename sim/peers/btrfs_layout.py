"""
A btrfs that a case has filled: where a file's extents lie, how deep its trees are. Linux 6.1.

Where an extent begins comes from FIEMAP; so do the tree's items, one a file extent. A tree is one leaf, its
root, as long as its items fit. Sources: the on-disk format in the btrfs documentation;
sim/integrity/csum_tree.py.

Left out: trees of more than two levels, compressed and inline extents, several devices or profiles.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from sim.integrity.csum_tree import (
    HEADER_BYTES,
    ITEM_BYTES,
    SECTOR_BYTES,
    leaf_of,
    leaves,
)

FILE_EXTENT_BYTES = 53
"""struct btrfs_file_extent_item of an extent that is not inline."""
INODE_BYTES = 2 * ITEM_BYTES + 160 + 11
"""Of an inode and its reference: struct btrfs_inode_item, and a name of one byte."""
DIRECTORY_BYTES = 2 * (ITEM_BYTES + 31)
"""Of a name of one byte in its directory: by hash and by index."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes of a file that lie in a row: from which byte of it, at which byte of the disk."""

    offset: int
    disk: int
    length: int


@dataclass(frozen=True, slots=True)
class BtrfsFile:
    """
    A file, and the file system it is on. algorithm: of the checksums, "" for a file without. files: how many
    of its kind there are, each with as many extents, written in turn.
    """

    extents: tuple[Extent, ...]
    node_bytes: int
    algorithm: str
    files: int = 1

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return sum(extent.length for extent in self.extents)

    @property
    def node_pages(self) -> int:
        """Pages of a node."""
        return self.node_bytes // SECTOR_BYTES

    def number_at(self, offset: int) -> int:
        """Return which extent a byte of the file lies in."""
        return bisect_right([extent.offset for extent in self.extents], offset) - 1

    @property
    def file_tree_level(self) -> int:
        """The level of the root of the tree with the file's extents: 1 if one leaf does not hold them."""
        items = len(self.extents) * (ITEM_BYTES + FILE_EXTENT_BYTES) + INODE_BYTES + DIRECTORY_BYTES
        return int(self.files * items + INODE_BYTES > self.node_bytes - HEADER_BYTES)

    @property
    def csum_tree_level(self) -> int:
        """The level of the root of the tree of checksums."""
        return int(leaves(self.files * self.size, self.node_bytes, self.algorithm) > 1)

    def csum_item(self, disk: int) -> int:
        """Return which item of the checksums holds that of a byte of the disk; each fills a leaf."""
        return leaf_of(disk - self.extents[0].disk, self.node_bytes, self.algorithm)


def read_extents(rows: Sequence[Sequence[int]]) -> tuple[Extent, ...]:
    """Return the extents of FIEMAP's rows: logical, physical, length, flags, in bytes."""
    return tuple(Extent(row[0], row[1], row[2]) for row in rows)
