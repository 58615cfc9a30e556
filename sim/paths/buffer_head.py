"""
The buffer-head path: block_read_full_folio() of fs/buffer.c (Linux 6.1), page by page.

Per page: make its buffer heads, one get_block per block before EOF (one block wanted), zero what is not
mapped, lock the others, submit one one-block bio for each. A page that has buffer heads already keeps them,
and those up to date are passed over; after a failed read the others are mapped. A block that get_block
fails for is not up to date, and mapped anew by the next reader. `BufferHeadReader` is also where the other
paths send a page they cannot handle. Left out: where of one page a map and an I/O have failed, that the next
reader maps only what has no map.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

from mypy_extensions import mypyc_attr

from sim.block.bio import Bio, EndIo, Plug
from sim.block.protocols import BioQueue
from sim.cache.address_space import OpenFile, PageRange, ReadPath
from sim.cache.page_cache import FRESH_HEAD
from sim.cache.page_runs import gaps_of
from sim.cache.pages import Mapping
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.fs_inode import FsInode
from sim.fs.mapper import Mapper
from sim.fs.status_cache import FAILED, WRITTEN
from sim.paths.page_bio import FALLBACK_SYMBOLS, INLINE_SYMBOLS
from sim.paths.rules import LINUX_6_1, PathRules
from sim.units import PAGE_BYTES, PAGE_SECTORS, SECTOR_BYTES

Attach = Callable[[Mapping, int, int], int]
"""Notes that pages [start, end) of a mapping have buffer heads now."""


class BufferHeadReader:
    """block_read_full_folio() for one file system."""

    def __init__(
        self,
        ledger: Ledger,
        queue: BioQueue,
        mapper: Mapper,
        end_io: EndIo,
        block_size: int,
        caller: str,
        attach: Attach,
        rules: PathRules = LINUX_6_1,
    ) -> None:
        """`attach` is told which pages get buffer heads."""
        self._one_pass = rules.one_pass
        self._asks = rules.asks_contexts
        self._below = rules.decrypts_below
        self._attach = attach
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
        self._s_kept = ledger.site(
            TASK,
            full.rpartition(";")[0],
            f"block_read_full_folio block_read_full_folio;create_page_buffers {loop}",
        )
        heads = f"{full};create_page_buffers;create_empty_buffers;alloc_page_buffers"
        self._s_alloc = ledger.site(TASK, heads, f"{FRESH_HEAD} /{heads}:block /{full}:block")
        self._s_get = ledger.site(TASK, full, "ext4_get_block")
        self._s_zero = ledger.site(TASK, full, "folio_zero_range", unit="folio_zero_range")
        self._s_unlock = ledger.site(TASK, full, "folio_unlock")
        self._s_submit = ledger.site(
            TASK,
            full,
            "submit_bh_wbc submit_bh_wbc;bio_alloc_bioset submit_bh_wbc;bio_add_page",
        )
        bh = f"{full};submit_bh_wbc"
        self._s_contexts = ledger.site(TASK, bh, INLINE_SYMBOLS)
        self._s_asked = ledger.site(TASK, bh, "fscrypt_set_bio_crypt_ctx" if rules.asks_contexts else "")
        self._s_fallback = ledger.site(TASK, bh, FALLBACK_SYMBOLS if rules.decrypts_below else "")

    def read_folios(
        self, task: Task, file: OpenFile, start: int, end: int, ahead: bool, plug: Plug
    ) -> Generator[Any, Any, None]:
        """Read the locked pages [start, end), one call each."""
        self._attach(file.mapping, start, end)
        pages, per_page = end - start, self._per_page
        if file.mapping.large:
            yield from self._read_large(task, file, start, end, ahead, plug)
            return
        task.ps += self._s_folio.charge(pages)
        task.ps += self._s_alloc.charge(pages * per_page)
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
                    if self._mapper.by_block and self._mapper.would_sleep(
                        inode.map, page * per_page, whole * per_page
                    ):
                        whole = min(whole, 1)
                    if whole:
                        blocks = whole * per_page
                        self._mapper.charge_hits(task, inode.map, blocks, page * per_page)
                        task.ps += self._s_get.charge(blocks)
                        self._submit(task, file, page * per_page, found.physical, blocks, ahead, plug)
                        if task.blocked is not None:
                            yield from self._queue.wait_for_tag(task)
                        page += whole
                        continue
            yield from self._read_one(task, file, page, ahead, plug)
            page += 1

    def read_folio(self, task: Task, file: OpenFile, page: int) -> Generator[Any, Any, None]:
        """->read_folio: one locked page, with buffer heads or without, and no plug."""
        plug = Plug(holds=False)
        known = file.mapping.known_blocks.pop(page, None)
        if known is None:
            end = page + (1 << file.mapping.min_order)
            yield from self.read_folios(task, file, page, end, False, plug)
        else:
            yield from self.read_kept(task, file, page, known, plug)

    def read_kept(
        self, task: Task, file: OpenFile, page: int, known: int, plug: Plug
    ) -> Generator[Any, Any, None]:
        """Read a locked page that has its buffer heads, of which `known` (bits) are up to date."""
        task.ps += self._s_kept.charge(1)
        if page in file.mapping.mapped:
            file.mapping.mapped.discard(page)
            yield from self._read_mapped(task, file, page, plug, known)
        else:
            yield from self._read_one(task, file, page, False, plug, known)

    def _read_mapped(
        self, task: Task, file: OpenFile, page: int, plug: Plug, known: int
    ) -> Generator[Any, Any, None]:
        """Read the blocks again that did not come before: they are mapped, and holes are up to date."""
        inode: FsInode = file.inode
        if known:
            file.mapping.parts[page] = self._per_page - known.bit_count()
        for block, stop in self._wanted(inode, page * self._per_page, self._per_page, known):
            for lblk in range(block, stop):
                self._submit(task, file, lblk, inode.map.place(lblk), 1, False, plug)
                if task.blocked is not None:
                    yield from self._queue.wait_for_tag(task)

    def _read_large(
        self, task: Task, file: OpenFile, start: int, end: int, ahead: bool, plug: Plug
    ) -> Generator[Any, Any, None]:
        """Folio by folio: a call each, and a buffer head for every block of it."""
        while start < end:
            pages = file.mapping.folio_pages(start)
            task.ps += self._s_folio.charge(1) + self._s_alloc.charge(pages * PAGE_BYTES // self._block_size)
            yield from self._read_one(task, file, start, ahead, plug, pages=pages)
            start += pages

    def _read_one(
        self,
        task: Task,
        file: OpenFile,
        page: int,
        ahead: bool,
        plug: Plug,
        known: int = 0,
        pages: int = 1,
    ) -> Iterable[Any]:
        """One page, or large folio, as the kernel goes through its blocks."""
        if self._one_pass:
            return self._read_in_one_pass(task, file, page, ahead, plug, known, pages)
        return self._read_mixed(task, file, page, ahead, plug, known, pages)

    def _read_in_one_pass(
        self, task: Task, file: OpenFile, page: int, ahead: bool, plug: Plug, known: int, pages: int
    ) -> Generator[Any, Any, None]:
        """
        Map and submit block by block, always one behind: what is mapped is not submitted before the next is,
        so that the folio is not at its end while blocks of it are to come.
        """
        inode: FsInode = file.inode
        first, blocks = page * PAGE_BYTES // self._block_size, pages * PAGE_BYTES // self._block_size
        mapped = 0
        last = (0, 0)  # the block that waits: logical, physical
        for block, stop in self._wanted(inode, first, blocks, known):
            while block < stop:
                found = yield from self._mapper.map_each(task, inode.map, block, stop - block, plug)
                length = found.length
                task.ps += self._s_get.charge(length)
                if found.kind == WRITTEN:
                    if mapped:
                        self._submit(task, file, last[0], last[1], 1, ahead, plug)
                    if length > 1:
                        self._submit(task, file, block, found.physical, length - 1, ahead, plug)
                    if task.blocked is not None:
                        yield from self._queue.wait_for_tag(task)
                    last = block + length - 1, found.physical + length - 1
                    mapped += length
                elif found.kind == FAILED:
                    file.mapping.block_unmapped(block, self._per_page)
                block += length
        mapping: Mapping = file.mapping
        holes = blocks - known.bit_count() - mapped
        if holes:
            task.ps += self._s_zero.charge_units(holes, holes * self._block_size)
        if not mapped:
            task.ps += self._s_unlock.charge(1)
            mapping.set_uptodate(page, page + pages)
            return
        if holes or known:
            mapping.parts[page] = mapping.parts.get(page, blocks) - holes - known.bit_count()
        self._submit(task, file, last[0], last[1], 1, ahead, plug)
        if task.blocked is not None:
            yield from self._queue.wait_for_tag(task)

    def _read_mixed(
        self,
        task: Task,
        file: OpenFile,
        page: int,
        ahead: bool,
        plug: Plug,
        known: int = 0,
        pages: int = 1,
    ) -> Generator[Any, Any, None]:
        """
        One page, or large folio, block by block but for those that are `known`: map all, then submit what
        is mapped.
        """
        inode: FsInode = file.inode
        runs: list[tuple[int, int, int]] = []
        mapped = 0
        for block, stop in self._wanted(inode, page * self._per_page, self._per_page * pages, known):
            while block < stop:
                found = yield from self._mapper.map_each(task, inode.map, block, stop - block, plug)
                task.ps += self._s_get.charge(found.length)
                if found.kind == WRITTEN:
                    mapped += found.length
                    _add_run(runs, block, found.physical, found.length)
                elif found.kind == FAILED:
                    file.mapping.block_unmapped(block, self._per_page)
                block += found.length
        zeroed = self._per_page * pages - known.bit_count() - mapped
        if zeroed:
            task.ps += self._s_zero.charge_units(zeroed, zeroed * self._block_size)
        mapping: Mapping = file.mapping
        if not mapped:
            task.ps += self._s_unlock.charge(1)
            mapping.set_uptodate(page, page + pages)
            return
        if zeroed or known:
            mapping.parts[page] = mapped
        for lblk, physical, length in runs:
            self._submit(task, file, lblk, physical, length, ahead, plug)
            if task.blocked is not None:
                yield from self._queue.wait_for_tag(task)

    def _wanted(self, inode: FsInode, first: int, blocks: int, known: int) -> list[tuple[int, int]]:
        """Return the runs [block, end) of a page from block `first` on that are read or are holes."""
        stop = min(blocks, inode.blocks - first)
        if not known:
            return [(first, first + stop)]
        return [(first + start, first + end) for start, end in gaps_of(known, stop)]

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
        if self._sectors > PAGE_SECTORS:
            bio.vectors = [self._sectors] * blocks
        bio.crypt = file.inode.crypt(lblk, physical)
        if bio.crypt is not None:
            task.ps += self._s_contexts.charge(blocks)
        elif self._asks:
            task.ps += self._s_asked.charge(blocks)
        if self._below and file.inode.encrypted:
            task.ps += self._s_fallback.charge(blocks)
        self._queue.submit(task, bio, plug)


def _add_run(runs: list[tuple[int, int, int]], lblk: int, physical: int, length: int) -> None:
    """Add blocks (logical, physical, length) to the last run, or behind it."""
    if runs and runs[-1][0] + runs[-1][2] == lblk and runs[-1][1] + runs[-1][2] == physical:
        runs[-1] = (runs[-1][0], runs[-1][1], runs[-1][2] + length)
    else:
        runs.append((lblk, physical, length))


@mypyc_attr(allow_interpreted_subclasses=True)
class BufferHeadPath(ReadPath):
    """
    read_pages() of a file system without ->readahead: ->read_folio for every page, under one plug.

    alone: the reader of a page that is read by itself, without a plug.
    """

    def __init__(self, queue: BioQueue, reader: BufferHeadReader, alone: BufferHeadReader) -> None:
        self._queue = queue
        self._reader = reader
        self._alone = alone

    def read_folio(self, task: Task, file: OpenFile, page: int) -> Iterable[Any]:
        """Read a page alone (ReadPath)."""
        return self._alone.read_folio(task, file, page)

    def read_pages(self, task: Task, file: OpenFile, ranges: list[PageRange]) -> Generator[Any, Any, None]:
        """Read the pages of a batch, one call each (ReadPath)."""
        plug = Plug()
        for start, end in ranges:
            yield from self._reader.read_folios(task, file, start, end, False, plug)
        self._queue.finish_plug(task, plug)
