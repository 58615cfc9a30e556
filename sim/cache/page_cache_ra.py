"""
The readahead calls: page_cache_sync_ra() and page_cache_async_ra() of mm/readahead.c, and what they come to.

Modelled on 6.1: a policy decides on a window (readahead.py), its pages, or large folios, enter the page cache
locked, memory is reclaimed for them, and the file system reads them batch by batch. Left out: congestion,
readahead(2), NUMA.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, Final

from sim.cache.address_space import OpenFile, PageRange, ReadPath
from sim.cache.folios import MIN_WINDOW_PAGES, PAGES, FolioRules, more_slots, split_window, window_order
from sim.cache.page_cache import PageCache
from sim.cache.pages import ABSENT, Mapping
from sim.cache.ra_log import RaLog
from sim.cache.readahead import ReadaheadPolicy, Window
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.units import PAGE_BYTES

FORCED_CHUNK_PAGES: Final = (2 << 20) // PAGE_BYTES

GET_PAGES: Final = "filemap_read;filemap_get_pages"
"""The callers of all this."""

INSERT_SYMBOLS: Final = (
    "filemap_alloc_folio filemap_alloc_folio;clear_page_erms filemap_add_folio"
    " filemap_add_folio;__filemap_add_folio filemap_add_folio;folio_add_lru"
)
"""What allocating a page and adding it to a mapping calls."""

FOLIO_SYMBOLS: Final = (
    "filemap_alloc_folio filemap_add_folio filemap_add_folio;__filemap_add_folio"
    " filemap_add_folio;folio_add_lru"
)
"""The same for a folio; clearing its pages is charged apart, and so are its slots beyond one."""

SLOT_SYMBOL: Final = "filemap_add_folio;__filemap_add_folio;xas_store:slot"


class Reclaim:
    """Who makes room for pages pays for it: below the folded stack `stack`."""

    def __init__(self, ledger: Ledger, cache: PageCache, stack: str) -> None:
        self._cache = cache
        self._s_reclaim = ledger.site(TASK, stack, "shrink_folio_list")
        freed = "shrink_folio_list;try_to_free_buffers"
        self._s_free_buffers = ledger.site(TASK, stack, freed)
        self._s_free_heads = ledger.site(TASK, f"{stack};{freed}", "free_buffer_head")

    def pay(self, task: Task, reclaimed: int) -> None:
        """Charge the pages, and their buffer heads, that had to go for an insertion."""
        if not reclaimed:
            return
        cache = self._cache
        task.ps += self._s_reclaim.charge(reclaimed)
        if cache.freed_heads:
            task.ps += self._s_free_buffers.charge(cache.freed_heads // cache.heads_per_page)
            task.ps += self._s_free_heads.charge(cache.freed_heads)
            cache.freed_heads = 0


class PageCacheRa:
    """The readahead calls of one machine: one page cache, one policy, one read path."""

    def __init__(
        self,
        ledger: Ledger,
        cache: PageCache,
        policy: ReadaheadPolicy,
        path: ReadPath,
        io_pages: int,
        rules: FolioRules = PAGES,
        log: RaLog | None = None,
    ) -> None:
        """io_pages: the device's largest I/O, in pages. rules: of this kernel's folios. log: sees all."""
        self.cache = cache
        self._log = log
        self._rules = rules
        self._policy = policy
        self._path = path
        self._io_pages = io_pages
        ra, unbounded = GET_PAGES, f"{GET_PAGES};page_cache_ra_unbounded"
        site, fuse = ledger.site, ledger.fuse
        s_rebatch = site(TASK, ra, "filemap_get_read_batch")
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
        s_planned = site(TASK, ra, "page_cache_ra_order")
        head = fuse(s_async, s_ondemand)
        self._s_marked = head, fuse(head, s_unbounded), fuse(head, s_planned), fuse(head, s_order)
        head = fuse(s_sync, s_ondemand, s_rebatch)
        self._s_missed = head, fuse(head, s_unbounded), fuse(head, s_planned), fuse(head, s_order)
        self._s_add = site(TASK, unbounded, f"{INSERT_SYMBOLS} /{unbounded}:page")
        self._s_add_block = site(TASK, unbounded, FOLIO_SYMBOLS)
        self._s_clear_block = site(TASK, f"{unbounded};filemap_alloc_folio", "clear_page_erms")
        self._s_slot_block = site(TASK, unbounded, SLOT_SYMBOL)
        self._reclaim = Reclaim(ledger, cache, unbounded)
        self._declare_order(ledger)

    def _declare_order(self, ledger: Ledger) -> None:
        """Declare what page_cache_ra_order() calls for large folios."""
        ra, order, decides, site = (
            GET_PAGES,
            f"{GET_PAGES};page_cache_ra_order",
            self._rules.decides,
            ledger.site,
        )
        self._s_order = {
            True: site(TASK, ra, f"page_cache_async_ra {decides} page_cache_ra_order"),
            False: site(TASK, ra, f"page_cache_sync_ra {decides} page_cache_ra_order filemap_get_read_batch"),
        }
        self._s_order_read = site(TASK, order, "read_pages")
        self._s_folio = site(TASK, order, FOLIO_SYMBOLS)
        self._s_slot = site(TASK, order, SLOT_SYMBOL)
        self._s_failed = site(TASK, order, FOLIO_SYMBOLS.removesuffix(" filemap_add_folio;folio_add_lru"))
        self._s_clear = site(TASK, f"{order};filemap_alloc_folio", "clear_page_erms")

    def sync(self, task: Task, file: OpenFile, index: int, req: int) -> Iterable[Any]:
        """page_cache_sync_ra(): the page at `index` is not cached."""
        if file.random or not file.ra_pages:
            task.ps += self._s_force.charge(1)
            return self._force(task, file, index, req if file.ra_pages else 1)
        return self._ondemand(task, file, index, req, False)

    def marked(self, task: Task, file: OpenFile, index: int, req: int) -> Iterable[Any]:
        """page_cache_async_ra(): the folio at `index` carried the mark; it asks from its first page on."""
        mapping = file.mapping
        mapping.clear_mark(index)
        first = mapping.bounds(index)[0]
        return self._ondemand(task, file, first, req + index - first, True)

    def _ondemand(self, task: Task, file: OpenFile, index: int, req: int, marker: bool) -> Iterable[Any]:
        """Let the policy decide, and read what it says."""
        mapping, policy = file.mapping, self._policy
        window = policy.ondemand(file.ra, index, req, marker, file.ra_pages, self._io_pages, mapping)
        called, bare, planned, whole = self._s_marked if marker else self._s_missed
        if window is None:
            task.ps += called.charge(1)
            return ()
        start, pages, lookahead, windowed = window.start, window.pages, window.lookahead, window.windowed
        if self._log is not None and windowed:
            self._log.window(start, pages, lookahead, mapping.order(index) if marker else 0)
        if mapping.large and windowed and pages >= MIN_WINDOW_PAGES:
            task.ps += self._s_order[marker].charge(1)
            order = window_order(mapping.order(index) if marker else 0, pages, mapping.max_order)
            return self._read_order(task, file, window, order)
        end, mark = policy.place(start, pages, lookahead, mapping.pages - 1)
        if end <= start:
            task.ps += (planned if windowed and not mapping.large else called).charge(1)
            return ()
        task.ps += (whole if windowed else bare).charge(1)
        return self._unbounded(task, file, start, end, mark, lookahead)

    def _read_order(
        self, task: Task, file: OpenFile, window: Window, order: int
    ) -> Generator[Any, Any, None]:
        """
        page_cache_ra_order(): add folios, the first of `order`, up to the first page that is cached, and from
        there on as many single pages as the window has in all.

        The folio that does not fit there was allocated before that was known.
        """
        mapping, start = file.mapping, window.start
        end = min(start + window.pages, mapping.pages)
        mark = start + window.pages - window.lookahead
        folios = []
        at = start
        for first, this in split_window(start, end, order, self._rules.pairs):
            if self._log is not None:
                self._log.folio(first, this)
            if not mapping.all_absent(first, first + (1 << this)):
                task.ps += self._s_failed.charge(1) + self._s_clear.charge(1 << this)
                break
            folios.append((first, this))
            at = first + (1 << this)
        task.ps += self._s_order_read.charge(1)
        if at > start:
            self._reclaim.pay(task, self.cache.insert(mapping, start, at))
            task.ps += self._s_folio.charge(len(folios)) + self._s_clear.charge(at - start)
            self._set_folios(task, mapping, folios, mark)
            yield from self._path.read_pages(task, file, [(start, at)])
        if at < end:
            stop, marked = self._policy.place(at, window.pages, window.lookahead, mapping.pages - 1)
            task.ps += self._s_unbounded.charge(1)
            yield from self._unbounded(task, file, at, stop, marked, window.lookahead)

    def _set_folios(self, task: Task, mapping: Mapping, folios: list[PageRange], mark: int) -> None:
        """Make folios (first page, order) of pages that were added, and charge the slots that each fills."""
        slots = 0
        for first, order in folios:
            mapping.set_folio(first, order, first <= mark < first + (1 << order))
            slots += more_slots(order)
        task.ps += self._s_slot.charge(slots)

    def _force(self, task: Task, file: OpenFile, index: int, req: int) -> Generator[Any, Any, None]:
        """force_page_cache_ra(): read what was asked for, in chunks of 2 MiB, unmarked."""
        left = min(req, max(self._io_pages, file.ra_pages))
        while left > 0:
            chunk = min(left, FORCED_CHUNK_PAGES)
            end, _ = self._policy.place(index, chunk, 0, file.mapping.pages - 1)
            if end > index:
                task.ps += self._s_unbounded.charge(1)
                yield from self._unbounded(task, file, index, end, -1)
            unit = 1 << file.mapping.min_order
            index = -(-(index + chunk) // unit) * unit
            left -= chunk

    def _unbounded(
        self, task: Task, file: OpenFile, start: int, end: int, mark: int, lookahead: int = 0
    ) -> Iterable[Any]:
        """
        page_cache_ra_unbounded(): add the pages that are absent, and read them batch by batch.

        lookahead: what the mark is from, for the log.
        """
        mapping = file.mapping
        pages = end - start
        if self._log is not None:
            self._log.bare(start, pages, lookahead)
        unit = 1 << mapping.min_order
        if unit > 1:
            start, end, pages = start - start % unit, -(-end // unit) * unit, 0
            mark = -(-mark // unit) * unit if mark >= 0 else -1
            pages = end - start
        if mapping.all_absent(start, end):
            self.insert(task, mapping, start, end, mark)
            task.ps += self._added(mapping, pages)
            return self._path.read_pages(task, file, [(start, end)])
        return self._unbounded_around_cached(task, file, start, end, mark)

    def insert(self, task: Task, mapping: Mapping, start: int, end: int, mark: int) -> None:
        """Add the smallest folios there can be, and pay for those that have to go for them."""
        order = mapping.min_order
        if self._log is not None:
            for page in range(start, end, 1 << order):
                self._log.folio(page, order)
        mapping.make_single(start, end)
        self._reclaim.pay(task, self.cache.insert(mapping, start, end, mark))
        if order and start <= mark < end:
            mapping.set_folio(mark, order, True)

    def _added(self, mapping: Mapping, pages: int) -> int:
        """Count pages, or folios of a block each, that page_cache_ra_unbounded() adds; return their cost."""
        order = mapping.min_order
        if not order:
            return self._s_add.charge(pages)
        folios = pages >> order
        slots = folios * more_slots(order)
        added = self._s_add_block.charge(folios) + self._s_slot_block.charge(slots)
        return added + self._s_clear_block.charge(pages)

    def _unbounded_around_cached(
        self, task: Task, file: OpenFile, start: int, end: int, mark: int
    ) -> Generator[Any, Any, None]:
        """The same when some pages are cached: a cached page ends a batch, or is left out of it."""
        mapping = file.mapping
        at = start
        batch: list[PageRange] = []
        while True:
            absent = mapping.state.run(at, end, ABSENT)
            if absent:
                self.insert(task, mapping, at, at + absent, mark)
                task.ps += self._added(mapping, absent)
                batch.append((at, at + absent))
                at += absent
            if at >= end:
                break
            if self._policy.breaks_at_cached:
                task.ps += self._s_read_pages.charge(1)
                if batch:
                    yield from self._path.read_pages(task, file, batch)
                    batch = []
            at += 1 << mapping.min_order
        if batch:
            yield from self._path.read_pages(task, file, batch)
