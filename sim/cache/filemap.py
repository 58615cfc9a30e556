"""
The buffered read loop: filemap_read() of mm/filemap.c and the readahead calls of mm/readahead.c.

Modelled on 6.1. A batch holds up to 15 pages and ends at a page that is not up to date or carries the
readahead mark; the mark starts the next window before the copy; a locked page is waited for and then looked
up again; a page that readahead did not bring is created alone. A batch is held until it is copied. Left out:
IOCB_NOWAIT and friends, truncation, writable mappings.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, Final

from mypy_extensions import mypyc_attr

from sim.cache.pages import ABSENT, LOCKED, MARKED, PRESENT, UPTODATE, Mapping, PageCache
from sim.cache.readahead import RaState, ReadaheadPolicy
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.units import PAGE_BYTES

PAGE_SHIFT: Final = 12
BATCH_PAGES: Final = 15
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
    """The read loop of one machine: one page cache, one readahead policy, one read path."""

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        cache: PageCache,
        policy: ReadaheadPolicy,
        path: ReadPages,
        io_pages: int,
        batch_pages: int = BATCH_PAGES,
        decides: str = "ondemand_readahead",
        entered: str = ENTERED,
    ) -> None:
        """
        io_pages: the largest I/O of the device, in pages. batch_pages: PAGEVEC_SIZE. decides: the symbol that
        decides on readahead, if it is one of its own. entered: the symbols through which a read comes.
        """
        self.cache = cache
        self._batch_pages = batch_pages
        self._clock = clock
        self._policy = policy
        self._path = path
        self._io_pages = io_pages
        read, ra = "filemap_read", "filemap_read;filemap_get_pages"
        unbounded = f"{ra};page_cache_ra_unbounded"
        site, fuse = ledger.site, ledger.fuse
        self._s_batch = site(TASK, read, "filemap_get_pages filemap_get_pages;filemap_get_read_batch")
        self._s_read = fuse(site(TASK, "", f"{entered} filemap_read"), self._s_batch)
        s_rebatch = site(TASK, ra, "filemap_get_read_batch")
        in_batch = "/filemap_read:page filemap_get_pages;filemap_get_read_batch:page"
        self._s_copy = site(
            TASK, read, f"folio_mark_accessed copy_page_to_iter {in_batch}", unit="copy_page_to_iter"
        )
        self._s_recopy = site(TASK, read, f"copy_page_to_iter {in_batch}", unit="copy_page_to_iter")
        self._s_wait = site(TASK, ra, "folio_put_wait_locked")
        self._s_sleep = site(TASK, f"{ra};folio_put_wait_locked", SLEEP_SYMBOLS)
        s_sync = site(TASK, ra, "page_cache_sync_ra")
        s_ondemand = site(TASK, ra, decides)
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

    def read(self, task: Task, file: OpenFile, offset: int, length: int) -> Generator[Any, Any, int]:
        """Read `length` bytes at `offset`, as pread(2) does; return how many there were before EOF."""
        mapping, clock, batch = file.mapping, self._clock, self._batch_pages
        state = mapping.state
        site = self._s_read
        site.passes += 1
        task.ps += site.ps
        unpaid = -1  # batches, less the one that every read pays with its call
        position = offset
        end = min(offset + length, file.size_bytes)
        last_index = (offset + length + PAGE_BYTES - 1) >> PAGE_SHIFT
        limit = last_index if last_index < mapping.pages else mapping.pages
        while position < end:
            index = position >> PAGE_SHIFT
            if state[index] != UPTODATE:
                plain = 0
            elif limit - index == 1:
                plain = 1
            else:
                plain = mapping.plain_run(index, limit)
            if index + plain >= limit:
                unpaid += (plain + batch - 1) // batch
                self._copy(task, file, position, end)
                break
            if plain >= batch:
                batches = plain // batch
                unpaid += batches
                plain = batches * batch
            else:
                unpaid += 1
                at = index + plain
                if not plain and state[at] == ABSENT:
                    yield from self._sync_readahead(task, file, at, last_index - at)
                    if state[at] == UPTODATE:
                        plain = min(mapping.plain_run(at, limit), batch)
                        at += plain
                    elif state[at] == ABSENT:
                        yield from self._create_folio(task, file, at)
                if at < limit and plain < batch and state[at] != ABSENT:
                    marked = state[at] & MARKED
                    # The batch is held while the reader sleeps, and so is the page whose mark it answers or
                    # which it reads.
                    with_last = marked or state[at] == PRESENT
                    held = (index, at + 1 if with_last else at) if plain or with_last else None
                    if held:
                        mapping.held.append(held)
                    if marked:
                        yield from self._async_readahead(task, file, at, last_index - at)
                    if state[at] == LOCKED:
                        self._s_wait.passes += 1
                        task.ps += self._s_wait.ps
                        task.begin_burst()
                        brought = yield mapping.waiter(at, clock.event)
                        if task.behind_ns < 0:
                            self._s_sleep.passes += 1
                            task.ps += self._s_sleep.ps
                            if brought is not None:
                                brought.woke(task.time_ns)
                        while (late := task.behind_ns) > 0:
                            yield clock.timeout(late)
                    elif state[at] == UPTODATE:
                        plain += 1
                    elif state[at] == PRESENT:
                        yield from self._update_page(task, file, at, offset + length)
                        plain += 1
                    if held:
                        mapping.held.remove(held)
                if not plain:
                    continue
            stop = (index + plain) << PAGE_SHIFT
            position = self._copy(task, file, position, stop if stop < end else end)
        if unpaid > 0:
            task.ps += self._s_batch.charge(unpaid)
        return end - offset if end > offset else 0

    def read_each_cached(self, task: Task, file: OpenFile, index: int, pages: int) -> None:
        """Read `pages` up-to-date, unmarked pages from `index` in one step: as a read() for each."""
        task.ps += self._s_read.charge(pages)
        self._copy(task, file, index << PAGE_SHIFT, (index + pages) << PAGE_SHIFT)

    def _copy(self, task: Task, file: OpenFile, position: int, stop: int) -> int:
        """Copy [position, stop) out of up-to-date pages; return `stop`."""
        index = position >> PAGE_SHIFT
        pages_end = (stop + PAGE_BYTES - 1) >> PAGE_SHIFT
        mapping = file.mapping
        if (file.position - 1) >> PAGE_SHIFT == index and file.position > 0:
            # The page was read last time too: accessed once for both.
            self.cache.mark_accessed(mapping, index + 1, pages_end)
            task.ps += self._s_recopy.charge_units(1, stop - position)
            task.ps += self._s_copy.charge(pages_end - index - 1)
        else:
            self.cache.mark_accessed(mapping, index, pages_end)
            site, pages, length = self._s_copy, pages_end - index, stop - position
            site.passes += pages
            site.units += length
            task.ps += pages * site.ps + length * site.unit_ps
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
        """page_cache_async_ra(): the page at `index` carried the mark."""
        file.mapping.state[index] &= ~MARKED
        return self._ondemand(task, file, index, req, True)

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
        if mapping.state[index] & LOCKED:
            yield from self._wait_for(task, mapping, index)
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
        if mapping.state[index] & LOCKED:
            yield from self._wait_for(task, mapping, index)

    def _wait_for(self, task: Task, mapping: Mapping, index: int) -> Generator[Any, Any, None]:
        """Wait for a page that the task reads alone (folio_wait_locked_killable)."""
        event = mapping.waiter(index, self._clock.event)
        if (yield from task.wait(event)):
            task.ps += self._s_sleep_read.charge(1)
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
        end, mark = policy.place(start, pages, lookahead, mapping.pages - 1)
        if end <= start:
            task.ps += (planned if windowed else called).charge(1)
            return ()
        site = whole if windowed else bare
        site.passes += 1
        task.ps += site.ps
        return self._unbounded(task, file, start, end, mark)

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
            self._s_add.passes += pages
            task.ps += pages * self._s_add.ps
            return self._path.read_pages(task, file, [(start, end)])
        return self._unbounded_around_cached(task, file, start, end, mark)

    def _insert(self, task: Task, mapping: Mapping, start: int, end: int, mark: int) -> None:
        """Add pages, and pay for those that have to go for them."""
        cache = self.cache
        reclaimed = cache.insert(mapping, start, end, mark)
        if reclaimed:
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
