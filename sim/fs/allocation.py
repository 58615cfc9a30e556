"""
Allocating blocks for files: what ext4_ext_map_blocks() and the tree need of mballoc, in time
(fs/ext4/mballoc.c, extents.c of Linux 6.1).

The search itself is sim.fs.mballoc, which knows no time. Here its calls are charged, the bitmaps that it
looks at are read, and bitmap and group descriptor are put into the transaction. The answer is found before
the reads are submitted that it needed: they and the waiting for them come in the kernel's order all the same.

Left out: ENOSPC and what is tried before it is given up, quota.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.block.bio import Plug
from sim.cache.page_cache_ra import INSERT_SYMBOLS
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, Site
from sim.fs.ext4_super import Ext4Super
from sim.fs.live_inode import LiveInode
from sim.fs.live_tree import Path
from sim.fs.mballoc.allocator import MbAllocator
from sim.fs.mballoc.goal import ext_find_goal, inode_to_goal_block
from sim.fs.mballoc.request import (
    DELALLOC_RESERVED,
    HINT_DATA,
    HINT_NOPREALLOC,
    HINT_TRY_GOAL,
    Allocation,
    AllocationRequest,
    MbInode,
)

WRITES_BACK: Final = 1
STOPS_DELAYING: Final = 2
"""What a lack of free blocks asks of a delayed write: that dirty pages go out, that it allocates at once."""
WATERMARK_PER_CPU: Final = 4 * 32
"""Free blocks beside the delayed ones below which nothing is delayed (EXT4_FREECLUSTERS_WATERMARK)."""
_NEW: Final = "ext4_mb_new_blocks"
_FREE: Final = "ext4_free_blocks"


class Allocator:
    """Gives blocks; the null one has none to give."""

    def mount(self, sb: Ext4Super) -> None:
        """Serve a mounted file system."""
        raise NotImplementedError

    def new_blocks(
        self,
        task: Task,
        inode: LiveInode,
        path: Path,
        lblk: int,
        length: int,
        reserved: bool,
        plug: Plug,
        normalise: bool = True,
    ) -> Generator[Any, Any, tuple[int, int]]:
        """
        Return (first block, how many) for up to `length` blocks from `lblk` on.

        path: to `lblk` in the tree. reserved: they are delayed blocks, and accounted for. normalise: more may
        be preallocated around them.
        """
        raise NotImplementedError

    def promise(self, blocks: int) -> bool:
        """ext4_claim_free_clusters(): promise blocks for delayed data; tell whether there are so many."""
        raise NotImplementedError

    def take_back(self, blocks: int) -> None:
        """ext4_da_release_space(): promised blocks are not wanted."""
        raise NotImplementedError

    def shortage(self, ahead: int = 0) -> int:
        """
        ext4_nonda_switch(): return WRITES_BACK, STOPS_DELAYING, both or 0, by how full the volume is.

        ahead: as if so many blocks more were delayed.
        """
        del ahead
        return 0

    def claimed(self, task: Task, inode: LiveInode, blocks: int) -> Generator[Any, Any, None]:
        """ext4_da_update_reserve_space(): delayed blocks have their places."""
        raise NotImplementedError

    def new_node(
        self, task: Task, inode: LiveInode, path: Path, lblk: int, plug: Plug
    ) -> Generator[Any, Any, int]:
        """ext4_ext_new_meta_block(): return a block for a node on a path."""
        raise NotImplementedError

    def new_level(self, task: Task, inode: LiveInode, plug: Plug) -> Generator[Any, Any, int]:
        """Return a block for a new level under the root (ext4_ext_grow_indepth())."""
        raise NotImplementedError

    def free_node(self, task: Task, inode: LiveInode, block: int) -> None:
        """Take a node's block back."""
        raise NotImplementedError

    def free_data(self, task: Task, inode: LiveInode, block: int, count: int) -> Generator[Any, Any, None]:
        """Take blocks of a file's data back (ext4_free_blocks())."""
        raise NotImplementedError

    def unpromise(self, inode: LiveInode) -> None:
        """An inode's delayed blocks are not wanted any more (ext4_da_release_space())."""
        raise NotImplementedError

    def forget(self, inode: LiveInode) -> None:
        """An inode is free: nothing is known of it."""
        raise NotImplementedError

    def committed(self, task: Task, tid: int) -> None:
        """What transactions up to this one have freed may be given out again."""
        del task, tid

    def closed(self, task: Task, inode: LiveInode) -> None:
        """Nobody writes the file any more, and none of its blocks is delayed: nothing stays preallocated."""
        raise NotImplementedError

    def close(self, task: Task, inode: LiveInode) -> None:
        """ext4_release_file(): one writer of a file less."""
        inode.open_files -= 1
        if not inode.open_files and not inode.reserved:
            self.closed(task, inode)


