"""
Files of one image held against their tags as who reads all of them does: which blocks he would be refused.

Other blocks are not looked at: metadata, the journal, free ones, for which a table has entries too.
"""

from __future__ import annotations

from functools import cache

from sim.errors import ImageError
from sim.ext4.read.reader import Image, Inode
from sim.integrity.extents import runs_of
from sim.integrity.plan import Plan
from sim.integrity.tables import Geometry
from sim.integrity.tagger import Tagger
from sim.integrity.units import ListUnits, TableUnits

Blocks = tuple[int, int]
"""Blocks of a file: the first, how many."""


class WholeFiles:
    """shape: of the table that the image has, None for lists."""

    def __init__(self, image: Image, plan: Plan, tagger: Tagger, shape: Geometry | None) -> None:
        self._image = image
        self._plan = plan
        self._tagger = tagger
        self._shape = shape
        self._table: TableUnits | None = None
        if shape is not None:
            stored = cache(lambda block: bytes(image.read_block(block)))
            self._table = TableUnits(image, plan, tagger, shape, stored)
            self._is_row_good = cache(self._table.is_row_good)

    def refused(self, inode: Inode) -> list[Blocks]:
        """
        Return what of a file is refused: blocks that do not have their tags, whole runs where a run has one,
        and all whose tags cannot be read. Nothing of the table, which is a file, too.
        """
        if self._shape is not None and inode.number == self._plan.table_inode:
            return []
        end = -(-inode.size_bytes // self._image.block_size)
        found = self._by_table(inode) if self._table is not None else self._by_list(inode)
        return [(first, min(count, end - first)) for first, count in found if first < end]

    def _by_table(self, inode: Inode) -> list[Blocks]:
        table, shape, found = self._table, self._shape, list[Blocks]()
        assert table is not None
        assert shape is not None
        for logical, physical, blocks in runs_of(inode, 0):
            done = 0
            while done < blocks:
                entry = shape.entry_of(physical + done)
                assert entry is not None, "a file's block has an entry"
                row, at = entry
                count = min(shape.per_block - at, blocks - done)
                bad = list(range(count))
                if self._is_row_good(shape.own[row]):
                    stored = self._stored(physical + done, count)
                    rank, owner = row * shape.per_block + at, (inode.number, logical + done)
                    bad = table.bad(physical + done, rank, count, stored, owner)
                found += [(logical + done + index, 1) for index in bad]
                done += count
        return found

    def _by_list(self, inode: Inode) -> list[Blocks]:
        try:
            units = ListUnits(self._plan, self._tagger, inode)
        except ImageError:
            return [(0, -(-inode.size_bytes // self._image.block_size))]
        places = {
            logical + at: physical + at
            for logical, physical, blocks in runs_of(inode, 0)
            for at in range(blocks)
        }
        found: list[Blocks] = []
        for run in units.runs:
            lie = [places.pop(block, -1) for block in range(run.logical, run.logical + run.blocks)]
            stored = b"".join(self._stored(block, 1) for block in lie if block >= 0)
            if -1 in lie or not units.is_good(run.logical, run.blocks, stored):
                found.append((run.logical, run.blocks))
        return found + [(at, 1) for at in sorted(places)]

    def _stored(self, physical: int, blocks: int) -> bytes:
        size = self._image.block_size
        return bytes(self._image.store.read(physical * size, blocks * size))
