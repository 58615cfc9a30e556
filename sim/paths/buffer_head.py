"""
The buffer-head path: block_read_full_folio() of fs/buffer.c (Linux 6.1), page by page.

Per page: make its buffer heads, one get_block per block before EOF (one block wanted), zero what is not
mapped, lock the others, submit one one-block bio for each. `BufferHeadReader` is also where the other
paths send a page they cannot handle. Left out: pages that already have buffers, errors.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from sim.block.bio import Bio, Plug
from sim.block.queue import BlockQueue
from sim.cache.filemap import OpenFile, PageRange
from sim.cache.pages import Mapping
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.paths.inode import FsInode
from sim.paths.map_blocks import Mapper
from sim.paths.post_read import BufferEndIo
from sim.paths.status_cache import WRITTEN
from sim.units import PAGE_BYTES, SECTOR_BYTES


class BufferHeadReader:
    """block_read_full_folio() for one file system."""

    def __init__(
        self,
        ledger: Ledger,
        queue: BlockQueue,
        mapper: Mapper,
        end_io: BufferEndIo,
        block_size: int,
        caller: str,
    ) -> None:
        self._queue = queue
        self._mapper = mapper
        self._end_io = end_io
        self._block_size = block_size
        self._per_page = PAGE_BYTES // block_size
        self._sectors = block_size // SECTOR_BYTES
        full = f"{caller};block_read_full_folio" if caller else "block_read_full_folio"
        loop = f"/{caller}:page" if caller == "read_pages" else ""  # who calls page by page pays for its loop
        self._s_folio = ledger.site(
            TASK,
            full.rpartition(";")[0],
            "block_read_full_folio block_read_full_folio;create_page_buffers"
            " block_read_full_folio;create_page_buffers;create_empty_buffers"
            f" block_read_full_folio;create_page_buffers;create_empty_buffers;alloc_page_buffers {loop}",
        )
        heads = f"{full};create_page_buffers;create_empty_buffers;alloc_page_buffers"
        self._s_alloc = ledger.site(TASK, heads, f"alloc_buffer_head /{heads}:block /{full}:block")
        self._s_get = ledger.site(TASK, full, "ext4_get_block")
        self._s_zero = ledger.site(TASK, full, "folio_zero_range", unit="folio_zero_range")
        self._s_unlock = ledger.site(TASK, full, "folio_unlock")
        self._s_submit = ledger.site(
            TASK,
            full,
            "submit_bh_wbc submit_bh_wbc;bio_alloc_bioset submit_bh_wbc;bio_add_page",
        )
        merged, getrq, flush = queue.alone
        self._s_alone = ledger.fuse(getrq, flush)
        self._s_block = ledger.fuse(self._s_alloc, self._s_get, mapper.mapped, self._s_submit, merged)

    def read_one_run(self, task: Task, file: OpenFile, ranges: list[PageRange]) -> bool:
        """
        Read the common window in one step: whole pages in one known mapped run, one command in the end.

        What read_folios() under a plug of its own comes to; return False for any other window.
        """
        if len(ranges) != 1:
            return False
        inode: FsInode = file.inode
        start, end = ranges[0]
        lblk, blocks = start * self._per_page, (end - start) * self._per_page
        if lblk + blocks > inode.blocks or not self._queue.takes_row_alone(self._sectors, blocks):
            return False
        status = inode.map.status
        found = status.lookup(lblk)
        if found is None or found.kind != WRITTEN or found.length < blocks:
            return False
        task.ps += (
            self._s_folio.charge(end - start)
            + self._s_block.charge(blocks)
            + self._s_alone.charge(1)
            + self._mapper.mapped.charge_units(0, blocks * status.levels)
        )
        file.mapping.attach_heads(start, end, self._per_page)
        sectors = self._sectors
        bio = Bio(
            found.physical * sectors, sectors, blocks, blocks, self._end_io, file, [(lblk, blocks)], False
        )
        self._queue.submit_alone(task, bio)
        return True

    def read_folios(
        self, task: Task, file: OpenFile, start: int, end: int, ahead: bool, plug: Plug
    ) -> Generator[Any, Any, None]:
        """Read the locked pages [start, end), one call each."""
        pages, per_page = end - start, self._per_page
        task.ps += self._s_folio.charge(pages)
        task.ps += self._s_alloc.charge(pages * per_page)
        file.mapping.attach_heads(start, end, per_page)
        inode: FsInode = file.inode
        page = start
        while page < end:
            # Whole pages of one mapped run go together; a page that mixes goes alone, for its blocks are
            # all mapped before the first is submitted.
            stop = min((page + 1) * per_page, inode.blocks)
            if not self._mapper.would_sleep(inode.map, page * per_page, stop - page * per_page):
                found = inode.map.status.lookup(page * per_page)
                if found is not None and found.kind == WRITTEN:
                    whole = min(found.length, inode.blocks - page * per_page) // per_page
                    whole = min(whole, end - page)
                    if whole:
                        blocks = whole * per_page
                        self._mapper.charge_hits(task, inode.map, blocks)
                        task.ps += self._s_get.charge(blocks)
                        self._submit(task, file, page * per_page, found.physical, blocks, ahead, plug)
                        page += whole
                        continue
            yield from self._read_mixed(task, file, page, ahead, plug)
            page += 1

    def _read_mixed(
        self, task: Task, file: OpenFile, page: int, ahead: bool, plug: Plug
    ) -> Generator[Any, Any, None]:
        """One page, block by block: map all, then submit what is mapped."""
        inode: FsInode = file.inode
        first = page * self._per_page
        stop = min(first + self._per_page, inode.blocks)
        runs: list[tuple[int, int, int]] = []
        block, mapped = first, 0
        while block < stop:
            found = yield from self._mapper.map_each(task, inode.map, block, stop - block, plug)
            task.ps += self._s_get.charge(found.length)
            if found.kind == WRITTEN:
                mapped += found.length
                if (
                    runs
                    and runs[-1][0] + runs[-1][2] == block
                    and runs[-1][1] + runs[-1][2] == found.physical
                ):
                    runs[-1] = (runs[-1][0], runs[-1][1], runs[-1][2] + found.length)
                else:
                    runs.append((block, found.physical, found.length))
            block += found.length
        zeroed = self._per_page - mapped
        if zeroed:
            task.ps += self._s_zero.charge_units(zeroed, zeroed * self._block_size)
        mapping: Mapping = file.mapping
        if not mapped:
            task.ps += self._s_unlock.charge(1)
            mapping.set_uptodate(page, page + 1)
            return
        if zeroed:
            mapping.parts[page] = mapped
        for lblk, physical, length in runs:
            self._submit(task, file, lblk, physical, length, ahead, plug)

    def _submit(
        self, task: Task, file: OpenFile, lblk: int, physical: int, blocks: int, ahead: bool, plug: Plug
    ) -> None:
        """submit_bh() for each block of a run: one bio each, one vector each."""
        task.ps += self._s_submit.charge(blocks)
        bio = Bio(
            physical * self._sectors,
            self._sectors,
            blocks,
            blocks,
            self._end_io,
            file,
            [(lblk, blocks)],
            ahead,
        )
        self._queue.submit(task, bio, plug)


class BufferHeadPath:
    """read_pages() of a file system without ->readahead: ->read_folio for every page, under one plug."""

    def __init__(self, queue: BlockQueue, reader: BufferHeadReader) -> None:
        self._queue = queue
        self._reader = reader

    def read_pages(self, task: Task, file: OpenFile, ranges: list[PageRange]) -> Iterable[Any]:
        """Read the pages of a batch (ReadPages)."""
        return () if self._reader.read_one_run(task, file, ranges) else self._loop(task, file, ranges)

    def _loop(self, task: Task, file: OpenFile, ranges: list[PageRange]) -> Generator[Any, Any, None]:
        """Page by page."""
        plug = Plug()
        for start, end in ranges:
            yield from self._reader.read_folios(task, file, start, end, False, plug)
        self._queue.finish_plug(task, plug)
