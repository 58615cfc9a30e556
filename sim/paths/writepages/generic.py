"""
The other ways to write pages out: write_cache_pages() over block_write_full_page() or __mpage_writepage()
(mm/page-writeback.c, fs/buffer.c, fs/mpage.c of Linux 6.1), and ext4_writepage() for journalled data.

block_write_full_page() makes a bio for every dirty block. mpage_writepages() puts pages whose blocks are
neighbours into bios of up to 256 pages, and gives others to block_write_full_page(). Both need blocks that
write_begin has mapped. Left out: get_block() at write-back, cyclic ranges, errors.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.block.bio import MAX_VECTORS, Bio, Plug
from sim.block.protocols import BioQueue
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.errors import ConfigError
from sim.fs.bdev_buffers import BH_WBC
from sim.fs.live_inode import (
    BH_DIRTY,
    BH_MAPPED,
    BH_UPTODATE,
    NEEDS_MAPPING,
    LiveInode,
)
from sim.fs.write_out import sector_of
from sim.fs.writeback_control import WritebackControl
from sim.paths.page_bio import ARRAY_VECTORS
from sim.paths.write_calls import chain
from sim.paths.writepages.ends import DataBio, IoEnd, WriteBackEnds, bios_of_page
from sim.paths.writepages.page_io import PAGEVEC, IoSubmit, PageIo
from sim.paths.writepages.page_runs import PageRuns
from sim.units import PAGE_BYTES, SECTOR_BYTES

GENERIC_CALLER: Final = "do_writepages;generic_writepages;write_cache_pages"
"""Who calls for each page in generic_writepages()."""
MAX_ALIKE: Final = MAX_VECTORS
"""Pages that are looked at together at most: requests are not larger."""
MPAGE_CALLER: Final = "do_writepages;mpage_writepages;write_cache_pages"
"""Who calls for each page in mpage_writepages()."""


class WriteCachePages:
    """write_cache_pages(): every dirty page of a file in order; what is done with each is a subclass's."""

    caller = GENERIC_CALLER

    def __init__(
        self, ledger: Ledger, queue: BioQueue, ends: WriteBackEnds, block_size: int, entered: str
    ) -> None:
        """entered: the calls of one ->writepages. ends: of the bios, who may be waited for."""
        self.ends = ends
        self.queue = queue
        self.size = block_size
        self.per_page = PAGE_BYTES // block_size
        self._s_call = ledger.site(TASK, "", entered)
        self._s_tag = ledger.site(TASK, "", f"{self.caller};tag_pages_for_writeback")
        self._s_lookup = ledger.site(TASK, self.caller, "pagevec_lookup_range_tag")
        self._s_wait = ledger.site(TASK, self.caller, "folio_wait_writeback")
        self._s_page = ledger.site(TASK, self.caller, "folio_clear_dirty_for_io folio_unlock")

    def writepages(self, task: Task, inode: LiveInode, wbc: WritebackControl) -> Generator[Any, Any, None]:
        """Submit all dirty pages."""
        mapping = inode.mapping
        dirty = mapping.dirty
        task.ps += self._s_call.charge(1)
        if wbc.tagged:
            task.ps += self._s_tag.charge(1)
        under_way = mapping.writeback
        assert dirty is not None
        assert under_way is not None
        plug = Plug() if task.plug is None else task.plug
        io = IoSubmit(inode, None, self.flags_of(wbc))
        seen, page = 0, dirty.find(1)
        task.ps += self._s_lookup.charge(1)
        while page >= 0:
            if seen and not seen % PAGEVEC:
                task.ps += self._s_lookup.charge(1)
            seen += 1
            yield from self._lock(task, inode, page, wbc, plug)
            if under_way[page] or not dirty[page]:
                page = dirty.find(1, page + 1)
                continue
            task.ps += self._s_page.charge(1)
            mapping.tag_dirty(page, False)
            self.write_page(task, io, page, plug)
            if task.blocked is not None:
                yield from self.queue.wait_for_tag(task)
            page += 1
            alike = self.write_alike(task, io, page, plug)
            if alike:
                task.ps += self._s_lookup.charge((seen + alike - 1) // PAGEVEC - (seen - 1) // PAGEVEC)
                task.ps += self._s_page.charge(alike)
                seen, page = seen + alike, page + alike
            page = dirty.find(1, page)
        if (seen and not seen % PAGEVEC) or wbc.cyclic:
            task.ps += self._s_lookup.charge(1)
        self.end(task, io, plug)
        if task.plug is None:
            self.queue.finish_plug(task, plug)

    def _lock(
        self, task: Task, inode: LiveInode, page: int, wbc: WritebackControl, plug: Plug
    ) -> Generator[Any, Any, None]:
        """
        Have a page's lock, and, unless nobody waits, the page come from before; a page that is on its way
        stays tagged, for whoever comes later.
        """
        mapping, locks = inode.mapping, inode.page_locks
        assert mapping.writeback is not None
        while True:
            if locks.busy(page):
                self.queue.flush_for_sleep(task, plug)
                yield from locks.wait(task, page, self.ends.clock)
            if not wbc.sync or not mapping.writeback[page]:
                return
            yield from self._wait_for(task, inode, page, plug)

    def _wait_for(self, task: Task, inode: LiveInode, page: int, plug: Plug) -> Generator[Any, Any, None]:
        """folio_wait_writeback(): a page is still on its way from before."""
        task.ps += self._s_wait.charge(1)
        for data in bios_of_page(inode, page):
            self.queue.flush_for_sleep(task, plug)
            yield from task.wait(data.awaited(self.ends.clock))

    def flags_of(self, wbc: WritebackControl) -> int:
        """Return the flags of all bios of one call."""
        return wbc.flags

    def write_page(self, task: Task, io: IoSubmit, page: int, plug: Plug) -> None:
        """Write one page, which is no longer tagged as dirty."""
        raise NotImplementedError

    def write_alike(self, task: Task, io: IoSubmit, page: int, plug: Plug) -> int:
        """Write pages from `page` on at once that are as the one before was; return how many."""
        del task, io, page, plug
        return 0

    def end(self, task: Task, io: IoSubmit, plug: Plug) -> None:
        """Send what is under construction."""

    def last_block(self, inode: LiveInode, page: int) -> int:
        """Return the first block of a page that is past the end of the file."""
        left = -(-inode.size // self.size) - page * self.per_page
        return page * self.per_page + min(self.per_page, left)


class BlockWriteFullPage(WriteCachePages):
    """block_write_full_page(): a bio a block."""

    def __init__(
        self,
        ledger: Ledger,
        queue: BioQueue,
        ends: WriteBackEnds,
        block_size: int,
        entered: str = "",
        page: str = "",
    ) -> None:
        """page: the calls of each page; empty for generic_writepages() over ->writepage."""
        up = self.caller
        super().__init__(
            ledger,
            queue,
            ends,
            block_size,
            entered or f"do_writepages do_writepages;generic_writepages {up}",
        )
        full = f"{up};__writepage;block_write_full_page;__block_write_full_page"
        page = (
            page
            or f"{up};__writepage {up};__writepage;bh_writepage {up};__writepage;block_write_full_page {full}"
        )
        self._s_full = ledger.site(TASK, "", f"{page} {full};__folio_start_writeback")
        self._s_block = ledger.site(TASK, full, BH_WBC)
        self._ends = ends

    def write_page(self, task: Task, io: IoSubmit, page: int, plug: Plug) -> None:
        """__block_write_full_page()."""
        inode = io.inode
        state, mapping = inode.state, inode.mapping
        assert mapping.writeback is not None
        task.ps += self._s_full.charge(1)
        base, end = page * self.per_page, self.last_block(inode, page)
        chosen = [0][:0]
        for block in range(base, base + self.per_page):
            now = state[block]
            if block < end and now & BH_DIRTY and now & BH_MAPPED:
                if now & NEEDS_MAPPING:
                    said = f"block {block} of inode {inode.number} is written back by a path that maps none"
                    raise ConfigError("mount.delalloc", said, "false, or another path")
                chosen.append(block)
            state[block] = now & ~BH_DIRTY
        if not chosen:
            return
        mapping.tag_writeback(page, True)
        for _ in chosen:
            self._ends.began(inode, page)
        for block in chosen:
            task.ps += self._s_block.charge(1)
            data = DataBio(inode, None, PageRuns())
            data.pages.append(page)
            inode.under_way.append(data)
            sector = sector_of(inode.place[block], self.size)
            bio = Bio(
                sector, self.size // SECTOR_BYTES, 1, 1, self._ends, data, [(block, 1)], False, io.flags
            )
            self.queue.submit(task, bio, plug)


class MpageWritepages(WriteCachePages):
    """mpage_writepages(): pages whose blocks are neighbours share bios."""

    caller = MPAGE_CALLER

    def __init__(
        self,
        ledger: Ledger,
        queue: BioQueue,
        ends: WriteBackEnds,
        block_size: int,
        confused: BlockWriteFullPage,
    ) -> None:
        """confused: what gets the pages that do not fit."""
        up = self.caller
        entered = f"do_writepages do_writepages;mpage_writepages {up}"
        super().__init__(ledger, queue, ends, block_size, entered)
        self._confused = confused
        self._ends = ends
        page = f"{up};__mpage_writepage"
        self._s_mpage = ledger.site(TASK, "", page)
        self._s_whole = ledger.site(TASK, page, "__folio_start_writeback bio_add_page")
        self._s_no_room = ledger.site(TASK, page, "bio_add_page")
        free = "/bio_endio;bio_put;bio_free;bvec_free"
        self._s_bio = ledger.site(
            TASK, page, f"bio_alloc_bioset bio_alloc_bioset;bvec_alloc {free}", unit="bvec_alloc"
        )

    def write_page(self, task: Task, io: IoSubmit, page: int, plug: Plug) -> None:
        """__mpage_writepage()."""
        inode = io.inode
        task.ps += self._s_mpage.charge(1)
        blocks = self._neighbours(inode, page)
        if not blocks:
            self.end(task, io, plug)
            self._confused.write_page(task, io, page, plug)
            return
        state, base = inode.state, page * self.per_page
        first = inode.place[base]
        if io.pages and io.next != first:
            self.end(task, io, plug)
        if len(io.pages) == MAX_VECTORS:
            task.ps += self._s_no_room.charge(1)
            self.end(task, io, plug)
        if not io.pages:
            task.ps += self._s_bio.charge_units(1, ARRAY_VECTORS[MAX_VECTORS])
            io.begin(first)
        task.ps += self._s_whole.charge(1)
        io.pages.append(page)
        io.blocks.append((base, blocks))
        io.next += blocks
        self._ends.began(inode, page)
        inode.mapping.tag_writeback(page, True)
        for block in range(base, base + self.per_page):
            state[block] &= ~BH_DIRTY
        if blocks < self.per_page:
            self.end(task, io, plug)

    def _neighbours(self, inode: LiveInode, page: int) -> int:
        """Return how many blocks a page has to write in one piece from its start; 0: not so."""
        state, place, base = inode.state, inode.place, page * self.per_page
        count, wanted = 0, BH_DIRTY | BH_MAPPED | BH_UPTODATE
        while count < self.per_page:
            block = base + count
            if state[block] & NEEDS_MAPPING:
                return 0
            if state[block] & wanted != wanted or (count and place[block] != place[block - 1] + 1):
                break
            count += 1
        for block in range(base + count, base + self.per_page):
            if state[block] & (BH_MAPPED | BH_DIRTY):
                return 0
        if (page + 1) * PAGE_BYTES > inode.size and not inode.size % PAGE_BYTES:
            return 0
        return count

    def end(self, task: Task, io: IoSubmit, plug: Plug) -> None:
        """mpage_bio_submit()."""
        if not io.pages:
            return
        self.queue.submit(task, io.take_bio(self.size, len(io.pages), self._ends), plug)


class JournalledWritepages(WriteCachePages):
    """generic_writepages() over ext4_writepage(): data that was committed, each page with bios of its own."""

    def __init__(
        self, ledger: Ledger, queue: BioQueue, page_io: PageIo, block_size: int, entered: str = ""
    ) -> None:
        """
        entered: the calls of one pass; empty for ->writepages. rows: pages that are alike are taken together;
        False: each alone, with the same result.
        """
        self.rows = True
        up = self.caller
        super().__init__(
            ledger,
            queue,
            page_io.ends,
            block_size,
            entered or f"{chain('do_writepages;ext4_writepages;generic_writepages')} {up}",
        )
        page = f"{up};__writepage;ext4_writepage"
        self._s_ext4 = ledger.site(
            TASK,
            "",
            f"{up};__writepage {page} {page};ext4_io_submit_init {page};ext4_init_io_end"
            f" {page};ext4_io_submit {page};ext4_put_io_end_defer {page};ext4_release_io_end",
        )
        self._io = page_io

    def flags_of(self, wbc: WritebackControl) -> int:
        """Return the flags of all bios of one call: ext4's own."""
        return wbc.data_flags

    def write_page(self, task: Task, io: IoSubmit, page: int, plug: Plug) -> None:
        """ext4_writepage(): the blocks that jbd2 no longer holds; a page that needs mapping stays dirty."""
        task.ps += self._s_ext4.charge(1)
        inode = io.inode
        base = page * self.per_page
        if any(inode.state[block] & NEEDS_MAPPING for block in range(base, base + self.per_page)):
            inode.mapping.tag_dirty(page, True)
            return
        io_end = IoEnd(inode)
        own = IoSubmit(inode, io_end, io.flags)
        self._io.write_page(task, own, page, plug)
        self._io.submit(task, own, plug)
        self._io.ends.put(io_end)

    def write_alike(self, task: Task, io: IoSubmit, page: int, plug: Plug) -> int:
        """Write pages at once that write_page() would do the same for."""
        mapping = io.inode.mapping
        assert mapping.dirty is not None
        assert mapping.writeback is not None
        if not self.rows or page >= mapping.pages or not mapping.dirty[page] or io.inode.page_locks.holders:
            return 0
        end = mapping.dirty.find(0, page, page + MAX_ALIKE)
        end = min(page + MAX_ALIKE, mapping.pages) if end < 0 else end
        under_way = mapping.writeback.find(1, page, end)
        most = (end if under_way < 0 else under_way) - page
        pages = self._io.pass_over(task, io.inode, page, most)
        pages = pages or self._io.write_alone(task, io.inode, page, most, io.flags, plug)
        task.ps += self._s_ext4.charge(pages)
        return pages
