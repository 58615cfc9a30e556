"""
Writing a file's dirty pages out: ext4_writepages() and fs/ext4/page_io.c of Linux 6.1, for blocks that exist.

Runs of dirty pages go block by block into one bio, which is submitted when the next block does not follow on
the disk or its 256 vectors are used up. There is one completion a bio. fsync waits for all of them and lets
the device empty its cache. Left out: allocation (delayed or unwritten extents), encryption into bounce pages,
writeback by the flusher thread, errors. data=ordered and data=writeback do not differ here: no transaction
waits for this data.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Final

from sim.block.bio import MAX_VECTORS, Plug
from sim.block.protocols import BioQueue
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.fs_inode import FsInode
from sim.fs.write_out import Disk, Pending, WriteOut, sector_of
from sim.paths.page_bio import ARRAY_VECTORS
from sim.units import PAGE_BYTES, SECTOR_BYTES

FSYNC: Final = "entry_SYSCALL_64;ext4_sync_file"
WRITEPAGES: Final = f"{FSYNC};ext4_writepages"

BlockBytes = Callable[[int, int], bytes]
"""The bytes to write to `count` blocks of a file from logical block `lblk` on."""

Piece = tuple[int, int, int]
"""Blocks of a file that are neighbours on the disk: logical, physical, length."""


class Ext4Writeback:
    """The write-out of regular files."""

    def __init__(
        self, clock: Clock, ledger: Ledger, queue: BioQueue, block_size: int, disk: Disk | None
    ) -> None:
        self._block_size = block_size
        self._per_page = PAGE_BYTES // block_size
        self._queue = queue
        self.out = WriteOut(
            clock,
            ledger,
            queue,
            disk,
            "ext4_end_bio",
            "ext4_end_bio;ext4_finish_bio ext4_end_bio;ext4_finish_bio;folio_end_writeback",
            f"{FSYNC};folio_wait_writeback",
        )
        page = f"{WRITEPAGES};ext4_bio_write_page"
        self._s_fsync = ledger.site(TASK, "", f"entry_SYSCALL_64 {FSYNC}")
        self._s_call = ledger.site(TASK, "", WRITEPAGES)
        self._s_page = ledger.site(
            TASK,
            WRITEPAGES,
            "mpage_prepare_extent_to_map folio_clear_dirty_for_io ext4_bio_write_page"
            " ext4_bio_write_page;__folio_start_writeback",
        )
        self._s_block = ledger.site(TASK, page, "io_submit_add_bh io_submit_add_bh;bio_add_page")
        self._s_bio = ledger.site(TASK, page, f"bio_alloc_bioset /{WRITEPAGES};ext4_io_submit")
        free = "/bio_endio;bio_put;bio_free;bvec_free"
        self._s_array = ledger.site(TASK, page, f"bio_alloc_bioset;bvec_alloc {free}", unit="bvec_alloc")

    def fdatasync(
        self, task: Task, inode: FsInode, runs: Sequence[tuple[int, int]], contents: BlockBytes | None
    ) -> Generator[Any, Any, None]:
        """
        fdatasync(2) of an overwritten file: write its dirty pages, wait, flush the device's cache.

        runs: of dirty pages. contents: what they hold; None if data is off.
        """
        task.ps += self._s_fsync.charge(1)
        yield from self.out.wait(task, self.writepages(task, inode, runs, contents))
        yield from self.out.flush(task)

    def writepages(
        self, task: Task, inode: FsInode, runs: Sequence[tuple[int, int]], contents: BlockBytes | None
    ) -> list[Pending]:
        """Submit the bios of runs of dirty pages under one plug; return them on their way."""
        task.ps += self._s_call.charge(1)
        plug = Plug()
        bios = _bios(inode, runs, self._per_page)
        pending = [self._submit(task, plug, bio, contents) for bio in bios]
        self._queue.finish_plug(task, plug)
        return pending

    def _submit(self, task: Task, plug: Plug, bio: list[Piece], contents: BlockBytes | None) -> Pending:
        """Charge for the pages of a bio, and submit it."""
        size = self._block_size
        pages = vectors(bio, self._per_page)
        blocks = sum(length for _, _, length in bio)
        task.ps += self._s_page.charge(pages) + self._s_block.charge(blocks) + self._s_bio.charge(1)
        task.ps += self._s_array.charge_units(1, ARRAY_VECTORS[MAX_VECTORS])
        made = None
        if contents is not None:
            made = lambda: [  # noqa: E731  # a closure over this bio
                (physical * size, contents(lblk, length)) for lblk, physical, length in bio
            ]
        sectors = blocks * (size // SECTOR_BYTES)
        runs = [(lblk, length) for lblk, _, length in bio]
        return self.out.submit(
            task, plug, sector_of(bio[0][1], size), sectors, pages, runs, made, pages=pages
        )


def vectors(bio: Sequence[Piece], per_page: int) -> int:
    """Return how many pages the blocks of a bio lie in, each page of a piece counted."""
    return sum((lblk + length - 1) // per_page - lblk // per_page + 1 for lblk, _, length in bio)


def _bios(inode: FsInode, runs: Sequence[tuple[int, int]], per_page: int) -> Iterator[list[Piece]]:
    """Yield the bios of runs of pages: neighbours on the disk, of at most 256 pages."""
    bio: list[Piece] = []
    room = MAX_VECTORS
    for start, end in runs:
        for piece in _pieces(inode, start * per_page, min(end * per_page, inode.blocks)):
            lblk, physical, left = piece
            while left:
                if bio and (not room or bio[-1][1] + bio[-1][2] != physical):
                    yield bio
                    bio, room = [], MAX_VECTORS
                take = min(left, room * per_page - lblk % per_page)
                bio.append((lblk, physical, take))
                room -= vectors([bio[-1]], per_page)
                lblk, physical, left = lblk + take, physical + take, left - take
    if bio:
        yield bio


def _pieces(inode: FsInode, first: int, last: int) -> Iterator[Piece]:
    """Yield the written blocks in [first, last) extent by extent."""
    for extent in inode.map.tree.extents:
        start, end = max(extent.logical, first), min(extent.logical + extent.length, last)
        if start < end and not extent.unwritten:
            yield start, extent.physical + start - extent.logical, end - start
