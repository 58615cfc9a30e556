"""Page state and reclaim against naive models."""

from __future__ import annotations

from collections import OrderedDict

from core_kit import Rig, sequential
from hypothesis import given
from hypothesis import strategies as st

from sim.cache.page_cache import PageCache, active_pages
from sim.cache.pages import ABSENT, LOCKED, MARKED, UPTODATE, Mapping
from sim.engine.mode import make_clock
from sim.units import KIB, MIB, PAGE_BYTES


@given(
    states=st.lists(st.sampled_from((ABSENT, LOCKED, UPTODATE, UPTODATE | MARKED)), min_size=1, max_size=40),
    index=st.integers(0, 45),
    scan=st.integers(1, 50),
)
def test_scans_agree_with_a_loop(states: list[int], index: int, scan: int) -> None:
    """next_miss, prev_miss and plain_run say what walking the pages one by one says."""
    mapping = Mapping(len(states), False)
    for page, state in enumerate(states):
        mapping.state[page] = state

    def absent(page: int) -> bool:
        return not 0 <= page < len(states) or states[page] == ABSENT

    forward = next((page for page in range(index, index + scan) if absent(page)), index + scan)
    assert forward == mapping.next_miss(index, scan)
    if index < len(states):
        backward = next((page for page in range(index, index - scan, -1) if absent(page)), index - scan)
        assert backward == mapping.prev_miss(index, scan)
        run = 0
        while index + run < len(states) and states[index + run] == UPTODATE:
            run += 1
        assert run == mapping.plain_run(index, len(states))


@given(pages=st.lists(st.integers(0, 29), max_size=120), limit=st.integers(4, 12))
def test_single_reads_are_evicted_in_order_of_insertion(pages: list[int], limit: int) -> None:
    """Pages read once leave in the order they came, as a queue; never more than the limit stay."""
    cache = PageCache(limit)
    mapping = Mapping(30, False)
    model: OrderedDict[int, None] = OrderedDict()
    for page in pages:
        if page in model:
            continue
        if len(model) == limit:
            model.popitem(last=False)
        model[page] = None
        cache.insert(mapping, page, page + 1)
        mapping.set_uptodate(page, page + 1)
        assert sorted(model) == [p for p in range(30) if mapping.state[p]]
        assert len(model) == cache.cached
    assert cache.inserted - cache.evicted == cache.cached


def test_a_page_read_twice_outlives_pages_read_once() -> None:
    """The second access makes a page active: a stream of new pages does not push it out."""
    cache = PageCache(8)
    mapping = Mapping(100, False)
    cache.insert(mapping, 0, 1)
    mapping.set_uptodate(0, 1)
    cache.mark_accessed(mapping, 0, 1)
    cache.mark_accessed(mapping, 0, 1)
    for page in range(1, 50):
        cache.insert(mapping, page, page + 1)
        mapping.set_uptodate(page, page + 1)
        cache.mark_accessed(mapping, page, page + 1)
    assert UPTODATE == mapping.state[0]
    assert 8 == cache.cached


def test_locked_pages_are_never_evicted() -> None:
    """Pages under I/O stay, even beyond the limit; they go once they are up to date."""
    cache = PageCache(4)
    mapping = Mapping(100, False)
    cache.insert(mapping, 0, 4)
    cache.insert(mapping, 4, 6)
    assert 6 == cache.cached
    mapping.set_uptodate(0, 6)
    cache.insert(mapping, 6, 7)
    assert [0, 0, 0] == list(mapping.state.part(0, 3))
    assert 4 == cache.cached


def test_wake_and_marks() -> None:
    """Unlocking wakes exactly the waiters of those pages, and keeps a page's readahead mark."""
    clock = make_clock()
    cache = PageCache(100)
    mapping = Mapping(10, False)
    cache.insert(mapping, 0, 8, mark=3)
    first, second = mapping.waiter(2, clock), mapping.waiter(6, clock)
    assert first is mapping.waiter(2, clock)
    mapping.set_uptodate(0, 4)
    assert (True, False) == (first.triggered, second.triggered)
    assert [2, 2, 2, 6, 1, 1, 1, 1, 0, 0] == list(mapping.state)


def test_memory_limit_holds_over_a_large_file_and_nothing_is_read_twice() -> None:
    """A sequential pass over 64 MiB with 1 MiB of cache reads each page once and evicts all but the last."""
    size = 64 * MIB
    rig = Rig("page_io", [(0, 1000, size // PAGE_BYTES)], size, memory_pages=256)
    calls = rig.run(sequential(size, 128 * KIB))
    assert size // PAGE_BYTES == calls["filemap_add_folio"]
    assert 256 >= rig.machine.cache.peak
    assert size // PAGE_BYTES - rig.machine.cache.cached == calls["shrink_folio_list"]


def test_rereading_a_file_that_fits_touches_no_device() -> None:
    """The second pass over a cached file issues nothing and makes its pages active."""
    size = 1 * MIB
    rig = Rig("page_io", [(0, 1000, 256)], size, memory_pages=1024)
    reads = sequential(size, 64 * KIB)
    rig.run(reads + reads)
    assert 8 == rig.machine.queue.stats.issued
    assert 256 == active_pages(rig.mapping, 0, 256)


def test_what_is_evicted_leaves_the_lists() -> None:
    """A long pass through a small cache leaves the lists as short as what is cached, whatever is held."""
    size = 64 * MIB
    rig = Rig("page_io", [(0, 1000, size // PAGE_BYTES)], size, memory_pages=256, trace=False)
    rig.run(sequential(size, 128 * KIB))
    cache = rig.machine.cache
    assert 256 == sum(end - start for _, start, end in cache._inactive)
    assert not cache._active


def test_dropping_a_file_keeps_what_cannot_go_within_reach_of_reclaim() -> None:
    """Pages under I/O outlive a drop of their file, and are reclaimed once they are up to date."""
    cache = PageCache(4)
    mapping = Mapping(100, False)
    cache.insert(mapping, 0, 2)
    cache.insert(mapping, 2, 4)
    mapping.set_uptodate(2, 4)
    assert 2 == cache.drop(mapping)
    assert [1, 1, 0, 0] == list(mapping.state.part(0, 4))
    mapping.set_uptodate(0, 2)
    cache.insert(mapping, 10, 14)
    assert [0, 0] == list(mapping.state.part(0, 2))
    assert 4 == cache.cached


def test_buffer_heads_go_with_their_pages() -> None:
    """Reclaim tells how many buffer heads went with their pages; dropping a file is charged to nobody."""
    cache, mapping = PageCache(8, heads_per_page=4), Mapping(16, keep_content=False)
    cache.insert(mapping, 0, 7)
    mapping.set_uptodate(0, 7)
    cache.attach_buffers(mapping, 2, 6)
    assert (16, 1, 0) == (cache.buffer_heads, cache.head_pages, cache.freed_heads)
    assert 4 == cache.insert(mapping, 8, 12)
    assert (8, 8) == (cache.buffer_heads, cache.freed_heads)
    mapping.set_uptodate(8, 12)
    assert 7 == cache.drop(mapping)
    assert (0, 0) == (cache.buffer_heads, cache.freed_heads)


def test_a_single_page_keeps_its_mark() -> None:
    """PG_readahead stays when the page it is on is unlocked alone."""
    cache, mapping = PageCache(100), Mapping(10, False)
    cache.insert(mapping, 3, 4, mark=3)
    assert LOCKED | MARKED == mapping.state[3]
    mapping.set_uptodate(3, 4)
    assert UPTODATE | MARKED == mapping.state[3]
