"""
A block device that is written through its own pages: write(2), fsync(2) and the last close(2) of /dev/...
(block/fops.c, block/bdev.c and fs/buffer.c of Linux 6.1).

blkdev_get_block() maps a block to itself, so nothing is ever allocated; a page gets its buffer heads of the
device's block size, and write-back is block_write_full_page(): a bio a block. There is no inode to commit:
fsync(2) writes, waits and empties the cache. The last close writes what is dirty and drops all pages.

Left out: reads, direct I/O, writes past the end of the device, partitions, discards, several openers.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.block.bio import Plug
from sim.block.opf import REQ_OP_READ
from sim.block.protocols import BioQueue
from sim.cache.page_cache import PageCache
from sim.cache.page_cache_ra import INSERT_SYMBOLS
from sim.cache.pages import ABSENT, PRESENT, UPTODATE, Mapping
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, under
from sim.ext4.format.extents import ExtentTree
from sim.fs.bdev_buffers import BH_WBC
from sim.fs.ext4_super import TICK_NS
from sim.fs.live_inode import BH_DIRTY, BH_MAPPED, BH_UPTODATE, LiveInode
from sim.fs.write_out import Pending, WriteOut, sector_of
from sim.fs.writeback_control import WB_SYNC_ALL, WritebackControl
from sim.paths.write_calls import GRAB, chain
from sim.paths.writepages.ends import WriteBackEnds
from sim.paths.writepages.generic import GENERIC_CALLER, BlockWriteFullPage
from sim.paths.writepages.wait import WriteBackWait
from sim.units import PAGE_BYTES, SECTOR_BYTES

CALLER: Final = "entry_SYSCALL_64;vfs_write;blkdev_write_iter;__generic_file_write_iter;generic_perform_write"
WRITEPAGES: Final = "do_writepages;blkdev_writepages;generic_writepages"
_BEGIN: Final = f"{CALLER};blkdev_write_begin;block_write_begin"
_END: Final = f"{CALLER};blkdev_write_end;block_write_end"
_END_BIO: Final = "end_bio_bh_io_sync"


def _calls_of_page() -> str:
    """Return what every page of a write calls, whatever is cached of it."""
    balance = chain("balance_dirty_pages_ratelimited;balance_dirty_pages_ratelimited_flags")
    begin = under("blkdev_write_begin", f"block_write_begin {under('block_write_begin', chain(GRAB))}")
    inner = "blkdev_write_begin;block_write_begin;__block_write_begin_int"
    end = "blkdev_write_end blkdev_write_end;block_write_end blkdev_write_end;folio_unlock"
    return under(CALLER, f"copy_page_from_iter_atomic {balance} blkdev_write_begin {begin} {inner} {end}")


class BdevFile:
    """
    An open block device of `block_size`. pages: its own (struct address_space), with their buffer heads.

    ticks_left: how often a write finds new times; None: by the clock.
    """

    def __init__(
        self, clock: Clock, ledger: Ledger, queue: BioQueue, cache: PageCache, block_size: int
    ) -> None:
        self._queue = queue
        self._cache = cache
        self._size = block_size
        self._per_page = PAGE_BYTES // block_size
        self.pages = LiveInode(0, 0, 0, 0, ExtentTree(0, [], [0], [0], [()]), block_size, Mapping(0, False))
        self.ticks_left: int | None = None
        self._tick = -1
        self._reads = WriteOut(clock, ledger, queue, None, _END_BIO, "", "__wait_on_buffer")
        ends = WriteBackEnds(
            clock,
            ledger,
            f"{_END_BIO} {_END_BIO};end_buffer_async_write",
            "",
            "end_page_writeback folio_end_writeback folio_end_writeback;__folio_end_writeback",
        )
        up = GENERIC_CALLER
        full = f"{up};__writepage;blkdev_writepage;block_write_full_page"
        self._write_back = BlockWriteFullPage(
            ledger,
            queue,
            ends,
            block_size,
            f"{chain(WRITEPAGES)} {up}",
            f"{up};__writepage {up};__writepage;blkdev_writepage {full} {full};__block_write_full_page",
        )
        self.wait = WriteBackWait(clock, ledger, queue)
        self._place(ledger)

    def _place(self, ledger: Ledger) -> None:
        """Find the places of what is called."""
        site = ledger.site
        self._s_call = site(TASK, "", chain(CALLER))
        self._s_time = site(TASK, CALLER.rpartition(";")[0], "file_update_time;__mark_inode_dirty")
        self._s_page = site(TASK, "", _calls_of_page(), unit="copy_page_from_iter_atomic")
        self._s_new = site(TASK, _BEGIN, INSERT_SYMBOLS)
        inner = f"{_BEGIN};__block_write_begin_int"
        self._s_heads = site(TASK, inner, "create_empty_buffers create_empty_buffers;alloc_page_buffers")
        heads = f"{inner};create_empty_buffers;alloc_page_buffers"
        self._s_head = site(TASK, heads, f"alloc_buffer_head /{heads}:block", unit="alloc_buffer_head")
        self._s_stable = site(TASK, f"{_BEGIN};{GRAB}", "folio_wait_stable")
        self._s_read = site(TASK, inner, BH_WBC)
        self._s_dirty = site(TASK, _END, "mark_buffer_dirty")
        self._s_dirty_page = site(TASK, f"{_END};mark_buffer_dirty", "__folio_mark_dirty __mark_inode_dirty")
        self._s_fsync = site(
            TASK, "", chain("entry_SYSCALL_64;vfs_fsync_range;blkdev_fsync;filemap_fdatawrite_wbc")
        )
        put = "entry_SYSCALL_64;blkdev_put"
        self._s_sync = site(TASK, put, "filemap_fdatawrite_wbc")
        single = "write_inode_now;__writeback_single_inode"
        self._s_now = site(TASK, put, f"{single} {single};filemap_fdatawait_range")
        self._s_gone = site(
            TASK,
            put,
            "block_invalidate_folio block_invalidate_folio;try_to_free_buffers folio_unlock",
        )
        self._s_gone_head = site(
            TASK, f"{put};block_invalidate_folio;try_to_free_buffers", "free_buffer_head"
        )

    # -- write(2) ------------------------------------------------------------------------------------

    def write(self, task: Task, offset: int, length: int) -> Generator[Any, Any, None]:
        """Write `length` bytes at `offset`, as one write(2)."""
        task.ps += self._s_call.charge(1)
        if self._new_times(task.time_ns):
            task.ps += self._s_time.charge(1)
        pages = self.pages
        end = offset + length
        pages.reach(-(-end // PAGE_BYTES), self._per_page)
        pages.size = max(pages.size, pages.mapping.pages * PAGE_BYTES)
        pages.mapping.written_to()
        plug = Plug()
        while offset < end:
            page = offset // PAGE_BYTES
            stop = min((page + 1) * PAGE_BYTES, end)
            yield from self._piece(task, page, offset - page * PAGE_BYTES, stop - page * PAGE_BYTES, plug)
            offset = stop
        self._queue.finish_plug(task, plug)
        yield from task.settle()

    def _new_times(self, now_ns: int) -> bool:
        """file_update_time(): of the device's node; once for each tick in which it is written."""
        if self.ticks_left is not None:
            self.ticks_left -= 1
            return self.ticks_left >= 0
        before, self._tick = self._tick, now_ns // TICK_NS
        return before != self._tick

    def _piece(self, task: Task, page: int, start: int, end: int, plug: Plug) -> Generator[Any, Any, None]:
        """Write bytes [start, end) of one page."""
        mapping, state, size = self.pages.mapping, self.pages.state, self._size
        task.ps += self._s_page.charge_units(1, end - start)
        self._have_page(task, page)
        base = page * self._per_page
        first, last = base + start // size, base - (-end // size)
        partial = [0][:0]
        for block in range(first, last):
            at = (block - base) * size
            self.pages.place[block] = block
            known = mapping.state[page] == UPTODATE or bool(state[block] & BH_UPTODATE)
            if not known and (at < start or at + size > end):
                partial.append(block)
            state[block] |= BH_MAPPED
        yield from self._read_blocks(task, partial, plug)
        task.ps += self._s_dirty.charge(last - first)
        for block in range(first, last):
            if not state[block] & BH_DIRTY and mapping.tag_dirty(page, True):
                task.ps += self._s_dirty_page.charge(1)
            state[block] |= BH_UPTODATE | BH_DIRTY
        if all(state[block] & BH_UPTODATE for block in range(base, base + self._per_page)):
            mapping.state[page] = UPTODATE
            mapping.known_blocks.pop(page, None)

    def _have_page(self, task: Task, page: int) -> None:
        """Find the page or make it, and give it buffer heads."""
        mapping = self.pages.mapping
        if mapping.state[page] == ABSENT:
            task.ps += self._s_new.charge(1)
            self._cache.insert(mapping, page, page + 1)
            mapping.state[page] = PRESENT
            mapping.known_blocks[page] = 0
        else:
            task.ps += self._s_stable.charge(1)
        if mapping.buffered is None or not mapping.buffered[page]:
            fresh = self._cache.attach_buffers(mapping, page, page + 1)
            task.ps += self._s_heads.charge(1) + self._s_head.charge_units(self._per_page, fresh)

    def _read_blocks(self, task: Task, blocks: list[int], plug: Plug) -> Generator[Any, Any, None]:
        """Read the blocks that are only partly written, joined by the write's plug; wait for all."""
        pending, size = [Pending(0, None)][:0], self._size
        for block in blocks:
            task.ps += self._s_read.charge(1)
            pending.append(
                self._reads.submit(
                    task,
                    plug,
                    sector_of(block, size),
                    size // SECTOR_BYTES,
                    1,
                    [(block, 1)],
                    None,
                    REQ_OP_READ,
                )
            )
        if pending:
            self._queue.flush_for_sleep(task, plug)
            yield from self._reads.wait(task, pending)

    # -- fsync(2), close(2) --------------------------------------------------------------------------

    def _write_range(self, task: Task, wbc: WritebackControl) -> Generator[Any, Any, None]:
        """do_writepages(), if anything is dirty."""
        if self.pages.mapping.dirty_pages:
            yield from self._write_back.writepages(task, self.pages, wbc)

    def fsync(self, task: Task) -> Generator[Any, Any, None]:
        """fsync(2) and fdatasync(2): write, wait, empty the device's cache."""
        task.ps += self._s_fsync.charge(1)
        yield from self._write_range(task, WB_SYNC_ALL)
        yield from self.wait.wait(task, self.pages)
        yield from self._reads.flush(task)
        yield from task.settle()

    def close(self, task: Task) -> Generator[Any, Any, None]:
        """blkdev_put() by the last one: what is dirty is written, twice looked for; then no page is left."""
        for _ in range(2):
            task.ps += self._s_sync.charge(1)
            yield from self._write_range(task, WB_SYNC_ALL)
            yield from self.wait.wait(task, self.pages)
        mapping = self.pages.mapping
        buffered = mapping.buffered
        if buffered is not None:
            pages = buffered.count(1)
            task.ps += self._s_gone.charge(pages) + self._s_gone_head.charge(pages * self._per_page)
        self._cache.drop(mapping)
        task.ps += self._s_now.charge(1)
        yield from self._write_back.writepages(task, self.pages, WB_SYNC_ALL)
        yield from self.wait.wait(task, self.pages)
        yield from task.settle()
