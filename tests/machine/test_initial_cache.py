"""What is cached before the first read: counts against a naive model, and the bytes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from core_kit import PATHS, Rig, sequential
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import DISK, Collector, plaintext, small_files

from sim.cache.page_cache import active_pages
from sim.cache.pages import PRESENT, UPTODATE
from sim.errors import ConfigError
from sim.ext4.format.extents import Extent
from sim.ext4.store import MemoryStore
from sim.machine.initial_cache import cache_pages, every_nth, pages_with_buffers, random_share
from sim.units import KIB, PAGE_BYTES


def picked(calls: dict[str, int], *symbols: str) -> list[int]:
    """Return the calls of some symbols."""
    return [calls.get(symbol, 0) for symbol in symbols]


def test_patterns() -> None:
    """Every third page, all pages, and a drawn share: as many pages as asked for, none twice, in order."""
    assert [(0, 1), (3, 4), (6, 7), (9, 10)] == list(every_nth(10, 3))
    assert [(0, 10)] == list(every_nth(10, 1))
    runs = list(random_share(1000, 0.3, np.random.default_rng(1)))
    pages = [page for start, end in runs for page in range(start, end)]
    assert 300 == len(pages) == len(set(pages))
    assert pages == sorted(pages)
    assert all(end < start for (_, end), (start, _) in pairwise(runs))
    assert [] == list(random_share(3, 0.1, np.random.default_rng(1)))
    assert 3 == sum(end - start for start, end in random_share(10, 0.26, np.random.default_rng(1)))


def test_a_warm_file_is_read_without_the_device() -> None:
    """Everything is found; the read makes pages active, as the second one of a page does."""
    rig = Rig("page_io", [(0, 1000, 64)], 256 * KIB)
    cache_pages(rig.machine, rig.mapping, rig.inode, every_nth(64, 1))
    calls = rig.run(sequential(256 * KIB, 128 * KIB))
    assert [0, 0, 64] == picked(calls, "submit_bio", "filemap_add_folio", "folio_mark_accessed")
    assert 64 == active_pages(rig.mapping, 0, 64)
    assert (0, 64) == (rig.machine.cache.inserted, rig.machine.cache.cached)


def test_of_a_warm_file_the_end_stays_when_it_does_not_fit() -> None:
    """Of 64 pages in a memory of 16, the last 16 are cached, as one pass over the file leaves it."""
    rig = Rig("page_io", [(0, 1000, 64)], 256 * KIB, memory_pages=16)
    cache_pages(rig.machine, rig.mapping, rig.inode, every_nth(64, 1))
    assert bytes(48) + bytes([UPTODATE]) * 16 == bytes(rig.mapping.state)
    assert (16, 0, 0) == (rig.machine.cache.cached, rig.machine.cache.inserted, rig.machine.cache.evicted)


@settings(max_examples=60, deadline=None)
@given(
    cached=st.lists(st.booleans(), min_size=32, max_size=32),
    path=st.sampled_from(PATHS),
    step=st.sampled_from((4096, 20_000, 131_072)),
)
def test_a_partly_filled_cache_reads_each_missing_page_once(cached: list[bool], path: str, step: int) -> None:
    """Naive model: what is not cached is inserted and read, once; what is cached is not."""
    rig = Rig(path, [(0, 1000, 32)], 128 * KIB)
    ranges = [(page, page + 1) for page in range(32) if cached[page]]
    cache_pages(rig.machine, rig.mapping, rig.inode, ranges)
    calls = rig.run(sequential(128 * KIB, step))
    missing = {page for page in range(32) if not cached[page]}
    assert len(missing) == calls.get("filemap_add_folio", 0)
    read = [
        sector // 8 - 1000 + page
        for letter, sector, sectors in rig.letters("D")
        for page in range(sectors // 8)
    ]
    assert sorted(missing) == sorted(read)


@pytest.mark.parametrize(
    ("path", "gets", "maps", "bios", "folio"),
    [
        ("buffer_head", 3, 3, 3, "block_read_full_folio"),
        ("mpage", 3, 3, 3, "mpage_read_folio"),
        ("page_io", 3, 3, 3, "ext4_read_folio"),
        ("page_io_pure", 0, 1, 1, "ext4_read_folio"),
        ("iomap", 0, 1, 1, "iomap_read_folio"),
        ("per_block", 3, 3, 3, "mpage_read_folio"),
    ],
)
def test_a_page_with_buffers_confuses_mpage_and_ext4(
    path: str, gets: int, maps: int, bios: int, folio: str
) -> None:
    """Block 0 of a page of 1 KiB blocks is up to date: buffers read 3 one by one, an extent walk 3 in one."""
    rig = Rig(path, [(0, 1000, 4)], 4 * KIB, 1024)
    pages_with_buffers(rig.machine, rig.mapping, rig.inode, [(0, 1)], 1)
    calls = rig.run([(0, 4 * KIB)])
    assert [gets, maps, bios, 1, 0, 0, 0] == picked(
        calls,
        "ext4_get_block",
        "ext4_map_blocks",
        "submit_bio",
        folio,
        "create_empty_buffers",
        "filemap_add_folio",
        "blk_finish_plug",
    )
    assert (4 if path == "page_io_pure" else 3) * 2 == sum(size for _, _, size in rig.letters("D"))
    assert UPTODATE == rig.mapping.state[0]
    assert not rig.mapping.known_blocks
    assert 1 == rig.machine.cache.updated


def test_the_whole_log_of_a_page_with_buffers() -> None:
    """No plug, so each buffer head is a request of its own, sent before the next is submitted."""
    rig = Rig("page_io", [(0, 1000, 4)], 4 * KIB, 1024)
    pages_with_buffers(rig.machine, rig.mapping, rig.inode, [(0, 1)], 2)
    rig.run([(0, 4 * KIB)])
    assert [
        ("Q", 2004, 2), ("G", 2004, 2), ("Q", 2006, 2), ("G", 2006, 2),
        ("D", 2004, 2), ("D", 2006, 2), ("C", 2004, 2), ("C", 2006, 2),
    ] == rig.letters("QGMPUIDC")  # fmt: skip


def test_what_is_up_to_date_of_a_page_is_read_without_io() -> None:
    """A read inside the up-to-date blocks finds them; one byte more reads the page."""
    for length, read in ((2 * KIB, 0), (2 * KIB + 1, 1)):
        rig = Rig("mpage", [(0, 1000, 4)], 4 * KIB, 1024)
        pages_with_buffers(rig.machine, rig.mapping, rig.inode, [(0, 1)], 2)
        calls = rig.run([(0, length)])
        assert [1, read] == picked(calls, "filemap_update_page", "filemap_read_folio")


def test_readers_of_one_page_with_buffers_wait_for_one_io() -> None:
    """Four readers: one reads the page, the others wait for it."""
    rig = Rig("page_io", [(0, 1000, 4)], 4 * KIB, 1024, cpus=4)
    pages_with_buffers(rig.machine, rig.mapping, rig.inode, [(0, 1)])
    for core in range(4):
        rig.start([(0, 4 * KIB)], rig.open(), core)
    assert [4, 1, 3] == picked(rig.finish(), "submit_bio", "filemap_read_folio", "folio_put_wait_locked")


def test_pages_with_buffers_can_be_reclaimed_and_dropped() -> None:
    """They are clean and unlocked: new pages push them out, and so does fadvise. (iomap: no heads)"""
    rig = Rig("iomap", [(0, 1000, 64)], 256 * KIB, memory_pages=8)
    pages_with_buffers(rig.machine, rig.mapping, rig.inode, [(0, 8)])
    cache_pages(rig.machine, rig.mapping, rig.inode, [(20, 24)])
    assert [0] * 4 + [PRESENT] * 4 == list(rig.mapping.state.part(0, 8))
    assert 8 == rig.machine.cache.drop(rig.mapping)
    assert not rig.mapping.known_blocks
    rig.machine.check_quiet(rig.mapping)


def test_a_whole_page_of_up_to_date_blocks_is_refused() -> None:
    """4 of 4 blocks would be an up-to-date page."""
    rig = Rig("page_io", [(0, 1000, 4)], 4 * KIB, 1024)
    with pytest.raises(ConfigError, match="4 of 4 blocks a page; allowed: 0 to 3"):
        pages_with_buffers(rig.machine, rig.mapping, rig.inode, [(0, 1)], 4)


@settings(max_examples=80, deadline=None)
@given(
    file=small_files(),
    path=st.sampled_from(PATHS),
    kinds=st.lists(st.sampled_from("-wb"), min_size=24, max_size=24),
    known=st.integers(0, 3),
    memory_pages=st.sampled_from((6, 1000)),
    readers=st.integers(1, 3),
    step=st.sampled_from((1000, 4096, 40_000)),
)
def test_the_bytes_are_right_whatever_was_cached(
    file: tuple[list[Extent], int, int],
    path: str,
    kinds: list[str],
    known: int,
    memory_pages: int,
    readers: int,
    step: int,
) -> None:
    """Any mix of absent, up-to-date and half-read pages gives the file's bytes to every reader."""
    extents, size, block_size = file
    rig = Rig(
        path,
        extents,
        size,
        block_size,
        "es_cold",
        store=MemoryStore(DISK),
        memory_pages=memory_pages,
        ra_pages=4,
    )
    pages = rig.inode.pages
    known = min(known, PAGE_BYTES // block_size - 1)
    for kind, fill in (("w", cache_pages), ("b", pages_with_buffers)):
        ranges = [(page, page + 1) for page in range(pages) if kinds[page] == kind]
        fill(rig.machine, rig.mapping, rig.inode, ranges, *([known] if kind == "b" else []))  # type: ignore[operator]
    sinks = []
    for reader in range(readers):
        opened, sink = rig.open(), Collector()
        opened.sink = sink
        sinks.append(sink)
        rig.start(sequential(size, step), opened, reader)
    rig.finish()
    expected = plaintext(extents, size, block_size)
    assert all(expected == bytes(sink.data) for sink in sinks)
