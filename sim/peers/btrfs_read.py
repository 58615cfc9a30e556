"""
Reading a file on btrfs (fs/btrfs, Linux 6.1): calls and bios, a checksum looked up and held against each
block.

A window of readahead becomes bios of up to 256 pages, each in one run of blocks on the disk. Before a bio
goes out its checksums are copied from the tree of checksums: a search, and one more for each further item.
An extent is looked up when it is first met; the kernel keeps it then. When a bio is done each block is
hashed and compared. Leaves of the tree of checksums are read when they are first needed; a root is in
memory from the mount on, and so is here what the case has read before: the whole tree with the file's
extents.

Left out: repair from a mirror, direct I/O, blocks smaller than pages.
"""

from __future__ import annotations

from sim.block.opf import REQ_META, REQ_OP_READ
from sim.integrity.csum_tree import SECTOR_BYTES as BLOCK_BYTES
from sim.peers.btrfs_layout import BtrfsFile
from sim.peers.page_reads import Folios
from sim.peers.tally import REQ_RAHEAD, Tally
from sim.units import PAGE_BYTES, PAGE_SECTORS, SECTOR_BYTES

RA_PAGES = 1024
"""Of btrfs' own device: 4 MiB, whatever the disk's setting is."""
BIO_PAGES = 256
"""BIO_MAX_VECS."""
WHERE_LEAVES_LIE = 0
"""The sector given to bios of tree blocks: where they lie is the allocator's."""
HASHED_AT_ONCE = ("crc32c",)
"""Algorithms whose crypto_shash_digest does not pass through crypto_shash_finup."""


class BtrfsReader:
    """Reads a file's pages; what it has met once it knows."""

    def __init__(self, file: BtrfsFile, tally: Tally) -> None:
        self._file = file
        self._tally = tally
        self._known = set[int]()
        """Extents that were looked up."""
        self._leaves = set[int]()
        """Leaves of the tree of checksums that were read."""

    def read_folios(self, folios: Folios) -> None:
        """Read pages in a row, which readahead asks for (extent_readahead)."""
        start, end = folios[0][0], folios[-1][1]
        self._tally.call("extent_readahead")
        self._tally.call("btrfs_do_readpage", "submit_extent_page", times=end - start)
        current, bio_at, bio_pages = -1, 0, 0
        for page in range(start, end):
            number = self._file.number_at(page * PAGE_BYTES)
            if number != current:
                self._get_extent(number)
                current = number
            extent = self._file.extents[number]
            disk = extent.disk + page * PAGE_BYTES - extent.offset
            joins = bio_pages and disk == bio_at + bio_pages * PAGE_BYTES
            if joins:
                self._tally.call("bio_add_page")
            if not joins or bio_pages == BIO_PAGES:
                self._submit(bio_at, bio_pages)
                bio_at, bio_pages = disk, 0
                self._tally.call("bio_add_page")
            bio_pages += 1
        self._submit(bio_at, bio_pages)

    def _get_extent(self, number: int) -> None:
        """Look an extent up, in the tree if it is not known (btrfs_get_extent)."""
        self._tally.call("btrfs_get_extent")
        if number not in self._known:
            self._known.add(number)
            self._search(self._file.file_tree_level)

    def _search(self, level: int) -> None:
        """Search a tree whose root is at a level (btrfs_search_slot)."""
        self._tally.call("btrfs_search_slot")
        self._tally.call("read_block_for_search", "find_extent_buffer", times=level)

    def _submit(self, disk: int, pages: int) -> None:
        """Send a bio: first its checksums, then the data, which is checked when it is there."""
        if not pages:
            return
        self._tally.call("submit_one_bio", "btrfs_submit_data_read_bio", "btrfs_lookup_bio_sums")
        if self._file.algorithm:
            self._lookup(disk, pages * PAGE_BYTES)
            self._tally.call("btrfs_check_data_csum", "btrfs_check_sector_csum", times=pages)
            self._tally.call("crypto_shash_digest", times=pages)
            if self._file.algorithm not in HASHED_AT_ONCE:
                self._tally.call("crypto_shash_finup", times=pages)
        self._tally.call("btrfs_verify_data_csum", times=pages)
        self._bio(disk // SECTOR_BYTES, pages * PAGE_SECTORS, REQ_OP_READ | REQ_RAHEAD)

    def _lookup(self, disk: int, length: int) -> None:
        """Copy the checksums of a bio out of the tree, item by item."""
        level = self._file.csum_tree_level
        last = disk + length - BLOCK_BYTES
        for item in range(self._file.csum_item(disk), self._file.csum_item(last) + 1):
            self._tally.call("btrfs_lookup_csum")
            self._search(level)
            if level and item not in self._leaves:
                self._leaves.add(item)
                self._read_leaf()

    def _read_leaf(self) -> None:
        """Read a node from the disk and check it."""
        pages = self._file.node_pages
        self._tally.call("btrfs_read_extent_buffer", "read_extent_buffer_pages", "alloc_extent_buffer")
        self._tally.call("find_extent_buffer", "csum_tree_block", "validate_extent_buffer")
        self._tally.call("submit_one_bio", "btrfs_submit_metadata_bio", "crypto_shash_final")
        self._tally.call("filemap_add_folio", "submit_extent_page", "bio_add_page", times=pages)
        self._tally.call("btrfs_validate_metadata_buffer", "crypto_shash_update", times=pages)
        self._bio(WHERE_LEAVES_LIE, pages * PAGE_SECTORS, REQ_OP_READ | REQ_META)

    def _bio(self, sector: int, sectors: int, opf: int) -> None:
        self._tally.call("btrfs_submit_bio", "__btrfs_map_block", "bio_alloc_bioset")
        self._tally.call("end_bio_extent_readpage", "clear_extent_bit")
        self._tally.submit_to_disk(sector, sectors, opf)
