"""Readahead decisions: the kernel's recorded windows, the table of sizes, and the cases between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from core_kit import Rig, sequential
from hypothesis import given
from hypothesis import strategies as st

from sim.block.queue.limits import QueueLimits
from sim.cache.readahead import (
    Cached,
    Linux61,
    Linux316,
    RaState,
    Window,
    initial_window,
    next_window,
)
from sim.records.kernel_case import page_order
from sim.units import KIB, MIB

DATA = Path(__file__).parents[2] / "results" / "kernel" / "linux-6.1.192"


class _Recorder(Linux61):
    """The 6.1 policy, writing down decisions as the kernel's trace does."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def ondemand(self, ra: RaState, index: int, req: int, marker: bool, *rest: Any) -> Any:
        self.log.append(f"{'async' if marker else 'sync'} idx={index} req={req}")
        return super().ondemand(ra, index, req, marker, *rest)

    def place(self, start: int, pages: int, lookahead: int, last: int) -> tuple[int, int]:
        end, mark = super().place(start, pages, lookahead, last)
        if end > start:
            self.log.append(f"unb idx={start} nr={end - start} la={lookahead}")
        return end, mark


@pytest.mark.parametrize("access", ["seq128k", "seq4k", "rand4k", "rand4k_advrandom"])
def test_windows_equal_the_recorded_ones(access: str) -> None:
    """Every decision of a whole run, 16 MiB with 128 KiB of readahead, is the kernel's: index, size, mark."""
    size = 16 * MIB
    policy = _Recorder()
    rig = Rig("page_io", [(0, 1000, 4096)], size)
    rig.machine.filemap._ra._policy = policy
    if access.startswith("seq"):
        reads = sequential(size, 128 * KIB if access == "seq128k" else 4 * KIB)
    else:
        reads = [(page * 4096, 4096) for page in page_order(4096)[:1024]]
    forced = access == "rand4k_advrandom"
    rig.run(reads, random=forced)
    recorded = (DATA / f"ra_windows_{access}.txt").read_text().splitlines()
    if forced:  # force_page_cache_ra() asks no policy; the kernel's trace shows its entry too
        recorded = [line for line in recorded if line.startswith("unb")]
    assert recorded == policy.log


def test_sizes_of_first_and_next_windows() -> None:
    """128 KiB of readahead: 1 page starts with 4, 8 with 16, 9 with 32; then x4 below 2, x2 to 16, 32."""
    assert [4, 8, 8, 16, 16, 32] == [initial_window(req, 32) for req in (1, 3, 4, 5, 8, 9)]
    assert [4, 4, 8, 32, 32, 32] == [next_window(size, 32) for size in (1, 2, 4, 16, 17, 32)]


class _Pages(Cached):
    """The cached pages of a test, in folios of `order`, as the page cache would tell of them."""

    def __init__(self, cached: set[int], order: int = 0) -> None:
        self.cached, self.order = cached, order

    def folio_pages(self, _index: int) -> int:
        return 1 << self.order

    def next_miss(self, index: int, max_scan: int) -> int:
        return next((i for i in range(index, index + max_scan) if i not in self.cached), index + max_scan)

    def prev_miss(self, index: int, max_scan: int) -> int:
        return next((i for i in range(index, index - max_scan, -1) if i not in self.cached), index - max_scan)


def test_marker_without_state_takes_the_next_hole() -> None:
    """Interleaved streams: a marked page far from the state starts a window at the next uncached page."""
    ra = RaState(start=1000, size=32, async_size=32)
    window = Linux61().ondemand(ra, 100, 4, True, 32, 32, _Pages(set(range(100, 108))))
    assert Window(108, 24, 24, True) == window  # 8 pages left of the old window + 4 asked for, doubled


def test_a_mark_is_expected_at_the_first_page_of_its_folio_in_6_1() -> None:
    """Window [32, 64), 6 ahead: planned for page 58, found at 56 in a folio of 4; a miss there is no mark."""
    window = Window(64, 32, 32, True)
    marked = RaState(start=32, size=32, async_size=6)
    assert window == Linux61().ondemand(marked, 56, 1, True, 32, 32, _Pages(set(range(64)), 2))
    marked = RaState(start=32, size=32, async_size=6)
    assert window != Linux61().ondemand(marked, 56, 1, True, 32, 32, _Pages(set(range(64))))
    missed = RaState(start=32, size=32, async_size=6)
    assert window != Linux61().ondemand(missed, 56, 1, False, 32, 32, _Pages(set(), 2))


def test_context_readahead_needs_more_history_than_the_request() -> None:
    """A miss behind 3 cached pages reads 4 with the mark on the last; behind one page, only what is asked."""
    assert Window(50, 4, 1, True) == Linux61().ondemand(RaState(), 50, 1, False, 32, 32, _Pages({47, 48, 49}))
    assert Window(50, 1, 0, False) == Linux61().ondemand(RaState(), 50, 1, False, 32, 32, _Pages({49}))


