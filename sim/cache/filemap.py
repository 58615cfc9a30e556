"""
The buffered read loop: filemap_read() of mm/filemap.c; the readahead calls are page_cache_ra.py's.

Modelled on 6.1. A batch holds up to 15 folios and ends at one that is not up to date or carries the
readahead mark; the mark starts the next window before the copy; a locked folio is waited for and then looked
up again; a page that readahead did not bring is created alone. A page whose read has failed stays in the
cache, not up to date: who meets it reads it again, alone, before he gives up. A batch is held until it is
copied. Allocation, insertion and LRU, the look-up of a batch, the mark, the wait, folio_mark_accessed(), and
the call that copies happen once a folio, clearing and copying by the byte. The constants of a single page
stand for those of a folio: no recording tells them apart. Left out: IOCB_NOWAIT and friends, truncation,
writable mappings; reclaim is charged by the page.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.cache.address_space import OpenFile, ReadPath
from sim.cache.folios import PAGES, FolioRules
from sim.cache.page_cache import PageCache
from sim.cache.page_cache_ra import GET_PAGES, INSERT_SYMBOLS, PageCacheRa
from sim.cache.page_cache_ra_order import StreamOrderRa
from sim.cache.pages import ABSENT, LOCKED, MARKED, PRESENT, UPTODATE, Mapping
from sim.cache.ra_log import RaLog
from sim.cache.readahead import ReadaheadPolicy
from sim.engine.clock import Clock, Event
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, Site
from sim.units import PAGE_BYTES

PAGE_SHIFT: Final = 12
EIO: Final = 5
"""What read(2) returns, negative, of a page that could not be read (errno-base.h)."""

SLEEP_SYMBOLS: Final = "io_schedule;schedule try_to_wake_up"
"""
What sleeping until I/O is done calls, if it comes after the task has nothing else to do: off the core and
back on it, and the waking, which runs where the I/O ends and is charged to the sleeper.
"""

ENTERED: Final = "entry_SYSCALL_64 entry_SYSCALL_64;vfs_read"
"""read(2); a kernel_read() comes through what its caller charges."""


class Filemap:
    """
    The read loop of one machine: one page cache, one readahead policy, one read path.

    A page is a folio of order 0: files without large folios take the same loop.
    """

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        cache: PageCache,
        policy: ReadaheadPolicy,
        path: ReadPath,
        io_pages: int,
        rules: FolioRules = PAGES,
        entered: str = ENTERED,
        in_caller: bool = False,
        log: RaLog | None = None,
    ) -> None:
        """
        io_pages: the largest I/O of the device, in pages. rules: of this kernel's folios. entered: the
        symbols through which a read comes. in_caller: the device does its work in the caller, who looks at
        what it has read when that is paid. log: sees what readahead does.
        """
        self.cache = cache
        make_ra = StreamOrderRa if rules.of_the_stream else PageCacheRa
        self._ra = make_ra(ledger, cache, policy, path, io_pages, rules, log)
        self._rules = rules
        self._clock = clock
        self._path = path
        self._in_caller = in_caller
        read, ra, site = "filemap_read", GET_PAGES, ledger.site
        self._s_batch = site(TASK, read, "filemap_get_pages filemap_get_pages;filemap_get_read_batch")
        self._s_read = site(TASK, "", f"{entered} filemap_read")
        self._s_rebatch = site(TASK, ra, "filemap_get_read_batch")
        in_batch = "/filemap_read:page filemap_get_pages;filemap_get_read_batch:page"
        self._s_copy = site(
            TASK, read, f"folio_mark_accessed copy_page_to_iter {in_batch}", unit="copy_page_to_iter"
        )
        self._s_recopy = site(TASK, read, f"copy_page_to_iter {in_batch}", unit="copy_page_to_iter")
        self._s_wait = site(TASK, ra, "folio_put_wait_locked")
        self._s_sleep = site(TASK, f"{ra};folio_put_wait_locked", SLEEP_SYMBOLS)
        create, update = "filemap_create_folio", "filemap_update_page"
        self._s_create = site(TASK, ra, f"{create} {create};filemap_read_folio {INSERT_SYMBOLS}")
        self._s_update = site(TASK, ra, update)
        self._s_update_read = site(TASK, ra, f"{update};filemap_read_folio")
        self._s_sleep_read = site(TASK, f"{ra};filemap_read_folio", SLEEP_SYMBOLS)

    def read(self, task: Task, file: OpenFile, offset: int, length: int) -> Generator[Any, Any, int]:
        """
        Read `length` bytes at `offset`, as pread(2) does; return how many there were before EOF, or before a
        page that could not be read; -EIO if that was the first.
        """
        mapping, batch = file.mapping, self._rules.batch
        state = mapping.state
        task.ps += self._s_read.charge(1)
        position = offset
        end = min(offset + length, file.size_bytes)
        unit = PAGE_BYTES << mapping.min_order
        last_index = (offset + length + unit - 1) // unit * unit >> PAGE_SHIFT
        limit = min(last_index, mapping.pages)
        retry = False
        while position < end:
            # A wait with nothing in the batch looks again within the same filemap_get_pages().
            task.ps += (self._s_rebatch if retry else self._s_batch).charge(1)
            index = position >> PAGE_SHIFT
            at = index
            first = state[at]
            if first == ABSENT:
                yield from self._ra.sync(task, file, at, last_index - at)
                if self._in_caller:
                    yield from task.settle()
                first = state[at]
                if first == ABSENT and not (yield from self._create_folio(task, file, at)):
                    return position - offset or -EIO
            if first == UPTODATE:
                at = mapping.batch_end(index, limit, batch)
            border = state[at] if at < limit and mapping.folios(index, at) < batch else ABSENT
            if border == LOCKED and at == index:
                event = self._locked(task, mapping, at)
                if (yield from task.wait(event)):
                    self._slept(task, event, self._s_sleep)
            elif border != ABSENT:
                stop = offset + length
                at = yield from self._batch_border(task, file, position, at, border, last_index, stop)
                if at < 0:
                    return position - offset or -EIO
            retry = at == index
            if not retry:
                position = self._copy(task, file, position, min(at << PAGE_SHIFT, end))
        if position > offset and self._rules.position_at_end:
            file.ra.prev_page = position >> PAGE_SHIFT
        return max(end - offset, 0)

    def _batch_border(
        self, task: Task, file: OpenFile, position: int, at: int, border: int, last_index: int, stop: int
    ) -> Generator[Any, Any, int]:
        """
        The folio at `at` ends a batch from byte `position` on: it is marked, or not up to date, as `border`,
        its state, says; return the batch's end, -1 if there is none: it could not be read, and no folio comes
        before it.

        The batch is held meanwhile, and so is the folio whose mark it answers or which it reads.
        """
        index = position >> PAGE_SHIFT
        mapping = file.mapping
        marked = border & MARKED
        with_last = marked or border == PRESENT
        held = None
        if at > index or with_last:
            held = mapping.whole(index, at + 1 if with_last else at)
            mapping.held.append(held)
        if marked:
            yield from self._ra.marked(task, file, at, last_index - at)
            if self._in_caller:
                yield from task.settle()
            border = mapping.state[at]
        if border == LOCKED:
            event = self._locked(task, mapping, at)
            if (yield from task.wait(event)):
                self._slept(task, event, self._s_sleep)
        elif border == UPTODATE:
            at = mapping.bounds(at)[1]
        elif border == PRESENT:
            if (yield from self._update_page(task, file, at, position, stop)):
                at += 1
            elif at == index:
                at = -1
        if held is not None:
            mapping.held.remove(held)
        return at

    def read_each_cached(self, task: Task, file: OpenFile, index: int, pages: int) -> None:
        """Read `pages` up-to-date, unmarked pages from `index` in one step: as a read() for each."""
        task.ps += self._s_read.charge(pages) + self._s_batch.charge(pages)
        file.ra.prev_page = (
            self._copy(task, file, index << PAGE_SHIFT, (index + pages) << PAGE_SHIFT) >> PAGE_SHIFT
        )

    def _copy(self, task: Task, file: OpenFile, position: int, stop: int) -> int:
        """Copy [position, stop) out of up-to-date folios; return `stop`."""
        mapping = file.mapping
        index, pages_end = position >> PAGE_SHIFT, (stop + PAGE_BYTES - 1) >> PAGE_SHIFT
        folios = mapping.folios(index, pages_end)
        start, end = mapping.whole(index, pages_end)
        first_end = mapping.bounds(index)[1]
        if file.position > 0 and start <= (file.position - 1) >> PAGE_SHIFT < first_end:
            # The folio was read last time too: accessed once for both.
            task.ps += self._s_recopy.charge_units(1, stop - position) + self._s_copy.charge(folios - 1)
            start = first_end
        else:
            task.ps += self._s_copy.charge_units(folios, stop - position)
        if start < end:
            self.cache.mark_accessed(mapping, start, end)
        if file.sink is not None:
            file.sink.take(mapping, position, stop - position)
        file.position = stop
        if not self._rules.position_at_end:
            file.ra.prev_page = stop >> PAGE_SHIFT
        return stop

    def _create_folio(self, task: Task, file: OpenFile, index: int) -> Generator[Any, Any, bool]:
        """
        filemap_create_folio(): readahead did not bring the page (or reclaim took it again): read it alone;
        return whether it came.

        The page is held from its insertion to its copy, so the reader gets on whatever the memory is.
        """
        mapping = file.mapping
        task.ps += self._s_create.charge(1)
        order = mapping.min_order
        index = index >> order << order
        self._ra.insert(task, mapping, index, index + (1 << order), -1)
        held = (index, index + (1 << order))
        mapping.held.append(held)
        came = yield from self._read_folio(task, file, index)
        mapping.held.remove(held)
        return came

    def _update_page(
        self, task: Task, file: OpenFile, index: int, start: int, stop: int
    ) -> Generator[Any, Any, bool]:
        """
        filemap_update_page() of a PRESENT page, for a read of bytes [start, stop) of the file; return whether
        they are there.

        The page is read, unless all that is wanted of it is up to date (->is_partially_uptodate, which
        looks at what is asked for, not at the end of the file). Its holder is the caller.
        """
        mapping = file.mapping
        task.ps += self._s_update.charge(1)
        size, at = PAGE_BYTES // self.cache.heads_per_page, index * PAGE_BYTES
        first, last = max(start - at, 0) // size, -(-min(stop - at, PAGE_BYTES) // size)
        if mapping.known_blocks[index] >> first & (1 << (last - first)) - 1 == (1 << (last - first)) - 1:
            return True
        self.cache.updated += 1
        mapping.state[index] = LOCKED
        task.ps += self._s_update_read.charge(1)
        return (yield from self._read_folio(task, file, index))

    def _read_folio(self, task: Task, file: OpenFile, index: int) -> Generator[Any, Any, bool]:
        """
        What filemap_read_folio() does: start reading a locked page, wait for it; return whether it came.

        If not, readahead of the open file shrinks to a quarter (shrink_readahead_size_eio()).
        """
        mapping = file.mapping
        yield from self._path.read_folio(task, file, index)
        if self._in_caller:
            yield from task.settle()
        if mapping.state[index] & LOCKED:
            event = mapping.waiter(index, self._clock)
            if (yield from task.wait(event)):
                self._slept(task, event, self._s_sleep_read)
        if mapping.state[index] & UPTODATE:
            return True
        file.shrink_readahead()  # or another reader reads it again by now
        return False

    def _locked(self, task: Task, mapping: Mapping, index: int) -> Event:
        """Charge the wait for a locked folio; return the event of its unlocking."""
        task.ps += self._s_wait.charge(1)
        return mapping.waiter(index, self._clock)

    def _slept(self, task: Task, event: Event, slept: Site) -> None:
        """The task has slept until a folio was unlocked; `slept`: where that is charged, by who waits."""
        task.ps += slept.charge(1)
        if event.value is not None:
            event.value.woke(task.time_ns)
