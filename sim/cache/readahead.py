"""
Readahead decisions: mm/readahead.c as a function of its state, without pages and without a clock.

All sizes and indices are in pages. `Linux61` is 5.15 to 6.10 (recorded on 6.1.192), `Linux316` is 3.13 to
4.3; 6.12 and 7.3 have files of their own. A version is a small class: add one to model another kernel.

How a window is cut into folios is not decided here: see folios.py.

Left out: congestion, MADV_HUGEPAGE, and mmap read-around.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, final

from mypy_extensions import mypyc_attr

NEVER_READ: Final = (1 << 52) - 1
"""The page of prev_pos = -1 in a file never read: far from every page."""


@dataclass(slots=True)
class RaState:
    """
    struct file_ra_state, in pages; `prev_page` is the page of the last byte position read to.

    order: of the stream's folios, where it is the stream that has it (7.3).
    """

    start: int = 0
    size: int = 0
    async_size: int = 0
    prev_page: int = NEVER_READ
    order: int = 0


@final
@mypyc_attr(free_list_len=1)
class Window:
    """
    What to read: `pages` from `start`, with the marker on page `start + pages - lookahead`.

    `windowed` tells a window that was planned (page_cache_ra_order) from a bare request.
    """

    __slots__ = ("lookahead", "pages", "start", "windowed")

    def __init__(self, start: int, pages: int, lookahead: int, windowed: bool) -> None:
        self.start = start
        self.pages = pages
        self.lookahead = lookahead
        self.windowed = windowed

    def __eq__(self, other: object) -> bool:
        """Whether it is the same window, marked alike."""
        return isinstance(other, Window) and self._values() == other._values()

    def __hash__(self) -> int:
        """As equality has it."""
        return hash(self._values())

    def __repr__(self) -> str:
        """Its values, in the order of the constructor."""
        return f"Window{self._values()}"

    def _values(self) -> tuple[int, int, int, bool]:
        return self.start, self.pages, self.lookahead, self.windowed


@mypyc_attr(allow_interpreted_subclasses=True)
class Cached:
    """What readahead may ask of the page cache."""

    __slots__ = ()

    def next_miss(self, index: int, max_scan: int) -> int:
        """Return the first page from `index` that is not cached, or `index + max_scan`."""
        raise NotImplementedError

    def prev_miss(self, index: int, max_scan: int) -> int:
        """Return the last page up to `index` that is not cached, -1, or `index - max_scan`."""
        raise NotImplementedError

    def folio_pages(self, index: int) -> int:
        """Return how many pages the folio at `index` has (asked where there are large ones, of a mark)."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class ReadaheadPolicy:
    """
    One kernel version's decisions.

    breaks_at_cached: a cached page inside the window ends the batch handed to the file system.
    """

    breaks_at_cached: ClassVar[bool] = True

    def ondemand(
        self, ra: RaState, index: int, req: int, marker: bool, max_pages: int, io_pages: int, cached: Cached
    ) -> Window | None:
        """
        Decide for a read of `req` pages at `index`; update `ra`.

        max_pages: the device's setting (ra_pages). io_pages: its largest I/O. marker: page `index` is cached
        and carried the readahead mark. None: nothing to read.
        """
        raise NotImplementedError

    def place(self, start: int, pages: int, lookahead: int, last: int) -> tuple[int, int]:
        """
        Return (end, mark) of a window in a file whose last page is `last`.

        end: the page after the last that is read, <= start if there is none. mark: the page that gets the
        mark, or -1.
        """
        raise NotImplementedError


def initial_window(req: int, max_pages: int) -> int:
    """Return the first window's size: the request to the next power of two, then x4, x2 or the limit."""
    size = 1 << (req - 1).bit_length()
    if size <= max_pages // 32:
        return size * 4
    if size <= max_pages // 4:
        return size * 2
    return max_pages


def next_window(size: int, max_pages: int) -> int:
    """Return the window after one of `size`: x4 while small, x2 up to the limit."""
    if size < max_pages // 16:
        return 4 * size
    if size <= max_pages // 2:
        return 2 * size
    return max_pages


