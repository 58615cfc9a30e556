"""write(2) into the page cache: what is read first, what is mapped, what is dirty; tiny files, by hand."""

from __future__ import annotations

import pytest
from write_kit import DATA, Bump, WriteRig

from sim.cache.pages import MARKED, PRESENT, UPTODATE
from sim.ext4.format.extents import Extent, ExtentTree
from sim.fs.fs_inode import FsInode
from sim.fs.live_inode import (
    BH_DELAY,
    BH_DIRTY,
    BH_JBDDIRTY,
    BH_MAPPED,
    BH_UNWRITTEN,
    BH_UPTODATE,
    LiveInode,
)
from sim.paths.writepages.page_io import PAGEVEC

PAGE = 4096
DONE = BH_MAPPED | BH_UPTODATE | BH_DIRTY


def dirty_pages(inode: LiveInode) -> list[int]:
    """Return the dirty pages of a file."""
    assert inode.mapping.dirty is not None
    return [page for page, dirty in enumerate(inode.mapping.dirty) if dirty]


# -- what is read first --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "length", "read"),
    [
        (0, 4096, []),  # a page whole
        (1024, 2048, []),  # blocks whole
        (0, 1000, [500]),  # the end of block 0
        (24, 1000, [500]),  # its start
        (1000, 1000, [500, 501]),  # the end of block 0 and the start of block 1
        (1000, 2072, [500]),  # block 0; 1 and 2 are whole
        (500, 3000, [500, 503]),  # never the page: the first and the last block that are touched
        (3000, 2000, [502, 504]),  # two pages, a block each
    ],
)
def test_a_block_that_is_only_partly_written_is_read_first(offset: int, length: int, read: list[int]) -> None:
    """1 KiB blocks, nothing cached: at most two blocks a page, each in a bio of its own."""
    rig = WriteRig(1024, data="writeback")
    inode = rig.file(8 * PAGE, [(0, 500, 32, False)])
    rig.start(rig.write(inode, offset, length))
    rig.run_for(1_000_000)
    assert rig.bios() == [("R", block, 1) for block in read]
    assert rig.calls().get("ext4_read_bh_lock", 0) == len(read)


def test_untouched_blocks_stay_unmapped() -> None:
    """Two blocks of four are mapped and up to date; the page is not, and is known up to where it is."""
    rig = WriteRig(1024)
    inode = rig.file(PAGE, [(0, 500, 4, False)])
    rig.start(rig.write(inode, 0, 1500))
    rig.run_for(1_000_000)
    assert list(inode.state[:4]) == [DONE, DONE, 0, 0]
    assert list(inode.place[:2]) == [500, 501]
    assert inode.mapping.state[0] == PRESENT
    assert inode.mapping.known_blocks == {0: 0b11}
    rig.start(rig.write(inode, 2048, 2048))
    rig.run_for(1_000_000)
    assert inode.mapping.state[0] == UPTODATE
    assert inode.mapping.known_blocks == {}
    assert rig.bios() == [("R", 501, 1)]


def test_a_page_that_is_up_to_date_is_not_read() -> None:
    """A cached page gets buffer heads, and nothing is read however little is written."""
    rig = WriteRig(1024)
    inode = rig.file(PAGE, [(0, 500, 4, False)])
    rig.cached(inode)
    rig.start(rig.write(inode, 1, 2))
    rig.run_for(1_000_000)
    assert rig.bios() == []
    assert rig.calls()["alloc_buffer_head"] == 4


@pytest.mark.parametrize("unwritten", [True, False])
def test_neither_a_hole_nor_an_unwritten_block_is_read(unwritten: bool) -> None:
    """There is nothing to be read of it: it is zeros."""
    rig = WriteRig()
    inode = rig.file(PAGE, [(0, 500, 1, True)] if unwritten else [])
    rig.start(rig.write(inode, 10, 10))
    rig.run_for(1_000_000)
    assert rig.bios() == []
    kind = BH_UNWRITTEN if unwritten else BH_DELAY
    assert inode.state[0] == DONE | kind