def test_full_history_counts_one_page_less_in_6_1_than_in_3_16() -> None:
    """With all pages cached, page_cache_prev_miss() of 6.1 returns the last page scanned, not the next."""
    cached = _Pages(set(range(500)))
    assert Window(500, 15, 0, False) == Linux61().ondemand(RaState(), 500, 15, False, 16, 16, cached)
    assert Window(500, 16, 1, True) == Linux316().ondemand(RaState(), 500, 15, False, 16, 16, cached)


def test_oversize_request_may_fill_one_io_in_6_1_only() -> None:
    """A 1 MiB read with 128 KiB of readahead gets the device's largest I/O; 3.16 keeps to two windows."""
    assert 160 == Linux61().ondemand(RaState(), 0, 256, False, 32, 160, _Pages(set())).pages
    assert 64 == Linux316().ondemand(RaState(), 0, 256, False, 32, 160, _Pages(set())).pages
    assert 2048 == Linux61().ondemand(RaState(), 0, 2048, False, 2048, 2048, _Pages(set())).pages
    assert 1024 == Linux316().ondemand(RaState(), 0, 2048, False, 2048, 2048, _Pages(set())).pages


def test_self_merge_is_capped_in_6_1_and_not_in_3_16() -> None:
    """A request as large as the window takes the next one along: half of it marked, or the whole doubled."""
    assert Window(0, 32, 16, True) == Linux61().ondemand(RaState(), 0, 32, False, 32, 32, _Pages(set()))
    assert Window(0, 64, 32, True) == Linux316().ondemand(RaState(), 0, 32, False, 32, 32, _Pages(set()))


@given(
    start=st.integers(0, 200), pages=st.integers(1, 64), last=st.integers(0, 200), ahead=st.integers(0, 64)
)
def test_windows_and_marks_stay_inside_the_file(start: int, pages: int, last: int, ahead: int) -> None:
    """No window reaches past the page of EOF, and a mark lies on a page that is read."""
    for policy in (Linux61(), Linux316()):
        end, mark = policy.place(start, pages, ahead, last)
        assert max(end - start, 0) == len([page for page in range(start, start + pages) if page <= last])
        assert mark == -1 or start <= mark < end


@pytest.mark.parametrize(
    ("mib", "windows"),
    [(2, [512]), (4, [512, 512]), (5, [512, 512, 256])],
)
def test_forced_readahead_goes_in_chunks_of_2_mib(mib: int, windows: list[int]) -> None:
    """force_page_cache_ra() of one request that the device takes whole: 512 pages at a time, unmarked."""
    size = mib * MIB
    limits = QueueLimits(max_sectors=16 * MIB // 512, max_segments=4096, queue_depth=64)
    policy = _Recorder()
    rig = Rig("page_io", [(0, 1000, size // 4096)], size, limits=limits)
    rig.machine.filemap._ra._policy = policy
    calls = rig.run([(0, size)], random=True)
    assert windows == [int(line.split("nr=")[1].split()[0]) for line in policy.log]
    assert (1, len(windows)) == (calls["force_page_cache_ra"], calls["page_cache_ra_unbounded"])


def test_forced_readahead_ends_at_the_devices_largest_io() -> None:
    """1 MiB on a device that takes 160 pages, with a window of 32: 160 pages, then 96 for the next."""
    rig = Rig("page_io", [(0, 1000, 256)], MIB)
    calls = rig.run([(0, MIB)], random=True)
    assert 2 == calls["force_page_cache_ra"]
    assert [("Q", 8000, 160 * 8), ("Q", 8000 + 160 * 8, 96 * 8)] == rig.letters("Q")


def test_without_readahead_pages_come_one_by_one() -> None:
    """ra_pages 0: a read of four pages forces one page at a time (page_cache_sync_ra())."""
    rig = Rig("page_io", [(0, 1000, 16)], 64 * KIB, ra_pages=0)
    calls = rig.run([(0, 16 * KIB)])
    assert 4 == calls["force_page_cache_ra"]
    assert [("Q", 8000 + 8 * page, 8) for page in range(4)] == rig.letters("Q")


def test_the_sizes_of_larger_windows() -> None:
    """512 KiB of readahead: requests of up to 4 pages begin with 4 times as much, of up to 32 with twice."""
    assert [16, 16, 64, 128] == [initial_window(req, 128) for req in (4, 8, 32, 33)]


def test_history_that_begins_with_the_file_counts_twice() -> None:
    """Pages 0 to 4 are cached, 5 is asked for: 2 x 5 + 1; with a hole before page 1 it is 4 + 1."""
    assert Window(5, 11, 1, True) == Linux61().ondemand(RaState(), 5, 1, False, 32, 32, _Pages(set(range(5))))
    assert Window(5, 5, 1, True) == Linux61().ondemand(RaState(), 5, 1, False, 32, 32, _Pages({1, 2, 3, 4}))


@pytest.mark.parametrize(("index", "stream"), [(49, False), (50, True), (51, True), (52, False)])
def test_a_stream_is_the_page_of_before_or_the_next(index: int, stream: bool) -> None:
    """The last read came to page 50: a miss there or on the next page begins a stream, of 4 pages."""
    window = Window(index, 4, 3, True) if stream else Window(index, 1, 0, False)
    assert window == Linux61().ondemand(RaState(prev_page=50), index, 1, False, 32, 32, _Pages(set()))
