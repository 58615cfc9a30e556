"""
Buffered writes: generic_perform_write() over ext4's write_begin and write_end (Linux 6.1), page by page.

A page that is not cached is allocated and not read, so writes must cover whole blocks. Dirty pages stay until
they are written out: reclaim leaves them alone. Left out: writes of part of a block, throttling and
writeback in the background (balance_dirty_pages: the caller keeps below its threshold), allocation of blocks
(the file has them), the change of times and its journal handle, large folios.
"""

from __future__ import annotations

from typing import Final

from sim.cache.address_space import OpenFile
from sim.cache.page_cache import FRESH_HEAD, PageCache
from sim.cache.page_cache_ra import INSERT_SYMBOLS
from sim.cache.pages import ABSENT, Mapping
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.errors import InvariantError
from sim.units import PAGE_BYTES

WRITE: Final = "entry_SYSCALL_64;vfs_write"


class DirtyPages:
    """The dirty pages of one file: runs [start, end), apart and in order."""

    def __init__(self) -> None:
        self.runs: list[tuple[int, int]] = []

    def add(self, mapping: Mapping, start: int, end: int) -> None:
        """Add pages and hold them; pages that are dirty already stay so."""
        touching = [run for run in self.runs if run[0] <= end and start <= run[1]]
        for run in touching:
            mapping.held.remove(run)
            self.runs.remove(run)
        merged = (min([start, *(run[0] for run in touching)]), max([end, *(run[1] for run in touching)]))
        self.runs.append(merged)
        self.runs.sort()
        mapping.held.append(merged)

    def take(self, mapping: Mapping) -> list[tuple[int, int]]:
        """Let go of all: they are being written out; return their runs."""
        runs, self.runs = self.runs, []
        for run in runs:
            mapping.held.remove(run)
        return runs


class BufferedWriter:
    """Writes into the page cache of one file system."""

    def __init__(self, ledger: Ledger, cache: PageCache, block_size: int, caller: str = WRITE) -> None:
        """caller: the folded stack that calls ->write_iter: write(2), or a file system above."""
        self._cache = cache
        self._block_size = block_size
        self._per_page = PAGE_BYTES // block_size
        entry = f"entry_SYSCALL_64 {WRITE} " if caller == WRITE else ""
        loop = f"{caller};ext4_file_write_iter;generic_perform_write"
        begin, end = f"{loop};ext4_da_write_begin", f"{loop};ext4_da_write_end"
        self._s_call = ledger.site(TASK, "", f"{entry}{caller};ext4_file_write_iter")
        self._s_page = ledger.site(
            TASK,
            "",
            f"{loop} {begin} {loop};copy_page_from_iter_atomic {end} {loop};balance_dirty_pages_ratelimited",
            unit="copy_page_from_iter_atomic",
        )
        self._s_new = ledger.site(TASK, begin, INSERT_SYMBOLS)
        heads = f"{begin};create_empty_buffers;alloc_page_buffers"
        self._s_heads = ledger.site(TASK, "", f"{begin};create_empty_buffers {heads}")
        self._s_head = ledger.site(TASK, heads, FRESH_HEAD)
        block = "ext4_da_get_block_prep ext4_da_get_block_prep;ext4_es_lookup_extent"
        self._s_block = ledger.site(TASK, begin, block, unit="ext4_es_lookup_extent")
        self._s_dirty_block = ledger.site(TASK, end, "mark_buffer_dirty")
        self._s_dirty = ledger.site(TASK, f"{end};mark_buffer_dirty", "__folio_mark_dirty")

    def write(
        self, task: Task, file: OpenFile, dirty: DirtyPages, offset: int, length: int, map_levels: int = 1
    ) -> None:
        """
        Write `length` bytes at `offset`, whole blocks, as pwrite(2) does. Does not sleep.

        map_levels: of the extent status tree, in which every block is looked up once.
        """
        if offset % self._block_size or length % self._block_size or length <= 0:
            raise InvariantError(f"a write of {length} bytes at {offset}: blocks of {self._block_size} only")
        mapping = file.mapping
        start, end = offset // PAGE_BYTES, -(-(offset + length) // PAGE_BYTES)
        task.ps += self._s_call.charge(1) + self._s_page.charge_units(end - start, length)
        self._add_absent(task, mapping, start, end)
        self._add_heads(task, mapping, start, end, map_levels)
        blocks = length // self._block_size
        was_dirty = sum(max(0, min(end, last) - max(start, first)) for first, last in dirty.runs)
        task.ps += self._s_dirty_block.charge(blocks) + self._s_dirty.charge(end - start - was_dirty)
        dirty.add(mapping, start, end)
        self._cache.mark_accessed(mapping, start, end)

    def patch(self, task: Task, file: OpenFile, dirty: DirtyPages, offset: int, length: int) -> None:
        """Write a few bytes inside one block; its page is added if it is not cached, and not read."""
        page = offset // PAGE_BYTES
        task.ps += self._s_call.charge(1) + self._s_page.charge_units(1, length)
        self._add_absent(task, file.mapping, page, page + 1)
        self._add_heads(task, file.mapping, page, page + 1, 1)
        task.ps += self._s_dirty_block.charge(1)
        if not any(first <= page < last for first, last in dirty.runs):
            task.ps += self._s_dirty.charge(1)
            dirty.add(file.mapping, page, page + 1)

    def _add_absent(self, task: Task, mapping: Mapping, start: int, end: int) -> None:
        """Allocate the pages that are not cached."""
        at = start
        while at < end:
            rest = mapping.state[at:end]
            absent = len(rest) - len(rest.lstrip(bytes((ABSENT,))))
            if absent:
                self._cache.insert(mapping, at, at + absent)
                task.ps += self._s_new.charge(absent)
                mapping.set_uptodate(at, at + absent)
                at += absent
            else:
                at += 1

    def _add_heads(self, task: Task, mapping: Mapping, start: int, end: int, map_levels: int) -> None:
        """Give pages buffer heads and map their blocks, those that have none."""
        had = mapping.buffered.count(1, start, end) if mapping.buffered is not None else 0
        new = end - start - had
        self._cache.attach_buffers(mapping, start, end)
        blocks = new * self._per_page
        task.ps += self._s_heads.charge(new) + self._s_head.charge(blocks)
        task.ps += self._s_block.charge_units(blocks, blocks * map_levels)
