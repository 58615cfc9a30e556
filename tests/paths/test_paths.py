"""The read paths: golden counts on small files, and what must hold on any."""

from __future__ import annotations

import itertools

import pytest
from core_kit import PATHS, Rig, sequential
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import DISK, Collector, small_files

from sim.block.queue.limits import QueueLimits
from sim.ext4.format.extents import Extent
from sim.ext4.store import MemoryStore
from sim.units import KIB

FRAGMENTS_1K = [(i, 1000 + 3 * i, 1) for i in range(32)]
"""8 pages of 1 KiB blocks, none adjacent."""


def picked(calls: dict[str, int], *symbols: str) -> tuple[int, ...]:
    """Return the calls of some symbols."""
    return tuple(calls.get(symbol, 0) for symbol in symbols)


@pytest.mark.parametrize(
    ("path", "expected"),
    # ext4_get_block, ext4_map_blocks, alloc_buffer_head, submit_bio
    [
        ("buffer_head", (32, 32, 32, 32)),
        ("mpage", (48, 48, 32, 32)),
        ("page_io", (32, 48, 32, 32)),
        ("page_io_pure", (0, 32, 0, 32)),
        ("iomap", (0, 32, 0, 32)),
        ("per_block", (48, 48, 32, 32)),
    ],
)
def test_sub_page_fragments_confuse_mpage_and_not_an_extent_walk(
    path: str, expected: tuple[int, ...]
) -> None:
    """Where no two 1 KiB blocks are adjacent, ext4's path maps 6 times a page, a pure extent path 4 times."""
    calls = Rig(path, FRAGMENTS_1K, 32 * KIB, 1024).run([(0, 32 * KIB)])
    assert expected == picked(calls, "ext4_get_block", "ext4_map_blocks", "alloc_buffer_head", "submit_bio")


@pytest.mark.parametrize(
    ("path", "maps", "bios"),
    [
        ("buffer_head", 8, 4),
        ("mpage", 6, 2),
        ("page_io", 6, 2),
        ("page_io_pure", 4, 2),
        ("iomap", 4, 2),
        ("per_block", 8, 2),
    ],
)
def test_holes_are_mapped_block_by_block_except_on_an_extent_walk(path: str, maps: int, bios: int) -> None:
    """2 data, 1 hole, 2 data, 3 holes in 8 pages of 4 KiB: a hole costs a call a block, or one in all."""
    calls = Rig(path, [(0, 1000, 2), (3, 2000, 2)], 32 * KIB).run([(0, 32 * KIB)])
    assert (maps, bios) == picked(calls, "ext4_map_blocks", "submit_bio")


def test_a_file_that_ends_inside_a_block_and_a_page() -> None:
    """6.5 blocks of 1 KiB: beyond EOF only iomap maps, one bio of 7 blocks, and 6,656 bytes read."""
    for path, maps in (("buffer_head", 7), ("mpage", 1), ("page_io", 1), ("iomap", 2), ("page_io_pure", 1)):
        rig = Rig(path, [(0, 1000, 7)], 6656, 1024)
        calls = rig.run([(0, 8 * KIB), (8 * KIB, KIB)])
        assert maps == calls["ext4_map_blocks"], path
        assert 7 * KIB // 512 == sum(n for _, _, n in rig.letters("D")), path
        assert bytes([2, 2]) == bytes(rig.mapping.state), path


def test_a_cold_tree_of_depth_2_is_read_on_the_way() -> None:
    """Two index blocks' worth of extents: one read per index block and leaf, each waited for alone."""
    extents = [(2 * i, 10 * i, 1) for i in range(84 * 5)]
    rig = Rig("page_io", extents, 84 * 5 * 2 * KIB, 1024, status="all_cold")
    assert 2 == rig.inode.map.tree.depth
    calls = rig.run(sequential(84 * 5 * 2 * KIB, 16 * KIB))
    assert (6, 5) == picked(calls, "ext4_read_bh", "ext4_cache_extents")
    # one walk per leaf finds all its extents; one more finds the hole behind its last
    assert (10, 20) == picked(calls, "ext4_ext_map_blocks", "__read_extent_tree_block")


def test_readers_of_one_page_wait_for_one_io() -> None:
    """Four readers ask for the same page at once: one insertion, one bio, and all four return after it."""
    rig = Rig("page_io", [(0, 1000, 16)], 64 * KIB, latency_ns=50_000, cpus=4)
    returned = [rig.start([(0, 4096)], rig.open(random=True), core) for core in range(4)]
    calls = rig.finish()
    assert (1, 1, 4) == picked(calls, "filemap_add_folio", "submit_bio", "filemap_read")
    assert all(50_000 < at[0] < 60_000 for at in returned)


def test_readers_of_one_cold_tree_block_wait_for_one_read() -> None:
    """Two readers that need the same leaf: it is read once."""
    extents = [(i, 10 * i, 1) for i in range(16)]
    rig = Rig("page_io", extents, 64 * KIB, status="all_cold", cpus=2)
    for core, offset in ((0, 0), (1, 32 * KIB)):
        rig.start([(offset, 4096)], rig.open(random=True), core)
    calls = rig.finish()
    assert 1 == calls["ext4_read_bh"]  # the second sleeps on the locked buffer and finds it read
    tree_block = rig.inode.map.tree.blocks[0] * 8
    assert 1 == sum(sector == tree_block for _, sector, _ in rig.letters("D"))


