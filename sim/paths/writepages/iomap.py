"""
iomap_writepages() of Linux 6.1 (fs/iomap/buffered-io.c) as ext4 would use it: a prediction, for no ext4 of
6.1 does, and no recording has it.

Every dirty page is walked block by block: what is up to date of it is written, for 6.1 knows no dirty blocks
in a page; the mapping at hand is asked for each block and fetched anew where it ends. Blocks go into one
ioend as long as they follow one another in the file and on the disk, at most 4,096 pages; its bios have room
for 256 vectors, a full one is sent and another chained to it. An ioend that ends goes out behind the page
that ended it, those of one page the last one first, under no plug: fsync(2) has none here.

A delayed or unwritten extent is mapped as ext4_writepages() maps it, in a handle of its own; what is still
unwritten on the disk is converted by a worker. write(2) is of iomap, too (iomap_write.py). Left out: an ioend
ends as a whole (pages end with their bio here), merging of completed ioends, zeroing beyond the end of the
file, clean blocks of a dirty page in an unwritten extent, errors. An ioend of unwritten blocks ends with its
mapping. Journalled data goes another way
(ext4_writepage()): jbd2 wants buffer heads.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.block.bio import MAX_VECTORS, Plug
from sim.block.protocols import BioQueue
from sim.cache.pages import UPTODATE
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.errors import InvariantError
from sim.fs.ext4_super import Ext4Super
from sim.fs.live_inode import BH_DELAY, BH_DIRTY, BH_MAPPED, BH_UPTODATE, NEEDS_MAPPING, LiveInode
from sim.fs.map_flags import CREATE, DELALLOC_RESERVED, IO_CREATE, IO_SUBMIT
from sim.fs.map_write import WriteMapper
from sim.fs.page_locks import LockedPages
from sim.fs.writeback_control import WritebackControl
from sim.paths.page_bio import ARRAY_VECTORS
from sim.paths.write_calls import chain
from sim.paths.writepages.ends import IoEnd, WriteBackEnds, bios_of_page
from sim.paths.writepages.page_io import PAGEVEC, IoSubmit
from sim.paths.writepages.rounds import MAX_WRITEPAGES_EXTENT
from sim.units import PAGE_BYTES

IOEND_BATCH_PAGES: Final = 4096
"""IOEND_BATCH_SIZE: pages that one ioend takes."""
_UP: Final = "do_writepages;ext4_writepages;iomap_writepages;write_cache_pages"
_PAGE: Final = f"{_UP};iomap_do_writepage;iomap_writepage_map"


class _Mapping:
    """The mapping at hand (wpc->iomap). io_end: of blocks that are unwritten on the disk, else None."""

    __slots__ = ("end", "io_end", "physical", "start")

    def __init__(self) -> None:
        self.start = self.end = self.physical = 0
        self.io_end: IoEnd | None = None


class IomapWritepages:
    """Writes out the dirty pages of files of one file system."""

    def __init__(
        self, ledger: Ledger, queue: BioQueue, sb: Ext4Super, mapper: WriteMapper, ends: WriteBackEnds
    ) -> None:
        self._queue = queue
        self._sb = sb
        self._mapper = mapper
        self._ends = ends
        self._per_page = sb.per_page
        self._size = sb.block_size
        self._s_call = ledger.site(TASK, "", chain(_UP))
        self._s_tag = ledger.site(TASK, _UP, "tag_pages_for_writeback")
        self._s_lookup = ledger.site(TASK, _UP, "pagevec_lookup_range_tag")
        self._s_wait = ledger.site(TASK, _UP, "folio_wait_writeback")
        self._s_page = ledger.site(
            TASK,
            _UP,
            "folio_clear_dirty_for_io iomap_do_writepage iomap_do_writepage;iomap_writepage_map"
            " iomap_do_writepage;iomap_writepage_map;__folio_start_writeback"
            " iomap_do_writepage;iomap_writepage_map;folio_unlock",
        )
        self._s_block = ledger.site(
            TASK, _PAGE, "ext4_iomap_map_blocks iomap_add_to_ioend iomap_add_to_ioend;bio_add_folio"
        )
        self._s_no_room = ledger.site(TASK, f"{_PAGE};iomap_add_to_ioend", "bio_add_folio")
        free = "/bio_endio;bio_put;bio_free;bvec_free"
        self._s_bio = ledger.site(
            TASK,
            f"{_PAGE};iomap_add_to_ioend",
            f"bio_alloc_bioset bio_alloc_bioset;bvec_alloc {free}",
            unit="bvec_alloc",
        )
        self._s_nothing = ledger.site(TASK, _PAGE, "folio_end_writeback")

    def writepages(self, task: Task, inode: LiveInode, wbc: WritebackControl) -> Generator[Any, Any, None]:
        """Submit all dirty pages."""
        dirty = inode.mapping.dirty
        if dirty is None or not inode.mapping.dirty_pages:
            return
        task.ps += self._s_call.charge(1)
        if wbc.tagged:
            task.ps += self._s_tag.charge(1)
        tagged, plug, at_hand = bytearray(dirty), Plug(holds=False), _Mapping()
        io = IoSubmit(inode, None, wbc.flags)
        seen, page = 0, tagged.find(1)
        task.ps += self._s_lookup.charge(1)
        while page >= 0:
            if seen and not seen % PAGEVEC:
                task.ps += self._s_lookup.charge(1)
            seen += 1
            mine = LockedPages(page, page + 1)
            yield from inode.page_locks.wait(task, page, self._ends.clock)
            inode.page_locks.hold(mine)
            yield from self._wait_for(task, inode, page)
            if inode.mapping.tag_dirty(page, False):
                io = yield from self._write_page(task, inode, io, page, at_hand, plug)
            inode.page_locks.drop(mine)
            if task.blocked is not None:
                yield from self._queue.wait_for_tag(task)
            page = tagged.find(1, page + 1)
        if (seen and not seen % PAGEVEC) or wbc.cyclic:
            task.ps += self._s_lookup.charge(1)
        self._submit(task, io, plug)
        if at_hand.io_end is not None:
            self._ends.put(at_hand.io_end)

    def _wait_for(self, task: Task, inode: LiveInode, page: int) -> Generator[Any, Any, None]:
        """folio_wait_writeback(): a page is still on its way from before."""
        writeback = inode.mapping.writeback
        if writeback is None or not writeback[page]:
            return
        task.ps += self._s_wait.charge(1)
        for data in bios_of_page(inode, page):
            yield from task.wait(data.awaited(self._ends.clock))

    def _write_page(
        self, task: Task, inode: LiveInode, io: IoSubmit, page: int, at_hand: _Mapping, plug: Plug
    ) -> Generator[Any, Any, IoSubmit]:
        """iomap_do_writepage(): return the ioend under construction."""
        task.ps += self._s_page.charge(1)
        state, place, mapping = inode.state, inode.place, inode.mapping
        base = page * self._per_page
        end = base + min(self._per_page, -(-(inode.size - page * PAGE_BYTES) // self._size))
        whole = mapping.state[page] == UPTODATE
        chosen: list[tuple[int, IoEnd | None]] = []
        over: list[IoEnd] = []
        for block in range(base, base + self._per_page):
            if block >= end or not (whole or state[block] & BH_UPTODATE):
                state[block] &= ~BH_DIRTY
                continue
            if not at_hand.start <= block < at_hand.end:
                if at_hand.io_end is not None:
                    over.append(at_hand.io_end)
                yield from self._map(task, inode, block, end, at_hand, io, plug)
            if at_hand.physical < 0:
                state[block] &= ~BH_DIRTY
                continue
            place[block] = at_hand.physical + block - at_hand.start
            state[block] = (state[block] | BH_MAPPED) & ~(BH_DIRTY | NEEDS_MAPPING)
            chosen.append((block, at_hand.io_end))
        if not chosen:
            task.ps += self._s_nothing.charge(1)
        else:
            mapping.tag_writeback(page, True)
        behind: list[IoSubmit] = []
        for block, io_end in chosen:
            io = self._add(task, io, page, block, io_end, behind, plug)
        for each in reversed(behind):
            self._submit(task, each, plug)
        for io_end in over:
            if io.io_end is io_end:
                self._submit(task, io, plug)
            self._ends.put(io_end)
        return io

    # -- mapping ---------------------------------------------------------------------------------------

    def _map(
        self, task: Task, inode: LiveInode, block: int, end: int, at_hand: _Mapping, io: IoSubmit, plug: Plug
    ) -> Generator[Any, Any, None]:
        """->map_blocks() where the mapping at hand does not have a block. end: of the page's blocks."""
        state = inode.state
        at_hand.io_end, at_hand.start = None, block
        if state[block] & NEEDS_MAPPING and state[block] & BH_DIRTY:
            yield from self._allocate(task, inode, block, at_hand, io, plug)
            return
        want = -(-inode.size // self._size) - block
        found = yield from self._mapper.map_blocks(task, inode, block, want, 0, plug)
        if found.unwritten or not found.length:
            if state[block] & BH_DIRTY and not found.unwritten:
                raise InvariantError(f"block {block} of inode {inode.number} is dirty and has no place")
            at_hand.physical, at_hand.end = -1, block + 1
            last = min(end, block + found.length)
            while at_hand.end < last and not (
                state[at_hand.end] & NEEDS_MAPPING and state[at_hand.end] & BH_DIRTY
            ):
                at_hand.end += 1
            return
        at_hand.physical, at_hand.end = found.physical, block + found.length

    def _allocate(
        self, task: Task, inode: LiveInode, block: int, at_hand: _Mapping, io: IoSubmit, plug: Plug
    ) -> Generator[Any, Any, None]:
        """Map the run of delayed, or of unwritten, blocks that begins here, as much as comes in one piece."""
        sb, state = self._sb, inode.state
        kind, last = state[block] & NEEDS_MAPPING, min(len(state), block + MAX_WRITEPAGES_EXTENT)
        end = block + 1
        while end < last and state[end] & BH_DIRTY and state[end] & NEEDS_MAPPING == kind:
            end += 1
        credits, reserve = sb.extent_credits(), sb.convert_credits() if sb.nolock else 0
        if sb.must_wait(credits, reserve):
            self._submit(task, io, plug)  # what it waits for may be this file's data
        if reserve:
            yield from sb.reserve(task, reserve)
        yield from sb.start(task, credits)
        flags = CREATE | IO_SUBMIT | (IO_CREATE if sb.nolock else 0)
        if kind & BH_DELAY:
            flags |= DELALLOC_RESERVED
        found = yield from self._mapper.map_blocks(task, inode, block, end - block, flags, plug)
        at_hand.physical, at_hand.end = found.physical, block + found.length
        disksize = min(at_hand.end * self._size, inode.size)
        if disksize > inode.disksize:
            inode.disksize = disksize
            sb.mark_inode_dirty(task, inode)
        sb.stop(task)
        if found.unwritten:
            at_hand.io_end = IoEnd(inode)
            at_hand.io_end.vectors.append([block, found.length])
            at_hand.io_end.reserved = reserve
        else:
            sb.unreserve(reserve)

    # -- ioends ----------------------------------------------------------------------------------------

    def _add(
        self,
        task: Task,
        io: IoSubmit,
        page: int,
        block: int,
        io_end: IoEnd | None,
        behind: list[IoSubmit],
        plug: Plug,
    ) -> IoSubmit:
        """iomap_add_to_ioend(): return the ioend that has the block. behind: takes one that has ended."""
        place = io.inode.place[block]
        task.ps += self._s_block.charge(1)
        follows = io.io_end is io_end and io.last_block == block - 1 and io.next == place
        if io.pages and not (follows and io.vectors < IOEND_BATCH_PAGES):
            behind.append(io)
            io = IoSubmit(io.inode, io_end, io.flags)
        joins = io.pages.last == page
        if not joins and len(io.pages) == MAX_VECTORS:
            task.ps += self._s_no_room.charge(1)
            self._send(task, io, plug)
        if not io.pages:
            task.ps += self._s_bio.charge_units(1, ARRAY_VECTORS[MAX_VECTORS])
            io.io_end = io_end
            io.begin(place)
        if not joins:
            io.pages.append(page)
            io.vectors += 1
            self._ends.began(io.inode, page)
        if io.blocks and io.last_block == block - 1:
            first, count = io.blocks[-1]
            io.blocks[-1] = (first, count + 1)
        else:
            io.blocks.append((block, 1))
        io.next, io.last_block = place + 1, block
        return io

    def _submit(self, task: Task, io: IoSubmit, plug: Plug) -> None:
        """iomap_submit_ioend(): send its last bio, if there is one; nothing follows it."""
        if io.pages:
            self._send(task, io, plug)
        io.vectors, io.last_block, io.io_end = 0, -2, None

    def _send(self, task: Task, io: IoSubmit, plug: Plug) -> None:
        """Send the bio under construction; vectors: pages of the ioend so far."""
        self._queue.submit(task, io.take_bio(self._size, len(io.pages), self._ends), plug)