@mypyc_attr(allow_interpreted_subclasses=True)
class Linux61(ReadaheadPolicy):
    """Linux 5.15 to 6.10."""

    breaks_at_cached: ClassVar[bool] = True
    # page_cache_next_miss() and _prev_miss() of these versions return the last page scanned, not the one
    # beyond it, when all pages are cached.
    _scan_stops_short: ClassVar[int] = 1

    def ondemand(
        self, ra: RaState, index: int, req: int, marker: bool, max_pages: int, io_pages: int, cached: Cached
    ) -> Window | None:
        """Decide as ondemand_readahead() does; see ReadaheadPolicy."""
        if req > max_pages:
            max_pages = self._oversize(req, max_pages, io_pages)
        initial = index == 0
        if not initial:
            end = ra.start + ra.size
            planned = end - ra.async_size
            if marker:
                planned -= planned % cached.folio_pages(index)
            if index in (planned, end):
                ra.start = end
                ra.size = ra.async_size = self._ramp_up(ra.size, max_pages)
            elif marker:
                miss = cached.next_miss(index + 1, max_pages)
                if miss == index + 1 + max_pages:
                    miss -= self._scan_stops_short
                if miss - index > max_pages:
                    return None
                ra.start = miss
                ra.size = ra.async_size = next_window(miss - index + req, max_pages)
            elif req > max_pages or 0 <= index - ra.prev_page <= 1:
                initial = True
            elif not self._context(ra, index, req, max_pages, cached):
                return Window(index, req, 0, False)
        if initial:
            ra.start = index
            ra.size = initial_window(req, max_pages)
            ra.async_size = ra.size - req if ra.size > req else ra.size
        if index == ra.start and ra.size == ra.async_size:
            self._self_merge(ra, max_pages)
        return Window(ra.start, ra.size, ra.async_size, True)

    def place(self, start: int, pages: int, lookahead: int, last: int) -> tuple[int, int]:
        """Read up to the page of EOF (do_page_cache_ra); the lookahead counts back from that end."""
        end = start + pages
        if end > last + 1:
            end = last + 1
        mark = end - lookahead
        return end, mark if start <= mark < end else -1

    def _ramp_up(self, size: int, max_pages: int) -> int:
        """Return the window after one of `size` that was consumed: never a smaller one."""
        return max(size, next_window(size, max_pages))

    def _oversize(self, req: int, max_pages: int, io_pages: int) -> int:
        """A request beyond the window may go up to what the device takes in one I/O."""
        return min(req, io_pages) if io_pages > max_pages else max_pages

    def _context(self, ra: RaState, index: int, req: int, max_pages: int, cached: Cached) -> bool:
        """Look for the traces of a stream: more cached pages before `index` than are asked for."""
        miss = cached.prev_miss(index - 1, max_pages)
        if miss == index - 1 - max_pages:
            miss += self._scan_stops_short
        size = index - 1 - miss
        if size <= req:
            return False
        if size >= index:
            size *= 2
        ra.start = index
        ra.size = min(size + req, max_pages)
        ra.async_size = 1
        return True

    def _self_merge(self, ra: RaState, max_pages: int) -> None:
        """The window's mark would be hit at once: take the next window along."""
        more = next_window(ra.size, max_pages)
        if ra.size + more <= max_pages:
            ra.async_size = more
            ra.size += more
        else:
            ra.size = max_pages
            ra.async_size = max_pages >> 1


@mypyc_attr(allow_interpreted_subclasses=True)
class Linux316(Linux61):
    """
    Linux 3.13 to 4.3: windows are capped at 2 MiB, never enlarged for oversize requests; the self-merge is
    uncapped; a cached page does not end the batch; the mark counts back from the unclipped end.
    """

    breaks_at_cached: ClassVar[bool] = False
    _scan_stops_short: ClassVar[int] = 0
    _max_readahead: ClassVar[int] = 512

    def ondemand(
        self, ra: RaState, index: int, req: int, marker: bool, max_pages: int, io_pages: int, cached: Cached
    ) -> Window | None:
        """Decide as ondemand_readahead() did, under max_sane_readahead(); see ReadaheadPolicy."""
        max_pages = min(max_pages, self._max_readahead)
        return super().ondemand(ra, index, req, marker, max_pages, io_pages, cached)

    def place(self, start: int, pages: int, lookahead: int, last: int) -> tuple[int, int]:
        """Read up to the page of EOF; the lookahead counts back from the planned end."""
        end = min(start + pages, last + 1)
        mark = start + pages - lookahead
        return end, mark if start <= mark < end else -1

    def _ramp_up(self, size: int, max_pages: int) -> int:
        return next_window(size, max_pages)

    def _oversize(self, req: int, max_pages: int, io_pages: int) -> int:
        del req, io_pages
        return max_pages

    def _self_merge(self, ra: RaState, max_pages: int) -> None:
        ra.async_size = next_window(ra.size, max_pages)
        ra.size += ra.async_size


@mypyc_attr(allow_interpreted_subclasses=True)
class NoReadahead(Linux61):
    """The null policy: what is asked for, and no page more."""

    def ondemand(
        self,
        ra: RaState,  # noqa: ARG002
        index: int,
        req: int,
        marker: bool,  # noqa: ARG002
        max_pages: int,  # noqa: ARG002
        io_pages: int,  # noqa: ARG002
        cached: Cached,  # noqa: ARG002
    ) -> Window | None:
        """Read `req` pages; see ReadaheadPolicy."""
        return Window(index, req, 0, False)
