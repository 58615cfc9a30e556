"""Buffer heads take memory from the page cache: 104 bytes each, 39 in a page of their slab."""

from __future__ import annotations

import pytest
from core_kit import Rig, sequential
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.cache.page_cache import PageCache
from sim.cache.pages import Mapping
from sim.errors import InvariantError
from sim.machine.initial_cache import cache_pages
from sim.units import KIB, MIB

MEMORY = 1024
"""Pages of memory, of 4 MiB."""


def _passed(path: str, block_size: int, size: int = 8 * MIB) -> Rig:
    blocks = size // block_size
    rig = Rig(path, [(0, 10_000, blocks)], size, block_size, memory_pages=MEMORY, trace=False)
    rig.run(sequential(size, 128 * KIB))
    return rig


@pytest.mark.parametrize(("block_size", "heads"), [(1024, 4), (2048, 2), (4096, 1)])
def test_what_is_left_of_the_page_cache(block_size: int, heads: int) -> None:
    """After a file of twice the memory: pages and their heads' slab fill it; without heads pages alone do."""
    rig = _passed("buffer_head", block_size)
    cache = rig.machine.cache
    assert heads * cache.cached == cache.buffer_heads
    window = -(-32 * heads // 39)  # the heads of the last window came after its pages were let in
    assert -window <= MEMORY - cache.cached - cache.head_pages <= 1
    assert 0 <= cache.cached - MEMORY * 39 // (39 + heads) <= window
    assert (MEMORY, 0) == (_passed("page_io", block_size).machine.cache.cached, 0)


def test_freed_heads_are_charged_with_their_pages() -> None:
    """Every page that goes takes its 4 heads with it, and each is paid for; an extent path has none."""
    rig = _passed("buffer_head", 1024)
    calls = rig.machine.ledger.calls()
    assert rig.machine.cache.evicted == calls["shrink_folio_list"]
    assert 4 * rig.machine.cache.evicted == calls["free_buffer_head"]
    assert "free_buffer_head" not in _passed("page_io", 1024).machine.ledger.calls()


@pytest.mark.parametrize("large", [False, True])
def test_freed_heads_are_charged_by_whatever_window_frees_them(large: bool) -> None:
    """Pages that a window of large folios drives out take their heads with them, as others do."""
    size = 8 * MIB
    rig = Rig(
        "buffer_head",
        [(0, 10_000, size // KIB)],
        size,
        1024,
        memory_pages=MEMORY,
        trace=False,
        kernel="7.3",
        large_folios=large,
    )
    calls = rig.run(sequential(size, 128 * KIB))
    assert 0 == rig.machine.cache.freed_heads
    assert rig.machine.cache.evicted == calls["shrink_folio_list"] == calls["try_to_free_buffers"]
    assert 4 * rig.machine.cache.evicted == calls["free_buffer_head"]


def test_only_confused_pages_have_heads_on_ext4s_path() -> None:
    """1-block extents: all 8 pages fall back and keep 4 heads each; whole pages keep none."""
    rig = Rig("page_io", [(i, 1000 + 3 * i, 1) for i in range(32)], 32 * KIB, 1024)
    rig.run([(0, 32 * KIB)])
    assert (32, 1) == (rig.machine.cache.buffer_heads, rig.machine.cache.head_pages)
    rig.machine.cache.drop(rig.mapping)
    assert 0 == rig.machine.cache.buffer_heads
    rig.machine.check_quiet(rig.mapping)


def test_a_warm_file_brings_its_heads() -> None:
    """A file as large as memory, cached before the run: with heads, its first pages do not fit."""
    for path, cached in (("page_io", 256), ("buffer_head", 256 * 39 // 43)):
        rig = Rig(path, [(0, 1000, 1024)], MIB, 1024, memory_pages=256)
        cache_pages(rig.machine, rig.mapping, rig.inode, [(0, 256)])
        assert abs(rig.machine.cache.cached - cached) <= 1
        rig.machine.check_quiet(rig.mapping)


@settings(max_examples=50, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 99), st.integers(1, 9)), max_size=60),
    heads=st.sampled_from((1, 4)),
)
def test_the_books_of_heads_agree_with_a_set(steps: list[tuple[int, int, int]], heads: int) -> None:
    """Naive model: a set of pages with heads, cut to the pages that are cached."""
    cache, mapping, model = PageCache(40, heads), Mapping(110, False), set[int]()
    for kind, start, count in steps:
        pages = range(start, start + count)
        if kind == 3:
            cache.drop(mapping)
        elif all(not mapping.state[page] for page in pages):
            cache.insert(mapping, start, start + count)
            mapping.set_uptodate(start, start + count)
            if kind:
                cache.attach_buffers(mapping, start, start + count)
                model.update(pages)
        model = {page for page in model if mapping.state[page]}
        assert heads * len(model) == cache.buffer_heads
        cache.check([mapping])


def test_lost_heads_are_found() -> None:
    """A head too many in the books is a contradiction that a run ends with."""
    rig = Rig("buffer_head", [(0, 1000, 4)], 16 * KIB)
    rig.run([(0, 16 * KIB)])
    rig.machine.cache.buffer_heads += 1
    with pytest.raises(InvariantError, match="4 pages have buffer heads, 5 heads counted"):
        rig.machine.check_quiet(rig.mapping)
