"""
The buffered read loop over large folios: filemap_read() and page_cache_ra_order() of Linux 6.1 and 6.16.

What the loop of single pages does a page at a time happens a folio at a time: allocation, insertion and LRU,
the look-up of a batch, the mark, the wait, folio_mark_accessed(), and the call that copies; only
clearing and copying go by the byte. A file without large folios takes the loop of single pages.

The constants of a single page stand for those of a folio: no recording tells them apart. Left out: reclaim is
charged by the page.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, Final, cast

from sim.cache.filemap import ENTERED, PAGE_SHIFT, Filemap, OpenFile
from sim.cache.folios import (
    LINUX_6_16,
    MIN_WINDOW_PAGES,
    FolioMapping,
    FolioRules,
    split_window,
    window_order,
)
from sim.cache.pages import ABSENT, LOCKED, MARKED, UPTODATE, PageCache
from sim.cache.readahead import ReadaheadPolicy
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.units import PAGE_BYTES

_INSERT: Final = (
    "filemap_alloc_folio filemap_add_folio filemap_add_folio;__filemap_add_folio"
    " filemap_add_folio;folio_add_lru"
)


class FolioFilemap(Filemap):
    """The read loop of a machine whose kernel knows large folios."""

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        cache: PageCache,
        policy: ReadaheadPolicy,
        path: Any,
        io_pages: int,
        rules: FolioRules = LINUX_6_16,
        entered: str = ENTERED,
    ) -> None:
        """rules: what is this kernel's; entered: as of Filemap."""
        super().__init__(clock, ledger, cache, policy, path, io_pages, rules.batch, rules.decides, entered)
        self._rules = rules
        ra = "filemap_read;filemap_get_pages"
        order = f"{ra};page_cache_ra_order"
        site = ledger.site
        self._s_order = {
            True: site(TASK, ra, f"page_cache_async_ra {rules.decides} page_cache_ra_order"),
            False: site(
                TASK, ra, f"page_cache_sync_ra {rules.decides} page_cache_ra_order filemap_get_read_batch"
            ),
        }
        self._s_order_read = site(TASK, order, "read_pages")
        self._s_folio = site(TASK, order, _INSERT)
        self._s_failed = site(TASK, order, _INSERT.removesuffix(" filemap_add_folio;folio_add_lru"))
        self._s_clear = site(TASK, f"{order};filemap_alloc_folio", "clear_page_erms")

    def read(self, task: Task, file: OpenFile, offset: int, length: int) -> Generator[Any, Any, int]:
        """Read `length` bytes at `offset`, as pread(2) does; return how many there were before EOF."""
        if file.mapping.large:
            return self._read_folios(task, file, offset, length)
        return super().read(task, file, offset, length)

    def _read_folios(self, task: Task, file: OpenFile, offset: int, length: int) -> Generator[Any, Any, int]:
        mapping, clock = cast(FolioMapping, file.mapping), self._clock
        state = mapping.state
        task.ps += self._s_read.charge(1)
        position = offset
        end = min(offset + length, file.size_bytes)
        last_index = (offset + length + PAGE_BYTES - 1) >> PAGE_SHIFT
        limit = min(last_index, mapping.pages)
        first = True
        while position < end:
            if not first:
                task.ps += self._s_batch.charge(1)
            first = False
            index = position >> PAGE_SHIFT
            at, folios = mapping.batch_end(index, limit, self._batch_pages)
            if at < limit and not folios and state[at] == ABSENT:
                yield from self._sync_readahead(task, file, at, last_index - at)
                at, folios = mapping.batch_end(index, limit, self._batch_pages)
                if at < limit and not folios and state[at] == ABSENT:
                    yield from self._create_folio(task, file, at)
            if at < limit and folios < self._batch_pages and state[at] != ABSENT:
                marked = state[at] & MARKED
                held = None
                if at > index or marked:
                    held = mapping.bounds(index)[0], mapping.bounds(at if marked else at - 1)[1]
                    mapping.held.append(held)
                if marked:
                    yield from self._async_readahead(task, file, at, last_index - at)
                if state[at] == LOCKED:
                    task.ps += self._s_wait.charge(1)
                    task.begin_burst()
                    brought = yield mapping.waiter(at, clock.event)
                    if task.behind_ns < 0:
                        task.ps += self._s_sleep.charge(1)
                        if brought is not None:
                            brought.woke(task.time_ns)
                    while (late := task.behind_ns) > 0:
                        yield clock.timeout(late)
                elif state[at] == UPTODATE:
                    at = mapping.bounds(at)[1]
                if held:
                    mapping.held.remove(held)
            if at > index:
                position = self._copy(task, file, position, min(at << PAGE_SHIFT, end))
        return max(end - offset, 0)

    def _copy(self, task: Task, file: OpenFile, position: int, stop: int) -> int:
        """Copy [position, stop) out of up-to-date folios; return `stop`."""
        if not file.mapping.large:
            return super()._copy(task, file, position, stop)
        mapping = cast(FolioMapping, file.mapping)
        index, pages_end = position >> PAGE_SHIFT, (stop + PAGE_BYTES - 1) >> PAGE_SHIFT
        folios = mapping.folios(index, pages_end)
        start, end = mapping.whole(index, pages_end)
        last_page = (file.position - 1) >> PAGE_SHIFT
        if file.position > 0 and start <= last_page < mapping.bounds(index)[1]:
            # The folio was read last time too: accessed once for both.
            task.ps += self._s_recopy.charge_units(1, stop - position) + self._s_copy.charge(folios - 1)
            start = mapping.bounds(index)[1]
        else:
            task.ps += self._s_copy.charge_units(folios, stop - position)
        if start < end:
            self.cache.mark_accessed(mapping, start, end)
        if file.sink is not None:
            file.sink.take(mapping, position, stop - position)
        file.position = stop
        file.ra.prev_page = stop >> PAGE_SHIFT
        return stop

    def _async_readahead(self, task: Task, file: OpenFile, index: int, req: int) -> Iterable[Any]:
        """page_cache_async_ra(): the folio at `index` carried the mark; it asks from its first page on."""
        if not file.mapping.large:
            return super()._async_readahead(task, file, index, req)
        mapping = cast(FolioMapping, file.mapping)
        mapping.clear_mark(index)
        first = mapping.bounds(index)[0]
        return self._ondemand(task, file, first, req + index - first, True)

    def _create_folio(self, task: Task, file: OpenFile, index: int) -> Generator[Any, Any, None]:
        if file.mapping.large:
            cast(FolioMapping, file.mapping).orders[index] = 0
        yield from super()._create_folio(task, file, index)

    def _ondemand(self, task: Task, file: OpenFile, index: int, req: int, marker: bool) -> Iterable[Any]:
        """Let the policy decide, and read what it says in folios."""
        if not file.mapping.large:
            return super()._ondemand(task, file, index, req, marker)
        mapping, policy = cast(FolioMapping, file.mapping), self._policy
        window = policy.ondemand(file.ra, index, req, marker, file.ra_pages, self._io_pages, mapping)
        called, bare, _, whole = self._s_ondemand[marker]
        if window is None:
            task.ps += called.charge(1)
            return ()
        start, pages, lookahead, windowed = window.start, window.pages, window.lookahead, window.windowed
        end = min(start + pages, mapping.pages)
        if windowed and pages >= MIN_WINDOW_PAGES:
            task.ps += self._s_order[marker].charge(1)
            previous = mapping.orders[index] if marker else 0
            order = window_order(previous, pages, mapping.max_order)
            return self._read_order(task, file, (start, end, order), pages, lookahead)
        end, mark = policy.place(start, pages, lookahead, mapping.pages - 1)
        if end <= start:
            task.ps += called.charge(1)
            return ()
        task.ps += (whole if windowed else bare).charge(1)
        return self._unbounded(task, file, start, end, mark)

    def _read_order(
        self, task: Task, file: OpenFile, window: tuple[int, int, int], pages: int, lookahead: int
    ) -> Generator[Any, Any, None]:
        """
        page_cache_ra_order(): add folios up to the first page that is cached, the rest as single pages.

        The folio that does not fit there was allocated before that was known.

        window: its first page, the page after its last in the file, its order. pages: its length as planned.
        """
        mapping = cast(FolioMapping, file.mapping)
        start, end, order = window
        mark = start + pages - lookahead
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
            reclaimed = self.cache.insert(mapping, start, at)
            task.ps += self._s_reclaim.charge(reclaimed)
            for first, this in folios:
                mapping.set_folio(first, this, first <= mark < first + (1 << this))
            task.ps += self._s_folio.charge(len(folios)) + self._s_clear.charge(at - start)
            yield from self._path.read_pages(task, file, [(start, at)])
        if at < end:
            rest = end - at if self._rules.rest_only else pages
            stop, marked = self._policy.place(at, rest, lookahead, mapping.pages - 1)
            task.ps += self._s_unbounded.charge(1)
            yield from self._unbounded(task, file, at, stop, marked)

    def _unbounded(self, task: Task, file: OpenFile, start: int, end: int, mark: int) -> Iterable[Any]:
        """page_cache_ra_unbounded(): single pages."""
        if file.mapping.large:
            mapping = cast(FolioMapping, file.mapping)
            for page in range(start, end):
                if mapping.state[page] == ABSENT:
                    mapping.orders[page] = 0
        return super()._unbounded(task, file, start, end, mark)
