"""btrfs: checksums looked up and held, leaves read cold, copies always elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.block.opf import REQ_META
from sim.peers.btrfs_extents import OwnExtents
from sim.peers.btrfs_layout import BtrfsFile, Extent, read_extents
from sim.peers.btrfs_read import RA_PAGES, BtrfsReader
from sim.peers.btrfs_write import BtrfsWriter, write_nodes
from sim.peers.page_reads import PageReads
from sim.peers.tally import Tally

KIB, MIB = 1 << 10, 1 << 20
AT = 13_631_488
"""Where the recordings' first chunk of data begins."""


def file(size: int, extent: int, node: int = 16384, algorithm: str = "crc32c", files: int = 1) -> BtrfsFile:
    """Return a file in extents of `extent` bytes, each followed by as much of another file."""
    step = extent * files
    rows = [[at, AT + at // extent * step, min(extent, size - at), 0] for at in range(0, size, extent)]
    return BtrfsFile(read_extents(rows), node, algorithm, files)


def read(of: BtrfsFile, piece: int = 128 * KIB) -> Tally:
    """Return what reading a file from front to back calls."""
    tally = Tally()
    pages = PageReads(tally, of.size, RA_PAGES, BtrfsReader(of, tally).read_folios)
    for at in range(0, of.size, piece):
        pages.read(at, piece)
    return tally


def test_16_mib_in_a_row_as_recorded() -> None:
    """17 bios of data, 18 lookups as one lies over two items, 2 leaves read cold, a search for the extent."""
    tally = read(file(16 * MIB, 16 * MIB))
    assert (17, 18, 19, 18, 4096, 7, 34, 4114) == tuple(
        tally.calls[name]
        for name in (
            *("btrfs_lookup_bio_sums", "btrfs_lookup_csum", "btrfs_search_slot", "read_block_for_search"),
            *("btrfs_check_data_csum", "btrfs_get_extent", "bio_alloc_bioset", "bio_add_page"),
        )
    )
    assert [32, 32] == [bio.sectors for bio in tally.bios if bio.opf & REQ_META]
    assert 5 == sum(bool(bio.opf & REQ_META) for bio in read(file(16 * MIB, 16 * MIB, node=4096)).bios)


def test_extents_of_a_page_as_recorded() -> None:
    """A bio and two searches a page; the tree with the extents has two levels, that of the checksums one."""
    tally = read(file(512 * KIB, 4 * KIB, files=2), 4 * KIB)
    assert (128, 256, 128) == tuple(
        tally.calls[name] for name in ("submit_bio", "btrfs_search_slot", "read_block_for_search")
    )


@pytest.mark.parametrize(
    ("size", "extent", "node", "level"),
    [
        (512 * KIB, 4 * KIB, 16384, 1),
        (MIB, 16 * KIB, 16384, 0),
        (MIB, 16 * KIB, 4096, 1),
        (MIB, MIB, 4096, 0),
    ],
)
def test_levels_of_trees_as_recorded(size: int, extent: int, node: int, level: int) -> None:
    """A tree is its root until the items do not fit; two files written in turn are in it."""
    assert level == file(size, extent, node, files=1 if size == extent else 2).file_tree_level


def test_a_file_without_checksums() -> None:
    """No lookup, no hash; the kernel asks all the same."""
    tally = read(file(MIB, MIB, algorithm=""))
    assert (0, 0, 1, 256) == tuple(
        tally.calls[name]
        for name in (
            *("btrfs_lookup_csum", "crypto_shash_digest"),
            *("btrfs_search_slot", "btrfs_verify_data_csum"),
        )
    )


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=12), st.integers(1, 32))
def test_bios_cover_the_file_once(pieces: list[tuple[int, bool]], reads: int) -> None:
    """Every block is read once and checked once, in bios that follow the extents."""
    at, disk, extents = 0, AT, []
    for pages, apart in pieces:
        disk += 4096 * apart
        extents.append(Extent(at, disk, pages * 4096))
        at, disk = at + pages * 4096, disk + pages * 4096
    tally = read(BtrfsFile(tuple(extents), 16384, "crc32c"), reads * 4096)
    covered = sorted(
        sector for bio in tally.bios for sector in range(bio.sector, bio.sector + bio.sectors, 8)
    )
    wanted = [s for e in extents for s in range(e.disk // 512, (e.disk + e.length) // 512, 8)]
    assert covered == wanted
    assert tally.calls["btrfs_check_data_csum"] == at // 4096
    assert tally.calls["btrfs_search_slot"] == tally.calls["btrfs_lookup_csum"] + len(extents)


def writer(size: int, algorithm: str = "crc32c", written: int = 0) -> tuple[BtrfsWriter, Tally]:
    """Return a writer of a new file whose pages will lie in a row."""
    tally = Tally()
    places = {page: AT + page * 4096 for page in range(size // 4096)}
    return BtrfsWriter(file(size, size, algorithm=algorithm), tally, places, written), tally


def test_fsync_writes_data_then_one_superblock() -> None:
    """64 KiB: hashed, sent in one bio; the cache emptied, the superblock past it. A commit writes both."""
    target, tally = writer(64 * KIB)
    for at in range(0, 64 * KIB, 4096):
        target.write(at, 4096)
    target.fsync()
    assert [(26624, 128), (0, 0), (128, 8)] == [(bio.sector, bio.sectors) for bio in tally.bios]
    assert (17, 32, 1) == tuple(
        tally.calls[name]
        for name in ("crypto_shash_digest", "folio_clear_dirty_for_io", "btrfs_csum_one_bio")
    )
    target.syncfs()
    target.syncfs()
    assert [(0, 0), (128, 8), (131072, 8)] == [(bio.sector, bio.sectors) for bio in tally.bios[3:]]


def test_ranges_are_extents_of_their_own() -> None:
    """Three pages, two of them neighbours: two ordered extents, and as many calls to have a place."""
    target, tally = writer(MIB)
    for page in (7, 3, 4):
        target.write(page * 4096, 4096)
    target.fsync()
    assert (2, 2, 3) == tuple(
        tally.calls[name] for name in ("cow_file_range", "btrfs_add_ordered_extent", "__extent_writepage")
    )


def test_checksums_are_stored_in_rows() -> None:
    """
    A new file's are put into the tree bio by bio, then copied into the log, 1,016 at a time (SHA-256: 127),
    cut where a leaf ends; from then on the log has them as the bios had.
    """
    found = []
    for size, algorithm in ((16 * MIB, "crc32c"), (MIB, "sha256"), (MIB, "")):
        target, tally = writer(size, algorithm)
        target.write(0, size)
        target.fsync()
        first = tally.calls["btrfs_csum_file_blocks"]
        target.write(0, 8192)
        target.write(16384, 4096)
        target.fsync()
        found.append(
            (first, tally.calls["btrfs_csum_file_blocks"] - first, tally.calls["btrfs_lookup_csums_range"])
        )
    assert [(16 + 4 + 1, 4, 1), (1 + 3, 4, 1), (0, 0, 0)] == found


def test_checksums_of_free_extents_are_deleted() -> None:
    """With the commit, once for each extent of which nothing is left."""
    target, tally = writer(MIB)
    for page in range(4):
        target.write(page * 4096, 4096)
        target.fsync()
    target.syncfs()
    target.write(0, 8192)
    target.fsync()
    assert 0 == tally.calls["btrfs_del_csums"]
    target.syncfs()
    assert 2 == tally.calls["btrfs_del_csums"]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 6)), max_size=25))