@pytest.mark.parametrize("path", ["page_io", "iomap"])
@pytest.mark.parametrize("block_size", [1024, 4096])
def test_a_page_that_comes_back_knows_nothing(block_size: int, path: str) -> None:
    """Written, synced and dropped: its buffer heads are gone, so a part of a block is read first again."""
    rig = WriteRig(block_size, path=path)
    inode = rig.file(PAGE, [(0, 500, PAGE // block_size, False)])
    rig.run(rig.write(inode, 0, PAGE), rig.fsync(inode))
    assert rig.machine.cache.drop(inode.mapping) == 1
    rig.bios()
    rig.start(rig.write(inode, 100, 200))
    rig.run_for(1_000_000)
    assert [("R", 500, 1)] == rig.bios()
    assert (UPTODATE if block_size == PAGE else PRESENT) == inode.mapping.state[0]
    if block_size < PAGE:
        assert inode.mapping.known_blocks[0] == 1


@pytest.mark.parametrize("delalloc", [True, False])
@pytest.mark.parametrize("path", ["page_io", "iomap"])
def test_two_that_write_parts_of_a_block(path: str, delalloc: bool) -> None:
    """The page is locked while the first reads the block: the second waits, and finds it."""
    rig = WriteRig(path=path, delalloc=delalloc)
    inode = rig.file(PAGE, [(0, 500, 1, False)])
    for name, offset in (("one", 0), ("other", 512)):
        task = rig.machine.cpu.task(0, name)
        rig.start(rig.writer.write(task, inode, offset, 512), task=task)
    rig.run_for(1_000_000)
    assert [("R", 500, 1)] == rig.bios()
    assert inode.mapping.state[0] == UPTODATE
    assert not inode.mapping.held


def test_who_reads_a_page_waits_for_who_writes_it() -> None:
    """It is not read from the disk a second time, over what is being written."""
    rig = WriteRig()
    machine, inode = rig.machine, rig.file(PAGE, [(0, 500, 1, False)])
    task, tree = machine.cpu.task(1, "reader"), ExtentTree(0, [Extent(0, 500, 1, False)], [0], [0], [()])
    file = machine.open(inode.mapping, FsInode(tree, PAGE, PAGE))
    rig.start(rig.write(inode, 0, 512))
    rig.start(machine.filemap.read(task, file, 0, PAGE), task=task)
    rig.run_for(1_000_000)
    assert [("R", 500, 1)] == rig.bios()


def test_a_page_with_the_mark_of_readahead_is_up_to_date() -> None:
    """Nothing is read for a part of it, and the mark stays."""
    rig = WriteRig()
    inode = rig.file(PAGE, [(0, 500, 1, False)])
    rig.machine.cache.insert(inode.mapping, 0, 1, mark=0)
    inode.mapping.set_uptodate(0, 1)
    rig.start(rig.write(inode, 0, 512))
    rig.run_for(1_000_000)
    assert [] == rig.bios()
    assert inode.mapping.state[0] == UPTODATE | MARKED


# -- delayed and immediate allocation ------------------------------------------------------------------------


def test_a_delayed_append() -> None:
    """Blocks are promised, not allocated; i_size moves, i_disksize only when they have places."""
    rig = WriteRig()
    inode = rig.file()
    rig.start(rig.write(inode, 0, 2 * PAGE + 10))
    rig.run_for(1_000_000)
    assert (inode.size, inode.disksize, inode.reserved, rig.allocator.promised) == (8202, 0, 3, 3)
    assert dirty_pages(inode) == [0, 1, 2]
    assert inode.tree.extents() == []
    assert (rig.allocator.next_data, rig.bios()) == (DATA, [])
    rig.start(rig.fsync(inode))
    rig.run_for(1_000_000)
    assert (inode.size, inode.disksize, inode.reserved, rig.allocator.promised) == (8202, 8202, 0, 0)
    assert inode.tree.extents() == [(0, DATA, 3, False)]
    assert rig.bios()[0] == ("WS", DATA, 3)
    assert dirty_pages(inode) == []
    assert list(inode.state[:3]) == [BH_MAPPED | BH_UPTODATE] * 3


def test_an_immediate_append() -> None:
    """nodelalloc: a handle and an allocation a page, and the size is on the disk's inode at once."""
    rig = WriteRig(delalloc=False, data="writeback")
    inode = rig.file()
    rig.start(rig.write(inode, 0, 2 * PAGE + 10))
    rig.run_for(1_000_000)
    assert (inode.size, inode.disksize, inode.reserved) == (8202, 8202, 0)
    assert inode.tree.extents() == [(0, DATA, 3, False)]
    assert rig.calls()["_ext4_get_block"] == 3
    assert rig.bios() == []


def test_a_hole_is_left() -> None:
    """Written behind the end: what lies between stays a hole."""
    rig = WriteRig()
    inode = rig.file()
    rig.start(rig.write(inode, 5 * PAGE, PAGE), rig.fsync(inode))
    rig.run_for(1_000_000)
    assert inode.tree.extents() == [(5, DATA, 1, False)]
    assert (inode.size, inode.disksize) == (6 * PAGE, 6 * PAGE)


def test_an_overwrite_stays_in_place() -> None:
    """No block is asked for; where the file lay it is written."""
    rig = WriteRig()
    inode = rig.file(8 * PAGE, [(0, 500, 3, False), (3, 900, 5, False)])
    rig.start(rig.write(inode, 0, 8 * PAGE), rig.fsync(inode))
    rig.run_for(1_000_000)
    assert [bio for bio in rig.bios() if bio[0] == "WS"] == [("WS", 500, 3), ("WS", 900, 5)]
    assert inode.tree.extents() == [(0, 500, 3, False), (3, 900, 5, False)]
    assert rig.calls()["ext4_da_get_block_prep"] == 8
    assert "ext4_mb_new_blocks" not in rig.calls()


@pytest.mark.parametrize(("dropped", "asked", "read"), [(False, 8, []), (True, 17, [501])])
def test_what_heads_knew_is_gone_with_their_pages(dropped: bool, asked: int, read: list[int]) -> None:
    """
    Eight pages are written again, then half a block: after dropping them each block is asked for again, and
    read before half of it is written. The same in rows of pages and page by page.
    """
    for rows in (True, False):
        rig = WriteRig()
        rig.writer.buffered.rows = rows
        inode = rig.file(9 * PAGE, [(0, 500, 9, False)])
        rig.start(rig.write(inode, 0, 8 * PAGE), rig.fsync(inode))
        rig.run_for(1_000_000)
        if dropped:
            rig.machine.cache.drop(inode.mapping)
        rig.start(rig.write(inode, 0, 8 * PAGE), rig.fsync(inode))
        rig.run_for(1_000_000)
        if dropped:
            rig.machine.cache.drop(inode.mapping)
        rig.start(rig.write(inode, PAGE, 100))
        rig.run_for(1_000_000)
        assert rig.calls()["ext4_da_get_block_prep"] == asked
        assert [block for bio, block, _ in rig.bios() if bio == "R"] == read


def fresh_heads(rig: WriteRig) -> int:
    """Return how many buffer heads were charged their share of a new page of the slab."""
    return sum(charge.units for charge in rig.machine.ledger.charges() if charge.name == "alloc_buffer_head")


@pytest.mark.parametrize("rows", [True, False])
def test_heads_of_dropped_pages_are_had_again(rows: bool) -> None:
    """The slab keeps 12 pages of 39 heads: of 600 heads that were dropped, 468 are there for the next 600."""
    rig = WriteRig()
    rig.writer.buffered.rows = rows
    inode = rig.file(600 * PAGE, [(0, 500, 600, False)])
    rig.start(rig.write(inode, 0, 600 * PAGE), rig.fsync(inode))
    rig.run_for(100_000_000)
    assert fresh_heads(rig) == 600
    rig.machine.cache.drop(inode.mapping)
    rig.start(rig.write(inode, 0, 600 * PAGE), rig.fsync(inode))
    rig.run_for(100_000_000)
    assert fresh_heads(rig) == 600 + 600 - 12 * 39


def test_journalled_blocks_are_the_journals() -> None:
    """data=journal: the page is not dirty, its blocks are jbd2's, until they are committed."""
    rig = WriteRig(data="journal")
    inode = rig.file(PAGE, [(0, 500, 1, False)])
    rig.cached(inode)
    rig.start(rig.write(inode, 0, PAGE))
    rig.run_for(1_000_000)
    assert inode.state[0] == BH_MAPPED | BH_UPTODATE | BH_JBDDIRTY
    assert dirty_pages(inode) == []
    rig.start(rig.fsync(inode))
    rig.run_for(1_000_000)
    assert inode.state[0] == DONE
    assert dirty_pages(inode) == [0]


def test_pieces_end_at_pages() -> None:
    """A write of three pages from the middle of one on is four pieces."""
    rig = WriteRig()
    inode = rig.file(8 * PAGE, [(0, 500, 8, False)])
    rig.cached(inode)
    rig.start(rig.write(inode, 100, 3 * PAGE))
    rig.run_for(1_000_000)
    calls = rig.calls()
    assert calls["ext4_da_write_begin"] == calls["copy_page_from_iter_atomic"] == 4
    assert calls["generic_perform_write"] == 1
    assert dirty_pages(inode) == [0, 1, 2, 3]


# -- write-back by three designs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "bios"),
    [
        ("page_io", [("WS", 500, 16)]),
        ("mpage", [("WS", 500, 16)]),
        ("buffer_head", [("WS", 500 + at, 1) for at in range(16)]),
    ],
)
def test_bios_of_identical_work(path: str, bios: list[tuple[str, int, int]]) -> None:
    """16 contiguous blocks of 1 KiB: one bio, or one a block."""
    rig = WriteRig(1024, path=path, delalloc=False, data="writeback")
    inode = rig.file(4 * PAGE, [(0, 500, 16, False)])
    rig.cached(inode)
    rig.start(rig.write(inode, 0, 4 * PAGE), rig.writer.sync.write_range(rig.task, inode))
    rig.run_for(1_000_000)
    assert rig.bios() == bios
    assert dirty_pages(inode) == []


@pytest.mark.parametrize(("pages", "bios"), [(256, [256]), (257, [256, 1]), (600, [256, 256, 88])])
def test_a_bio_has_256_vectors(pages: int, bios: list[int]) -> None:
    """A page is a vector: contiguous data goes in bios of 1 MiB."""
    rig = WriteRig()
    inode = rig.file(pages * PAGE, [(0, 500, pages, False)])
    rig.cached(inode)
    rig.start(rig.write(inode, 0, pages * PAGE), rig.writer.sync.write_range(rig.task, inode))
    rig.run_for(10_000_000)
    assert [blocks for letters, _, blocks in rig.bios() if letters == "WS"] == bios


def test_short_extents_are_scanned_again_and_again() -> None:
    """Write-back that gets its blocks one by one looks at all pages behind each time: quadratic."""
    looks = {}
    for pages in (8, 16):
        rig = WriteRig(allocator=Bump(1, 1))
        inode = rig.file()
        rig.start(rig.write(inode, 0, pages * PAGE), rig.writer.sync.write_range(rig.task, inode))
        rig.run_for(10_000_000)
        assert len(inode.tree.extents()) == pages
        looks[pages] = rig.calls()["mpage_process_page_bufs"]
        assert rig.calls()["ext4_bio_write_page"] == pages
    # round 0 looks at one page; round n at those from n on, and at the last of them nothing follows
    assert looks == {8: 1 + sum(range(1, 9)), 16: 1 + sum(range(1, 17))}
    assert PAGEVEC == 15
