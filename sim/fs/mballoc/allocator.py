"""
Allocating and freeing: ext4_mb_new_blocks, ext4_free_blocks, and what a commit and a close bring.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from sim.errors import InvariantError, ReadpathError
from sim.fs.mballoc.counts import MbCounts
from sim.fs.mballoc.geometry import BitmapSource, GroupSeed, MbGeometry, MbTunables
from sim.fs.mballoc.groups import FreedExtent, Group, Groups
from sim.fs.mballoc.normalize import normalize
from sim.fs.mballoc.prealloc import Preallocations
from sim.fs.mballoc.request import (
    DELALLOC_RESERVED,
    FOUND,
    HINT_DATA,
    HINT_GOAL_ONLY,
    HINT_GROUP_ALLOC,
    HINT_NOPREALLOC,
    STREAM_ALLOC,
    STRICT_CHECK,
    USE_RESERVED,
    USE_ROOT_BLOCKS,
    Allocation,
    AllocationContext,
    AllocationRequest,
    BitmapRead,
    MbInode,
)
from sim.fs.mballoc.search import Search

_MOST_TRIES: Final = 3
"""Searches for a request that finds nothing, all preallocations given back between them."""


@final
class NoSpaceError(ReadpathError):
    """There is no block for a request: -ENOSPC."""

    def __init__(self) -> None:
        super().__init__("volume", "no free block is left", "a larger volume, or less to write")


class MbAllocator:
    """
    The block allocator of a mounted file system.

    free: blocks that no file has (s_freeclusters_counter), preallocated ones among them. dirty: blocks that
    are reserved for delayed data (s_dirtyclusters_counter). counts: calls by kernel symbol.
    """

    def __init__(
        self,
        geometry: MbGeometry,
        seeds: Sequence[GroupSeed],
        source: BitmapSource,
        tunables: MbTunables | None = None,
        counts: MbCounts | None = None,
    ) -> None:
        """
        Mount: no bitmap is loaded, nothing is preallocated, streams begin in group 0.

        seeds: one a group. Raises InvariantError if there are more or fewer.
        """
        self.geometry = geometry
        self.tunables = tunables if tunables is not None else MbTunables(geometry)
        self.counts = counts if counts is not None else MbCounts()
        self.groups = Groups(geometry, self.tunables, seeds, source, self.counts)
        self._preallocations = Preallocations(self.groups)
        self._search = Search(self.groups, self._preallocations)
        self.free = sum(seed.free for seed in seeds)
        self.dirty = 0

    # -- free blocks ---------------------------------------------------------------------------------

    def has_free(self, count: int, flags: int = 0) -> bool:
        """
        Return whether `count` blocks more can be promised (ext4_has_free_clusters).

        Root's share and the reserve of write-back are kept back, unless `flags` allow them.
        """
        needed = count + self.dirty
        reserve = self.tunables.reserved
        if self.free >= needed + reserve + self.geometry.reserved:
            return True
        if flags & USE_ROOT_BLOCKS and self.free >= needed + reserve:
            return True
        return bool(flags & USE_RESERVED) and self.free >= needed

    def claim(self, count: int, flags: int = 0) -> bool:
        """Promise `count` blocks, if they can be (ext4_claim_free_clusters)."""
        if not self.has_free(count, flags):
            return False
        self.dirty += count
        return True

    def release_claim(self, count: int) -> None:
        """Take a promise back: the blocks are allocated, or not wanted any more."""
        if count > self.dirty:
            raise InvariantError(f"{count} promised blocks are taken back, of {self.dirty}")
        self.dirty -= count

    # -- allocating ----------------------------------------------------------------------------------

    def new_blocks(self, request: AllocationRequest) -> Allocation:
        """
        Allocate from 1 to `request.length` blocks that lie together (ext4_mb_new_blocks).

        Raises NoSpaceError if there is none. The caller keeps the promise of delayed blocks
        (DELALLOC_RESERVED) and takes it back itself.
        """
        self.counts.mb_new_blocks += 1
        length = request.length
        if length <= 0:
            raise InvariantError(f"{length} blocks are asked for")
        promised = 0
        if not request.flags & DELALLOC_RESERVED:
            while length and not self.claim(length, request.flags):
                length //= 2
            if not length:
                raise NoSpaceError
            promised = length
        ac = self._context(request, length)
        self._find(ac, request)
        self.dirty -= promised
        if ac.status != FOUND:
            raise NoSpaceError
        self._mark_diskspace_used(ac)
        block = self.geometry.first_of(ac.b_group) + ac.b_start
        found = Allocation(block, ac.b_len, ac.b_group, self.take_reads())
        self._preallocations.release(ac)
        return found

    def _context(self, request: AllocationRequest, length: int) -> AllocationContext:
        """Return what is to be looked for, before it is normalised (ext4_mb_initialize_context)."""
        geometry = self.geometry
        goal = request.goal
        if goal < geometry.first_data_block or goal >= geometry.blocks:
            goal = geometry.first_data_block
        length = min(length, geometry.blocks_per_group)
        ac = AllocationContext(request, length, geometry.group_of(goal), geometry.offset_of(goal))
        self._group_or_file(ac, request.cpu)
        return ac

    def _group_or_file(self, ac: AllocationContext, cpu: int) -> None:
        """
        Choose between the locality group, for small files, and the inode (ext4_mb_group_or_file).

        A file that nobody writes any more gets no preallocation for itself.
        """
        if not ac.flags & HINT_DATA or ac.flags & HINT_GOAL_ONLY:
            return
        end = ac.o_logical + ac.o_len
        size = (ac.inode.size_bytes + self.geometry.block_size - 1) >> self.geometry.block_bits
        closed = end == size and not ac.inode.open_writers
        if max(end, size) <= self.tunables.stream_request and self.tunables.group_prealloc > 0:
            ac.locality = self._preallocations.localities[cpu]
            ac.flags |= HINT_GROUP_ALLOC
        else:
            ac.flags |= HINT_NOPREALLOC if closed else STREAM_ALLOC

    def _find(self, ac: AllocationContext, request: AllocationRequest) -> None:
        """Find blocks that are preallocated, or others; at need after all preallocations were given back."""
        changes = self.groups.changes
        if self._preallocations.use(ac):
            return
        normalize(self.geometry, self.tunables, ac, request)
        for attempt in range(_MOST_TRIES):
            self._search.run(ac)
            if ac.status == FOUND or attempt + 1 == _MOST_TRIES:
                return
            if not self._discard(ac.o_len):
                if ac.flags & STRICT_CHECK and changes == self.groups.changes:
                    return
                ac.flags |= STRICT_CHECK
                changes = self.groups.changes

    def _discard(self, needed: int) -> int:
        """Give back `needed` preallocated blocks or all, return how many (ext4_mb_discard_preallocations)."""
        freed = 0
        for group in self.groups.every:
            if freed >= needed:
                break
            freed += self._preallocations.discard_group(group)
        return freed

    def _mark_diskspace_used(self, ac: AllocationContext) -> None:
        """Mark what was found in the bitmap block and the descriptor (ext4_mb_mark_diskspace_used)."""
        self.counts.mb_mark_diskspace_used += 1
        group = self.groups.every[ac.b_group]
        bitmap = self.groups.wait_bitmap(group)
        self.groups.set_bits(group, bitmap, ac.b_start, ac.b_len)
        self.free -= ac.b_len

    def take_reads(self) -> list[BitmapRead]:
        """Return the bitmap reads since this was last asked, in order: of a free, a discard, a commit."""
        reads = self.groups.reads
        self.groups.reads = []
        return reads

    # -- freeing -------------------------------------------------------------------------------------

    def free_blocks(self, block: int, count: int, tid: int = 0) -> None:
        """
        Free blocks (ext4_free_blocks); raise InvariantError if one is free already.

        tid: the transaction that must commit before they are given out again; 0: at once (no journal, or data
        of an inode in data=writeback). The bitmap block and the descriptor change at once.
        """
        self.counts.free_blocks += 1
        if block < self.geometry.first_data_block or count <= 0 or block + count > self.geometry.blocks:
            raise InvariantError(f"blocks {block}+{count} are freed, of {self.geometry.blocks}")
        while count:
            group = self.groups.every[self.geometry.group_of(block)]
            start = self.geometry.offset_of(block)
            part = min(count, self.geometry.blocks_per_group - start)
            bitmap = self.groups.wait_bitmap(group)
            buddy = self.groups.load(group)
            self.groups.clear_bits(group, bitmap, start, part)
            if tid:
                self._free_later(group, FreedExtent(start, part, tid))
            else:
                self.groups.mark_free(group, buddy, start, part)
            self.free += part
            block += part
            count -= part

    def _free_later(self, group: Group, extent: FreedExtent) -> None:
        """Keep blocks until their transaction commits, joined with neighbours (ext4_mb_free_metadata)."""
        for other in list(group.freed):
            if other.tid == extent.tid:
                if other.start + other.count == extent.start:
                    extent.start = other.start
                elif extent.start + extent.count != other.start:
                    continue
                extent.count += other.count
                group.freed.remove(other)
        group.freed.append(extent)

    def committed(self, tid: int) -> int:
        """Give back what transactions up to this one freed, return how many (ext4_process_freed_data)."""
        freed = 0
        for group in self.groups.every:
            if not group.freed:
                continue
            kept = [extent for extent in group.freed if extent.tid > tid]
            for extent in group.freed:
                if extent.tid <= tid:
                    buddy = self.groups.load(group)
                    self.groups.mark_free(group, buddy, extent.start, extent.count)
                    freed += extent.count
            group.freed = kept
        return freed

    def discard_preallocations(self, inode: MbInode) -> None:
        """
        Give back all that is preallocated for an inode (ext4_discard_preallocations).

        The kernel does it when the last writer closes a file without delayed blocks, and when it is
        truncated, punched or removed from memory.
        """
        self._preallocations.discard_inode(inode)
