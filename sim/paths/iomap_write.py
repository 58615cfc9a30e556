"""
write(2) through iomap_file_buffered_write() of Linux 6.1 (fs/iomap/buffered-io.c) as ext4 would use it: a
prediction, for no ext4 of 6.1 does, and no recording has it.

An extent is looked up once a call, not once a block: what is a hole of it is promised (delalloc) or allocated
(nodelalloc) in one piece. Pages get no buffer heads; where blocks are smaller than pages, a struct iomap_page
says which of them are up to date. If a block is only partly written, all blocks that the call touches of its
page, and that are not up to date, are read first. The inode is made dirty once a call that makes the file
longer. Left out: what buffered_write.py leaves out, encryption (iomap of 6.1 writes none), journalled data
(jbd2 wants buffer heads: ext4 keeps its own way for it), give-back of what a short write did not use.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.block.bio import Plug
from sim.block.opf import REQ_OP_READ
from sim.cache.page_cache import PageCache
from sim.cache.page_cache_ra import INSERT_SYMBOLS
from sim.cache.pages import ABSENT, PRESENT
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, under
from sim.fs.es_tree import ES_DELAYED
from sim.fs.ext4_super import Ext4Super
from sim.fs.live_inode import (
    BH_DELAY,
    BH_DIRTY,
    BH_MAPPED,
    BH_UNWRITTEN,
    BH_UPTODATE,
    LiveInode,
    known_blocks,
)
from sim.fs.map_flags import CREATE
from sim.fs.map_write import WriteMapper
from sim.fs.page_locks import LockedPages
from sim.fs.write_out import WriteOut, sector_of
from sim.paths.write_calls import BALANCE, GRABBED, chain
from sim.units import PAGE_BYTES, SECTOR_BYTES

CALLER: Final = (
    "entry_SYSCALL_64;vfs_write;ext4_file_write_iter;ext4_buffered_write_iter;iomap_file_buffered_write"
)
_ITER: Final = f"{CALLER};iomap_write_iter"
_FRESH: Final = BH_DELAY | BH_UNWRITTEN


class IomapWrite:
    """Writes files of one file system through the page cache, without buffer heads."""

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        cache: PageCache,
        sb: Ext4Super,
        mapper: WriteMapper,
        reads: WriteOut,
    ) -> None:
        """reads: on whose way blocks come that are read first."""
        self._clock = clock
        self._cache = cache
        self._sb = sb
        self._mapper = mapper
        self._reads = reads
        self._per_page = sb.per_page
        site = ledger.site
        self._s_call = site(TASK, "", f"{chain(CALLER)} {CALLER};iomap_iter")  # the one that finds no more
        self._s_extent = site(TASK, CALLER, "iomap_iter iomap_iter;ext4_iomap_begin iomap_write_iter")
        begin = "iomap_write_begin"
        grabbed = f"{under(begin, GRABBED)} {begin};__iomap_write_begin"
        inner = f"copy_page_from_iter_atomic {BALANCE} {begin} {grabbed}"
        self._s_page = site(
            TASK,
            _ITER,
            f"{inner} iomap_write_end iomap_write_end;__iomap_write_end folio_unlock",
            unit="copy_page_from_iter_atomic",
        )
        self._s_new = site(TASK, f"{_ITER};{begin}", INSERT_SYMBOLS)
        self._s_state = site(TASK, f"{_ITER};{begin};__iomap_write_begin", "iomap_page_create")
        self._s_stable = site(TASK, f"{_ITER};{begin}", "folio_wait_stable")
        self._s_read = site(TASK, f"{_ITER};{begin};__iomap_write_begin", "iomap_read_folio_sync")
        self._s_dirty_page = site(
            TASK, f"{_ITER};iomap_write_end;__iomap_write_end", "__folio_mark_dirty __mark_inode_dirty"
        )

    def write(
        self, task: Task, inode: LiveInode, offset: int, length: int, data: bytes = b""
    ) -> Generator[Any, Any, None]:
        """Write `length` bytes at `offset`, as one write(2). data: these bytes, where they are kept."""
        task.ps += self._s_call.charge(1)
        yield from self._sb.update_time(task, inode, task.time_ns)
        mapping, size = inode.mapping, self._sb.block_size
        end, at = offset + length, offset
        inode.reach(-(-end // PAGE_BYTES), self._per_page)
        mapping.written_to()
        while at < end:
            block = at // size
            blocks = yield from self._begin(task, inode, block, -(-end // size) - block)
            stop = min(end, (block + blocks) * size)
            while at < stop:
                upto = min((at // PAGE_BYTES + 1) * PAGE_BYTES, stop)
                yield from self._piece(task, inode, at, upto, data[at - offset : upto - offset])
                at = upto
        if end > inode.size:
            inode.size = end
            if not inode.state[(end - 1) // size] & _FRESH:
                inode.disksize = max(inode.disksize, end)
            yield from self._sb.mark_dirty_sync(task, inode, True)

    # -- extents -----------------------------------------------------------------------------------------

    def _begin(self, task: Task, inode: LiveInode, block: int, want: int) -> Generator[Any, Any, int]:
        """->iomap_begin(): have up to `want` blocks mapped or promised; return how many."""
        task.ps += self._s_extent.charge(1)
        found = yield from self._mapper.map_blocks(task, inode, block, want, 0, Plug(holds=False))
        if found.length:
            self._note(inode, block, found.length, found.physical, BH_UNWRITTEN if found.unwritten else 0)
            return found.length
        entry = inode.es.lookup(block)
        assert entry is not None  # the look-up has left what it found
        blocks = min(entry.start + entry.length - block, want)
        if self._sb.delalloc:
            if entry.status != ES_DELAYED:
                self._mapper.da_reserve(task, inode, block, blocks)
            self._note(inode, block, blocks, 0, BH_DELAY)
            return blocks
        yield from self._sb.start(task, self._sb.extent_credits())
        found = yield from self._mapper.map_blocks(task, inode, block, blocks, CREATE, Plug(holds=False))
        self._sb.stop(task)
        self._note(inode, block, found.length, found.physical, 0, new=True)
        return found.length

    def _note(
        self, inode: LiveInode, block: int, blocks: int, physical: int, kind: int, new: bool = False
    ) -> None:
        """Note where blocks are; new ones are zeros until they are written."""
        state, place = inode.state, inode.place
        for at in range(blocks):
            lblk = block + at
            if physical:
                place[lblk] = physical + at
            if inode.mapping.state[lblk // self._per_page] == ABSENT:
                state[lblk] = 0
            if not state[lblk] & BH_DIRTY:
                state[lblk] = (state[lblk] & ~_FRESH) | BH_MAPPED | kind | (BH_UPTODATE if new else 0)

    # -- pages -------------------------------------------------------------------------------------------

    def _piece(
        self, task: Task, inode: LiveInode, start: int, end: int, data: bytes
    ) -> Generator[Any, Any, None]:
        """iomap_write_iter(): write bytes [start, end) of a file, within one page."""
        mapping, state, size = inode.mapping, inode.state, self._sb.block_size
        page = start // PAGE_BYTES
        first, last = start // size, -(-end // size)
        task.ps += self._s_page.charge_units(1, end - start)
        locks, mine = inode.page_locks, LockedPages(page, page + 1)
        yield from locks.wait(task, page, self._clock)
        locks.hold(mine)
        if mapping.state[page] == ABSENT:
            task.ps += self._s_new.charge(1)
            if self._per_page > 1:
                task.ps += self._s_state.charge(1)
            self._cache.insert(mapping, page, page + 1)
            mapping.state[page] = PRESENT
            mapping.known_blocks[page] = 0
            self._forget(inode, page, first, last)
        else:
            task.ps += self._s_stable.charge(1)
        whole = not mapping.lock(page)
        if not whole and (start % size or end % size):
            yield from self._read_first(task, inode, start, end)
        if inode.bytes is not None:
            inode.bytes.put(start, data)
        for block in range(first, last):
            state[block] |= BH_UPTODATE | BH_DIRTY
        if mapping.tag_dirty(page, True):
            task.ps += self._s_dirty_page.charge(1)
        if not whole:
            self._know(inode, page)
        locks.drop(mine)

    def _forget(self, inode: LiveInode, page: int, first: int, last: int) -> None:
        """Know nothing of a new page's blocks but those in [first, last): it may have been there before."""
        base = page * self._per_page
        for block in range(base, base + self._per_page):
            if not first <= block < last:
                inode.state[block] = 0

    def _read_first(self, task: Task, inode: LiveInode, start: int, end: int) -> Generator[Any, Any, None]:
        """iomap_read_folio_sync(): the blocks that are touched, where one is only partly written."""
        state, size = inode.state, self._sb.block_size
        first, last = start // size, -(-end // size)
        cut = {block for block, byte in ((first, start), (last - 1, end)) if byte % size}
        missing = [block for block in range(first, last) if not state[block] & (BH_UPTODATE | _FRESH)]
        if not cut & set(missing):
            return
        while missing:
            block, blocks = missing[0], 1
            while blocks < len(missing) and missing[blocks] == block + blocks:
                blocks += 1
            del missing[:blocks]
            task.ps += self._s_read.charge(1)
            pending = self._reads.submit(
                task,
                Plug(holds=False),
                sector_of(inode.place[block], size),
                blocks * size // SECTOR_BYTES,
                1,
                [(block, blocks)],
                None,
                REQ_OP_READ,
            )
            yield from self._reads.wait(task, [pending])
            if inode.bytes is not None:
                inode.bytes.came(block, inode.place[block], blocks)

    def _know(self, inode: LiveInode, page: int) -> None:
        """iomap_set_range_uptodate(): which blocks of the page are up to date."""
        known = known_blocks(inode.state, page * self._per_page, self._per_page)
        inode.mapping.unlock(page, known, (1 << self._per_page) - 1)
