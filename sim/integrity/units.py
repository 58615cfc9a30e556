"""
Units of one image held against their tags one by one, as who reads them does: blocks by a table, runs by the
list of their file. What was read of tags and found right is kept.

store: the bytes as the reader has them, of the device or what lies over it.
"""

from __future__ import annotations

from sim.errors import ImageError
from sim.ext4.read.reader import Image, Inode
from sim.ext4.store import ByteStore
from sim.integrity.extents import TAGS_KEY, decode, list_place, run_place
from sim.integrity.pieces import joined
from sim.integrity.plan import Plan
from sim.integrity.tables import Geometry, own_place
from sim.integrity.tagger import Tagger


class TableUnits:
    """Blocks of an image that has a table."""

    def __init__(self, image: Image, plan: Plan, tagger: Tagger, shape: Geometry, store: ByteStore) -> None:
        self._size = image.block_size
        self._place = image.name
        self._tag_bytes = plan.tag_bytes
        self._tagger = tagger
        self._shape = shape
        self._store = store
        self._rows: dict[int, list[bytes]] = {}

    def bad(self, physical: int, rank: int, blocks: int) -> list[int]:
        """
        Return which of `blocks` blocks from `physical` on do not have their tags, counted from 0.

        rank: number of the first one's entry. Raises ImageError for a block of the table that is wrong.
        """
        size, per_block = self._size, self._shape.per_block
        tags: list[bytes] = []
        for row in range(rank // per_block, (rank + blocks - 1) // per_block + 1):
            first, stop = max(rank, row * per_block), min(rank + blocks, (row + 1) * per_block)
            entries = self._rows.get(row) or self._read(row)
            tags += entries[first - row * per_block : stop - row * per_block]
        stored = bytes(self._store.read(physical * size, blocks * size))
        found = self._tagger.blocks_again(physical, stored, size, tags)
        if found == tags:
            return []
        return [index for index in range(blocks) if found[index] != tags[index]]

    def _read(self, row: int) -> list[bytes]:
        """Return the entries of a block of the table, which has its own tag."""
        size = self._size
        raw = bytes(self._store.read(self._shape.own[row] * size, size))
        body, own = raw[: -self._tag_bytes], raw[-self._tag_bytes :]
        if self._tagger.of_tags_again(own_place(self._tagger, row), body, own) != own:
            raise ImageError(self._place, f"block {row} of the table does not have its own tag", "the table")
        length = self._tag_bytes
        entries = [raw[at : at + length] for at in range(0, self._shape.per_block * length, length)]
        self._rows[row] = entries
        return entries


class ListUnits:
    """Runs of a file that has a list."""

    def __init__(self, image: Image, plan: Plan, tagger: Tagger, inode: Inode, store: ByteStore) -> None:
        """Raises ImageError for a list that is wrong."""
        self._size = image.block_size
        self._tagger = tagger
        self._inode = inode
        self._store = store
        self.runs, own = decode(inode, plan)
        self.list_bytes = len(joined(inode.xattrs, TAGS_KEY))
        body = joined(inode.xattrs, TAGS_KEY)[: -plan.tag_bytes]
        if tagger.of_tags_again(list_place(tagger, inode), body, own) != own:
            raise ImageError(inode.place, "the list of tags does not have its own tag", "the list")
        self._by_start = {run.logical: run for run in self.runs}

    def is_good(self, logical: int) -> bool:
        """Return whether the run that begins with a block has its tag."""
        run = self._by_start[logical]
        extent = self._inode.tree.find(logical)
        if extent is None or extent.unwritten:
            return False
        first = extent.physical + logical - extent.logical
        stored = bytes(self._store.read(first * self._size, run.blocks * self._size))
        place = run_place(self._tagger, self._inode, logical, run.blocks, first)
        return self._tagger.again(place, stored, run.tag) == run.tag
