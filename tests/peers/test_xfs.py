"""Reflink on XFS: clones, reads of shared blocks, copies on write."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.peers.iomap_read import RA_PAGES, IomapReader
from sim.peers.page_reads import PageReads
from sim.peers.tally import Tally
from sim.peers.xfs_file import SHARED, XfsFile, file_of
from sim.peers.xfs_write import XfsWriter, read_buffer

PAGES = 512


def shared_file(pages: int = PAGES, shared: bool = True) -> XfsFile:
    """Return a file in one extent, whose copies will lie 2 MiB behind it."""
    before = [[0, 98_304, pages * 4096, SHARED if shared else 0]]
    later = 98_304 + (pages * 4096 if shared else 0)
    return file_of(before, [[0, later, pages * 4096, 0]])


def writes(pages: list[int], shared: bool = True) -> Tally:
    """Return what single pages written in turn, then fsync, call."""
    tally = Tally()
    target = XfsWriter(shared_file(shared=shared), tally)
    for page in pages:
        target.write(page * 4096, 4096)
    target.fsync()
    return tally


def test_a_page_of_a_shared_file_as_recorded() -> None:
    """Room set aside once, a place asked for once, made the file's own once; data elsewhere, then the log."""
    tally = writes([0])
    assert dict.fromkeys(COPIES, 1) == {name: tally.calls[name] for name in COPIES}
    assert (3, 2) == (tally.calls["xfs_refcountbt_init_cursor"], tally.calls["xfs_trans_commit"])
    assert [(4288, 8), (0, 1)] == [(bio.sector, bio.sectors) for bio in tally.bios]


COPIES = (
    *("xfs_reflink_trim_around_shared", "xfs_bmapi_reserve_delalloc", "xfs_bmapi_convert_delalloc"),
    *("xfs_reflink_convert_cow", "xfs_reflink_end_cow_extent", "xfs_alloc_vextent", "xfs_bmapi_read"),
)


def test_a_page_of_ones_own() -> None:
    """Written where it lies; nothing was logged, so only the cache is emptied."""
    tally = writes([0], shared=False)
    assert [(192, 8), (0, 0)] == [(bio.sector, bio.sectors) for bio in tally.bios]
    assert 0 == sum(tally.calls[name] for name in COPIES)
    assert (1, 0) == (tally.calls["blkdev_issue_flush"], tally.calls["xfs_log_force_seq"])


def test_room_is_set_aside_for_32_blocks() -> None:
    """Neighbours within 32 blocks ask for nothing; many extents make a tree, which takes a block more."""
    assert 1 == writes([0, 31]).calls["xfs_bmapi_reserve_delalloc"]
    assert 2 == writes([0, 32]).calls["xfs_bmapi_reserve_delalloc"]
    assert 1 == writes([0, 32]).calls["xfs_alloc_vextent"]  # the two rooms meet
    assert 2 == writes([0, 64]).calls["xfs_alloc_vextent"]
    assert 1 + 1 == writes(list(range(0, 32, 2))).calls["xfs_alloc_vextent"]


def test_each_fsync_asks_anew_for_a_place() -> None:
    """The first gives a place to all 32 blocks; the second opens a transaction and finds it given."""
    tally = Tally()
    target = XfsWriter(shared_file(), tally)
    for page in (0, 1):
        target.write(page * 4096, 4096)
        target.fsync()
    assert (2, 1, 4, 3) == tuple(
        tally.calls[name]
        for name in (
            *("xfs_bmapi_convert_delalloc", "xfs_reflink_trim_around_shared"),
            *("xfs_trans_alloc", "xfs_trans_commit"),
        )
    )


def test_a_block_written_in_part_is_read_before() -> None:
    """From where it is shared; once."""
    tally = Tally()
    target = XfsWriter(shared_file(), tally)
    for at in range(0, 5000, 1000):
        target.write(at, 1000)
    assert [(192, 8), (200, 8)] == [(bio.sector, bio.sectors) for bio in tally.bios]
    assert (5, 6, 10) == tuple(
        tally.calls[name] for name in ("xfs_file_buffered_write", "iomap_write_begin", "iomap_iter")
    )


def test_a_clone_as_recorded() -> None:
    """Three transactions for one extent, which the log gets at fsync."""
    tally = Tally()
    target = XfsWriter(shared_file(shared=False), tally, [3])
    target.clone()
    target.fsync()
    assert (3, 1, 2) == tuple(
        tally.calls[name] for name in ("xfs_trans_commit", "xfs_reflink_remap_extent", "xfs_bmapi_read")
    )
    assert [(0, 3)] == [(bio.sector, bio.sectors) for bio in tally.bios]


def test_buffers_but_inodes_have_a_checksum() -> None:
    """Three calls to check one; a cluster of inodes is not checked as a whole."""
    tally = Tally()
    read_buffer(tally, 8, 8)
    assert 3 == tally.calls["crypto_shash_update"]
    read_buffer(tally, 128, 32)
    assert (3, 5) == (tally.calls["crypto_shash_update"], tally.calls["bio_add_page"])


def test_shared_blocks_are_read_as_others() -> None:
    """2 MiB in reads of 128 KiB: 16 bios."""
    tally = Tally()
    pages = PageReads(
        tally, PAGES * 4096, RA_PAGES, IomapReader(shared_file(), tally).read_folios, large=True
    )
    for at in range(0, PAGES * 4096, 131_072):
        pages.read(at, 131_072)
    assert [(192 + 256 * n, 256) for n in range(16)] == [(bio.sector, bio.sectors) for bio in tally.bios]
    assert (32, 24) == (tally.calls["iomap_iter"], tally.calls["iomap_readpage_iter"])


@given(st.lists(st.integers(0, 127), min_size=1, max_size=60), st.integers(1, 10))
def test_copies_as_page_by_page(pages: list[int], every: int) -> None:
    """
    Whatever is written, with an fsync now and then: each page that was shared is made the file's own once,
    and from then on written where it lies.
    """
    tally = Tally()
    of = shared_file(128)
    target = XfsWriter(of, tally)
    own = set[int]()
    for number, page in enumerate(pages):
        target.write(page * 4096, 4096)
        if number % every == 0:
            target.fsync()
    target.fsync()
    own = set(pages)
    assert {page: of.places[page] for page in range(128)} == {
        page: (24 + 128 if page in own else 24) + page for page in range(128)
    }
    assert of.shared == set(range(128)) - own
    written = {
        at for bio in tally.bios if bio.sectors >= 8 for at in range(bio.sector, bio.sector + bio.sectors, 8)
    }
    assert written == {(24 + 128 + page) * 8 for page in own}
    assert not of.set_aside & own
