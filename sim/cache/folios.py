"""
Large folios: how a readahead window is cut into folios (page_cache_ra_order() of mm/readahead.c, Linux 6.1,
6.12 and 7.3), and the pages of a file that has them.

A folio of order n is 2^n pages that start at a multiple of 2^n and are allocated, inserted, locked, marked,
read and accessed as one. There is no object per folio: a byte a page says the order of the folio that the
page is of. Left out: partial truncation and splitting, a smallest order above 0, failed allocations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sim.cache import xarray_walk
from sim.cache.page_runs import filled
from sim.cache.pages import LOCKED, MARKED, UPTODATE, Mapping

MAX_ORDER: Final = 9
"""MAX_PAGECACHE_ORDER on x86-64 with 4 KiB pages: a huge page's order; ext4 allows it with any block size."""
MIN_WINDOW_PAGES: Final = 4
"""A smaller window is read in single pages."""
ORDER_STEP: Final = 2
"""How much the order grows from one window to the next."""


@dataclass(frozen=True, slots=True)
class FolioRules:
    """
    What differs between kernels that have large folios.

    batch: PAGEVEC_SIZE. decides: the symbol that decides on readahead, if it is one of its own. pairs: folios
    of two pages exist (6.9). of_the_stream: the order is in the stream's state, and every window is planned
    by page_cache_ra_order() (see page_cache_ra_order.py); else the marked folio has it. slots: holes are
    looked for as xarray_walk.py says. position_at_end: where a read(2) ended is noted once, not with every
    batch.
    """

    batch: int
    decides: str
    pairs: bool
    of_the_stream: bool = False
    slots: bool = False
    position_at_end: bool = False


PAGES: Final = FolioRules(15, "ondemand_readahead", pairs=False)
"""Of kernels, and file systems, that have single pages only."""
LINUX_6_1: Final = PAGES
"""The same rules: what large folios XFS has are of no pairs, as single pages are."""
LINUX_6_12: Final = FolioRules(31, "", pairs=True, slots=True, position_at_end=True)
LINUX_7_3: Final = FolioRules(31, "", pairs=True, of_the_stream=True, slots=True, position_at_end=True)


def window_order(previous: int, window_pages: int, max_order: int) -> int:
    """Return the order that a window of `window_pages` starts with; `previous`: of the marked folio, or 0."""
    return min(previous + ORDER_STEP, max_order, window_pages.bit_length() - 1)


def split_window(
    start: int, end: int, order: int, pairs: bool = True, least: int = 0
) -> Iterator[tuple[int, int]]:
    """
    Yield (first page, order) of the folios that fill [start, end): of `order`, smaller where the index is not
    aligned to it, and where it would reach beyond `end`; none of two pages without `pairs`, none of an order
    below `least`, to which `start` must be aligned: the last may reach beyond `end`.
    """
    index = start
    while index < end:
        this = order
        if index & ((1 << this) - 1):
            this = (index & -index).bit_length() - 1
        while this > least and index + (1 << this) > end:
            this -= 1
        if this == 1 and not pairs:
            this = 0
        yield index, this
        index += 1 << this


def more_slots(order: int) -> int:
    """
    Return how many slots of its tree's node a folio fills beyond one (xas_store() of lib/xarray.c): a node
    has 64, and one of 64 pages or more lies in the nodes above.
    """
    return (1 << order % xarray_walk.SLOT_BITS) - 1


