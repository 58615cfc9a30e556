"""
Mapping blocks to write them: ext4_map_blocks() with its flags, and the delayed way of write(2)
(fs/ext4/inode.c, extents.c of Linux 6.1).

The status tree is asked first, then the extent tree, then blocks are allocated, or an unwritten extent is
split, converted or filled with zeros. Left out: files with a block map, bigalloc, inline data.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.block.bio import Plug
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, Site
from sim.ext4.format.extents import Extent
from sim.fs.es_tree import ES_DELAYED, ES_HOLE, ES_UNWRITTEN, ES_WRITTEN
from sim.fs.ext4_super import Ext4Super
from sim.fs.jbd2.handle import WAITS, WRITES
from sim.fs.live_inode import BH_DELAY, BH_MAPPED, BH_NEW, BH_UNWRITTEN, LiveInode
from sim.fs.live_tree import END, Path
from sim.fs.map_flags import (
    CREATE,
    DELALLOC_RESERVED,
    IO_SUBMIT,
    NO_NORMALIZE,
    PRE_IO,
    UNWRITTEN,
    MappedBlocks,
)
from sim.fs.mballoc.allocator import NoSpaceError
from sim.fs.reflink import Reflink
from sim.fs.tree_edit import TreeEditor
from sim.fs.unwritten import UnwrittenExtents, Zeroout

SLEEPS: Final = -1
"""The answer of da_get_block() when the tree has to be asked."""


class WriteMapper:
    """Maps blocks for writing, for all inodes of one file system."""

    def __init__(self, ledger: Ledger, sb: Ext4Super, trees: TreeEditor, zeroout: Zeroout) -> None:
        self._sb = sb
        self.trees = trees
        self.reflink: Reflink | None = None
        self._unwritten = UnwrittenExtents(ledger, sb, trees, zeroout)
        self._s_map = ledger.site(TASK, "", "ext4_map_blocks")
        self._s_lookup = ledger.site(
            TASK, "ext4_map_blocks", "ext4_es_lookup_extent", unit="ext4_es_lookup_extent"
        )
        self._s_walk = ledger.site(TASK, "ext4_map_blocks", "ext4_ext_map_blocks")
        remove = "ext4_es_insert_extent"
        self._s_insert = ledger.site(
            TASK,
            "ext4_map_blocks",
            f"ext4_es_insert_extent {remove};__es_remove_extent {remove};__es_insert_extent",
        )
        walk = "ext4_map_blocks;ext4_ext_map_blocks"
        self._s_gap = ledger.site(
            TASK, walk, "ext4_es_find_extent_range ext4_es_find_extent_range;__es_find_extent_range"
        )
        self._s_next = ledger.site(TASK, walk, "ext4_ext_next_allocated_block")
        self._s_search = ledger.site(TASK, walk, "ext4_ext_search_right")
        self._s_cache = ledger.site(
            TASK, f"{walk};ext4_find_extent;ext4_cache_extents", "ext4_es_cache_extent"
        )
        self._s_cached = ledger.site(
            TASK, f"{walk};ext4_find_extent;ext4_cache_extents;ext4_es_cache_extent", "__es_insert_extent"
        )
        self._s_scan = ledger.site(
            TASK, "ext4_map_blocks", "ext4_es_scan_range ext4_es_scan_range;__es_find_extent_range"
        )
        self._s_track = ledger.site(TASK, "ext4_map_blocks", "ext4_fc_track_range")
        self._s_da = ledger.site(TASK, "", "ext4_da_get_block_prep")
        da = "ext4_da_get_block_prep"
        self._s_da_lookup = ledger.site(TASK, da, "ext4_es_lookup_extent", unit="ext4_es_lookup_extent")
        delayed = f"{da};ext4_es_insert_delayed_block"
        self._s_reserve = ledger.site(
            TASK,
            da,
            "ext4_da_reserve_space ext4_es_insert_delayed_block"
            f" /{delayed};__es_remove_extent /{delayed};__es_insert_extent",
        )

    # -- write(2), delayed -----------------------------------------------------------------------------

    def da_get_block(self, task: Task, inode: LiveInode, lblk: int) -> int:
        """
        ext4_da_get_block_prep(): return the buffer head's new state and note its place.

        SLEEPS: it has to be asked of da_walk(); nothing is charged then.
        """
        entry = inode.es.lookup(lblk)
        if entry is None or (entry.status == ES_HOLE and inode.data_sem.writer is not None):
            return SLEEPS
        levels = inode.es.levels
        task.ps += self._s_da.charge(1) + self._s_da_lookup.charge_units(1, levels)
        if entry.status == ES_HOLE:
            task.ps += self._s_da_lookup.charge_units(1, levels)
            self._reserve(task, inode, lblk)
            return BH_MAPPED | BH_NEW | BH_DELAY
        if entry.status == ES_DELAYED:
            return BH_MAPPED | BH_NEW | BH_DELAY
        inode.place[lblk] = entry.physical + lblk - entry.start
        if entry.status == ES_UNWRITTEN:
            return BH_MAPPED | BH_NEW | BH_UNWRITTEN
        return BH_MAPPED | self._to_copy(task, inode, lblk)

    def da_walk(self, task: Task, inode: LiveInode, lblk: int, plug: Plug) -> Generator[Any, Any, int]:
        """The same where nothing is known of the block, or i_data_sem is to be waited for."""
        yield from self._sb.locks.down_read(task, inode.data_sem, plug)
        got = self.da_get_block(task, inode, lblk)
        if got == SLEEPS:
            got = yield from self._da_walk(task, inode, lblk, plug)
        inode.data_sem.up_read()
        return got

    def _da_walk(self, task: Task, inode: LiveInode, lblk: int, plug: Plug) -> Generator[Any, Any, int]:
        """Walk the tree for a block of which nothing is known."""
        levels = inode.es.levels
        task.ps += self._s_da.charge(1) + self._s_da_lookup.charge_units(1, levels)
        found = yield from self._look_up(task, inode, lblk, 1, plug)
        if not found.length:
            task.ps += self._s_da_lookup.charge_units(1, levels)
            self._reserve(task, inode, lblk)
            return BH_MAPPED | BH_NEW | BH_DELAY
        status = ES_UNWRITTEN if found.unwritten else ES_WRITTEN
        self._know(task, inode, lblk, 1, status, found.physical)
        inode.place[lblk] = found.physical
        if found.unwritten:
            return BH_MAPPED | BH_NEW | BH_UNWRITTEN
        return BH_MAPPED | self._to_copy(task, inode, lblk)

    def _to_copy(self, task: Task, inode: LiveInode, lblk: int) -> int:
        """Return BH_COW for a block that other files have, too."""
        if self.reflink is None or not inode.shares:
            return 0
        return self.reflink.promise(task, inode, inode.place[lblk])

    def da_reserve(self, task: Task, inode: LiveInode, lblk: int, blocks: int) -> None:
        """Promise a run of a hole at once, as ext4 would for iomap (no kernel of 6.1 does)."""
        task.ps += self._s_reserve.charge(1)
        if self.promised(inode, lblk, blocks):
            task.ps += self._s_cached.charge(1)

    def _reserve(self, task: Task, inode: LiveInode, lblk: int) -> None:
        """ext4_insert_delayed_block()."""
        task.ps += self._s_reserve.charge(1)
        if self.promised(inode, lblk, 1):
            task.ps += self._s_cached.charge(1)

    def promised(self, inode: LiveInode, lblk: int, blocks: int) -> bool:
        """Promise blocks, nothing charged; tell whether what was known of them fell in two."""
        if not self.trees.allocator.promise(blocks):
            raise NoSpaceError
        inode.reserved += blocks
        return inode.es.insert(lblk, blocks, ES_DELAYED, 0)

    def sites_of_da_get_block(self) -> list[Site]:
        """Return all that da_get_block() may charge."""
        return [self._s_da, self._s_da_lookup, self._s_reserve, self._s_cached]

    def sites_of_known_blocks(self) -> list[Site]:
        """Return all that map_blocks() may charge for blocks that the extent status tree has as written."""
        return [self._s_map, self._s_lookup]

    # -- ext4_map_blocks() -----------------------------------------------------------------------------

    def map_blocks(
        self, task: Task, inode: LiveInode, lblk: int, want: int, flags: int, plug: Plug
    ) -> Generator[Any, Any, MappedBlocks]:
        """ext4_map_blocks(): up to `want` blocks from `lblk` on, as `flags` say."""
        task.ps += self._s_map.charge(1) + self._s_lookup.charge_units(1, inode.es.levels)
        entry = inode.es.lookup(lblk)
        if entry is not None:
            length = min(entry.start + entry.length - lblk, want)
            if entry.status <= ES_UNWRITTEN:
                found = MappedBlocks(
                    entry.physical + lblk - entry.start, length, entry.status == ES_UNWRITTEN, False
                )
            else:
                found = MappedBlocks(0, 0, False, False)
        else:
            yield from self._sb.locks.down_read(task, inode.data_sem, plug)
            found = yield from self._look_up(task, inode, lblk, want, plug)
            if found.length:
                status = ES_UNWRITTEN if found.unwritten else ES_WRITTEN
                if found.unwritten and not flags & DELALLOC_RESERVED:
                    task.ps += self._s_scan.charge(1)
                self._know(task, inode, lblk, found.length, status, found.physical)
            inode.data_sem.up_read()
        if not flags & CREATE:
            return found
        if found.length and not found.unwritten:
            if self.reflink is not None and inode.shares:
                found = yield from self._under_lock(
                    task, inode, self._copy(task, inode, lblk, found, flags, plug), plug
                )
            return found
        return (
            yield from self._under_lock(task, inode, self._create(task, inode, lblk, want, flags, plug), plug)
        )

    def _under_lock(
        self, task: Task, inode: LiveInode, change: Generator[Any, Any, MappedBlocks], plug: Plug
    ) -> Generator[Any, Any, MappedBlocks]:
        """Change where blocks are, with i_data_sem held to write; who finds no room lets it go, too."""
        yield from self._sb.locks.down_write(task, inode.data_sem, plug)
        try:
            found = yield from change
        except NoSpaceError:
            inode.data_sem.up_write()
            raise
        inode.data_sem.up_write()
        return found

    def _copy(
        self, task: Task, inode: LiveInode, lblk: int, found: MappedBlocks, flags: int, plug: Plug
    ) -> Generator[Any, Any, MappedBlocks]:
        """Blocks are written that other files may have, too: see sim.fs.reflink."""
        assert self.reflink is not None
        path = yield from self._walk(task, inode, lblk, plug)
        promised = bool(flags & DELALLOC_RESERVED)
        found = yield from self.reflink.copy(task, inode, path, lblk, found, promised, plug)
        if found.new:
            inode.changed = True
            self._know(task, inode, lblk, found.length, ES_WRITTEN, found.physical)
            if self._sb.journal is not None:
                self._sb.journal.file_inode(task, inode.number, WAITS)
        return found

    def _know(self, task: Task, inode: LiveInode, lblk: int, length: int, status: int, physical: int) -> None:
        """ext4_es_insert_extent()."""
        task.ps += self._s_insert.charge(1)
        if inode.es.insert(lblk, length, status, physical):
            task.ps += self._s_cached.charge(1)

    def _create(
        self, task: Task, inode: LiveInode, lblk: int, want: int, flags: int, plug: Plug
    ) -> Generator[Any, Any, MappedBlocks]:
        """The second half of ext4_map_blocks(): under i_data_sem, something is changed."""
        task.ps += self._s_walk.charge(1)
        path = yield from self._walk(task, inode, lblk, plug)
        extent = _at(path, lblk)
        if extent is not None and not extent.unwritten:
            offset = lblk - extent.logical
            found = MappedBlocks(extent.physical + offset, min(extent.length - offset, want), False, False)
        elif extent is not None:
            found = yield from self._unwritten.handle(task, inode, path, extent, lblk, want, flags, plug)
        else:
            found = yield from self._allocate(task, inode, path, lblk, want, flags, plug)
        inode.changed = True  # now: whoever has looked while something was waited for looks again
        known = True
        if flags & PRE_IO:
            task.ps += self._s_lookup.charge_units(1, inode.es.levels)
            entry = inode.es.lookup(lblk)
            known = entry is None or entry.status != ES_WRITTEN
        if known:
            status = ES_UNWRITTEN if found.unwritten else ES_WRITTEN
            if found.unwritten and not flags & DELALLOC_RESERVED:
                task.ps += self._s_scan.charge(1)
            self._know(task, inode, lblk, found.length, status, found.physical)
        if found.new and not found.unwritten and self._sb.journal is not None and self._ordered(inode):
            what = WAITS if flags & IO_SUBMIT else WRITES
            self._sb.journal.file_inode(task, inode.number, what)
        task.ps += self._s_track.charge(1)
        return found

    def _ordered(self, inode: LiveInode) -> bool:
        """ext4_should_order_data(): encrypted files are, too, where data is journalled; directories never."""
        data = self._sb.options.data
        if not inode.regular:
            return False
        return data == "ordered" or (data == "journal" and not inode.journalled)

    def _look_up(
        self, task: Task, inode: LiveInode, lblk: int, want: int, plug: Plug
    ) -> Generator[Any, Any, MappedBlocks]:
        """ext4_ext_map_blocks() without CREATE: of a hole it remembers how far it goes."""
        task.ps += self._s_walk.charge(1)
        path = yield from self._walk(task, inode, lblk, plug)
        extent = _at(path, lblk)
        if extent is not None:
            offset = lblk - extent.logical
            return MappedBlocks(
                extent.physical + offset, min(extent.length - offset, want), extent.unwritten, False
            )
        leaf, at = path.leaf, path.at[-1]
        if at < 0:
            start, end = 0, END
        elif lblk < leaf.keys[at]:
            start, end = lblk, leaf.keys[at]
        else:
            task.ps += self._s_next.charge(1)
            start, end = leaf.keys[at] + leaf.length[at], path.next_allocated()
        task.ps += self._s_gap.charge(1)
        delayed = inode.es.delayed_from(start, end)
        if delayed is not None:
            if delayed.start <= lblk < delayed.start + delayed.length:
                return MappedBlocks(0, 0, False, False)
            if delayed.start > lblk:
                end = delayed.start
            else:
                start = lblk
        self._know(task, inode, start, end - start, ES_HOLE, 0)
        return MappedBlocks(0, 0, False, False)

    def _walk(self, task: Task, inode: LiveInode, lblk: int, plug: Plug) -> Generator[Any, Any, Path]:
        """ext4_find_extent(), reading what is not in memory."""
        path = inode.tree.find(lblk)
        self.trees.charge_walk(task, len(path.nodes) - 1)
        for node in path.nodes[1:]:
            if not self._sb.buffers.holds(node.block):
                yield from self._sb.buffers.read(task, node.block, plug)
        for node in path.nodes[1:]:
            self.trees.look_at(task, inode, node)
        if len(path.nodes) == 1:
            self.trees.cache(task, inode, path.leaf)
        return path

    # -- allocation ------------------------------------------------------------------------------------

    def _allocate(
        self, task: Task, inode: LiveInode, path: Path, lblk: int, want: int, flags: int, plug: Plug
    ) -> Generator[Any, Any, MappedBlocks]:
        """ext4_ext_map_blocks() in a hole: blocks for it, and their extent."""
        task.ps += self._s_search.charge(1)
        right = path.chain_right()
        if right:
            self.trees.charge_nodes(task, len(right))
            for node in right:
                if not self._sb.buffers.holds(node.block):
                    yield from self._sb.buffers.read(task, node.block, plug)
                self.trees.look_at(task, inode, node)
        leaf, at = path.leaf, path.at[-1]
        limit = END
        if at >= 0:
            if leaf.keys[at] < lblk:
                task.ps += self._s_next.charge(1)
                limit = path.next_allocated()
            else:
                limit = leaf.keys[at]
        want = min(want, limit - lblk, 32_767 if flags & UNWRITTEN else 32_768)
        reserved = bool(flags & DELALLOC_RESERVED)
        block, length = yield from self.trees.allocator.new_blocks(
            task, inode, path, lblk, want, reserved, plug, not flags & NO_NORMALIZE
        )
        path = inode.tree.find(lblk) if path.nodes[0] is inode.tree.root else path
        unwritten = bool(flags & UNWRITTEN)
        extent = Extent(lblk, block, length, unwritten)
        yield from self.trees.insert(task, inode, path, extent, bool(flags & PRE_IO), plug)
        if reserved:
            yield from self.trees.allocator.claimed(task, inode, length)
        self._sb.note_sync(task, inode, data=not unwritten)
        return MappedBlocks(block, length, unwritten, True)


def _at(path: Path, lblk: int) -> Extent | None:
    """Return the extent at the end of a path if it has a block."""
    leaf, at = path.leaf, path.at[-1]
    if at >= 0 and leaf.keys[at] <= lblk < leaf.keys[at] + leaf.length[at]:
        return leaf.extent(at)
    return None
