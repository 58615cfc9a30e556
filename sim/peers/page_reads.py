"""
read(2) of a file through the page cache, as far as it decides what is read ahead: filemap_read() of Linux
6.1.

Pages are there as soon as they are asked for. Which are asked for together is sim.cache.readahead's, how a
window is cut into folios sim.cache.folios'. Left out: pages that memory pressure takes away, reads that end
within a page (they are rounded up).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sim.cache.folios import MAX_ORDER, MIN_WINDOW_PAGES, PAGES, split_window, window_order
from sim.cache.readahead import Cached, Linux61, RaState, Window
from sim.peers.tally import Tally
from sim.units import PAGE_BYTES

FORCED_PAGES = 512
"""Of a forced readahead, 2 MiB at a time."""
Folios = list[tuple[int, int]]
"""Folios in a row: (first page, page after the last)."""


class PageReads(Cached):
    """
    A file, its cached pages, and one descriptor's readahead.

    ra_pages: the device's setting. read_folios: told of each row of folios to read. large: the file has large
    folios.
    """

    def __init__(
        self,
        tally: Tally,
        size_bytes: int,
        ra_pages: int,
        read_folios: Callable[[Folios], None],
        large: bool = False,
    ) -> None:
        self.random = False
        self._tally = tally
        self._size = size_bytes
        self._pages = -(-size_bytes // PAGE_BYTES)
        self._ra_pages = ra_pages
        self._read_folios = read_folios
        self._large = large
        self._folio_of: dict[int, tuple[int, int]] = {}
        self._marked = set[int]()
        """First pages of folios that carry the mark."""
        self._policy = Linux61()
        self._ra = RaState()

    def next_miss(self, index: int, max_scan: int) -> int:
        """Return the first page from `index` that is not cached, or `index + max_scan`."""
        end = index + max_scan
        return next((at for at in range(index, end) if at not in self._folio_of), end)

    def prev_miss(self, index: int, max_scan: int) -> int:
        """Return the last page up to `index` that is not cached, -1, or `index - max_scan`."""
        last = max(index - max_scan, -1)
        return next((at for at in range(index, last, -1) if at not in self._folio_of), last)

    def folio_pages(self, index: int) -> int:
        """Return how many pages the folio at `index` has."""
        first, end = self._folio_of[index]
        return end - first

    def read_on(self, offset: int, length: int) -> None:
        """Read bytes, as a program does that reads on until it has them all or nothing comes."""
        while length:
            got = self.read(offset, length)
            if not got:
                return
            offset, length = offset + got, length - got

    def read(self, offset: int, length: int) -> int:
        """Read bytes, as pread(2) does; return how many there were before the end of the file."""
        self._tally.call("filemap_read")
        index, last = offset // PAGE_BYTES, -(-(offset + length) // PAGE_BYTES)
        limit = min(last, self._pages)
        end = min(offset + length, self._size)
        if end <= offset:
            return 0
        while index < limit:
            if index not in self._folio_of:
                self._ask(index, last - index, marker=False)
            index = self._batch(index, limit, last)
        self._ra.prev_page = end // PAGE_BYTES
        return end - offset

    def _batch(self, index: int, limit: int, last: int) -> int:
        """Take up to a batch of cached folios, the last one perhaps with the mark; return the page after."""
        for _folio in range(PAGES.batch):
            if index >= limit or index not in self._folio_of:
                break
            first, end = self._folio_of[index]
            index = end
            if first in self._marked:
                self._marked.remove(first)
                self._ask(first, last - first, marker=True)
                break
        return index

    def _ask(self, index: int, req: int, marker: bool) -> None:
        if self.random:
            for start in range(index, index + req, FORCED_PAGES):
                self._single_pages(start, min(start + FORCED_PAGES, index + req), -1)
            return
        window = self._policy.ondemand(self._ra, index, req, marker, self._ra_pages, self._ra_pages, self)
        if window is None:
            return
        if self._large and window.windowed and window.pages >= MIN_WINDOW_PAGES:
            self._large_folios(window, self.folio_pages(index) if marker else 1)
            return
        end, mark = self._policy.place(window.start, window.pages, window.lookahead, self._pages - 1)
        self._single_pages(window.start, end, mark)

    def _large_folios(self, window: Window, marked_pages: int) -> None:
        """Read a window in folios, larger ones than the marked one that brought it (page_cache_ra_order)."""
        end = min(window.start + window.pages, self._pages)
        mark = window.start + window.pages - window.lookahead
        order = window_order(marked_pages.bit_length() - 1, window.pages, MAX_ORDER)
        folios: Folios = []
        at = window.start
        for first, this in split_window(window.start, end, order, PAGES.pairs):
            at = first + (1 << this)
            if any(page in self._folio_of for page in range(first, at)):
                at = first
                break
            folios.append((first, at))
        self._insert(folios, mark)
        if at < end:
            # A page is there already: what is left is read page by page.
            left = window.start + window.pages - at
            stop, mark = self._policy.place(at, left, window.lookahead, self._pages - 1)
            self._single_pages(at, stop, mark)

    def _single_pages(self, start: int, end: int, mark: int) -> None:
        """Read what is missing of [start, end), page by page, and put the mark."""
        end = min(end, self._pages)
        if start >= end:
            return
        self._tally.call("page_cache_ra_unbounded")
        for first, stop in self._missing(start, end):
            self._insert([(page, page + 1) for page in range(first, stop)], mark)

    def _insert(self, folios: Folios, mark: int) -> None:
        self._tally.call("filemap_add_folio", times=len(folios))
        for first, end in folios:
            self._folio_of.update(dict.fromkeys(range(first, end), (first, end)))
            if first <= mark < end:
                self._marked.add(first)
        if folios:
            self._read_folios(folios)

    def _missing(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        while start < end:
            first = self.next_miss(start, end - start)
            stop = next((at for at in range(first, end) if at in self._folio_of), end)
            if first < end:
                yield first, stop
            start = stop