def test_extents_as_page_by_page(writes: list[tuple[int, int]]) -> None:
    """An extent is free when nobody has its pages; runs are the pages' owners, in order."""
    extents, owner, alive = OwnExtents(), dict[int, int](), set[int]()
    for number, (start, length) in enumerate(writes):
        extents.write(range(start, start + length))
        owner |= dict.fromkeys(range(start, start + length), number)
        alive.add(number)
        gone = alive - set(owner.values())
        assert len(gone) == extents.forget_freed()
        alive -= gone
    covered = [page for first, end in extents.runs() for page in range(first, end)]
    assert covered == sorted(owner)
    assert all(len({owner[page] for page in range(first, end)}) == 1 for first, end in extents.runs())
    assert owner == {page: extents.number(page) for page in owner}


def test_a_new_chunk_makes_fsync_commit() -> None:
    """The first chunk of data has 8 MiB: behind it the log is not trusted; nothing is left for a commit."""
    target, tally = writer(2 * MIB, written=7 * MIB)
    target.write(0, 2 * MIB)
    target.fsync()
    assert 1 == tally.calls["btrfs_commit_transaction"]
    target.syncfs()
    assert 1 == tally.calls["btrfs_commit_transaction"]


def test_two_algorithms() -> None:
    """SHA-256 is reached by one call more; a file without checksums has none, its superblock has."""
    counts = []
    for algorithm in ("sha256", ""):
        target, tally = writer(64 * KIB, algorithm)
        target.write(0, 64 * KIB)
        target.fsync()
        counts.append((tally.calls["crypto_shash_digest"], tally.calls["crypto_shash_finup"]))
    assert [(17, 17), (1, 0)] == counts


def test_nodes_in_a_row_are_one_bio() -> None:
    """Four nodes of 16 KiB: each is summed, all go out at once."""
    tally = Tally()
    write_nodes(tally, 4, 10656, 128, 0)
    assert (4, 4, 16, 1) == tuple(
        tally.calls[name] for name in ("write_one_eb", "crypto_shash_final", "bio_add_page", "submit_bio")
    )
