"""
fs-verity on ext4 (fs/verity, fs/ext4/verity.c, Linux 6.1): building a file's tree, and reading with it.

SHA-256, blocks of 4 KiB, no salt. Enabling hashes every page of data and of the tree, and writes the tree
and a descriptor behind the data. A bio of data that is done is checked by a worker, page by page: from the
leaf up to a page of the tree that was checked before, or the root; each is hashed once. A page of the tree
that is not cached is read alone; a leaf below a bio that was read ahead brings those behind it, a quarter
as many as the bio has pages.

Left out: blocks smaller than a page, other algorithms, encrypted files, pages that memory pressure takes
away.
"""

from __future__ import annotations

from collections.abc import Mapping

from sim.block.opf import REQ_OP_READ, REQ_OP_WRITE, REQ_SYNC
from sim.fs.merkle import MerkleTree
from sim.peers.page_reads import Folios
from sim.peers.rows import rows_of
from sim.peers.tally import REQ_RAHEAD, Tally
from sim.units import PAGE_BYTES, PAGE_SECTORS

RA_PAGES = 32
"""read_ahead_kb of the recordings' disk: 128."""
BIO_PAGES = 256
"""BIO_MAX_VECS."""
RA_SHIFT = 2
"""A bio of so many pages asks for a quarter as many of the tree."""
DESCRIPTOR_PAGES = 1


def enable(tally: Tally, size_bytes: int, tree_sector: int) -> None:
    """Build the tree of a file whose data is cached (FS_IOC_ENABLE_VERITY); write it to its place."""
    tree = MerkleTree(size_bytes, PAGE_BYTES)
    blocks = tree.end_page - tree.first_page
    hashed = -(-size_bytes // PAGE_BYTES) + blocks
    _hash(tally, hashed)
    # The descriptor is hashed, too: the file's digest.
    tally.call("crypto_ahash_digest", "crypto_shash_digest", "crypto_shash_finup")
    tally.call("ext4_read_merkle_tree_page", "ext4_write_merkle_tree_block", times=blocks)
    pages = blocks + DESCRIPTOR_PAGES
    tally.call("filemap_add_folio", "folio_clear_dirty_for_io", "__folio_start_writeback", times=pages)
    tally.call("folio_end_writeback", "bio_add_page", times=pages)
    # Of each page when it is written to; then once to have a place, and once when that is written.
    tally.call("ext4_map_blocks", times=pages + 2)
    tally.call("bio_alloc_bioset")
    tally.submit_to_disk(tree_sector, pages * PAGE_SECTORS, REQ_OP_WRITE | REQ_SYNC)


class VerityReader:
    """
    Reads a file's pages and checks them. places: page -> byte of the disk, of data and tree. extents: pages
    at which one begins.
    """

    def __init__(
        self, tally: Tally, size_bytes: int, places: Mapping[int, int], extents: frozenset[int]
    ) -> None:
        self._tally = tally
        self._tree = MerkleTree(size_bytes, PAGE_BYTES)
        self._tree_pages = self._tree.end_page - self._tree.first_page
        self._places = places
        self._extents = extents
        self._cached = set[int]()
        """Blocks of the tree in the page cache."""
        self._checked = set[int]()

    def read_folios(self, folios: Folios) -> None:
        """Read pages in a row, which readahead asks for; then check what each bio has brought."""
        for bio in self._send(range(folios[0][0], folios[-1][1]), ahead=True):
            self._tally.call("bio_post_read_processing", "fsverity_enqueue_verify_work")
            self._tally.call("fsverity_verify_bio")
            for page in bio:
                self._verify(page, len(bio) >> RA_SHIFT)

    def _send(self, pages: range, ahead: bool) -> list[range]:
        """Send the bios for pages in a row (ext4_mpage_readpages): one for each run of blocks."""
        self._tally.call("ext4_readahead", times=ahead)
        self._tally.call("ext4_mpage_readpages")
        bios: list[range] = []
        for page in pages:
            self._tally.call("ext4_map_blocks", times=page == pages[0] or page in self._extents)
            self._tally.call("bio_add_page")
            joins = bios and self._places[page] == self._places[page - 1] + PAGE_BYTES
            if joins and len(bios[-1]) < BIO_PAGES:
                bios[-1] = range(bios[-1][0], page + 1)
            else:
                bios.append(range(page, page + 1))
        for bio in bios:
            self._tally.call("bio_alloc_bioset")
            sector = self._places[bio[0]] // PAGE_BYTES * PAGE_SECTORS
            opf = REQ_OP_READ | (REQ_RAHEAD if ahead else 0)
            self._tally.submit_to_disk(sector, len(bio) * PAGE_SECTORS, opf)
        return bios

    def _verify(self, page: int, ahead: int) -> None:
        """Check a page of data (verify_page)."""
        self._tally.call("verify_page")
        fresh = []
        for level, block in enumerate(self._tree.path(page)):
            self._read_block(block, min(ahead, self._tree_pages - block) if level == 0 else 0)
            if block in self._checked:
                break
            fresh.append(block)
        self._checked.update(fresh)
        _hash(self._tally, 1 + len(fresh))

    def _read_block(self, block: int, ahead: int) -> None:
        """Have a block of the tree in the page cache, and some behind it (ext4_read_merkle_tree_page)."""
        self._tally.call("ext4_read_merkle_tree_page")
        if block in self._cached:
            return
        self._tally.call("read_cache_page", "do_read_cache_folio")
        wanted = [block]
        if ahead > 1:
            wanted = [each for each in range(block, block + ahead) if each not in self._cached]
            self._tally.call("page_cache_ra_unbounded")
        self._tally.call("filemap_add_folio", times=len(wanted))
        self._cached.update(wanted)
        first = self._tree.first_page
        for row in rows_of(wanted):
            self._send(range(first + row[0], first + row[-1] + 1), ahead=ahead > 1)


def _hash(tally: Tally, times: int) -> None:
    """Hash pages, each through both interfaces of the crypto API."""
    tally.call("fsverity_hash_page", "crypto_ahash_digest", "crypto_shash_digest", times=times)
    tally.call("crypto_shash_finup", times=times)
