"""Readers that fight for a page cache smaller than what they hold at once."""

from __future__ import annotations

import pytest
from core_kit import Rig, sequential
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import DISK, Collector, plaintext, small_files

from sim.cache.page_cache import PageCache
from sim.ext4.format.extents import Extent
from sim.ext4.store import MemoryStore
from sim.units import KIB, PAGE_BYTES


@settings(max_examples=60, deadline=None)
@given(
    file=small_files(),
    path=st.sampled_from(("buffer_head", "page_io", "iomap")),
    readers=st.integers(2, 5),
    memory_pages=st.integers(2, 12),
    steps=st.lists(st.sampled_from((1000, 4096, 20_000)), min_size=5, max_size=5),
    latency_ns=st.sampled_from((0, 50_000)),
)
def test_readers_get_their_bytes_however_little_memory_there_is(
    file: tuple[list[Extent], int, int],
    path: str,
    readers: int,
    memory_pages: int,
    steps: list[int],
    latency_ns: int,
) -> None:
    """Reclaim never takes a page between its lookup and its copy, every reader gets on, the books agree."""
    extents, size, block_size = file
    rig = Rig(
        path,
        extents,
        size,
        block_size,
        store=MemoryStore(DISK),
        memory_pages=memory_pages,
        ra_pages=8,
        latency_ns=latency_ns,
        trace=False,
        cpus=2,
    )
    sinks = []
    for reader in range(readers):
        opened, sink = rig.open(), Collector()
        opened.sink = sink
        sinks.append(sink)
        rig.start(sequential(size, steps[reader]), opened, reader)
    rig.finish()
    expected = plaintext(extents, size, block_size)
    assert all(expected == bytes(sink.data) for sink in sinks)


def test_a_page_that_readahead_does_not_bring_is_created_alone() -> None:
    """Page 1 is dropped after page 0 was read: readahead takes the next window, page 1 is read alone."""
    rig = Rig("page_io", [(0, 1000, 64)], 256 * KIB)
    opened = rig.open()
    rig.start([(0, 4096)], opened)
    rig.finish()
    rig.mapping.state[1] = 0
    rig.machine.cache.cached -= 1
    rig.start([(4096, 4096)], opened)
    calls = rig.finish()
    wanted = ("page_cache_sync_ra", "ondemand_readahead", "page_cache_ra_unbounded", "filemap_create_folio")
    assert [2, 2, 2, 1] == [calls[symbol] for symbol in wanted]
    assert 4 == opened.ra.start


def test_a_request_larger_than_the_window_never_shrinks_it() -> None:
    """1 MiB reads, 128 KiB of readahead, I/Os of 160 pages: each window keeps the 160 pages of the first."""
    size = 8 << 20
    rig = Rig("page_io", [(0, 1000, size // PAGE_BYTES)], size)
    calls = rig.run(sequential(size, 1 << 20))
    assert 13 == calls["ondemand_readahead"]
    assert [160 * 8] * 12 + [128 * 8] == [sectors for _, _, sectors in rig.letters("Q")]


def test_an_empty_tree_is_one_hole() -> None:
    """A file without extents is walked once, whatever block is asked for first."""
    rig = Rig("page_io", [], 256 * KIB, status="all_cold")
    calls = rig.run([(offset, 4096) for offset in range(252 * KIB, -1, -4096)], random=True)
    assert 1 == calls["ext4_ext_map_blocks"]


def test_the_books_are_checked() -> None:
    """A page that is present and not counted is found at the end of a run."""
    rig = Rig("page_io", [(0, 1000, 4)], 16 * KIB)
    rig.run([(0, 16 * KIB)])
    rig.machine.cache.cached += 1
    with pytest.raises(AssertionError, match="4 pages present and 0 active, 5 and 0 counted"):
        rig.machine.check_quiet(rig.mapping)
    assert isinstance(rig.machine.cache, PageCache)
