"""
A file on XFS that shares blocks with others (reflink): where its blocks lie, and what is set aside for
copies.

Linux 6.1, fs/xfs. A block that is shared gets another place when it is written: room is set aside in the
CoW fork for 32 blocks at once (XFS_DEFAULT_COWEXTSZ_HINT), and given a place when the first of them is
written back.

Left out: extent size hints, blocks set aside for what lies behind the end of the file, realtime.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

COW_EXTENT_BLOCKS = 32
"""XFS_DEFAULT_COWEXTSZ_HINT."""
BLOCK_BYTES = 4096
SHARED = 0x2000
"""FIEMAP_EXTENT_SHARED."""
INLINE_EXTENTS = 21
"""Extents that fit into an inode of 512 bytes: 336 bytes of fork, 16 an extent; more make a tree."""


@dataclass(slots=True)
class XfsFile:
    """
    Blocks of a file. places: block -> block of the disk. shared: which of them others have, too.
    places_later: where copies will lie, which the allocator alone knows. set_aside: blocks in the CoW fork
    without a place; placed: those with one. is_tree: the extents no longer fit into the inode.
    """

    places: dict[int, int]
    places_later: dict[int, int]
    shared: set[int] = field(default_factory=set)
    set_aside: set[int] = field(default_factory=set)
    placed: set[int] = field(default_factory=set)
    is_tree: bool = False

    @property
    def reflinked(self) -> bool:
        """Whether the inode shares blocks, or has."""
        return bool(self.shared)

    def extents(self) -> int:
        """Return how many extents the blocks make."""
        ordered = sorted(self.places.items())
        return 1 + sum(
            (block - before, at - there) != (1, 1) for (before, there), (block, at) in pairwise(ordered)
        )

    def extent_end(self, block: int) -> int:
        """Return the block after the last of the extent that a block lies in."""
        end = block + 1
        while self.places.get(end, -1) == self.places[block] + end - block:
            end += 1
        return end

    def in_cow_fork(self, block: int) -> bool:
        """Tell whether room for a copy of a block is set aside."""
        return block in self.set_aside or block in self.placed

    def cow_end(self, block: int) -> int:
        """Return the block after the last of the CoW fork's extent that a block lies in."""
        fork = self.set_aside if block in self.set_aside else self.placed
        end = block
        while end in fork:
            end += 1
        return end

    def set_room_aside(self, start: int, end: int) -> None:
        """Set room aside for the blocks [start, end) and their neighbours, in whole steps of 32."""
        first = start // COW_EXTENT_BLOCKS * COW_EXTENT_BLOCKS
        stop = -(-end // COW_EXTENT_BLOCKS) * COW_EXTENT_BLOCKS
        self.set_aside.update(block for block in range(first, stop) if block not in self.placed)

    def give_place(self, block: int) -> bool:
        """Give the extent of the CoW fork with a block its place; False if it has one."""
        if block in self.placed:
            return False
        first, end = block, self.cow_end(block)
        while first - 1 in self.set_aside:
            first -= 1
        self.set_aside.difference_update(range(first, end))
        self.placed.update(range(first, end))
        return True

    def remap(self, start: int, end: int) -> bool:
        """Make the copies [start, end) the file's own; return whether the extents become a tree with it."""
        for block in range(start, end):
            self.places[block] = self.places_later[block]
            self.placed.discard(block)
        grows = not self.is_tree and self.extents() > INLINE_EXTENTS
        self.is_tree = self.is_tree or grows
        return grows


def file_of(before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]) -> XfsFile:
    """Return a file as FIEMAP's rows have it before and after: logical, physical, length, flags, in bytes."""
    shared = {block for row in before if row[3] & SHARED for block, _place in _blocks(row)}
    now = dict(pair for row in before for pair in _blocks(row))
    return XfsFile(now, dict(pair for row in after for pair in _blocks(row)), shared)


def _blocks(row: Sequence[int]) -> Iterator[tuple[int, int]]:
    for at in range(0, row[2], BLOCK_BYTES):
        yield (row[0] + at) // BLOCK_BYTES, (row[1] + at) // BLOCK_BYTES
