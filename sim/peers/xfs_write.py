"""
Buffered writes and fsync on XFS through iomap, to blocks of one's own and to shared ones (fs/xfs, Linux
6.1).

A write maps its range; for a shared block room is set aside first. A block that is written in part is read
from where it lies. Write-back gathers pages that follow each other in the file and on the disk into an
ioend. For copies it asks for a place (once an extent of the CoW fork), and when an ioend is done, a worker
makes the copy the file's own, in a transaction. fsync then forces the log, or empties the disk's cache if
nothing was logged.

Given from outside, since clock and history decide it: whether a write falls into a new tick of the clock
(its inode is logged then), which buffers of metadata are not in memory, and how long a record of the log
is.

Left out: writes that grow the file, holes, unwritten extents, direct I/O, deferred work that ends later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sim.block.dm.asked import pages_of
from sim.block.opf import (
    FLUSH,
    REQ_FUA,
    REQ_IDLE,
    REQ_META,
    REQ_OP_READ,
    REQ_OP_WRITE,
    REQ_PREFLUSH,
    REQ_SYNC,
)
from sim.peers.tally import Tally
from sim.peers.xfs_file import BLOCK_BYTES, XfsFile
from sim.units import SECTOR_BYTES

BLOCK_SECTORS = BLOCK_BYTES // SECTOR_BYTES
BIO_PAGES = 256
"""BIO_MAX_VECS."""
LOG_WRITE = REQ_META | REQ_OP_WRITE | REQ_SYNC | REQ_FUA | REQ_PREFLUSH | REQ_IDLE
INODE_CLUSTER_SECTORS = 32
"""Inodes are read 16 KiB at a time; their checksums are looked at one by one, later."""
CSUM_UPDATES = 3
"""Calls to check a buffer: before the sum, four bytes of nothing for it, after it."""
LOG_UPDATES = 2
"""Calls to sum a record of the log: header, the rest."""


@dataclass(frozen=True, slots=True)
class Ioend:
    """Blocks [start, end) that are written back as one. at: block of the disk; copies: of shared."""

    start: int
    end: int
    at: int
    copies: bool


class XfsWriter:
    """
    Writes a file that has no page cached.

    logs: sectors of each record of the log, in turn; when there are none left one of 512 bytes is taken.
    """

    def __init__(self, file: XfsFile, tally: Tally, logs: Sequence[int] = ()) -> None:
        self._file = file
        self._tally = tally
        self._logs = list(logs)
        self._cached = set[int]()
        self._dirty = set[int]()
        self._to_log = False
        self._reflinked = file.reflinked

    def new_times(self) -> None:
        """Log the inode for new times: a write has fallen into a new tick (xfs_vn_update_time)."""
        log_times(self._tally)
        self._to_log = True

    def write(self, offset: int, length: int) -> None:
        """Write bytes, as pwrite(2) does."""
        self._tally.call("xfs_file_buffered_write", "iomap_file_buffered_write", "iomap_iter")
        end = offset + length
        while offset < end:
            stop = min(end, self._map(offset // BLOCK_BYTES, -(-end // BLOCK_BYTES)) * BLOCK_BYTES)
            self._tally.call("xfs_buffered_write_iomap_begin", "xfs_buffered_write_iomap_end", "iomap_iter")
            for at, size in _pieces(offset, stop):
                self._write_piece(at, size)
            offset = stop

    def fsync(self) -> None:
        """Write back what is dirty, then log what has changed, or only flush (xfs_file_fsync)."""
        self._tally.call("xfs_file_fsync")
        if self._dirty:
            self._write_back()
        if self._to_log:
            self._force_log()
        else:
            self._tally.call("blkdev_issue_flush")
            self._tally.submit_to_disk(0, 0, FLUSH)
        self._to_log = False

    def clone(self) -> None:
        """Share all blocks with an empty file (FICLONE): a transaction each for flags, extents, the size."""
        self._tally.call("xfs_file_remap_range", "xfs_reflink_remap_blocks")
        extents = self._file.extents()
        self._tally.call("xfs_reflink_remap_extent", times=extents)
        self._tally.call("xfs_refcountbt_init_cursor", "xfs_refcount_adjust_extents", times=extents)
        self._tally.call("xfs_bmapi_read", times=2 * extents)
        self._tally.call("xfs_trans_alloc", "xfs_trans_commit", times=1 + extents + 1)
        self._to_log = True

    def _map(self, block: int, end: int) -> int:
        """Map blocks for a write (xfs_buffered_write_iomap_begin); return the block after the mapping."""
        file = self._file
        limit = min(end, file.extent_end(block))
        if not self._reflinked:
            return limit
        if not file.in_cow_fork(block):
            self._tally.call("xfs_reflink_trim_around_shared", "xfs_reflink_find_shared")
            self._tally.call("xfs_refcountbt_init_cursor")
            if block not in file.shared:
                return next((at for at in range(block, limit) if at in file.shared), limit)
            limit = next((at for at in range(block, limit) if at not in file.shared), limit)
            self._tally.call("xfs_bmapi_reserve_delalloc")
            file.set_room_aside(block, limit)
        return min(limit, file.cow_end(block))

    def _write_piece(self, offset: int, size: int) -> None:
        """Write bytes of one page, and read the rest of it before, if they are not all."""
        self._tally.call("iomap_write_begin", "iomap_write_end")
        page = offset // BLOCK_BYTES
        if page not in self._cached:
            self._cached.add(page)
            self._tally.call("filemap_add_folio")
            if size < BLOCK_BYTES:
                sector = self._file.places[page] * BLOCK_SECTORS
                self._tally.submit_to_disk(sector, BLOCK_SECTORS, REQ_OP_READ | REQ_SYNC)
        self._dirty.add(page)

    def _write_back(self) -> None:
        """Write the dirty pages back (xfs_vm_writepages)."""
        self._tally.call("xfs_vm_writepages", "iomap_writepages", "write_cache_pages")
        pages = len(self._dirty)
        self._tally.call("iomap_do_writepage", "xfs_map_blocks", "folio_clear_dirty_for_io", times=pages)
        self._tally.call("__folio_start_writeback", "folio_end_writeback", times=pages)
        ioends = list(self._ioends())
        self._dirty.clear()
        for ioend in ioends:
            self._tally.call("iomap_submit_ioend", "iomap_finish_ioend")
            for at in range(ioend.start, ioend.end, BIO_PAGES):
                sectors = min(BIO_PAGES, ioend.end - at) * BLOCK_SECTORS
                self._tally.call("bio_alloc_bioset")
                sector = (ioend.at + at - ioend.start) * BLOCK_SECTORS
                self._tally.submit_to_disk(sector, sectors, REQ_OP_WRITE | REQ_SYNC)
            if ioend.copies:
                self._end_copies(ioend)

    def _ioends(self) -> Iterator[Ioend]:
        """Yield the ioends of the dirty pages, asking for places where there are none."""
        mapped = range(0)
        current: Ioend | None = None
        for page in sorted(self._dirty):
            copies = self._file.in_cow_fork(page)
            if copies and page not in mapped:
                self._ask_for_place(page)
                mapped = range(page, self._file.cow_end(page))
            at = self._file.places_later[page] if copies else self._file.places[page]
            if current and (page, at, copies) == (
                current.end,
                current.at + page - current.start,
                current.copies,
            ):
                current = Ioend(current.start, page + 1, current.at, copies)
                continue
            if current:
                yield current
            current = Ioend(page, page + 1, at, copies)
        if current:
            yield current

    def _ask_for_place(self, page: int) -> None:
        """Have a place for the extent of copies with a page (xfs_bmapi_convert_delalloc)."""
        self._tally.call("xfs_bmapi_convert_delalloc", "xfs_trans_alloc")
        if self._file.give_place(page):
            self._tally.call("xfs_trans_commit", "xfs_alloc_vextent", "xfs_refcountbt_init_cursor")

    def _end_copies(self, ioend: Ioend) -> None:
        """Make an ioend's copies the file's own (xfs_reflink_end_cow), an extent of them at a time."""
        self._tally.call("xfs_reflink_convert_cow", "xfs_end_io", "xfs_end_ioend", "iomap_finish_ioends")
        self._tally.call("xfs_reflink_end_cow", "xfs_reflink_end_cow_extent", "xfs_bmapi_read")
        self._tally.call("xfs_trans_alloc", "xfs_trans_commit")
        self._tally.call("xfs_refcountbt_init_cursor", "xfs_refcount_adjust_extents")
        if self._file.remap(ioend.start, ioend.end):
            self._tally.call("xfs_alloc_vextent")
        self._file.shared.difference_update(range(ioend.start, ioend.end))
        self._to_log = True

    def _force_log(self) -> None:
        """Write what was logged: one record (xfs_log_force_seq)."""
        self._tally.call("xfs_log_force_seq", "xlog_cil_push_work", "xlog_write_iclog", "xlog_sync")
        self._tally.call("crypto_shash_update", times=LOG_UPDATES)
        sectors = self._logs.pop(0) if self._logs else 1
        self._tally.call("bio_add_page", times=pages_of(sectors))
        self._tally.submit_to_disk(0, sectors, LOG_WRITE)


def log_times(tally: Tally) -> None:
    """Count what new times of an inode cost."""
    tally.call("xfs_trans_alloc", "xfs_trans_commit")


def read_buffer(tally: Tally, sector: int, sectors: int) -> None:
    """Read a buffer of metadata that is not in memory, and check it."""
    tally.call("xfs_buf_submit", "xfs_buf_ioapply", "bio_alloc_bioset")
    tally.call("bio_add_page", times=pages_of(sectors))
    if sectors != INODE_CLUSTER_SECTORS:
        tally.call("crypto_shash_update", times=CSUM_UPDATES)
    tally.submit_to_disk(sector, sectors, REQ_OP_READ | REQ_META)


def _pieces(offset: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield (offset, bytes) of a write, cut at pages."""
    while offset < stop:
        size = min((offset // BLOCK_BYTES + 1) * BLOCK_BYTES, stop) - offset
        yield offset, size
        offset += size
