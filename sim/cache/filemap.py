"""
The buffered read loop: filemap_read() of mm/filemap.c and the readahead calls of mm/readahead.c.

Modelled on 6.1. A batch holds up to 15 folios and ends at one that is not up to date or carries the
readahead mark; the mark starts the next window before the copy; a locked folio is waited for and then looked
up again; a page that readahead did not bring is created alone. A batch is held until it is copied.
Allocation, insertion and LRU, the look-up of a batch, the mark, the wait, folio_mark_accessed(), and the call
that copies happen once a folio, clearing and copying by the byte. The constants of a single page stand for
those of a folio: no recording tells them apart. Left out: IOCB_NOWAIT and friends, truncation, writable
mappings; reclaim is charged by the page.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, Final

from mypy_extensions import mypyc_attr

from sim.cache.folios import MIN_WINDOW_PAGES, PAGES, FolioRules, split_window, window_order
from sim.cache.page_cache import PageCache
from sim.cache.pages import ABSENT, LOCKED, MARKED, PRESENT, UPTODATE, Mapping
from sim.cache.readahead import RaState, ReadaheadPolicy, Window
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, Site
from sim.units import PAGE_BYTES

PAGE_SHIFT: Final = 12
FORCED_CHUNK_PAGES: Final = (2 << 20) // PAGE_BYTES

INSERT_SYMBOLS: Final = (
    "filemap_alloc_folio filemap_alloc_folio;clear_page_erms filemap_add_folio"
    " filemap_add_folio;__filemap_add_folio filemap_add_folio;folio_add_lru"
)
"""What allocating a page and adding it to a mapping calls."""

SLEEP_SYMBOLS: Final = "io_schedule;schedule try_to_wake_up"
"""
What sleeping until I/O is done calls, if it comes after the task has nothing else to do: off the core and
back on it, and the waking, which runs where the I/O ends and is charged to the sleeper.
"""

FOLIO_SYMBOLS: Final = (
    "filemap_alloc_folio filemap_add_folio filemap_add_folio;__filemap_add_folio"
    " filemap_add_folio;folio_add_lru"
)
"""The same for a folio; clearing its pages is charged apart."""

PageRange = tuple[int, int]
"""Pages [start, end)."""


@mypyc_attr(allow_interpreted_subclasses=True)
class ReadPages:
    """The file system's side: ->readahead, or ->read_folio page by page."""

    def read_pages(self, task: Task, file: OpenFile, ranges: list[PageRange]) -> Iterable[Any]:
        """
        Start reading locked pages under one plug. Each page is unlocked exactly once, later.

        The result is to be yielded from at once: () if nothing had to be waited for.
        """
        raise NotImplementedError

    def read_folio(self, task: Task, file: OpenFile, page: int) -> Iterable[Any]:
        """
        ->read_folio: start reading one locked page, without a plug. It is unlocked once, later.

        A page that had buffers has an entry in the mapping's known_bytes, which is taken out.
        """
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Sink:
    """Where a read's bytes go, when they are real."""

    def take(self, mapping: Mapping, offset: int, length: int) -> None:
        """Take `length` bytes from `offset` of up-to-date pages."""
        raise NotImplementedError


