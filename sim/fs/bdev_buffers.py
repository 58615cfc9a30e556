"""
The block device's own pages as metadata has them: which blocks are in memory, which are dirty in place.

A page has page size / block size buffers; sb_getblk() makes it with all of them. What jbd2 has committed is
marked dirty here and written by whoever comes first: the device's flusher, sync, a checkpoint, umount; a bio
a block (block_write_full_page()). Left out: reclaim of these pages.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any, Final

from sim.block.bio import Plug
from sim.block.opf import REQ_META, REQ_OP_READ, REQ_OP_WRITE, REQ_PRIO
from sim.block.protocols import BioQueue
from sim.cache.page_cache_ra import INSERT_SYMBOLS
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, under
from sim.fs.write_out import Disk, Pending, WriteOut, sector_of
from sim.units import PAGE_BYTES, SECTOR_BYTES

BH_WBC: Final = "submit_bh_wbc submit_bh_wbc;bio_alloc_bioset submit_bh_wbc;bio_add_page"
"""submit_bh_wbc(): a bio of one block."""
BH_SYMBOLS: Final = f"submit_bh {under('submit_bh', BH_WBC)}"
"""submit_bh(): a bio of one block."""
_FULL: Final = "write_cache_pages;__writepage;blkdev_writepage;block_write_full_page;__block_write_full_page"


class BdevBuffers:
    """Buffers of a device's own mapping, by file-system block."""

    def __init__(
        self, clock: Clock, ledger: Ledger, queue: BioQueue, block_size: int, disk: Disk | None
    ) -> None:
        self.block_size = block_size
        self._per_page = PAGE_BYTES // block_size
        self._queue = queue
        self._pages: set[int] = set()
        self._uptodate: set[int] = set()
        self._verified: set[int] = set()
        self._dirty: dict[int, bool] = {}
        self._tagged: set[int] = set()
        self._reading: dict[int, Pending] = {}
        self._writing: dict[int, Pending] = {}
        self._s_getblk = ledger.site(TASK, "", "__getblk_gfp __getblk_gfp;__find_get_block")
        self._s_grow = ledger.site(TASK, "__getblk_gfp", f"{INSERT_SYMBOLS} alloc_page_buffers")
        self._s_heads = ledger.site(TASK, "__getblk_gfp;alloc_page_buffers", "alloc_buffer_head")
        self._s_dirty = ledger.site(TASK, "", "mark_buffer_dirty")
        self._s_dirty_page = ledger.site(TASK, "mark_buffer_dirty", "__folio_mark_dirty __mark_inode_dirty")
        self._s_read = ledger.site(TASK, "", BH_SYMBOLS)
        self._out = WriteOut(
            clock,
            ledger,
            queue,
            disk,
            "end_bio_bh_io_sync end_bio_bh_io_sync;end_buffer_async_write",
            "",
            "filemap_fdatawait_range;__filemap_fdatawait_range;folio_wait_writeback",
        )
        self._in = WriteOut(clock, ledger, queue, None, "end_bio_bh_io_sync", "", "__wait_on_buffer")
        self._s_page = ledger.site(
            TASK,
            "",
            "folio_clear_dirty_for_io write_cache_pages;__writepage"
            " write_cache_pages;__writepage;blkdev_writepage"
            " write_cache_pages;__writepage;blkdev_writepage;block_write_full_page"
            f" {_FULL} {_FULL};__folio_start_writeback {_FULL};folio_unlock"
            " end_page_writeback folio_end_writeback folio_end_writeback;__folio_end_writeback",
        )
        self._s_block = ledger.site(TASK, _FULL, BH_WBC)

    def getblk(self, task: Task, times: int) -> None:
        """Charge look-ups of blocks that are in memory (sb_getblk())."""
        task.ps += self._s_getblk.charge(times)

    def make(self, task: Task, block: int) -> None:
        """sb_getblk(): make the page of a block, with all its buffers, unless it is there."""
        task.ps += self._s_getblk.charge(1)
        page = block // self._per_page
        if page not in self._pages:
            self._pages.add(page)
            task.ps += self._s_grow.charge(1) + self._s_heads.charge(self._per_page)

    def warm(self, blocks: Iterable[int]) -> None:
        """Have these blocks in memory."""
        for block in blocks:
            self._pages.add(block // self._per_page)
            self._uptodate.add(block)

    def forget_pages(self, blocks: Iterable[int]) -> None:
        """Have none of the pages of these blocks in memory."""
        for block in blocks:
            self._pages.discard(block // self._per_page)
            self._uptodate.discard(block)

    def drop_pages(self) -> int:
        """Have no page in memory any more; return how many there were."""
        pages = len(self._pages)
        self._pages.clear()
        self._uptodate.clear()
        self._verified.clear()
        return pages

    def holds(self, block: int) -> bool:
        """Tell whether a block is in memory."""
        return block in self._uptodate

    def fresh(self, block: int) -> None:
        """A block was made anew: nothing has to be read, nor to be verified."""
        self._uptodate.add(block)
        self._verified.add(block)

    def verify(self, block: int) -> bool:
        """Look at a block's contents; tell whether nobody did before (buffer_verified())."""
        if block in self._verified:
            return False
        self._verified.add(block)
        return True

    def start_read(self, task: Task, block: int, plug: Plug, ahead: bool) -> None:
        """Submit the read of a block, unless it is there or under way."""
        self._forget_read()
        if block in self._uptodate or block in self._reading:
            return
        task.ps += self._s_read.charge(1)
        size = self.block_size
        self._reading[block] = self._in.submit(
            task,
            plug,
            sector_of(block, size),
            size // SECTOR_BYTES,
            1,
            [(block, 1)],
            None,
            REQ_OP_READ | REQ_META | REQ_PRIO,
            ahead=ahead,
        )

    def finish(self, task: Task, plug: Plug) -> None:
        """blk_finish_plug() of reads."""
        self._queue.finish_plug(task, plug)

    def flush_for_sleep(self, task: Task, plug: Plug) -> None:
        """Send what a plug holds: the task is about to sleep."""
        self._queue.flush_for_sleep(task, plug)

    def read(self, task: Task, block: int, plug: Plug) -> Generator[Any, Any, None]:
        """Read a block, or wait for it, unless it is in memory."""
        self.start_read(task, block, plug, False)
        pending = self._reading.get(block)
        if pending is not None:
            self._queue.flush_for_sleep(task, plug)
            yield from self._in.wait(task, [pending])
            self._forget_read()

    def _forget_read(self) -> None:
        """Take in what has come."""
        if self._reading:
            for block in [block for block, pending in self._reading.items() if pending.ended]:
                del self._reading[block]
                self._uptodate.add(block)

    # -- dirty blocks ------------------------------------------------------------------------------

    def mark_dirty(self, task: Task, block: int) -> None:
        """mark_buffer_dirty(): the block is to be written where it belongs."""
        task.ps += self._s_dirty.charge(1)
        if block in self._dirty:
            return
        self._dirty[block] = True
        page = block // self._per_page
        if page not in self._tagged:
            self._tagged.add(page)
            task.ps += self._s_dirty_page.charge(1)

    def is_dirty(self, block: int) -> bool:
        """Tell whether a block is to be written in place."""
        return block in self._dirty

    def clean(self, blocks: Sequence[int]) -> None:
        """Blocks are written, or need not be; their pages stay tagged until write-back comes to them."""
        dirty = self._dirty
        if dirty:
            for block in blocks:
                dirty.pop(block, False)

    def writes(self, blocks: list[int], pending: list[Pending]) -> None:
        """Blocks are on their way to their places, in that order: their buffers are locked until then."""
        at = 0
        for each in pending:
            for block in blocks[at : at + each.count]:
                self._writing[block] = each
            at += each.count

    def under_way(self, block: int) -> Pending | None:
        """Return the write of a block that is on its way, None if there is none."""
        pending = self._writing.get(block)
        if pending is not None and pending.ended:
            del self._writing[block]
            return None
        return pending

    @property
    def dirty_blocks(self) -> list[int]:
        """Blocks to be written in place, ascending."""
        return sorted(self._dirty)

    @property
    def dirty_page_count(self) -> int:
        """Pages that are tagged as dirty, be it that their blocks were written since."""
        return len(self._tagged)

    def write_back(self, task: Task, flags: int = 0) -> list[Pending]:
        """generic_writepages() over the device's mapping: a bio a block; return them on their way."""
        blocks = self.dirty_blocks
        task.ps += self._s_page.charge(len(self._tagged)) + self._s_block.charge(len(blocks))
        self._tagged.clear()
        self._dirty.clear()
        plug = Plug()
        opf = REQ_OP_WRITE | REQ_META | REQ_PRIO | flags
        pending = self._out.submit_each(task, plug, blocks, self.block_size, opf)
        self.writes(blocks, pending)
        self._queue.finish_plug(task, plug)
        return pending

    def wait(self, task: Task, pending: list[Pending]) -> Generator[Any, Any, None]:
        """Wait for what write_back() has submitted."""
        return self._out.wait_ended(task, pending)