class Ext4Allocator(Allocator):
    """mballoc on one mounted volume. pid: of who writes, which decides where nodelalloc begins."""

    def __init__(self, ledger: Ledger, mb: MbAllocator, pid: int = 0) -> None:
        self.mb = mb
        self.sb: Ext4Super | None = None
        self.pid = pid
        self._ledger = ledger
        self._inodes: dict[int, MbInode] = {}
        self._sites: dict[tuple[str, str], Site] = {}
        self._s_claim = ledger.site(TASK, "", "ext4_da_update_reserve_space")
        self._s_page = ledger.site(TASK, f"{_NEW};ext4_mb_init_cache", INSERT_SYMBOLS)

    def mount(self, sb: Ext4Super) -> None:
        """Serve a mounted file system."""
        self.sb = sb

    def _mounted(self) -> Ext4Super:
        assert self.sb is not None
        return self.sb

    def _mb_inode(self, inode: LiveInode) -> MbInode:
        found = self._inodes.get(inode.number)
        if found is None:
            found = self._inodes[inode.number] = MbInode(inode.number, inode.group, inode.regular)
        found.size_bytes = inode.size
        found.open_writers = inode.open_files
        return found

    def new_blocks(
        self,
        task: Task,
        inode: LiveInode,
        path: Path,
        lblk: int,
        length: int,
        reserved: bool,
        plug: Plug,
        normalise: bool = True,
    ) -> Generator[Any, Any, tuple[int, int]]:
        """Allocate for a file's data."""
        left, right = path.neighbours(lblk)
        flags = HINT_DATA if inode.regular else 0
        request = AllocationRequest(
            self._mb_inode(inode),
            lblk,
            length,
            self._goal(inode, path, lblk),
            flags | (DELALLOC_RESERVED if reserved else 0) | (0 if normalise else HINT_NOPREALLOC),
            left[0],
            left[1],
            right[0],
            right[1],
        )
        found = yield from self._allocate(task, inode, request, reserved, plug)
        return found.block, found.count

    def promise(self, blocks: int) -> bool:
        """ext4_claim_free_clusters()."""
        return self.mb.claim(blocks)

    def take_back(self, blocks: int) -> None:
        """ext4_da_release_space()."""
        self.mb.release_claim(blocks)

    def shortage(self, ahead: int = 0) -> int:
        """ext4_nonda_switch(), of exact counts where a kernel takes them as of the last batch a CPU."""
        free, dirty = self.mb.free, self.mb.dirty + ahead
        found = WRITES_BACK if dirty and free < 2 * dirty else 0
        if 2 * free < 3 * dirty or free < dirty + WATERMARK_PER_CPU * self.mb.tunables.cpus:
            found |= STOPS_DELAYING
        return found

    def claimed(self, task: Task, inode: LiveInode, blocks: int) -> Generator[Any, Any, None]:
        """ext4_da_update_reserve_space()."""
        task.ps += self._s_claim.charge(1)
        inode.reserved -= blocks
        inode.taken += blocks
        self.mb.release_claim(blocks)
        yield from self._mounted().mark_dirty_sync(task, inode)
        if not inode.reserved and not inode.open_files:
            self.closed(task, inode)

    def new_node(
        self, task: Task, inode: LiveInode, path: Path, lblk: int, plug: Plug
    ) -> Generator[Any, Any, int]:
        """ext4_ext_new_meta_block()."""
        goal = self._goal(inode, path, lblk)
        return (yield from self._meta(task, inode, goal, 0, plug))

    def new_level(self, task: Task, inode: LiveInode, plug: Plug) -> Generator[Any, Any, int]:
        """ext4_ext_grow_indepth()'s block: just before the first one of the level that there is."""
        geometry = self.mb.geometry
        children = inode.tree.root.children
        goal = children[0].block if children else 0
        if goal > geometry.first_data_block:
            return (yield from self._meta(task, inode, goal - 1, HINT_TRY_GOAL, plug))
        goal = inode_to_goal_block(geometry, self._mb_inode(inode), self._mounted().delalloc, self.pid)
        return (yield from self._meta(task, inode, goal, 0, plug))

    def _meta(
        self, task: Task, inode: LiveInode, goal: int, flags: int, plug: Plug
    ) -> Generator[Any, Any, int]:
        request = AllocationRequest(self._mb_inode(inode), 0, 1, goal, flags)
        found = yield from self._allocate(task, inode, request, False, plug)
        return found.block

    def free_node(self, task: Task, inode: LiveInode, block: int) -> None:
        """ext4_free_blocks() of a node."""
        inode.taken -= 1
        sb = self._mounted()
        self.mb.free_blocks(block, 1, task.handle.transaction.tid if task.handle is not None else 0)
        self._charge(task, _FREE)
        sb.forget(task, inode, block)
        self._in_transaction(task, self.mb.geometry.group_of(block))
        sb.mark_dirty_under_handle(task, inode)

    def free_data(self, task: Task, inode: LiveInode, block: int, count: int) -> Generator[Any, Any, None]:
        """
        ext4_free_blocks() of data: with data=ordered they are given out again when that is committed.

        A range that reaches into further groups is freed group by group, each with its bitmap.
        """
        sb, geometry = self._mounted(), self.mb.geometry
        ordered = sb.journal is not None and sb.options.data != "writeback"
        tid = task.handle.transaction.tid if ordered and task.handle is not None else 0
        while count:
            group = geometry.group_of(block)
            part = min(count, geometry.blocks_per_group - geometry.offset_of(block))
            self.mb.free_blocks(block, part, tid)
            self._charge(task, _FREE)
            for read in self.mb.take_reads():
                yield from sb.buffers.read(task, read.block, Plug(holds=False))
            self._in_transaction(task, group)
            inode.taken -= part
            yield from sb.mark_dirty_sync(task, inode)
            block, count = block + part, count - part

    def unpromise(self, inode: LiveInode) -> None:
        """ext4_da_release_space()."""
        self.mb.release_claim(inode.reserved)
        inode.reserved = 0

    def forget(self, inode: LiveInode) -> None:
        """ext4_clear_inode()."""
        self._inodes.pop(inode.number, None)

    def committed(self, task: Task, tid: int) -> None:
        """ext4_process_freed_data()."""
        if self.mb.committed(tid):
            self._charge(task)

    def closed(self, task: Task, inode: LiveInode) -> None:
        """ext4_discard_preallocations()."""
        self.mb.discard_preallocations(self._mb_inode(inode))
        self._charge(task, "ext4_discard_preallocations")

    def forget_counts(self) -> None:
        """Let what was done so far be of before: nothing of it is charged."""
        self.mb.counts.reset()
        for read in self.mb.take_reads():
            self._mounted().buffers.warm([read.block])

    def _goal(self, inode: LiveInode, path: Path, lblk: int) -> int:
        """ext4_ext_find_goal()."""
        leaf, at = path.leaf, path.at[-1]
        near = (leaf.keys[at], leaf.physical[at]) if at >= 0 else None
        self.mb.counts.ext_find_goal += 1
        return ext_find_goal(
            self.mb.geometry,
            self._mb_inode(inode),
            lblk,
            near,
            leaf.block,
            self._mounted().delalloc,
            self.pid,
        )

    def _allocate(
        self, task: Task, inode: LiveInode, request: AllocationRequest, reserved: bool, plug: Plug
    ) -> Generator[Any, Any, Allocation]:
        """ext4_mb_new_blocks(), its reads and its transaction."""
        sb = self._mounted()
        if not reserved:
            inode.taken += request.length
            yield from sb.mark_dirty_sync(task, inode, not sb.delalloc)  # dquot_alloc_block(), or _nofail()
        found = self.mb.new_blocks(request)
        if not reserved and found.count < request.length:
            inode.taken -= request.length - found.count
            if sb.bytes is not None:
                sb.bytes.inode_copied(inode, task.time_ns)
        self._charge(task)
        yield from self._read(task, found, plug)
        self._in_transaction(task, found.group)
        return found

    def _read(self, task: Task, found: Allocation, plug: Plug) -> Generator[Any, Any, None]:
        """
        Read bitmaps: ahead under a plug, the others as they are needed; wait where mballoc did.

        plug: the caller's, if it has one.
        """
        buffers = self._mounted().buffers
        ahead = plug if plug.holds else Plug()
        for read in found.reads:
            if read.ahead:
                buffers.make(task, read.block)
                buffers.start_read(task, read.block, ahead, True)
                continue
            if ahead.requests and not plug.holds:
                buffers.finish(task, ahead)
            if read.waited:
                yield from buffers.read(task, read.block, plug)
            else:
                buffers.make(task, read.block)
                buffers.start_read(task, read.block, plug, False)
        if ahead.requests and not plug.holds:
            buffers.finish(task, ahead)

    def _in_transaction(self, task: Task, group: int) -> None:
        """ext4_mb_mark_diskspace_used(): bitmap and descriptor change."""
        sb = self._mounted()
        blocks = (self.mb.groups.every[group].bitmap_block, sb.descriptor_block(group))
        for block in blocks:
            sb.get_write_access(task, block)
        for block in blocks:
            sb.dirty_metadata(task, block)

    def _charge(self, task: Task, caller: str = _NEW) -> None:
        """Charge for what mballoc has called since it was last asked. caller: of all but itself."""
        counts = self.mb.counts
        pages = counts.mb_init_cache
        for symbol, calls in counts.by_symbol().items():
            site = self._sites.get((caller, symbol))
            if site is None:
                stack = "" if symbol == caller else caller
                site = self._sites[caller, symbol] = self._ledger.site(TASK, stack, symbol)
            task.ps += site.charge(calls)
        if pages:
            task.ps += self._s_page.charge(pages)
        counts.reset()
