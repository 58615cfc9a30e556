"""
What verifying costs a reader: which blocks of tags are read and when, what data besides, what is hashed.

Counts alone, no clock. Per layout:

    tables      the block of the table with the entry of each block; its place follows from the block's, so it
                can be read with the data. It is hashed once, against its own tag.
    per_extent  the list, with the inode, the xattr block or the blocks of ea_inodes: before the data, when
                the file is opened. A run has one tag: whoever reads a block of it reads all of it.
    merkle      the leaf of each block and those above it, up to one that was verified: after the data, one
                at a time, the leaf first and the root last (fsverity_verify_bio of 6.1, as recorded).

What was read and verified stays in memory. Left out: readahead of tags, memory pressure.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.ext4.read.reader import Image
from sim.integrity.extents import TAGS_KEY, decode
from sim.integrity.merkle import HASH_BYTES, area_of, level_blocks
from sim.integrity.pieces import joined
from sim.integrity.plan import Plan
from sim.integrity.tables import geometry

BEFORE, WITH, AFTER = "before", "with", "after"


@dataclass(frozen=True, slots=True)
class ReadCost:
    """
    One read. data_blocks: asked for and not in memory. more_blocks: data read besides, to verify it.

    tag_blocks: physical blocks of tags that are read, in order; when: BEFORE, WITH or AFTER the data.
    hashed_blocks: of data and tags. hashed_bytes: the same in bytes, lists included.
    """

    data_blocks: int
    more_blocks: int
    tag_blocks: tuple[int, ...]
    when: str
    hashed_blocks: int
    hashed_bytes: int


class Reader:
    """Reads of one file, one after another, from an empty memory."""

    def __init__(self, image: Image, plan: Plan, path: str) -> None:
        self._image, self._plan = image, plan
        self._inode = image.lookup(path)
        self._have = set[int]()
        self._tags = set[int]()
        self._shape = geometry(image, plan) if plan.is_table else None
        self._runs = decode(self._inode, plan)[0] if plan.is_list else []

    def read(self, first: int, blocks: int) -> ReadCost:
        """Return what a read of logical blocks costs; holes are none."""
        places = {
            logical: extent.physical + logical - extent.logical
            for logical in range(first, first + blocks)
            if (extent := self._inode.tree.find(logical)) is not None and not extent.unwritten
        }
        asked = [logical for logical in places if logical not in self._have]
        if self._plan.is_table:
            return self._by_table({logical: places[logical] for logical in asked})
        if self._plan.is_list:
            return self._by_list(asked)
        return self._by_tree(asked)

    def _by_table(self, asked: dict[int, int]) -> ReadCost:
        assert self._shape is not None
        rows: list[int] = []
        for physical in asked.values():
            entry = self._shape.entry_of(physical)
            assert entry is not None, "a file's block has an entry"
            row = self._shape.own[entry[0]]
            if row not in self._tags:
                self._tags.add(row)
                rows.append(row)
        self._have.update(asked)
        hashed, size = len(asked) + len(rows), self._image.block_size
        return ReadCost(len(asked), 0, tuple(rows), WITH, hashed, hashed * size)

    def _by_list(self, asked: list[int]) -> ReadCost:
        lists = self._list_blocks() if not self._tags else []
        listed = 0
        if not self._tags:
            listed = len(joined(self._inode.xattrs, TAGS_KEY))
            self._tags.update(lists or [-1])
        wanted, read = set(asked), set[int]()
        for run in self._runs:
            blocks = set(range(run.logical, run.logical + run.blocks))
            if wanted & blocks:
                read |= blocks - self._have
        self._have |= read
        hashed = len(read)
        size = hashed * self._image.block_size + listed
        return ReadCost(len(asked), len(read - wanted), tuple(lists), BEFORE, hashed, size)

    def _list_blocks(self) -> list[int]:
        """Return the blocks that hold a file's list, none if it lies in the inode."""
        blocks = [self._inode.raw.xattr_block] if self._inode.raw.xattr_block else []
        for number, _size in self._inode.ea_values:
            blocks += self._image.inode(number).own_blocks
        return blocks

    def _by_tree(self, asked: list[int]) -> ReadCost:
        size = self._image.block_size
        counts = level_blocks(self._inode.blocks, size)
        first = area_of(self._inode.size_bytes, size).first
        starts = [first + sum(counts[level + 1 :]) for level in range(len(counts))]
        read: list[int] = []
        for logical in asked:
            index = logical
            for start in starts:  # from the leaf up, to one that is known to be right
                index //= size // HASH_BYTES
                if start + index in self._tags:
                    break
                self._tags.add(start + index)
                extent = self._inode.tree.find(start + index)
                assert extent is not None, "a tree that was checked"
                read.append(extent.physical + start + index - extent.logical)
        self._have.update(asked)
        hashed = len(asked) + len(read)
        return ReadCost(len(asked), 0, tuple(read), AFTER, hashed, hashed * size)
