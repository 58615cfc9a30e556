"""Designs of write-back that no kernel has: what each does otherwise than page_io, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from write_kit import DATA, Bump, WriteRig

from sim.errors import ConfigError
from sim.fs.live_inode import BH_DIRTY, BH_MAPPED, BH_UPTODATE, NEEDS_MAPPING, LiveInode
from sim.paths.registry import PATHS
from sim.paths.writepages.designs import READS_AS, WRITE_DESIGNS, WRITE_PATHS, write_design_of
from sim.units import KIB

PAGE = 4096


def written(path: str, block_size: int = PAGE, allocator: Bump | None = None, **said: Any) -> WriteRig:
    """Return a rig whose write-back is by `path`."""
    return WriteRig(block_size, path=path, allocator=allocator, **said)


def write_back(rig: WriteRig, inode: LiveInode, offset: int, length: int) -> list[tuple[str, int, int]]:
    """Write, have it written back, and return the bios of data."""
    rig.start(rig.write(inode, offset, length), rig.writer.sync.write_range(rig.task, inode))
    rig.run_for(50_000_000)
    return [bio for bio in rig.bios() if "M" not in bio[0] and bio[2] and bio[0] != "R"]


def test_every_design_has_a_path_that_reads_beside_it() -> None:
    """Those of writing alone read as one that there is; the others are paths themselves."""
    assert list(WRITE_DESIGNS) == list(WRITE_PATHS)
    assert all(READS_AS.get(name, name) in PATHS for name in WRITE_PATHS)
    assert not set(READS_AS) & set(PATHS)
    with pytest.raises(ConfigError, match=r"path: 'nop' does not write; allowed: page_io, buffer_head, "):
        write_design_of("nop")


# -- page_io without the clearing ----------------------------------------------------------------------------


def test_an_array_that_is_not_cleared_costs_only_less() -> None:
    """One-block extents: the same calls and bios; 256 vectors a bio are not cleared, at what each costs."""
    units, bios, calls = {}, {}, {}
    for path in ("page_io", "page_io_unzeroed"):
        rig = written(path, delalloc=False)
        inode = rig.file(8 * PAGE, [(at, 500 + 2 * at, 1, False) for at in range(4)])
        rig.cached(inode)
        bios[path] = write_back(rig, inode, 0, 4 * PAGE)
        calls[path] = rig.calls()
        rows = rig.machine.ledger.charges()
        units[path] = sum(charge.units for charge in rows if charge.symbol == "bvec_alloc")
    assert bios["page_io"] == bios["page_io_unzeroed"] == [("WS", 500 + 2 * at, 1) for at in range(4)]
    assert calls["page_io"] == calls["page_io_unzeroed"]
    assert units == {"page_io": 4 * 256, "page_io_unzeroed": 0}


# -- page_io that scans once ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("block_size", "piece"), [(PAGE, 1), (PAGE, 3), (1024, 4), (1024, 3), (1024, 6)])
def test_what_was_collected_is_looked_at_once(block_size: int, piece: int) -> None:
    """Delayed blocks that get their places piece by piece: each page is looked at once, as many maps made."""
    found = {}
    for path in ("page_io", "page_io_one_scan"):
        rig = written(path, block_size, Bump(piece, 1))
        inode = rig.file()
        bios = write_back(rig, inode, 0, 24 * PAGE)
        calls = rig.calls()
        assert not any(state & NEEDS_MAPPING for state in inode.state)
        found[path] = (
            bios,
            inode.tree.extents(),
            [calls[name] for name in ("ext4_bio_write_page", "ext4_init_io_end", "ext4_da_get_block_prep")],
        )
        looks = calls["mpage_process_page_bufs"]
        assert looks == 25 if path == "page_io_one_scan" else looks > 60
    if piece * block_size % PAGE:  # page_io then asks for the rest of the page alone, and gets less
        assert len(found["page_io"][1]) > len(found["page_io_one_scan"][1])
        assert len(found["page_io_one_scan"][1]) == 24 * PAGE // block_size // piece
    else:
        assert found["page_io"] == found["page_io_one_scan"]


def test_each_look_more_than_one_costs() -> None:
    """
    8 pages, a block at a time: round n maps one and lets the rest go, which is looked at again; a page is as
    much as four of its buffers.
    """
    units = {}
    for path in ("page_io", "page_io_one_scan"):
        rig = written(path, allocator=Bump(1, 1))
        write_back(rig, rig.file(), 0, 8 * PAGE)
        rows = rig.machine.ledger.charges()
        units[path] = sum(charge.units for charge in rows if charge.symbol == "mpage_process_page_bufs")
    # round 0 looks at the first page, which needs a handle
    assert units == {"page_io": (1 + sum(range(8))) * (4 + 1), "page_io_one_scan": 1 * (4 + 1)}


def test_scanning_once_is_page_io_where_extents_are_long() -> None:
    """One extent: the same calls, one for one."""
    calls = {}
    for path in ("page_io", "page_io_one_scan"):
        rig = written(path)
        write_back(rig, rig.file(), 0, 64 * PAGE)
        calls[path] = rig.calls()
    assert calls["page_io"] == calls["page_io_one_scan"]


# -- iomap ---------------------------------------------------------------------------------------------------


def test_iomap_overwrites_with_one_map_an_extent() -> None:
    """
    Two extents, 300 pages: each looked up once by write(2) and once by write-back, which makes an ioend of
    it, the long one's bios chained at 256 vectors; no buffer head anywhere.
    """
    rig = written("iomap")
    inode = rig.file(300 * PAGE, [(0, 500, 290, False), (290, 900, 10, False)])
    rig.cached(inode)
    bios = write_back(rig, inode, 0, 300 * PAGE)
    assert bios == [("WS", 500, 256), ("WS", 756, 34), ("WS", 900, 10)]
    calls = rig.calls()
    assert (calls["iomap_writepage_map"], calls["ext4_iomap_map_blocks"]) == (300, 300)
    assert (calls["ext4_map_blocks"], calls["ext4_iomap_begin"], calls["iomap_iter"]) == (4, 2, 3)
    assert (rig.machine.cache.buffer_heads, calls.get("alloc_buffer_head", 0)) == (0, 0)
    assert "mpage_process_page_bufs" not in calls
    assert not inode.mapping.dirty_pages
    assert not inode.mapping.writeback_pages


def test_iomap_writes_what_is_up_to_date_of_a_page() -> None:
    """6.1 knows no dirty blocks: 1 KiB in a cached page of four blocks writes all four; page_io one."""
    bios = {}
    for path in ("iomap", "page_io"):
        rig = written(path, 1024)
        inode = rig.file(PAGE, [(0, 500, 4, False)])
        rig.cached(inode)
        bios[path] = write_back(rig, inode, 1024, 1024)
    assert bios == {"iomap": [("WS", 500, 4)], "page_io": [("WS", 501, 1)]}


def test_iomap_of_a_page_that_is_partly_up_to_date() -> None:
    """Of a page that was never read only the block that was written goes out."""
    rig = written("iomap", 1024)
    inode = rig.file(PAGE, [(0, 500, 4, False)])
    assert write_back(rig, inode, 1024, 1024) == [("WS", 501, 1)]


def test_an_ioend_ends_at_a_gap_of_the_file() -> None:
    """Pages 0 and 2, neighbours on the disk: two ioends, for one is a range of the file."""
    rig = written("iomap")
    inode = rig.file(3 * PAGE, [(0, 500, 1, False), (2, 501, 1, False)])
    rig.cached(inode)
    rig.start(rig.write(inode, 0, PAGE))
    rig.run_for(1_000_000)
    assert write_back(rig, inode, 2 * PAGE, PAGE) == [("WS", 500, 1), ("WS", 501, 1)]


def test_ioends_of_one_page_go_out_the_last_first() -> None:
    """A page of four one-block extents: three ioends end in it, list_add() turns them round."""
    rig = written("iomap", 1024)
    inode = rig.file(PAGE, [(at, 500 + 2 * at, 1, False) for at in range(4)])
    rig.cached(inode)
    assert [block for _, block, _ in write_back(rig, inode, 0, PAGE)] == [504, 502, 500, 506]


@pytest.mark.parametrize("nolock", [False, True])
@pytest.mark.parametrize("piece", [1, 3, 100])
def test_iomap_allocates_what_is_delayed(nolock: bool, piece: int) -> None:
    """A handle and a map a piece; unwritten until the data is there, where reads take no lock."""
    rig = written("iomap", allocator=Bump(piece, 1), dioread_nolock=nolock)
    inode = rig.file()
    bios = write_back(rig, inode, 0, 6 * PAGE)
    pieces = -(-6 // piece)
    size = min(piece, 6)
    assert [(block, length) for _, block, length in bios] == [
        (DATA + at * (size + 1), size) for at in range(pieces)
    ]
    calls = rig.calls()
    assert calls.get("ext4_convert_unwritten_extents", 0) == (pieces if nolock else 0)
    assert [extent[3] for extent in inode.tree.extents()] == [False] * pieces
    assert (inode.disksize, rig.allocator.promised, inode.under_way) == (6 * PAGE, 0, [])
    assert not inode.mapping.writeback_pages


@pytest.mark.parametrize(
    ("offset", "length", "read"),
    [
        (0, 4096, []),  # a page whole
        (1024, 2048, []),  # blocks whole
        (0, 1000, [(500, 1)]),  # the end of block 0
        (1000, 1000, [(500, 2)]),  # both ends: what is touched, in one bio
        (1000, 2072, [(500, 3)]),  # blocks 1 and 2 are whole, and read with block 0
        (500, 3000, [(500, 4)]),
        (3000, 2000, [(502, 2), (504, 1)]),  # two pages
    ],
)
def test_iomap_reads_what_it_touches_where_a_block_is_cut(
    offset: int, length: int, read: list[tuple[int, int]]
) -> None:
    """1 KiB blocks, nothing cached: one range of a page, where buffer heads read two blocks at most."""
    rig = written("iomap", 1024, data="writeback")
    inode = rig.file(8 * PAGE, [(0, 500, 32, False)])
    rig.start(rig.write(inode, offset, length))
    rig.run_for(1_000_000)
    assert rig.bios() == [("R", block, blocks) for block, blocks in read]
    assert rig.calls().get("iomap_read_folio_sync", 0) == len(read)
    touched = range(offset // 1024, -(-(offset + length) // 1024))
    assert [lblk for lblk, now in enumerate(inode.state) if now & BH_DIRTY] == list(touched)


def test_iomap_promises_a_hole_at_once() -> None:
    """Delalloc: one reservation for six blocks, where write_begin makes six; nodelalloc: one allocation."""
    rig = written("iomap")
    inode = rig.file()
    rig.start(rig.write(inode, 0, 6 * PAGE))
    rig.run_for(1_000_000)
    assert (rig.calls()["ext4_da_reserve_space"], rig.allocator.promised, inode.reserved) == (1, 6, 6)
    assert (inode.size, inode.disksize) == (6 * PAGE, 0)
    rig = written("iomap", delalloc=False)
    inode = rig.file()
    rig.start(rig.write(inode, 0, 6 * PAGE))
    rig.run_for(1_000_000)
    assert inode.tree.extents() == [(0, DATA, 6, False)]


def test_journalled_data_keeps_its_buffer_heads() -> None:
    """data=journal: jbd2 knows blocks by their buffer heads, so iomap is no way for it."""
    heads = {}
    for data in ("ordered", "journal"):
        rig = written("iomap", data=data)
        inode = rig.file(4 * PAGE, [(0, 500, 4, False)])
        rig.start(rig.write(inode, 0, 4 * PAGE), rig.fsync(inode))
        rig.run_for(10_000_000)
        heads[data] = rig.machine.cache.buffer_heads
        assert ("iomap_write_begin" in rig.calls()) == (data == "ordered")
    assert heads == {"ordered": 0, "journal": 4}


@pytest.mark.parametrize("path", ["buffer_head", "mpage"])
def test_ways_that_map_nothing_say_so(path: str) -> None:
    """A delayed block has no place: no bio goes to block 0."""
    rig = written(path)
    inode = rig.file()
    with pytest.raises(ConfigError, match=r"mount.delalloc: block 0 of inode 12 is written back by a path"):
        write_back(rig, inode, 0, PAGE)
    assert not rig.bios()


@given(
    dirty=st.lists(st.tuples(st.integers(0, 63), st.integers(1, 16)), min_size=1, max_size=6),
    piece=st.integers(1, 9),
    path=st.sampled_from(WRITE_PATHS),
    block_size=st.sampled_from([1024, 4096]),
    nolock=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_every_design_writes_every_dirty_block(
    dirty: list[tuple[int, int]], piece: int, path: str, block_size: int, nolock: bool
) -> None:
    """
    Whatever is written where: after write-back nothing is dirty, delayed or under way, and each block that
    was written has gone to its place in the tree; the designs of other file systems need blocks at once.
    """
    rig = written(
        path,
        block_size,
        Bump(piece, 1),
        delalloc=path not in ("buffer_head", "mpage"),
        dioread_nolock=nolock,
    )
    inode = rig.file()
    size = block_size
    rig.start(
        *(rig.write(inode, at * size, count * size) for at, count in dirty),
        rig.fsync(inode),
    )
    rig.run_for(200_000_000)
    places = {
        logical + at: physical + at
        for logical, physical, length, _ in inode.tree.extents()
        for at in range(length)
    }
    out = {
        block + at
        for letters, block, length in rig.bios()
        if letters == "WS" and block >= DATA
        for at in range(length)
    }
    wanted = {lblk for at, count in dirty for lblk in range(at, at + count)}
    assert wanted <= set(places)
    assert {places[lblk] for lblk in wanted} <= out
    assert all(inode.state[lblk] & ~BH_DIRTY == BH_MAPPED | BH_UPTODATE for lblk in wanted)
    assert not any(state & (BH_DIRTY | NEEDS_MAPPING) for state in inode.state)
    assert (inode.mapping.dirty_pages, inode.mapping.writeback_pages, inode.under_way) == (0, 0, [])


def test_iomap_writes_a_dirty_block_behind_clean_ones_of_an_unwritten_extent() -> None:
    """The page is up to date as a whole; only its last block was written, and that is what goes out."""
    rig = WriteRig(block_size=1024, path="iomap", delalloc=False)
    inode = rig.file(4 * KIB, [(0, DATA, 4, True)])
    rig.cached(inode)
    rig.run(rig.write(inode, 3 * KIB, KIB), rig.fsync(inode))
    assert [bio[1:] for bio in rig.bios() if bio[1] >= DATA] == [(DATA + 3, 1)]
    assert [extent.unwritten for extent in inode.tree.extents()] == [True, False]


def test_on_iomap_a_file_without_delayed_blocks_has_its_size_on_the_disk_at_once() -> None:
    """ext4_update_inode_size(): blocks are there, so i_disksize is; with delayed ones it comes with them."""
    for delalloc in (False, True):
        rig = WriteRig(path="iomap", delalloc=delalloc)
        inode = rig.file(0)
        rig.start(rig.write(inode, 0, 6 * KIB))
        rig.run_for(1_000_000)
        assert (inode.size, inode.disksize) == (6 * KIB, 0 if delalloc else 6 * KIB)
