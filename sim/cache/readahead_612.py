"""
Readahead of Linux 6.11 to 6.13 (recorded on 6.12.107): a miss and a mark are told apart.
"""

from __future__ import annotations

from typing import ClassVar

from mypy_extensions import mypyc_attr

from sim.cache.readahead import Cached, Linux61, RaState, Window, initial_window, next_window


@mypyc_attr(allow_interpreted_subclasses=True)
class Linux612(Linux61):
    """
    Only a mark carries a stream on: at the planned place, rounded down to the marked folio. A miss at the end
    of the window starts a new one. The first window's mark is in its middle when the request fills it; there
    is no self-merge; a scan that finds no hole ends beyond the last page scanned.
    """

    _scan_stops_short: ClassVar[int] = 0

    def ondemand(
        self, ra: RaState, index: int, req: int, marker: bool, max_pages: int, io_pages: int, cached: Cached
    ) -> Window | None:
        """Decide as page_cache_async_ra() or page_cache_sync_ra() does; see ReadaheadPolicy."""
        if req > max_pages:
            max_pages = self._oversize(req, max_pages, io_pages)
        if marker:
            return self._marked(ra, index, req, max_pages, cached)
        if not index or req > max_pages or 0 <= index - ra.prev_page <= 1:
            ra.start = index
            ra.size = initial_window(req, max_pages)
            ra.async_size = ra.size - req if ra.size > req else ra.size >> 1
        elif not self._context(ra, index, req, max_pages, cached):
            return Window(index, req, 0, False)
        return Window(ra.start, ra.size, ra.async_size, True)

    def _marked(self, ra: RaState, index: int, req: int, max_pages: int, cached: Cached) -> Window | None:
        """The folio at `index` carried the mark."""
        planned = ra.start + ra.size - ra.async_size
        if index == planned - planned % cached.folio_pages(index):
            ra.start += ra.size
            ra.size = self._ramp_up(ra.size, max_pages)
        else:
            miss = cached.next_miss(index + 1, max_pages)
            if miss - index > max_pages:
                return None
            ra.start = miss
            ra.size = next_window(miss - index + req, max_pages)
        ra.async_size = ra.size
        return Window(ra.start, ra.size, ra.async_size, True)