def test_cached_pages_break_a_window_in_6_1_and_not_in_3_16() -> None:
    """Page 2 of 8 is cached: 6.1 hands over two batches, 3.16 one with a gap, and both read 7 pages."""
    batches = {}
    for kernel, call in (("6.1", "mpage_readahead"), ("3.16", "mpage_readpages")):
        rig = Rig("mpage", [(0, 1000, 32)], 128 * KIB, kernel=kernel)
        rig.machine.cache.insert(rig.mapping, 2, 3)
        rig.mapping.set_uptodate(2, 3)
        calls = rig.run([(0, 32 * KIB)], random=True)
        batches[kernel] = calls[call]
        added = calls.get("filemap_add_folio", 0) + calls.get("add_to_page_cache_lru", 0)
        assert 7 == added
    assert {"6.1": 2, "3.16": 1} == batches


def test_3_16_calls_things_by_their_old_names() -> None:
    """A 3.16 kernel has no folios."""
    calls = Rig("buffer_head", [(0, 1000, 32)], 128 * KIB, kernel="3.16").run([(0, 128 * KIB)])
    assert 32 == calls["block_read_full_page"]
    assert not [symbol for symbol in calls if "folio" in symbol and not symbol.startswith("folio_zero")]


def flip(data: memoryview, first_block: int, out: memoryview) -> None:
    """A cipher that is its own inverse and the same for every block."""
    del first_block
    out[: len(data)] = bytes(b ^ 0x55 for b in data)


@settings(max_examples=60, deadline=None)
@given(
    file=small_files(),
    path=st.sampled_from(PATHS),
    status=st.sampled_from(("warm", "es_cold")),
    encrypted=st.booleans(),
    bio_based=st.booleans(),
    step=st.sampled_from((1000, 4096, 40_000)),
)
def test_every_path_returns_the_bytes_that_lie_on_the_disk(
    file: tuple[list[Extent], int, int],
    path: str,
    status: str,
    encrypted: bool,
    bio_based: bool,
    step: int,
) -> None:
    """Any file through any path gives the bytes of its extents, and zeros in holes."""
    extents, size, block_size = file
    expected = bytearray(-(-size // block_size) * block_size)
    for logical, physical, length, unwritten in extents:
        if not unwritten:
            start = logical * block_size
            expected[start : start + length * block_size] = DISK[
                physical * block_size : (physical + length) * block_size
            ]
    limits = QueueLimits(64, 16, 2, bio_based=bio_based, driver="brd" if bio_based else "null_blk")
    results = []
    for store in (MemoryStore(DISK), None):
        rig = Rig(
            path,
            extents,
            size,
            block_size,
            status,
            limits=limits,
            encrypted=encrypted,
            store=store,
            ra_pages=8,
        )
        opened = rig.open()
        sink = Collector()
        opened.sink = sink if store is not None else None
        rig.inode.decrypt = flip if encrypted else None
        returned = rig.start(sequential(size, step), opened)
        calls = rig.finish()
        if store is not None:
            plain = bytes(b ^ 0x55 for b in expected) if encrypted else bytes(expected)
            if encrypted:  # holes are zeros, not decrypted zeros
                written = bytearray(len(expected))
                for logical, _, length, unwritten in extents:
                    if not unwritten:
                        written[logical * block_size : (logical + length) * block_size] = (
                            b"\1" * length * block_size
                        )
                plain = bytes(b if w else 0 for b, w in zip(plain, written, strict=True))
            assert plain[:size] == bytes(sink.data)
        assert {2} >= set(rig.mapping.state)
        assert not rig.mapping.parts
        results.append((returned, calls, rig.block_log))
    # data = "off" changes no count and no time
    assert results[0] == results[1]


@pytest.mark.parametrize(("path", "block_size"), list(itertools.product(PATHS, (1024, 4096))))
def test_large_windows_keep_the_bio_and_request_limits(path: str, block_size: int) -> None:
    """With 2 MiB of readahead no bio has more than 256 pages, no request more than its limits."""
    size = 8 << 20
    limits = QueueLimits(1280, 128, 64)
    rig = Rig(path, [(0, 1000, size // block_size)], size, block_size, limits=limits, ra_pages=512)
    rig.run(sequential(size, 1 << 20))
    assert size // 512 == sum(n for _, _, n in rig.letters("D"))
    assert max(n for _, _, n in rig.letters("Q")) <= 256 * 8
    assert max(n for _, _, n in rig.letters("D")) <= 128 * min(8, 1280)


def test_buffer_heads_ask_for_each_block() -> None:
    """Four whole pages of one run in 1 KiB blocks: 16 calls each of what is done per block, 4 per page."""
    calls = Rig("buffer_head", [(0, 1000, 16)], 16 * KIB, 1024).run([(0, 16 * KIB)])
    assert (16, 16, 16) == picked(calls, "ext4_get_block", "ext4_map_blocks", "alloc_buffer_head")
    assert (4, 4) == picked(calls, "block_read_full_folio", "create_empty_buffers")


@pytest.mark.parametrize("path", ["mpage", "page_io"])
def test_a_page_that_ends_in_a_hole_ends_the_bio(path: str) -> None:
    """Three blocks and a hole, then a page that lies next on the disk: two bios, which merge (mpage)."""
    rig = Rig(path, [(0, 1000, 3), (4, 1003, 4)], 8 * KIB, 1024)
    rig.run([(0, 8 * KIB)])
    assert [("Q", 2000, 6), ("Q", 2006, 8)] == rig.letters("Q")
