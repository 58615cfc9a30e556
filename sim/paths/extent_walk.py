"""
The extent walk: map an extent, then put all its blocks of the window into bios; contiguity ends a bio, not
the page.

Two designs of that kind. `iomap`: iomap_readahead() and iomap_read_folio() of fs/iomap/buffered-io.c (Linux
6.1), which walk extent by extent and, for blocks smaller than pages, keep a bitmap and a count of pending
bytes per page (iomap_page); recorded on XFS, in whose place ext4 is asked here. `page_io_pure`: what the
remark of 2014 proposes, fs/ext4/page_io.c's write scheme turned to reads: the same walk in ext4's own loop,
a hole mapped once, no page ever confused, no per-page state but a count. It exists in no kernel; its symbols
are ext4's.

A window is mapped before its first bio is built, where the kernel alternates: with a cold tree the plug is
then flushed at other places. Of a page that is partly up to date only the rest is read. Left out: inline
data.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Any

from mypy_extensions import mypyc_attr

from sim.block.bio import Plug
from sim.block.protocols import BioQueue
from sim.cache.address_space import OpenFile, PageRange, ReadPath
from sim.cache.page_runs import gaps_of
from sim.cache.pages import Mapping
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.fs_inode import FsInode
from sim.fs.mapper import Mapper
from sim.fs.status_cache import HOLE, WRITTEN
from sim.paths.page_bio import PageBio, PageBioFactory
from sim.paths.symbols import WalkSymbols
from sim.units import PAGE_BYTES


@mypyc_attr(allow_interpreted_subclasses=True)
class ExtentWalkPath(ReadPath):
    """A read path that walks extents (ReadPath)."""

    def __init__(
        self,
        ledger: Ledger,
        queue: BioQueue,
        mapper: Mapper,
        bios: PageBioFactory,
        block_size: int,
        symbols: WalkSymbols,
        own_bios: bool = False,
    ) -> None:
        """own_bios: a bio ends with its mapping."""
        self._own_bios = own_bios
        self._queue = queue
        self._mapper = mapper
        self._bios = bios
        self._block_size = block_size
        self._per_page = PAGE_BYTES // block_size
        self._beyond_eof = symbols.beyond_eof
        stack = symbols.call.rpartition(" ")[2]
        self._s_call = ledger.site(TASK, "read_pages", symbols.call)
        self._s_page = ledger.site(TASK, "read_pages", symbols.page)
        self._s_folio = ledger.site(TASK, "filemap_read_folio", symbols.folio)
        self._s_extent = ledger.site(TASK, stack, symbols.extent)
        self._s_piece = ledger.site(TASK, stack, symbols.piece)
        self._s_state = ledger.site(TASK, stack, symbols.page_state if self._per_page > 1 else "")
        self._s_folio_state = ledger.site(TASK, stack, symbols.page_state)
        self._s_zero = ledger.site(TASK, stack, symbols.zero, unit=symbols.zero)
        self._s_unlock = ledger.site(TASK, stack, symbols.unlock)

    def read_pages(self, task: Task, file: OpenFile, ranges: list[PageRange]) -> Iterable[Any]:
        """Read the pages of a batch in one call (ReadPath)."""
        if file.mapping.large:
            return self._folio_loop(task, file, file.mapping, ranges)
        return self._loop(task, file, ranges)

    def _loop(self, task: Task, file: OpenFile, ranges: list[PageRange]) -> Generator[Any, Any, None]:
        """Extent by extent, piece by piece."""
        plug = Plug()
        task.ps += self._s_call.charge(1)
        bio = self._bios.open(task, file, plug)
        for start, end in ranges:
            task.ps += self._s_page.charge(end - start) + self._s_state.charge(end - start)
            runs = yield from self._map_all(task, file, start, end, plug)
            task.ps += self._s_piece.charge(sum(self._pieces_of(run) for run in runs))
            yield from self._read_runs(task, file, bio, start, end, runs)
        bio.submit()
        if task.blocked is not None:
            yield from self._queue.wait_for_tag(task)
        self._queue.finish_plug(task, plug)

    def read_folio(self, task: Task, file: OpenFile, page: int) -> Generator[Any, Any, None]:
        """Read a page alone, or the rest of it (ReadPath)."""
        plug = Plug(holds=False)
        task.ps += self._s_folio.charge(1)
        bio = self._bios.open(task, file, plug)
        if file.mapping.min_order:
            yield from self._read_block(task, file, bio, file.mapping.bounds(page), plug)
            return
        runs = yield from self._map_all(task, file, page, page + 1, plug)
        known = file.mapping.known_blocks.pop(page, -1)
        task.ps += self._s_state.charge(known < 0)
        if known > 0:
            gaps = gaps_of(known, self._per_page)
            runs = [piece for run in runs for piece in _unknown(run, page * self._per_page, gaps)]
        task.ps += self._s_piece.charge(len(runs))
        yield from self._read_runs(task, file, bio, page, page + 1, runs)
        bio.submit()
        if task.blocked is not None:
            yield from self._queue.wait_for_tag(task)

    def _read_block(
        self, task: Task, file: OpenFile, bio: PageBio, folio: PageRange, plug: Plug
    ) -> Generator[Any, Any, None]:
        """The folio of a block that is larger than a page."""
        mapping = file.mapping
        runs = yield from self._map_all(task, file, *folio, plug)
        idle, in_blocks = self._count_folios(mapping, *folio, runs)
        task.ps += self._s_folio_state.charge(in_blocks)
        for run in runs:
            self._add_pieces(task, bio, mapping, run)
        for first, stop in idle:
            task.ps += self._s_unlock.charge(1)
            mapping.set_uptodate(first, stop)
        bio.submit()
        if task.blocked is not None:
            yield from self._queue.wait_for_tag(task)

    def _read_runs(
        self,
        task: Task,
        file: OpenFile,
        bio: PageBio,
        start: int,
        end: int,
        runs: list[tuple[int, int, int, int]],
    ) -> Generator[Any, Any, None]:
        """Put what was mapped of the pages [start, end) into bios; unlock pages that need none."""
        runs = [run for run in runs if run[2]]
        self._count_parts(file, runs)
        for run in runs:
            self._add_run(task, bio, run)
            if self._own_bios:
                bio.submit()
            if task.blocked is not None:
                yield from self._queue.wait_for_tag(task)
        self._finish_holes(task, file, start, end, runs)

    def _folio_loop(
        self, task: Task, file: OpenFile, mapping: Mapping, ranges: list[PageRange]
    ) -> Generator[Any, Any, None]:
        """The same over large folios: a piece is of a folio, and so is the state of its blocks."""
        plug = Plug()
        task.ps += self._s_call.charge(1)
        bio = self._bios.open(task, file, plug)
        for start, end in ranges:
            runs = yield from self._map_all(task, file, start, end, plug)
            idle, in_blocks = self._count_folios(mapping, start, end, runs)
            task.ps += self._s_folio_state.charge(in_blocks)
            for run in runs:
                self._add_pieces(task, bio, mapping, run)
                if self._own_bios:
                    bio.submit()
                if task.blocked is not None:
                    yield from self._queue.wait_for_tag(task)
            beyond = self._blocks(end) - (runs[-1][0] + runs[-1][2] if runs else self._blocks(start))
            if beyond:
                task.ps += self._s_zero.charge_units(1, beyond * self._block_size)
            for first, stop in idle:
                task.ps += self._s_unlock.charge(1)
                mapping.set_uptodate(first, stop)
        bio.submit()
        if task.blocked is not None:
            yield from self._queue.wait_for_tag(task)
        self._queue.finish_plug(task, plug)

    def _count_folios(
        self, mapping: Mapping, start: int, end: int, runs: list[tuple[int, int, int, int]]
    ) -> tuple[list[PageRange], int]:
        """
        Note how many blocks of each folio will come.

        Returns the folios of which none will, and how many folios have more blocks than one.
        """
        per_page = self._per_page
        coming: dict[int, int] = {}
        for lblk, _, blocks, kind in runs:
            for first, stop in _pieces(mapping, lblk, blocks, per_page):
                head = mapping.bounds(mapping.page_of(first, per_page))[0]
                coming[head] = coming.get(head, 0) + (stop - first if kind == WRITTEN else 0)
        idle = []
        in_blocks = 0
        while start < end:
            stop = start + mapping.folio_pages(start)
            blocks = mapping.blocks_in(stop - start, per_page)
            in_blocks += blocks > 1
            come = coming.get(start, 0)
            if not come:
                idle.append((start, stop))
            elif come < blocks:
                mapping.parts[start] = come
            start = stop
        return idle, in_blocks

    def _add_pieces(self, task: Task, bio: PageBio, mapping: Mapping, run: tuple[int, int, int, int]) -> None:
        """Put a mapped run into bios, a vector for each folio; zero a hole's pieces."""
        lblk, physical, blocks, kind = run
        stop = lblk + blocks
        for first, end in _pieces(mapping, lblk, blocks, self._per_page):
            task.ps += self._s_piece.charge(1)
            if kind == WRITTEN:
                wanted = -(-(stop - first) * self._block_size // PAGE_BYTES)
                bio.add(first, physical + first - lblk, end - first, 1, wanted)
            else:
                task.ps += self._s_zero.charge_units(1, (end - first) * self._block_size)

    def _blocks(self, pages: int) -> int:
        """Return how many blocks so many pages, whole folios, have."""
        return pages * PAGE_BYTES // self._block_size

    def _map_all(
        self, task: Task, file: OpenFile, start: int, end: int, plug: Plug
    ) -> Generator[Any, Any, list[tuple[int, int, int, int]]]:
        """Map the window extent by extent: (logical, physical, blocks, kind)."""
        inode: FsInode = file.inode
        block, eof = self._blocks(start), inode.blocks
        stop = self._blocks(end) if self._beyond_eof else min(self._blocks(end), eof)
        runs: list[tuple[int, int, int, int]] = []
        while block < stop:
            found = yield from self._mapper.map(task, inode.map, block, stop - block, plug)
            task.ps += self._s_extent.charge(1)
            length = found.length
            if block < eof < block + length:  # blocks that were allocated beyond EOF are not read
                runs.append((block, found.physical, eof - block, found.kind))
                block, length = eof, length - (eof - block)
            runs.append((block, found.physical, length, found.kind if block < eof else HOLE))
            block += length
        return runs

    def _count_parts(self, file: OpenFile, runs: list[tuple[int, int, int, int]]) -> None:
        """Note, for pages that are not read whole, how many of their blocks will come."""
        per_page = self._per_page
        partial: dict[int, int] = {}
        for lblk, _, blocks, kind in runs:
            end = lblk + blocks
            if kind != WRITTEN:
                continue
            if lblk % per_page:
                page = lblk // per_page
                partial[page] = partial.get(page, 0) + min(end, (page + 1) * per_page) - lblk
            if end % per_page and (end // per_page > lblk // per_page or lblk % per_page == 0):
                page = end // per_page
                partial[page] = partial.get(page, 0) + end % per_page
        for page, blocks in partial.items():
            if blocks < per_page:
                file.mapping.parts[page] = blocks

    def _add_run(self, task: Task, bio: PageBio, run: tuple[int, int, int, int]) -> None:
        """Put a mapped run into bios, piece by piece of a page; zero a hole's."""
        lblk, physical, blocks, kind = run
        per_page = self._per_page
        if kind != WRITTEN:
            task.ps += self._s_zero.charge_units(self._pieces_of(run), blocks * self._block_size)
            return
        # Room is asked for as many pages as the rest of this extent would fill.
        head = min(-lblk % per_page, blocks)
        tail = (blocks - head) % per_page
        for part in (head, blocks - head - tail, tail):
            if part:
                bio.add(lblk, physical, part, -(-part // per_page), -(-blocks // per_page))
                lblk, physical, blocks = lblk + part, physical + part, blocks - part

    def _pieces_of(self, run: tuple[int, int, int, int]) -> int:
        """Return how many pages a run (logical, physical, blocks, kind) has a part in."""
        lblk, _, blocks, _ = run
        return -(-(lblk + blocks) // self._per_page) - lblk // self._per_page

    def _finish_holes(
        self, task: Task, file: OpenFile, start: int, end: int, runs: list[tuple[int, int, int, int]]
    ) -> None:
        """Unlock the pages that need no I/O at all, and zero what lies beyond EOF."""
        per_page = self._per_page
        reads: list[tuple[int, int]] = []
        for lblk, _, blocks, kind in runs:
            if kind == WRITTEN:
                reads.append((lblk // per_page, -(-(lblk + blocks) // per_page)))
        beyond = end * per_page - min(end * per_page, file.inode.blocks)
        if beyond and not self._beyond_eof:
            task.ps += self._s_zero.charge_units(1, beyond * self._block_size)
        page = start
        for first, last in reads:
            if page < first:
                self._unlock(task, file, page, first)
            page = max(page, last)
        if page < end:
            self._unlock(task, file, page, end)

    def _unlock(self, task: Task, file: OpenFile, start: int, end: int) -> None:
        task.ps += self._s_unlock.charge(end - start)
        file.mapping.set_uptodate(start, end)


def _unknown(
    run: tuple[int, int, int, int], base: int, gaps: list[tuple[int, int]]
) -> list[tuple[int, int, int, int]]:
    """
    Return what a run (logical, physical, blocks, kind) has in the gaps [start, end) behind block `base`; of
    one that is known as a whole an empty piece, for it is looked at, too.
    """
    lblk, physical, blocks, kind = run
    pieces = []
    for start, end in gaps:
        first, last = max(lblk, base + start), min(lblk + blocks, base + end)
        if first < last:
            pieces.append((first, physical + first - lblk, last - first, kind))
    return pieces or [(lblk, physical, 0, kind)]


def _pieces(mapping: Mapping, lblk: int, blocks: int, per_page: int) -> Iterator[tuple[int, int]]:
    """Yield [first, end) in blocks of the pieces that folios cut a run into."""
    stop = lblk + blocks
    while lblk < stop:
        end = min(stop, mapping.blocks_in(mapping.bounds(mapping.page_of(lblk, per_page))[1], per_page))
        yield lblk, end
        lblk = end
