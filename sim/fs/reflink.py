"""
Blocks that several files have, on a volume that is written: copy on write, and what becomes of the counts.

No ext4 has this; it is what ext4 would need for what XFS does (FICLONE), on the calls that ext4 has. A
delayed write of a shared block promises one more block; write-back allocates it, cuts the extent where the
copy begins and ends, lets that piece lie elsewhere, and takes one file from the old block's count, all in one
handle. With data=ordered the commit waits for the data, so nothing points to a block that was not written.
The counts are a file's blocks (sim.ext4.format.refcounts), journalled as metadata, in memory from the mount
on; one lock is held while they are asked and changed.

Left out: room set aside around a copy (XFS: 32 blocks), reclaim of the counts' blocks, what XFS does instead
of ordering, a fork with copies until their data is there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

from sim.block.bio import Plug
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.errors import ReadpathError
from sim.ext4.format.extents import Extent
from sim.fs.ext4_super import META_TRANS_BLOCKS, Ext4Super
from sim.fs.live_inode import BH_COW, BH_MAPPED, LiveInode
from sim.fs.live_tree import Path
from sim.fs.map_flags import CREATE, NO_NORMALIZE, MappedBlocks
from sim.fs.mballoc.allocator import NoSpaceError
from sim.fs.refcounts import NO_BLOCK, Leaf, RefCounts
from sim.fs.tree_edit import TreeEditor
from sim.units import PAGE_BYTES

MapBlocks = Callable[[Task, LiveInode, int, int, int, Plug], Generator[Any, Any, MappedBlocks]]
"""ext4_map_blocks()."""

LOOKUP: Final = "ext4_refcount_lookup"
ADJUST: Final = "ext4_refcount_adjust"
COPY: Final = "ext4_cow_map_blocks"
CLONE: Final = "ext4_clone_file_range"
SHARE: Final = "ext4_clone_extent"
UNMAP: Final = "ext4_clone_unmap_folio"
"""What a kernel would have to have; costs: sim/profiles/machines/unmeasured.toml."""
_UNMAPPED: Final = bytes(state & ~BH_MAPPED & 0xFF for state in range(256))
_SPLITS: Final = 3
"""Extents that one copy makes of one, for which a handle has credits."""
_NEW_LEAVES: Final = 2
_LEAF_CREDITS: Final = 4
"""A leaf that is new: itself, bitmap, descriptor, and a level of the file's tree."""