class FolioMapping(Mapping):
    """
    The cached pages of a file that may have large folios.

    orders: one byte a page, the order of the folio that holds it; of absent pages it means nothing. All pages
    of a folio have the same state, and its mark is on all of them. parts: blocks to come, by a folio's first
    page. slots: holes are looked for as FolioRules says. min_order: of a block that is larger than a page,
    of which there are none without a folio of their own; `pages` are those up to the end of the file, but
    there is a byte for all pages of its last block.
    """

    __slots__ = ("_slots", "orders")

    def __init__(
        self,
        pages: int,
        keep_content: bool,
        max_order: int = MAX_ORDER,
        slots: bool = False,
        min_order: int = 0,
    ) -> None:
        there = -(-pages >> min_order) << min_order
        super().__init__(there, keep_content)
        self.pages = pages
        self.large = True
        self.max_order = max_order
        self.min_order = min_order
        self.orders = bytearray((min_order,)) * there
        self._slots = slots

    def next_miss(self, index: int, max_scan: int) -> int:
        """Return the first uncached page from `index`, as far as the kernel sees it."""
        if self._slots:
            return xarray_walk.next_miss(self.state, self.orders, index, max_scan)
        return super().next_miss(index, max_scan)

    def prev_miss(self, index: int, max_scan: int) -> int:
        """Return the last uncached page up to `index`, as far as the kernel sees it."""
        if self._slots:
            return xarray_walk.prev_miss(self.state, self.orders, index, max_scan)
        return super().prev_miss(index, max_scan)

    def order(self, page: int) -> int:
        """Return the order of the folio that holds `page`."""
        return self.orders[page]

    def make_single(self, start: int, end: int) -> None:
        """
        Let [start, end), which are being inserted, be folios of one page, or one block if that is larger.
        """
        self.orders[start:end] = filled(self.min_order, end - start)

    def page_of(self, lblk: int, blocks_per_page: int) -> int:
        """Return the first page of a block of the file."""
        return lblk << self.min_order if self.min_order else lblk // blocks_per_page

    def blocks_in(self, pages: int, blocks_per_page: int) -> int:
        """Return how many blocks so many pages, whole folios, have."""
        return pages >> self.min_order if self.min_order else pages * blocks_per_page

    def bounds(self, page: int) -> tuple[int, int]:
        """Return the first page of the folio that holds `page`, and the page after its last."""
        order = self.orders[page]
        first = page >> order << order
        return first, first + (1 << order)

    def folio_pages(self, index: int) -> int:
        """Return how many pages the folio at `index` has."""
        return 1 << self.orders[index]

    def folios(self, start: int, end: int) -> int:
        """Return how many folios the cached pages [start, end) are of."""
        count = 0
        while start < end:
            start = self.bounds(start)[1]
            count += 1
        return count

    def whole(self, start: int, end: int) -> tuple[int, int]:
        """Return [start, end) widened to whole folios."""
        return self.bounds(start)[0], self.bounds(end - 1)[1]

    def batch_end(self, index: int, limit: int, folios: int) -> int:
        """Return the page after up to `folios` plain folios from `index` (below `limit`) on."""
        state = self.state
        while index < limit and folios and state[index] == UPTODATE:
            index = self.bounds(index)[1]
            folios -= 1
        return min(index, limit)

    def set_folio(self, first: int, order: int, marked: bool) -> None:
        """Make the locked pages from `first` on one folio, with PG_readahead or without."""
        end = first + (1 << order)
        self.orders[first:end] = filled(order, end - first)
        if marked:
            self.state.fill(first, end, LOCKED | MARKED)

    def clear_mark(self, page: int) -> None:
        """Take PG_readahead from the folio that holds `page`."""
        first, end = self.bounds(page)
        self.state.fill(first, end, self.state[page] & ~MARKED)

    def blocks_come(self, lblk: int, blocks: int, blocks_per_page: int, brought: Any = None) -> int:
        """Count blocks as read; unlock the folios of which they were the last; return how many."""
        stop = lblk + blocks
        ended = 0
        while lblk < stop:
            first, end = self.bounds(self.page_of(lblk, blocks_per_page))
            take = min(stop, self.blocks_in(end, blocks_per_page)) - lblk
            left = self.parts.get(first, self.blocks_in(end - first, blocks_per_page)) - take
            if left:
                self.parts[first] = left
            else:
                self.parts.pop(first, None)
                self.set_uptodate(first, end, brought)
                ended += 1
            lblk += take
        return ended