class OpenFile:
    """One open file: its mapping, its own readahead state, and the file system's inode."""

    __slots__ = ("inode", "mapping", "position", "ra", "ra_pages", "random", "sink", "size_bytes")

    def __init__(
        self, mapping: Mapping, inode: Any, size_bytes: int, ra_pages: int, random: bool = False
    ) -> None:
        self.mapping = mapping
        self.inode = inode
        self.size_bytes = size_bytes
        self.ra_pages = ra_pages
        self.random = random
        self.ra = RaState()
        self.position = -1
        self.sink: Sink | None = None


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
        path: ReadPages,
        io_pages: int,
        rules: FolioRules = PAGES,
        entered: str = ENTERED,
        in_caller: bool = False,
    ) -> None:
        """
        io_pages: the largest I/O of the device, in pages. rules: of this kernel's folios. entered: the
        symbols through which a read comes. in_caller: the device does its work in the caller, who looks at
        what it has read when that is paid.
        """
        self.cache = cache
        self._rules = rules
        self._clock = clock
        self._policy = policy
        self._path = path
        self._io_pages = io_pages
        self._in_caller = in_caller
        read, ra = "filemap_read", "filemap_read;filemap_get_pages"
        unbounded = f"{ra};page_cache_ra_unbounded"
        site, fuse = ledger.site, ledger.fuse
        self._s_batch = site(TASK, read, "filemap_get_pages filemap_get_pages;filemap_get_read_batch")
        self._s_read = site(TASK, "", f"{entered} filemap_read")
        s_rebatch = self._s_rebatch = site(TASK, ra, "filemap_get_read_batch")
        in_batch = "/filemap_read:page filemap_get_pages;filemap_get_read_batch:page"
        self._s_copy = site(
            TASK, read, f"folio_mark_accessed copy_page_to_iter {in_batch}", unit="copy_page_to_iter"
        )
        self._s_recopy = site(TASK, read, f"copy_page_to_iter {in_batch}", unit="copy_page_to_iter")
        self._s_wait = site(TASK, ra, "folio_put_wait_locked")
        self._s_sleep = site(TASK, f"{ra};folio_put_wait_locked", SLEEP_SYMBOLS)
        s_sync = site(TASK, ra, "page_cache_sync_ra")
        s_ondemand = site(TASK, ra, rules.decides)
        s_async = site(TASK, ra, "page_cache_async_ra")
        self._s_read_pages = site(TASK, unbounded, "read_pages")
        s_unbounded = fuse(site(TASK, ra, "page_cache_ra_unbounded"), self._s_read_pages)
        s_order = fuse(site(TASK, ra, "page_cache_ra_order"), s_unbounded)
        self._s_unbounded = s_unbounded
        self._s_force = fuse(s_sync, site(TASK, ra, "force_page_cache_ra"), s_rebatch)
        # By what called for it: the charge when nothing is read, when what was asked for is, and when a
        # planned window is.
        called = {True: fuse(s_async, s_ondemand), False: fuse(s_sync, s_ondemand, s_rebatch)}
        s_planned = site(TASK, ra, "page_cache_ra_order")
        self._s_ondemand = {
            marker: (head, fuse(head, s_unbounded), fuse(head, s_planned), fuse(head, s_order))
            for marker, head in called.items()
        }
        self._s_add = site(TASK, unbounded, f"{INSERT_SYMBOLS} /{unbounded}:page")
        create, update = "filemap_create_folio", "filemap_update_page"
        self._s_create = site(TASK, ra, f"{create} {create};filemap_read_folio {INSERT_SYMBOLS}")
        self._s_update = site(TASK, ra, update)
        self._s_update_read = site(TASK, ra, f"{update};filemap_read_folio")
        self._s_sleep_read = site(TASK, f"{ra};filemap_read_folio", SLEEP_SYMBOLS)
        self._s_reclaim = site(TASK, unbounded, "shrink_folio_list")
        freed = "shrink_folio_list;try_to_free_buffers"
        self._s_free_buffers = site(TASK, unbounded, freed)
        self._s_free_heads = site(TASK, unbounded, f"{freed};free_buffer_head")
        order = f"{ra};page_cache_ra_order"
        self._s_order = {
            True: site(TASK, ra, f"page_cache_async_ra {rules.decides} page_cache_ra_order"),
            False: site(
                TASK, ra, f"page_cache_sync_ra {rules.decides} page_cache_ra_order filemap_get_read_batch"
            ),
        }
        self._s_order_read = site(TASK, order, "read_pages")
        self._s_folio = site(TASK, order, FOLIO_SYMBOLS)
        self._s_failed = site(TASK, order, FOLIO_SYMBOLS.removesuffix(" filemap_add_folio;folio_add_lru"))
        self._s_clear = site(TASK, f"{order};filemap_alloc_folio", "clear_page_erms")

    def read(self, task: Task, file: OpenFile, offset: int, length: int) -> Generator[Any, Any, int]:
        """Read `length` bytes at `offset`, as pread(2) does; return how many there were before EOF."""
        mapping, batch = file.mapping, self._rules.batch
        state = mapping.state
        task.ps += self._s_read.charge(1)
        position = offset
        end = min(offset + length, file.size_bytes)
        last_index = (offset + length + PAGE_BYTES - 1) >> PAGE_SHIFT
        limit = min(last_index, mapping.pages)
        retry = False
        while position < end:
            # A wait with nothing in the batch looks again within the same filemap_get_pages().
            task.ps += (self._s_rebatch if retry else self._s_batch).charge(1)
            index = position >> PAGE_SHIFT
            at = mapping.batch_end(index, limit, batch)
            if at == index and state[at] == ABSENT:
                yield from self._sync_readahead(task, file, at, last_index - at)
                if self._in_caller:
                    yield from task.settle()
                at = mapping.batch_end(index, limit, batch)
                if at == index and state[at] == ABSENT:
                    yield from self._create_folio(task, file, at)
            if at < limit and mapping.folios(index, at) < batch and state[at] != ABSENT:
                at = yield from self._batch_border(task, file, index, at, last_index, offset + length)
            retry = at == index
            if not retry:
                position = self._copy(task, file, position, min(at << PAGE_SHIFT, end))
        return max(end - offset, 0)

    def _batch_border(
        self, task: Task, file: OpenFile, index: int, at: int, last_index: int, stop: int
    ) -> Generator[Any, Any, int]:
        """
        The folio at `at` ends a batch from `index` on: it is marked, or not up to date; return the batch's
        end.

        The batch is held meanwhile, and so is the folio whose mark it answers or which it reads.
        """
        mapping, state = file.mapping, file.mapping.state
        marked = state[at] & MARKED
        with_last = marked or state[at] == PRESENT
        held = None
        if at > index or with_last:
            held = mapping.whole(index, at + 1 if with_last else at)
            mapping.held.append(held)
        if marked:
            yield from self._async_readahead(task, file, at, last_index - at)
            if self._in_caller:
                yield from task.settle()
        if state[at] == LOCKED:
            task.ps += self._s_wait.charge(1)
            yield from self._wait_for(task, mapping, at, self._s_sleep)
        elif state[at] == UPTODATE:
            at = mapping.bounds(at)[1]
        elif state[at] == PRESENT:
            yield from self._update_page(task, file, at, stop)
            at += 1
        if held is not None:
            mapping.held.remove(held)
        return at

    def read_each_cached(self, task: Task, file: OpenFile, index: int, pages: int) -> None:
        """Read `pages` up-to-date, unmarked pages from `index` in one step: as a read() for each."""
        task.ps += self._s_read.charge(pages) + self._s_batch.charge(pages)
        self._copy(task, file, index << PAGE_SHIFT, (index + pages) << PAGE_SHIFT)

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
        file.ra.prev_page = stop >> PAGE_SHIFT
        return stop

    def _sync_readahead(self, task: Task, file: OpenFile, index: int, req: int) -> Iterable[Any]:
        """page_cache_sync_ra(): the page at `index` is not cached."""
        if file.random or not file.ra_pages:
            task.ps += self._s_force.charge(1)
            return self._force(task, file, index, req if file.ra_pages else 1)
        return self._ondemand(task, file, index, req, False)

    def _async_readahead(self, task: Task, file: OpenFile, index: int, req: int) -> Iterable[Any]:
        """page_cache_async_ra(): the folio at `index` carried the mark; it asks from its first page on."""
        mapping = file.mapping
        mapping.clear_mark(index)
        first = mapping.bounds(index)[0]
        return self._ondemand(task, file, first, req + index - first, True)

    def _create_folio(self, task: Task, file: OpenFile, index: int) -> Generator[Any, Any, None]:
        """
        filemap_create_folio(): readahead did not bring the page (or reclaim took it again): read it alone.

        The page is held from its insertion to its copy, so the reader gets on whatever the memory is.
        """
        mapping = file.mapping
        task.ps += self._s_create.charge(1)
        self._insert(task, mapping, index, index + 1, -1)
        held = (index, index + 1)
        mapping.held.append(held)
        yield from self._path.read_folio(task, file, index)
        if self._in_caller:
            yield from task.settle()
        if mapping.state[index] & LOCKED:
            yield from self._wait_for(task, mapping, index, self._s_sleep_read)
        mapping.held.remove(held)

    def _update_page(self, task: Task, file: OpenFile, index: int, stop: int) -> Generator[Any, Any, None]:
        """
        filemap_update_page() of a PRESENT page, for a read up to byte `stop`.

        The page is read, unless all that is wanted of it is up to date (->is_partially_uptodate, which
        looks at what is asked for, not at the end of the file). Its holder is the caller.
        """
        mapping = file.mapping
        task.ps += self._s_update.charge(1)
        if stop - index * PAGE_BYTES <= mapping.known_bytes[index]:
            return
        self.cache.updated += 1
        mapping.state[index] = LOCKED
        task.ps += self._s_update_read.charge(1)
        yield from self._path.read_folio(task, file, index)
        if self._in_caller:
            yield from task.settle()
        if mapping.state[index] & LOCKED:
            yield from self._wait_for(task, mapping, index, self._s_sleep_read)

    def _wait_for(self, task: Task, mapping: Mapping, index: int, slept: Site) -> Generator[Any, Any, None]:
        """Wait for a locked folio; `slept`: where a sleep is charged, by who waits."""
        event = mapping.waiter(index, self._clock.event)
        if (yield from task.wait(event)):
            task.ps += slept.charge(1)
            if event.value is not None:
                event.value.woke(task.time_ns)

    def _ondemand(self, task: Task, file: OpenFile, index: int, req: int, marker: bool) -> Iterable[Any]:
        """Let the policy decide, and read what it says."""
        mapping, policy = file.mapping, self._policy
        window = policy.ondemand(file.ra, index, req, marker, file.ra_pages, self._io_pages, mapping)
        called, bare, planned, whole = self._s_ondemand[marker]
        if window is None:
            task.ps += called.charge(1)
            return ()
        start, pages, lookahead, windowed = window.start, window.pages, window.lookahead, window.windowed
        if mapping.large and windowed and pages >= MIN_WINDOW_PAGES:
            task.ps += self._s_order[marker].charge(1)
            order = window_order(mapping.order(index) if marker else 0, pages, mapping.max_order)
            return self._read_order(task, file, window, order)
        end, mark = policy.place(start, pages, lookahead, mapping.pages - 1)
        if end <= start:
            task.ps += (planned if windowed and not mapping.large else called).charge(1)
            return ()
        task.ps += (whole if windowed else bare).charge(1)
        return self._unbounded(task, file, start, end, mark)

    def _read_order(
        self, task: Task, file: OpenFile, window: Window, order: int
    ) -> Generator[Any, Any, None]:
        """
        page_cache_ra_order(): add folios, the first of `order`, up to the first page that is cached, the
        rest as single pages.

        The folio that does not fit there was allocated before that was known.
        """
        mapping, start = file.mapping, window.start
        end = min(start + window.pages, mapping.pages)
        mark = start + window.pages - window.lookahead
        folios = []
        at = start
        for first, this in split_window(start, end, order, self._rules.pairs):
            if mapping.state.count(ABSENT, first, first + (1 << this)) < 1 << this:
                task.ps += self._s_failed.charge(1) + self._s_clear.charge(1 << this)
                break
            folios.append((first, this))
            at = first + (1 << this)
        task.ps += self._s_order_read.charge(1)
        if at > start:
            self._pay_reclaim(task, self.cache.insert(mapping, start, at))
            for first, this in folios:
                mapping.set_folio(first, this, first <= mark < first + (1 << this))
            task.ps += self._s_folio.charge(len(folios)) + self._s_clear.charge(at - start)
            yield from self._path.read_pages(task, file, [(start, at)])
        if at < end:
            rest = end - at if self._rules.rest_only else window.pages
            stop, marked = self._policy.place(at, rest, window.lookahead, mapping.pages - 1)
            task.ps += self._s_unbounded.charge(1)
            yield from self._unbounded(task, file, at, stop, marked)

    def _force(self, task: Task, file: OpenFile, index: int, req: int) -> Generator[Any, Any, None]:
        """force_page_cache_ra(): read what was asked for, in chunks of 2 MiB, unmarked."""
        left = min(req, max(self._io_pages, file.ra_pages))
        while left > 0:
            chunk = min(left, FORCED_CHUNK_PAGES)
            end, _ = self._policy.place(index, chunk, 0, file.mapping.pages - 1)
            if end > index:
                task.ps += self._s_unbounded.charge(1)
                yield from self._unbounded(task, file, index, end, -1)
            index += chunk
            left -= chunk

    def _unbounded(self, task: Task, file: OpenFile, start: int, end: int, mark: int) -> Iterable[Any]:
        """page_cache_ra_unbounded(): add the pages that are absent, and read them batch by batch."""
        mapping = file.mapping
        pages = end - start
        if mapping.state.count(ABSENT, start, end) == pages:
            self._insert(task, mapping, start, end, mark)
            task.ps += self._s_add.charge(pages)
            return self._path.read_pages(task, file, [(start, end)])
        return self._unbounded_around_cached(task, file, start, end, mark)

    def _insert(self, task: Task, mapping: Mapping, start: int, end: int, mark: int) -> None:
        """Add single pages, and pay for those that have to go for them."""
        mapping.make_single(start, end)
        self._pay_reclaim(task, self.cache.insert(mapping, start, end, mark))

    def _pay_reclaim(self, task: Task, reclaimed: int) -> None:
        """Charge the pages, and their buffer heads, that had to go for an insertion."""
        if not reclaimed:
            return
        cache = self.cache
        task.ps += self._s_reclaim.charge(reclaimed)
        if cache.freed_heads:
            task.ps += self._s_free_buffers.charge(cache.freed_heads // cache.heads_per_page)
            task.ps += self._s_free_heads.charge(cache.freed_heads)
            cache.freed_heads = 0

    def _unbounded_around_cached(
        self, task: Task, file: OpenFile, start: int, end: int, mark: int
    ) -> Generator[Any, Any, None]:
        """The same when some pages are cached: a cached page ends a batch, or is left out of it."""
        mapping = file.mapping
        at = start
        batch: list[PageRange] = []
        while True:
            rest = mapping.state[at:end]
            absent = len(rest) - len(rest.lstrip(b"\0"))
            if absent:
                self._insert(task, mapping, at, at + absent, mark)
                task.ps += self._s_add.charge(absent)
                batch.append((at, at + absent))
                at += absent
            if at >= end:
                break
            if self._policy.breaks_at_cached:
                task.ps += self._s_read_pages.charge(1)
                if batch:
                    yield from self._path.read_pages(task, file, batch)
                    batch = []
            at += 1
        if batch:
            yield from self._path.read_pages(task, file, batch)