class Reflink:
    """
    The shared blocks of one mounted volume. inode: of the file of counts, not one that jobs write.
    map_blocks: by which that file grows. copied_blocks: so many were written elsewhere so far.
    """

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        sb: Ext4Super,
        trees: TreeEditor,
        counts: RefCounts,
        inode: LiveInode,
        map_blocks: MapBlocks,
    ) -> None:
        self.counts = counts
        self.copied_blocks = 0
        self._clock = clock
        self._sb = sb
        self._trees = trees
        self._inode = inode
        self._map_blocks = map_blocks
        self._waiting: list[Any] | None = None
        da = "ext4_da_get_block_prep"
        self._s_asked = ledger.site(TASK, da, LOOKUP)
        self._s_promise = ledger.site(TASK, da, "ext4_da_reserve_space")
        self._s_copy = ledger.site(TASK, "ext4_map_blocks", COPY)
        self._s_lookup = ledger.site(TASK, f"ext4_map_blocks;{COPY}", LOOKUP)
        self._s_free_lookup = ledger.site(TASK, "ext4_free_blocks", LOOKUP)
        self._s_clone = ledger.site(TASK, "", f"entry_SYSCALL_64 {CLONE}")
        self._s_share = ledger.site(TASK, CLONE, SHARE)
        self._s_unmap = ledger.site(TASK, CLONE, UNMAP)
        self._s_adjust = ledger.site(TASK, "", ADJUST, unit=ADJUST)

    def noted(self, inode: LiveInode) -> None:
        """An inode is in memory: whether it shares blocks is known from now on (XFS: a flag of the inode)."""
        for extent in inode.tree.extents():
            shared, length = self.counts.run(extent.physical, extent.length)
            if shared or length < extent.length:
                inode.shares = True
                return

    # -- write(2) --------------------------------------------------------------------------------------

    def promise(self, task: Task, inode: LiveInode, physical: int) -> int:
        """
        Ask, in a delayed write, whether a block is shared; promise one in its place.

        Returns BH_COW, or 0 where it is written in place.
        """
        task.ps += self._s_asked.charge(1)
        if not self.counts.run(physical, 1)[0]:
            return 0
        task.ps += self._s_promise.charge(1)
        if not self._trees.allocator.promise(1):
            raise NoSpaceError
        inode.reserved += 1
        return BH_COW

    # -- write-back ------------------------------------------------------------------------------------

    def copy(
        self,
        task: Task,
        inode: LiveInode,
        path: Path,
        lblk: int,
        found: MappedBlocks,
        promised: bool,
        plug: Plug,
    ) -> Generator[Any, Any, MappedBlocks]:
        """
        Return where blocks from `lblk` on are written that lie where `found` says: there, or elsewhere.

        What is copied is written, never unwritten until its data is there (dioread_nolock): the commit waits
        for that. path: to `lblk`. promised: room for copies is. Raises ReadpathError for a copy without,
        where few blocks are free and nothing is delayed.
        """
        task.ps += self._s_copy.charge(1)
        yield from self._sb.ensure_credits(task, self.credits(found.physical, found.length))
        yield from self._lock(task)
        try:
            task.ps += self._s_lookup.charge(1)
            shared, length = self.counts.run(found.physical, found.length)
            if not shared:
                if promised:
                    inode.reserved -= length
                    self._trees.allocator.take_back(length)
                return MappedBlocks(found.physical, length, False, False)
            if not promised:
                problem = "too few blocks are free to write shared ones elsewhere"
                raise ReadpathError("volume", problem, "a larger volume, or less to write")
            return (yield from self._copy(task, inode, path, lblk, found.physical, length, plug))
        finally:
            self._unlock()

    def _copy(
        self, task: Task, inode: LiveInode, path: Path, lblk: int, old: int, length: int, plug: Plug
    ) -> Generator[Any, Any, MappedBlocks]:
        allocator = self._trees.allocator
        block, got = yield from allocator.new_blocks(task, inode, path, lblk, length, True, plug, False)
        yield from self._trees.replace(task, inode, lblk, got, block, plug)
        yield from self._adjust(task, old, got, -1)
        inode.taken -= got
        yield from allocator.claimed(task, inode, got)
        self._sb.note_sync(task, inode, data=True)
        self.copied_blocks += got
        return MappedBlocks(block, got, False, True)

    # -- FICLONE ---------------------------------------------------------------------------------------

    def clone(self, task: Task, source: LiveInode, target: LiveInode) -> Generator[Any, Any, None]:
        """
        Let an empty file have all written extents of another, nothing of which is dirty or under way.

        An extent is shared in a handle of its own, as XFS does it, and the size grows with it; the last
        handle sets it. Where the source's cached blocks lie is forgotten: the next write of one asks again.
        """
        sb, size = self._sb, self._sb.block_size
        task.ps += self._s_clone.charge(1)
        source.shares = target.shares = True
        self._unmap(task, source)
        target.reach(-(-source.size // PAGE_BYTES), sb.per_page)
        written = [extent for extent in source.tree.extents() if not extent.unwritten]
        for extent in written:
            yield from sb.start(task, self.credits(extent.physical, extent.length))
            yield from self._share(task, target, extent)
            self._set_size(task, target, min((extent.logical + extent.length) * size, source.size))
            sb.stop(task)
        yield from sb.start(task, META_TRANS_BLOCKS)
        self._set_size(task, target, source.size)
        sb.stop(task)
        target.changed = True
        yield from task.settle()

    def _share(self, task: Task, target: LiveInode, extent: Extent) -> Generator[Any, Any, None]:
        yield from self._lock(task)
        task.ps += self._s_share.charge(1)
        path = self._trees.find(task, target, extent.logical)
        yield from self._trees.insert(task, target, path, extent, False, Plug(holds=False))
        yield from self._adjust(task, extent.physical, extent.length, 1)
        target.taken += extent.length
        self._unlock()

    def _set_size(self, task: Task, inode: LiveInode, size_bytes: int) -> None:
        inode.size = inode.disksize = size_bytes
        self._sb.mark_inode_dirty(task, inode)
        self._sb.note_sync(task, inode, data=True)

    def _unmap(self, task: Task, inode: LiveInode) -> None:
        """Forget where cached blocks lie, of pages that have buffer heads."""
        buffered = inode.mapping.buffered
        if buffered is not None:
            task.ps += self._s_unmap.charge(buffered.count(1))
        inode.state = bytearray(inode.state.translate(_UNMAPPED))

    # -- unlink(2) -------------------------------------------------------------------------------------

    def free(self, task: Task, inode: LiveInode, block: int, count: int) -> Generator[Any, Any, None]:
        """Take blocks from a file: what others have too stays, the rest is free."""
        yield from self._lock(task)
        at, end = block, block + count
        while at < end:
            task.ps += self._s_free_lookup.charge(1)
            shared, length = self.counts.run(at, end - at)
            if shared:
                yield from self._adjust(task, at, length, -1)
                inode.taken -= length
                yield from self._sb.mark_dirty_sync(task, inode)
            else:
                yield from self._trees.allocator.free_data(task, inode, at, length)
            at += length
        self._unlock()

    # -- the counts ------------------------------------------------------------------------------------

    def credits(self, block: int, length: int) -> int:
        """Return what a handle needs that changes the counts of blocks, and the tree of their file."""
        tree = _SPLITS * self._sb.extent_credits()
        return tree + self.counts.leaves_of(block, length) + _NEW_LEAVES * _LEAF_CREDITS

    def _adjust(self, task: Task, block: int, length: int, by: int) -> Generator[Any, Any, None]:
        changed = self.counts.adjust(block, length, by)
        task.ps += self._s_adjust.charge_units(len(changed), len(changed) * self._sb.block_size)
        yield from self._log(task, changed)

    def _log(self, task: Task, leaves: Sequence[Leaf]) -> Generator[Any, Any, None]:
        """Have the journal log leaves; those without a place get one, behind the file's last block."""
        sb, inode = self._sb, self._inode
        for leaf in leaves:
            if leaf.block == NO_BLOCK:
                at, plug = inode.size // sb.block_size, Plug(holds=False)
                found = yield from self._map_blocks(task, inode, at, 1, CREATE | NO_NORMALIZE, plug)
                leaf.block = found.physical
                inode.size = inode.disksize = inode.size + sb.block_size
                sb.mark_inode_dirty(task, inode)
                sb.buffers.make(task, leaf.block)
                sb.buffers.fresh(leaf.block)
                sb.get_create_access(task, leaf.block)
            else:
                sb.buffers.getblk(task, 1)
                sb.get_write_access(task, leaf.block)
            sb.dirty_metadata(task, leaf.block)

    def _lock(self, task: Task) -> Generator[Any, Any, None]:
        """Wait until nobody else changes the counts; a handle comes before it, as before i_data_sem."""
        while self._waiting is not None:
            event = self._clock.event()
            self._waiting.append(event)
            yield from task.wait(event)
        self._waiting = []

    def _unlock(self) -> None:
        waiting, self._waiting = self._waiting, None
        for event in waiting or ():
            event.succeed()
