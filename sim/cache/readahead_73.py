"""
Readahead of Linux 7.3 (recorded on 7.3.4): the stream's state has the order of its folios, and windows end on
multiples of it.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from sim.cache.readahead import Cached, RaState, Window
from sim.cache.readahead_612 import Linux612

ORDER_STEP: Final = 2
"""How much the order grows from one window to the next."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Linux73(Linux612):
    """As 6.12 decides; a miss begins with order 0, a mark goes on with a larger one."""

    def ondemand(
        self, ra: RaState, index: int, req: int, marker: bool, max_pages: int, io_pages: int, cached: Cached
    ) -> Window | None:
        """Decide as page_cache_async_ra() or page_cache_sync_ra() does; see ReadaheadPolicy."""
        window = super().ondemand(ra, index, req, marker, max_pages, io_pages, cached)
        if window is None or not window.windowed:
            return window
        if not marker:
            ra.order = 0
            return window
        if req > max_pages:
            max_pages = self._oversize(req, max_pages, io_pages)
        ra.order += ORDER_STEP
        aligned = 1 << min(ra.order, (max_pages & -max_pages).bit_length() - 1)
        end = ra.start + ra.size
        down = end - end % aligned
        if down > ra.start:
            ra.size = down - ra.start
        ra.async_size = ra.size
        return Window(ra.start, ra.size, ra.async_size, True)

    def place(self, start: int, pages: int, lookahead: int, last: int) -> tuple[int, int]:
        """Read up to the page of EOF (do_page_cache_ra); a window that ends there has no mark."""
        end = start + pages
        if end > last:
            return last + 1, -1
        mark = end - lookahead
        return end, mark if start <= mark < end else -1
