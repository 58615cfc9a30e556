"""
write(2) into the page cache: generic_perform_write() over ext4's pairs of write_begin and write_end
(mm/filemap.c, fs/ext4/inode.c, fs/buffer.c of Linux 6.1).

    delalloc        ext4_da_write_begin and ext4_da_write_end: blocks are promised, allocated at write-back
    nodelalloc      ext4_write_begin and ext4_write_end: allocated here, in a handle a page
    journalled      ext4_write_begin and ext4_journalled_write_end: the data itself goes to the journal
    plain           block_write_begin and block_write_end without a handle: ext2's, and a block device's

A page's buffer heads are made when it has none; the touched ones are mapped one by one; a block that is only
partly written is read first. Left out: faults of the user's pages, short copies, large folios, inline data.

Where few blocks are free, ext4_nonda_switch() lets a delayed write allocate at once, and dirty pages be
written before.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from sim.block.bio import Plug
from sim.block.opf import REQ_OP_READ
from sim.cache.page_cache import PageCache
from sim.cache.pages import ABSENT, PRESENT
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import Ledger
from sim.errors import InvariantError
from sim.fs.allocation import STOPS_DELAYING, WRITES_BACK
from sim.fs.ext4_super import Ext4Super
from sim.fs.live_inode import (
    BH_DELAY,
    BH_DIRTY,
    BH_JBDDIRTY,
    BH_MAPPED,
    BH_NEW,
    BH_UNWRITTEN,
    BH_UPTODATE,
    NEEDS_MAPPING,
    LiveInode,
    known_blocks,
    same,
)
from sim.fs.map_flags import CREATE
from sim.fs.map_write import SLEEPS, WriteMapper
from sim.fs.page_locks import LockedPages
from sim.fs.write_out import Pending, WriteOut, sector_of
from sim.paths.checksums.run_changes import TagChange
from sim.paths.checksums.updates import ChecksumUpdates
from sim.paths.post_read_steps import FSCRYPT, CipherCalls
from sim.paths.write_calls import (
    DELALLOC,
    FALL_BACK,
    HAVE_HANDLES,
    JOURNALLED,
    MODES,
    PLAIN,
    WRITE,
)
from sim.paths.write_rows import WriteRows
from sim.paths.write_sites import WriteSites
from sim.units import PAGE_BYTES, SECTOR_BYTES


class BufferedWrite(WriteSites):
    """Writes files of one file system through the page cache."""

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        cache: PageCache,
        sb: Ext4Super,
        mapper: WriteMapper,
        reads: WriteOut,
        decrypt: CipherCalls = FSCRYPT,
        caller: str = WRITE,
    ) -> None:
        """
        reads: on whose way blocks come that are read first. decrypt: what their decryption calls. rows: pages
        that are alike are taken together; False: each alone, with the same result. write_back, set by who
        mounts: try_to_writeback_inodes_sb(), which has all dirty pages written. sums, set too: keeps up the
        checksums of journalled data, a page at a time. caller: the folded stack that
        calls ->write_iter; it is counted itself where that is write(2).
        """
        super().__init__(ledger, decrypt, caller)
        self.rows = True
        self._clock = clock
        self._cache = cache
        self._sb = sb
        self._mapper = mapper
        self._reads = reads
        self._per_page = sb.per_page
        self.write_back: Callable[[Task], Generator[Any, Any, None]] = _nothing_to_write
        self.sums: ChecksumUpdates | None = None
        self._rows = [self._rows_of(mode) for mode in MODES]

    def _rows_of(self, mode: int) -> WriteRows:
        """Return what takes pages together. What it may charge: all of _piece(), where nothing sleeps."""
        sites = [self._s_page, self._s_new, self._s_heads, self._s_head, self._s_stable]
        every = [each[mode] for each in sites] + [self._s_dirty, self._s_dirty_page]
        every += [] if mode == DELALLOC else [self._s_get_block]
        every += [self._s_journalled, self._s_write_end_fn] if mode == JOURNALLED else []
        return WriteRows(self._cache, self._mapper, self._sb, mode, every, self._s_head[mode])

    # -- write(2) --------------------------------------------------------------------------------------

    def write(
        self, task: Task, inode: LiveInode, offset: int, length: int, mode: int, data: bytes = b""
    ) -> Generator[Any, Any, None]:
        """Write `length` bytes at `offset`, as one write(2). data: these bytes, where they are kept."""
        task.ps += self._s_call.charge(1)
        if not inode.nosec:
            inode.nosec = True
            task.ps += self._s_caps.charge(1)
            self._sb.buffers.getblk(task, 1)
        yield from self._sb.update_time(task, inode, task.time_ns)
        mapping, began = inode.mapping, offset
        end = offset + length
        inode.reach(-(-end // PAGE_BYTES), self._per_page)
        inode.forget_heads(offset // PAGE_BYTES, -(-end // PAGE_BYTES), self._per_page)
        mapping.written_to()
        while offset < end:
            page = offset // PAGE_BYTES
            stop = min((page + 1) * PAGE_BYTES, end)
            at = page * PAGE_BYTES
            alone = mode == JOURNALLED and self.sums is not None
            if self.rows and not alone and stop - offset == PAGE_BYTES and end - stop > PAGE_BYTES:
                offset = yield from self._row(task, inode, page, end, mode, data, offset - began)
                continue
            yield from self._piece(task, inode, page, offset - at, stop - at, mode, data, offset - began)
            offset = stop

    def _row(
        self, task: Task, inode: LiveInode, page: int, end: int, mode: int, data: bytes, done: int
    ) -> Generator[Any, Any, int]:
        """
        Write a whole page, and those behind it up to byte `end` that are as it was; return where they end.
        """
        rows, stop = self._rows[mode], (page + 1) * PAGE_BYTES
        model = rows.model(task, inode, page, (end - page * PAGE_BYTES) // PAGE_BYTES * self._per_page)
        if model is None:
            yield from self._piece(task, inode, page, 0, PAGE_BYTES, mode, data, done)
            return stop
        before = rows.counted()
        yield from self._piece(task, inode, page, 0, PAGE_BYTES, mode, data, done)
        pages = rows.alike(inode, model, (end - stop) // PAGE_BYTES)
        if pages:
            rows.write(task, inode, model, pages, before)
            if inode.bytes is not None:
                done += PAGE_BYTES
                inode.bytes.put(stop, data[done : done + pages * PAGE_BYTES])
        return stop + pages * PAGE_BYTES

    def _piece(
        self, task: Task, inode: LiveInode, page: int, start: int, end: int, mode: int, data: bytes, done: int
    ) -> Generator[Any, Any, None]:
        """Write bytes [start, end) of one page: those of `data` from byte `done` on, where they are kept."""
        mapping, sb = inode.mapping, self._sb
        if mode == DELALLOC:
            shortage = self._mapper.trees.allocator.shortage()
            if shortage & WRITES_BACK:
                yield from self.write_back(task)
            if shortage & STOPS_DELAYING:
                mode = FALL_BACK
        task.ps += self._s_page[mode].charge_units(1, end - start)
        locks, mine = inode.page_locks, LockedPages(page, page + 1)
        if locks.busy(page):
            yield from locks.wait(task, page, self._clock)
        self._have_page(task, inode, page, mode)
        held = page, page + 1
        mapping.held.append(held)
        handle = mode in HAVE_HANDLES
        if handle:
            yield from self._start_handle(task, inode, page, mode)
        locks.hold(mine)
        uptodate = not mapping.lock(page)
        size = sb.block_size
        first, last = start // size, -(-end // size)
        base = page * self._per_page
        at, partial, asked = first, [0][:0], -1
        while at < last:
            at = self._map(task, inode, base, at, last, start, end, uptodate, mode, partial, asked)
            asked = at
            if at < last:
                yield from self._map_asking(task, inode, base + at, mode)
        if partial:
            yield from self._read_blocks(task, inode, base, partial, mode)
        change: TagChange | None = None
        if mode == JOURNALLED and self.sums is not None:
            change = yield from self.sums.ready(task, inode, base + first, base + last)
        if inode.bytes is not None:
            inode.bytes.put(page * PAGE_BYTES + start, data[done : done + end - start])
        if mode == JOURNALLED:
            self._journal_blocks(task, inode, base + first, base + last)
            if self.sums is not None:
                yield from self.sums.log_now(task, inode, change)
        else:
            self._dirty_blocks(task, inode, page, base + first, base + last)
        if not uptodate:
            known = known_blocks(inode.state, base, self._per_page)
            mapping.unlock(page, known, (1 << self._per_page) - 1)
        locks.drop(mine)
        mapping.held.remove(held)
        yield from self._grow(task, inode, page * PAGE_BYTES + end, mode, handle)
        if handle:
            sb.stop(task)

    def _start_handle(self, task: Task, inode: LiveInode, page: int, mode: int) -> Generator[Any, Any, None]:
        """Start the handle of a page, with credits for its checksums if they go with it."""
        sb = self._sb
        credits = sb.write_credits(inode)
        if mode == JOURNALLED and self.sums is not None:
            credits += self.sums.credits(inode)
        if sb.can_start(task, credits):
            sb.start_at_once(task, credits)
        else:
            yield from sb.start(task, credits)
            yield from inode.page_locks.wait(task, page, self._clock)

    def _have_page(self, task: Task, inode: LiveInode, page: int, mode: int) -> None:
        """Find the page or make it, and give it buffer heads: those that it had before went with reclaim."""
        mapping, per_page = inode.mapping, self._per_page
        if mapping.state[page] == ABSENT:
            task.ps += self._s_new[mode].charge(1)
            self._cache.insert(mapping, page, page + 1)
            mapping.state[page] = PRESENT
            mapping.known_blocks[page] = 0
        else:
            task.ps += self._s_stable[mode].charge(1)
        if mapping.buffered is None or not mapping.buffered[page]:
            fresh = self._cache.attach_buffers(mapping, page, page + 1)
            task.ps += self._s_heads[mode].charge(1) + self._s_head[mode].charge_units(per_page, fresh)
            inode.state[page * per_page : (page + 1) * per_page] = same(0, per_page)

    def _map(
        self,
        task: Task,
        inode: LiveInode,
        base: int,
        at: int,
        last: int,
        start: int,
        end: int,
        uptodate: bool,
        mode: int,
        partial: list[int],
        asked: int,
    ) -> int:
        """
        Have touched blocks mapped, from block `at` of the page on; return the first that has to be asked for.

        partial: takes the blocks that have to be read. asked: the block that was asked for just now.
        """
        state, size = inode.state, self._sb.block_size
        while at < last:
            block = base + at
            now = state[block] if at == asked else state[block] & ~BH_NEW
            if not now & BH_MAPPED:
                if mode != DELALLOC:
                    return at
                got = self._mapper.da_get_block(task, inode, block)
                if got == SLEEPS:
                    return at
                now |= got
            if now & BH_NEW and uptodate:
                now = (now & ~BH_NEW) | BH_UPTODATE | BH_DIRTY
                self._dirty_block(task, inode, block)
            elif uptodate:
                now |= BH_UPTODATE
            elif not now & (BH_UPTODATE | BH_NEW | BH_DELAY | BH_UNWRITTEN) and (
                at * size < start or (at + 1) * size > end
            ):
                partial.append(at)
            state[block] = now
            at += 1
        return at

    def _map_asking(self, task: Task, inode: LiveInode, block: int, mode: int) -> Generator[Any, Any, None]:
        """get_block() of one block, where something may have to be read or allocated."""
        if mode == DELALLOC:
            got = yield from self._mapper.da_walk(task, inode, block, Plug(holds=False))
            inode.state[block] |= got
            return
        task.ps += self._s_get_block.charge(1)
        found = yield from self._mapper.map_blocks(task, inode, block, 1, CREATE, Plug(holds=False))
        inode.place[block] = found.physical
        inode.state[block] |= BH_MAPPED | (BH_NEW if found.new else 0)

    def _read_blocks(
        self, task: Task, inode: LiveInode, base: int, partial: list[int], mode: int
    ) -> Generator[Any, Any, None]:
        """Read the blocks that are only partly written; wait for all."""
        size, pending = self._sb.block_size, [Pending(0, None)][:0]
        for at in partial:
            block = base + at
            task.ps += (self._s_read_plain if mode == PLAIN else self._s_read).charge(1)
            place = inode.place[block]
            pending.append(
                self._reads.submit(
                    task,
                    Plug(holds=False),
                    sector_of(place, size),
                    size // SECTOR_BYTES,
                    1,
                    [(block, 1)],
                    None,
                    REQ_OP_READ,
                    crypt=(inode, place - block) if inode.inline_crypto else None,
                )
            )
            if inode.inline_crypto:
                task.ps += self._s_context.charge(1)
        yield from self._reads.wait(task, pending)
        for at in partial:
            inode.state[base + at] |= BH_UPTODATE
            if inode.bytes is not None:
                inode.bytes.came(base + at, inode.place[base + at])
            if inode.fs_layer_crypto:
                task.ps += self._s_decrypt.charge_units(1, size)

    # -- what write_end does ---------------------------------------------------------------------------

    def _dirty_block(self, task: Task, inode: LiveInode, block: int) -> None:
        """mark_buffer_dirty() of a block; the first dirty one of a page makes that dirty too."""
        task.ps += self._s_dirty.charge(1)
        if not inode.state[block] & BH_DIRTY:
            self.dirty_page(task, inode, block // self._per_page)

    def dirty_page(self, task: Task, inode: LiveInode, page: int) -> None:
        """Tag a page as dirty, unless it is."""
        if inode.mapping.tag_dirty(page, True):
            task.ps += self._s_dirty_page.charge(1)

    def _dirty_blocks(self, task: Task, inode: LiveInode, page: int, first: int, last: int) -> None:
        """__block_commit_write()."""
        state, was = inode.state, True
        for block in range(first, last):
            was = was and bool(state[block] & BH_DIRTY)
            state[block] = (state[block] & ~BH_NEW) | BH_UPTODATE | BH_DIRTY
        task.ps += self._s_dirty.charge(last - first)
        if not was:
            self.dirty_page(task, inode, page)

    def _journal_blocks(self, task: Task, inode: LiveInode, first: int, last: int) -> None:
        """do_journal_get_write_access() of each touched block, then write_end_fn()."""
        state, sb = inode.state, self._sb
        journal = sb.journal
        assert journal is not None
        for block in range(first, last):
            task.ps += self._s_journalled.charge(1)
            place = inode.place[block]
            was_dirty = state[block] & BH_DIRTY
            sb.get_write_access(task, place)
            if was_dirty:
                state[block] &= ~BH_DIRTY
                sb.dirty_metadata(task, place)
            journal.data.journalled(inode, block, place)
        for block in range(first, last):
            task.ps += self._s_write_end_fn.charge(1)
            sb.dirty_metadata(task, inode.place[block])
            state[block] = (state[block] & ~BH_NEW) | BH_UPTODATE | BH_JBDDIRTY
        page = first // self._per_page
        inode.mapping.tag_journalled(page, page + 1, True)
        sb.note_sync(task, inode, data=True)

    def _grow(
        self, task: Task, inode: LiveInode, end: int, mode: int, handle: bool
    ) -> Generator[Any, Any, None]:
        """i_size_write(), and what of the inode has to be noted for it."""
        last = (end - 1) // self._sb.block_size
        if mode == PLAIN and end > inode.size:
            raise InvariantError("a plain write past the end of the file")
        here = not inode.state[last] & NEEDS_MAPPING
        if mode == DELALLOC and end > inode.size and here:
            inode.disksize = max(inode.disksize, end)
        if end <= inode.size:
            return
        inode.size = end
        if handle:
            inode.disksize = max(inode.disksize, end)
            self._sb.mark_inode_dirty(task, inode)
        else:
            yield from self._sb.mark_dirty_sync(task, inode, True)


def _nothing_to_write(_task: Task) -> Generator[Any, Any, None]:
    """Have nothing written."""
    yield from ()
