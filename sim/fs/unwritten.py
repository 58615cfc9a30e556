"""
Writing into an unwritten extent: it is split, converted, given to a neighbour or filled with zeros
(ext4_ext_handle_unwritten_extents() and ext4_ext_convert_to_initialized(), fs/ext4/extents.c of Linux 6.1).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.block.bio import Plug
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.ext4.format.extents import Extent
from sim.fs.es_tree import ES_WRITTEN
from sim.fs.ext4_super import Ext4Super
from sim.fs.live_inode import LiveInode
from sim.fs.live_tree import Path
from sim.fs.map_flags import CONVERT, PRE_IO, UNWRITTEN, MappedBlocks
from sim.fs.tree_edit import TreeEditor
from sim.units import KIB

MAX_ZEROOUT_BYTES: Final = 32 * KIB
"""s_extent_max_zeroout_kb: unwritten blocks up to so many are rather written with zeros than split."""


class Zeroout:
    """Writes zeros over blocks (ext4_issue_zeroout())."""

    def zero(
        self, task: Task, inode: LiveInode, lblk: int, block: int, count: int, plug: Plug
    ) -> Generator[Any, Any, None]:
        """Write zeros over `count` blocks of a file from `lblk` on, which lie at `block`; wait."""
        raise NotImplementedError


class UnwrittenExtents:
    """Writes into the unwritten extents of one file system's files."""

    def __init__(self, ledger: Ledger, sb: Ext4Super, trees: TreeEditor, zeroout: Zeroout) -> None:
        self._sb = sb
        self._trees = trees
        self._zeroout = zeroout
        walk = "ext4_map_blocks;ext4_ext_map_blocks"
        insert = "ext4_es_insert_extent"
        self._s_pre_io = ledger.site(TASK, walk, "ext4_split_convert_extents")
        self._s_zeroout = ledger.site(TASK, walk, "ext4_issue_zeroout")
        self._s_zeroed = ledger.site(
            TASK, walk, f"{insert} {insert};__es_remove_extent {insert};__es_insert_extent"
        )
        self._s_again = ledger.site(
            TASK, f"{walk};ext4_find_extent;ext4_cache_extents;ext4_es_cache_extent", "__es_insert_extent"
        )

    def handle(
        self,
        task: Task,
        inode: LiveInode,
        path: Path,
        extent: Extent,
        lblk: int,
        want: int,
        flags: int,
        plug: Plug,
    ) -> Generator[Any, Any, MappedBlocks]:
        """ext4_ext_handle_unwritten_extents()."""
        offset = lblk - extent.logical
        length = min(extent.length - offset, want)
        physical = extent.physical + offset
        if flags & CONVERT and not flags & PRE_IO:
            yield from self._trees.convert(task, inode, lblk, length, path, plug)
            self._sb.note_sync(task, inode, data=True)
            return MappedBlocks(physical, length, False, False)
        if flags & PRE_IO:
            task.ps += self._s_pre_io.charge(1)
            yield from self._trees.split(task, inode, path, lblk, length, True, True, plug)
            return MappedBlocks(physical, length, True, False)
        if flags & UNWRITTEN:
            return MappedBlocks(physical, length, True, False)
        allocated = yield from self._initialize(task, inode, path, extent, lblk, length, plug)
        self._sb.note_sync(task, inode, data=True)
        return MappedBlocks(physical, min(allocated, want), False, True)

    def _initialize(
        self, task: Task, inode: LiveInode, path: Path, extent: Extent, lblk: int, length: int, plug: Plug
    ) -> Generator[Any, Any, int]:
        """ext4_ext_convert_to_initialized(): return how many blocks from `lblk` on are written now."""
        leaf, at = path.leaf, path.at[-1]
        end = extent.logical + extent.length
        if length < extent.length:
            if lblk == extent.logical and at and self._give_left(path, lblk, length):
                self._trees.access(task, leaf)
                self._trees.dirty(task, inode, leaf)
                return length
            if lblk + length == end and at + 1 < len(leaf.keys) and self._give_right(path, length):
                self._trees.access(task, leaf)
                self._trees.dirty(task, inode, leaf)
                return length
        allocated = extent.length - (lblk - extent.logical)
        size = self._sb.block_size
        eof = max(-(-inode.disksize // size), lblk + length)
        most = MAX_ZEROOUT_BYTES // size if end <= eof else 0
        first, many, given = lblk, length, allocated
        zeroed: list[tuple[int, int]] = []
        if most and allocated > many:
            if allocated <= most:
                zeroed.append((lblk + length, allocated - length))
                many = allocated
            if first - extent.logical + many < most:
                if first != extent.logical:
                    zeroed.append((extent.logical, first - extent.logical))
                many += first - extent.logical
                first, given = extent.logical, length
        for start, count in zeroed:
            task.ps += self._s_zeroout.charge(1)
            place = extent.physical + start - extent.logical
            yield from self._zeroout.zero(task, inode, start, place, count, plug)
        path = inode.tree.find(lblk)
        yield from self._trees.split(task, inode, path, first, many, False, False, plug)
        for start, count in zeroed:
            task.ps += self._s_zeroed.charge(1)
            if inode.es.insert(start, count, ES_WRITTEN, extent.physical + start - extent.logical):
                task.ps += self._s_again.charge(1)
        return given

    def _give_left(self, path: Path, lblk: int, length: int) -> bool:
        """Let the written extent on the left take the first blocks of an unwritten one, if it may."""
        leaf, at = path.leaf, path.at[-1]
        left = at - 1
        if leaf.unwritten[left] or not leaf.continues(left, Extent(lblk, leaf.physical[at], length, False)):
            return False
        leaf.length[left] += length
        leaf.keys[at] += length
        leaf.physical[at] += length
        leaf.length[at] -= length
        return True

    def _give_right(self, path: Path, length: int) -> bool:
        """Let the written extent on the right take the last blocks of an unwritten one, if it may."""
        leaf, at = path.leaf, path.at[-1]
        right, kept = at + 1, leaf.length[at] - length
        taken = Extent(leaf.keys[at] + kept, leaf.physical[at] + kept, length, False)
        if leaf.unwritten[right] or not leaf.precedes(right, taken):
            return False
        leaf.keys[right], leaf.physical[right] = taken.logical, taken.physical
        leaf.length[right] += length
        leaf.length[at] = kept
        return True
