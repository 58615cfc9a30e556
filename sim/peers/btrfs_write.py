"""
Buffered writes and fsync on btrfs, as far as data goes (fs/btrfs, Linux 6.1): copy on write, always
elsewhere.

Write-back takes each range of dirty pages, has a place for it (cow_file_range) and an ordered extent. Pages
that follow each other on the disk share a bio of up to 256; each bio's blocks are hashed before it goes
out. When data is written fsync writes what has changed of the trees into the log tree, empties the disk's
cache and writes one superblock. Did this transaction take a new chunk of the disk, the log is not trusted:
fsync then commits. A commit writes all changed nodes, and both superblocks.

Given from outside, since the trees' shape decides it: how many nodes there are to write, in which bios; and
into how many pieces a write(2) is cut, which a counter of the task's decides above 8 pages.

Left out: the trees themselves, so searches, nodes copied, items (but rows of checksums, and how often such
of free extents are deleted); nodatacow, compression, inline extents, writes that end within a page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sim.block.opf import FLUSH, REQ_FUA, REQ_META, REQ_OP_WRITE, REQ_PRIO, REQ_SYNC
from sim.integrity.csum_tree import CSUM_BYTES, leaf_of
from sim.peers.btrfs_extents import OwnExtents
from sim.peers.btrfs_layout import BtrfsFile
from sim.peers.btrfs_read import BIO_PAGES, HASHED_AT_ONCE
from sim.peers.rows import rows_of
from sim.peers.tally import Tally
from sim.units import MIB, PAGE_BYTES, PAGE_SECTORS, SECTOR_BYTES

SUPERBLOCKS: Final = (128, 131072)
"""Sectors of the superblock and its copy; a third lies beyond 256 GiB."""
SUPER_SECTORS: Final = 8
FIRST_CHUNK_BYTES: Final = 8 * MIB
"""Of data, as mkfs.btrfs makes it on a small disk."""
SUPER_WRITE: Final = REQ_OP_WRITE | REQ_META | REQ_SYNC | REQ_PRIO
ONE_PIECE_PAGES: Final = 8
"""A write of no more is one piece (btrfs_buffered_write)."""
PIECES: Final = "prepare_pages"
ORDERED_SUM_BYTES: Final = 32
"""struct btrfs_ordered_sum, without the checksums behind it."""


class BtrfsWriter:
    """
    Writes a file. file: nodes and checksums; its extents are not looked at. places: page -> byte of the
    disk of what was written last, which the allocator alone knows. written: bytes of data before, of
    other files.
    """

    def __init__(self, file: BtrfsFile, tally: Tally, places: Mapping[int, int], written: int = 0) -> None:
        self._file = file
        self._tally = tally
        self._places = places
        self._written = written
        self.size = 0
        self._cached = set[int]()
        self._dirty = set[int]()
        self.new_chunk = False
        """The transaction took a new chunk."""
        self._changed = False
        self._logged = False
        """Whether the file was logged before: a new one is logged whole."""
        self._extents = OwnExtents()

    def write(self, offset: int, length: int) -> None:
        """Write bytes, whole pages, as pwrite(2) does."""
        pages = range(offset // PAGE_BYTES, -(-(offset + length) // PAGE_BYTES))
        self._tally.call("btrfs_buffered_write")
        if len(pages) <= ONE_PIECE_PAGES:
            count_pieces(self._tally, 1)
        self._tally.call("filemap_add_folio", times=len(set(pages) - self._cached))
        self._cached.update(pages)
        self._dirty.update(pages)
        self._written += length
        self.size = max(self.size, offset + length)
        self.new_chunk = self.new_chunk or self._written - length <= FIRST_CHUNK_BYTES < self._written

    def fsync(self) -> None:
        """Make the file durable (btrfs_sync_file): by the log tree, or by a commit."""
        self._tally.call("btrfs_sync_file", "btrfs_sync_log", "btrfs_log_inode")
        sums = self._write_back()
        self._store_sums(sums if self._logged else self._sums_of_all())
        self._logged = True
        if self.new_chunk:
            self._commit()
        else:
            self._supers(SUPERBLOCKS[:1])

    def syncfs(self) -> None:
        """Make all durable: a commit, if something has changed since the last one."""
        self._write_back()
        if self._changed:
            self._commit()

    def _commit(self) -> None:
        self._tally.call("btrfs_commit_transaction")
        self._tally.call("btrfs_del_csums", times=self._extents.forget_freed())
        self._supers(SUPERBLOCKS)
        self._changed = self.new_chunk = False

    def _write_back(self) -> int:
        """
        Write the dirty pages to their new places (extent_writepages); return into how many rows their
        checksums fall: of a bio, one for each extent in it.
        """
        self._tally.call("btrfs_writepages", "extent_writepages")
        if not self._dirty:
            return 0
        pages = sorted(self._dirty)
        self._dirty.clear()
        self._changed = True
        rows = rows_of(pages)
        self._tally.call("btrfs_run_delalloc_range", "cow_file_range", times=len(rows))
        self._tally.call("btrfs_add_ordered_extent", "btrfs_finish_ordered_io", times=len(rows))
        self._tally.call("insert_reserved_file_extent", times=len(rows))
        for row in rows:
            self._extents.write(row)
        # A page is looked at when it gets its place, and when it is sent.
        self._tally.call("folio_clear_dirty_for_io", times=2 * len(pages))
        self._tally.call("__extent_writepage", "submit_extent_page", "btrfs_get_extent", times=len(pages))
        self._tally.call("__folio_start_writeback", "folio_end_writeback", "bio_add_page", times=len(pages))
        sums = 0
        for bio, full in self._bios(pages):
            self._tally.call("bio_add_page", times=full)
            self._data_bio(self._places[bio[0]], len(bio))
            sums += len({self._extents.number(page) for page in bio})
        sums = sums if self._file.algorithm else 0
        self._store_sums(sums)
        return sums

    def _bios(self, pages: Sequence[int]) -> Iterator[tuple[list[int], bool]]:
        """Yield (pages, full) of the bios. full: one page more was tried, and did not fit."""
        bio = [pages[0]]
        for page in pages[1:]:
            joins = self._places[page] == self._places[bio[-1]] + PAGE_BYTES
            if not joins or len(bio) == BIO_PAGES:
                yield bio, joins
                bio = []
            bio.append(page)
        yield bio, False

    def _store_sums(self, rows: int) -> None:
        """Put rows of checksums into a tree: that of checksums, or the log."""
        self._tally.call("btrfs_csum_file_blocks", times=rows)

    def _sums_of_all(self) -> int:
        """
        Return into how many rows all checksums of a new file fall, as they are copied out of the tree for its
        first fsync: item by item, a page's worth at a time.
        """
        if not self._file.algorithm:
            return 0
        most = (PAGE_BYTES - ORDERED_SUM_BYTES) // CSUM_BYTES[self._file.algorithm]
        rows, start = 0, min(self._places[page] for page, _end in self._extents.runs())
        for first, end in self._extents.runs():
            self._tally.call("btrfs_lookup_csums_range")
            disk = self._places[first] - start
            items = Counter(
                leaf_of(disk + page * PAGE_BYTES, self._file.node_bytes, self._file.algorithm)
                for page in range(end - first)
            )
            rows += sum(-(-blocks // most) for blocks in items.values())
        return rows

    def _data_bio(self, disk: int, pages: int) -> None:
        if self._file.algorithm:
            self._tally.call("btrfs_csum_one_bio")
            self._digest(pages)
        self._tally.call("btrfs_submit_data_write_bio", "end_bio_extent_writepage")
        self._tally.call("submit_one_bio", "btrfs_submit_bio", "__btrfs_map_block", "bio_alloc_bioset")
        sectors = pages * PAGE_SECTORS
        self._tally.submit_to_disk(disk // SECTOR_BYTES, sectors, REQ_OP_WRITE | REQ_SYNC)

    def _digest(self, times: int) -> None:
        self._tally.call("crypto_shash_digest", times=times)
        if self._algorithm not in HASHED_AT_ONCE:
            self._tally.call("crypto_shash_finup", times=times)

    @property
    def _algorithm(self) -> str:
        """Of superblocks, too, where the file has no checksums."""
        return self._file.algorithm or HASHED_AT_ONCE[0]

    def _supers(self, sectors: Sequence[int]) -> None:
        """Empty the disk's cache, then write superblocks, the first past the cache (write_all_supers)."""
        self._tally.call("write_all_supers")
        self._tally.submit_to_disk(0, 0, FLUSH)
        for number, sector in enumerate(sectors):
            self._digest(1)
            self._tally.call("bio_alloc_bioset")
            opf = SUPER_WRITE | (0 if number else REQ_FUA)
            self._tally.submit_to_disk(sector, SUPER_SECTORS, opf)


def count_pieces(tally: Tally, pieces: int) -> None:
    """Count the pieces of a write(2): pages taken, reserved, dirtied (btrfs_buffered_write's loop)."""
    tally.call(PIECES, "btrfs_dirty_pages", "set_extent_bit", times=pieces)
    tally.call("clear_extent_bit", times=2 * pieces)


def write_nodes(tally: Tally, node_pages: int, sector: int, sectors: int, opf: int) -> None:
    """Write nodes of trees that lie in a row, in one bio: each is summed, then sent."""
    nodes = sectors // (node_pages * PAGE_SECTORS)
    tally.call("write_one_eb", "csum_tree_block", "csum_one_extent_buffer", "crypto_shash_final", times=nodes)
    tally.call("folio_clear_dirty_for_io", "__folio_start_writeback", times=nodes * node_pages)
    tally.call("folio_end_writeback", "submit_extent_page", "bio_add_page", times=nodes * node_pages)
    tally.call("btree_csum_one_bio", "submit_one_bio", "btrfs_submit_bio", "btrfs_submit_metadata_bio")
    tally.call("__btrfs_map_block", "bio_alloc_bioset")
    tally.submit_to_disk(sector, sectors, opf)
