"""
read(2) of a file through the page cache, as far as it decides what is read ahead: filemap_read() of Linux
6.1.

Pages are there as soon as they are asked for. Which are asked for together is sim.cache.readahead's. Left
out: pages that memory pressure takes away, large folios, reads that end within a page (they are rounded
up).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sim.cache.readahead import Cached, Linux61, RaState
from sim.peers.tally import Tally
from sim.units import PAGE_BYTES

BATCH_PAGES = 15
"""PAGEVEC_SIZE: pages that are looked up at once."""
FORCED_PAGES = 512
"""Of a forced readahead, 2 MiB at a time."""


class PageReads(Cached):
    """
    A file, its cached pages, and one descriptor's readahead.

    ra_pages: the device's setting. read_pages: told of each run of pages [start, end) to read.
    """

    def __init__(
        self, tally: Tally, size_bytes: int, ra_pages: int, read_pages: Callable[[int, int], None]
    ) -> None:
        self.random = False
        self._tally = tally
        self._pages = -(-size_bytes // PAGE_BYTES)
        self._ra_pages = ra_pages
        self._read_pages = read_pages
        self._present = set[int]()
        self._marked = set[int]()
        self._policy = Linux61()
        self._ra = RaState()

    def next_miss(self, index: int, max_scan: int) -> int:
        """Return the first page from `index` that is not cached, or `index + max_scan`."""
        return next(
            (at for at in range(index, index + max_scan) if at not in self._present), index + max_scan
        )

    def prev_miss(self, index: int, max_scan: int) -> int:
        """Return the last page up to `index` that is not cached, -1, or `index - max_scan`."""
        last = max(index - max_scan, -1)
        return next((at for at in range(index, last, -1) if at not in self._present), last)

    def folio_pages(self, index: int) -> int:
        """Return 1: there are no large folios."""
        del index
        return 1

    def read(self, offset: int, length: int) -> None:
        """Read bytes, as pread(2) does."""
        self._tally.call("filemap_read")
        index, last = offset // PAGE_BYTES, -(-(offset + length) // PAGE_BYTES)
        limit = min(last, self._pages)
        while index < limit:
            if index not in self._present:
                self._ask(index, last - index, marker=False)
            end = min(limit, index + BATCH_PAGES)
            while index < end and index in self._present and index not in self._marked:
                index += 1
            if index < end and index in self._marked:
                self._marked.remove(index)
                self._ask(index, last - index, marker=True)
                index += 1
        self._ra.prev_page = (offset + length) // PAGE_BYTES

    def _ask(self, index: int, req: int, marker: bool) -> None:
        if self.random:
            for start in range(index, index + req, FORCED_PAGES):
                self._read_run(start, min(start + FORCED_PAGES, index + req), -1)
            return
        window = self._policy.ondemand(self._ra, index, req, marker, self._ra_pages, self._ra_pages, self)
        if window is not None:
            end, mark = self._policy.place(window.start, window.pages, window.lookahead, self._pages - 1)
            self._read_run(window.start, end, mark)

    def _read_run(self, start: int, end: int, mark: int) -> None:
        """Read what is missing of [start, end), and put the mark."""
        end = min(end, self._pages)
        if start >= end:
            return
        self._tally.call("page_cache_ra_unbounded")
        for first, stop in self._missing(start, end):
            self._tally.call("filemap_add_folio", times=stop - first)
            self._present.update(range(first, stop))
            if first <= mark < stop:
                self._marked.add(mark)
            self._read_pages(first, stop)

    def _missing(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        while start < end:
            first = self.next_miss(start, end - start)
            stop = next((at for at in range(first, end) if at in self._present), end)
            if first < end:
                yield first, stop
            start = stop
