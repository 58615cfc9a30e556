"""The decisions of 7.3: the order in the stream's state, and windows that end on multiples of it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sim.cache.readahead import Cached, RaState, Window
from sim.cache.readahead_73 import Linux73
from sim.cache.readahead_612 import Linux612


class _Pages(Cached):
    """Cached pages up to `end`, in folios of `pages`."""

    def __init__(self, end: int = 0, pages: int = 1) -> None:
        self.end, self.pages = end, pages

    def next_miss(self, index: int, max_scan: int) -> int:
        return min(max(self.end, index), index + max_scan)

    def prev_miss(self, index: int, max_scan: int) -> int:
        return index if index >= self.end else max(index - max_scan, -1)

    def folio_pages(self, _index: int) -> int:
        return self.pages


def marked(ra: RaState, index: int, folio: int = 1, max_pages: int = 32) -> Window | None:
    """Ask at a mark that a folio of `folio` pages carries."""
    return Linux73().ondemand(ra, index, 1, True, max_pages, max_pages, _Pages(index + folio, folio))


def test_a_reader_of_pages_gets_the_recorded_windows() -> None:
    """
    A sequential reader of 4 KiB under 128 KiB, as 7.3.4 was recorded: (start, pages, ahead, order) of each.

    Folios: order 0, then what page_cache_ra_order() stored of the order that the stream had before.
    """
    recorded = [
        (0, 4, 3, 0),
        (4, 8, 8, 2),
        (12, 4, 4, 4),
        (16, 8, 8, 4),
        (24, 8, 8, 5),
        (32, 16, 16, 5),
        (48, 16, 16, 6),
        (64, 32, 32, 6),
        (96, 32, 32, 7),
    ]
    ra = RaState()
    window = Linux73().ondemand(ra, 0, 1, False, 32, 32, _Pages())
    seen = []
    for _ in recorded:
        assert window is not None
        seen.append((window.start, window.pages, window.lookahead, ra.order))
        ra.order = min(9, ra.order, window.pages.bit_length() - 1)
        window = marked(ra, window.start + window.pages - window.lookahead, 1)
    assert recorded == seen


def test_a_miss_begins_with_order_zero() -> None:
    """
    Whatever the stream had: a new window of a miss is of order 0, a bare request leaves the state alone.
    """
    ra = RaState(order=5, prev_page=10)
    assert Window(10, 4, 3, True) == Linux73().ondemand(ra, 10, 1, False, 32, 32, _Pages())
    assert 0 == ra.order
    ra = RaState(order=5, prev_page=10)
    assert Window(90, 1, 0, False) == Linux73().ondemand(ra, 90, 1, False, 32, 32, _Pages())
    assert 5 == ra.order


class _OfOnePage(Linux73):
    """Windows of a page."""

    def _ramp_up(self, size: int, max_pages: int) -> int:
        del size, max_pages
        return 1


def test_nothing_is_left_of_a_window_that_is_not_cut() -> None:
    """Window [33, 34) and order 5: its end rounded down would be before its start, so it stays."""
    ra = RaState(start=25, size=8, async_size=8, order=3)
    assert Window(33, 1, 1, True) == _OfOnePage().ondemand(ra, 25, 1, True, 32, 32, _Pages(33))


def test_a_limit_that_is_no_power_of_two_aligns_to_its_own() -> None:
    """24 pages: windows end on multiples of 8 at most, however large the order."""
    ra = RaState(start=0, size=24, async_size=12, order=7)
    assert Window(24, 24, 24, True) == marked(ra, 12, max_pages=24)
    ra = RaState(start=3, size=24, async_size=12, order=7)
    assert Window(27, 21, 21, True) == marked(ra, 15, max_pages=24)


def test_a_window_that_reaches_the_last_page_has_no_mark() -> None:
    """File of 40 pages: a window up to page 39, or beyond, is cut there and not marked; 6.12 marks it."""
    assert (40, -1) == Linux73().place(8, 32, 32, 39)
    assert (40, -1) == Linux73().place(32, 32, 32, 39)
    assert (39, 7) == Linux73().place(7, 32, 32, 39)
    assert (40, 8) == Linux612().place(8, 32, 32, 39)


def naive_end(start: int, size: int, order: int, max_pages: int) -> int:
    """Go down page by page from a window's end to a multiple of 2^order that divides `max_pages`."""
    while order and max_pages % 2**order:
        order -= 1
    end = next(end for end in range(start + size, -1, -1) if end % 2**order == 0)
    return end if end > start else start + size


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 3000), st.integers(1, 128), st.integers(0, 9), st.integers(1, 1024))
def test_windows_end_on_multiples_of_the_order(start: int, size: int, order: int, max_pages: int) -> None:
    """Any stream met at its mark: the window of 6.12, its end rounded down, and all of it ahead."""
    state: dict[str, Any] = {"start": start, "size": size, "async_size": size}
    before, ra = RaState(**state), RaState(**state, order=order)
    plain = Linux612().ondemand(before, start, 1, True, max_pages, max_pages, _Pages(start + 1))
    window = Linux73().ondemand(ra, start, 1, True, max_pages, max_pages, _Pages(start + 1))
    assert plain is not None
    assert window is not None
    end = naive_end(plain.start, plain.pages, order + 2, max_pages)
    assert Window(plain.start, end - plain.start, end - plain.start, True) == window
    assert order + 2 == ra.order
