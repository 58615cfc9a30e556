"""
What a reader does about checksums before and while it reads: widens its window to whole runs, and reads the
blocks with the checksums.

A run has one checksum, so all of it must be in memory: the window is widened by readahead_expand(), as for
a file system with compressed extents, page by page until no run is cut; where blocks are smaller than pages
and extents do not begin with one, this goes on from run to run. Where runs and places are asked for, the
window is mapped once more (ext4_map_blocks), mostly from the extent status tree.

A page that was read in vain is read again with all of its runs: those of their pages that are not up to date
either are locked and read again too, one ->read_folio each, and so verified by the same checksum. Each read
of a page ends, good or bad: read(2) asks for it once more, and then returns EIO.

"before": the reader waits for the checksums, as btrfs_lookup_bio_sums() does. "with": they are submitted
before the bio that needs them, under its plug. "after": nothing here.

Left out: folios larger than a page, where the window is widened; pages that are partly up to date.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from sim.block.bio import Bio, Plug
from sim.block.protocols import BioQueue, StackedQueue
from sim.cache.address_space import OpenFile, PageRange, ReadPath
from sim.cache.page_cache import PageCache
from sim.cache.page_cache_ra import INSERT_SYMBOLS, Reclaim
from sim.cache.pages import ABSENT, LOCKED, MARKED, PRESENT, Mapping
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.file_tags import FileTags
from sim.fs.fs_inode import FsInode
from sim.fs.mapper import Mapper
from sim.fs.status_cache import WRITTEN
from sim.paths.checksums.end_io import ChecksumEndIo
from sim.paths.checksums.symbols import EXPAND
from sim.paths.checksums.tag_cache import TagCache
from sim.paths.checksums.verification import Verification
from sim.units import PAGE_BYTES, SECTOR_BYTES


def with_ahead(cache: TagCache, tags: FileTags, blocks: list[int], ahead: int) -> list[int]:
    """Return blocks with checksums, and `ahead` more behind the last, but for those read in vain."""
    if not ahead or not blocks:
        return blocks
    return blocks + [block for block in tags.behind(blocks[-1], ahead) if not cache.has_failed(block)]


def _joined(ranges: list[PageRange]) -> list[PageRange]:
    """Return ascending ranges, those that meet as one."""
    joined: list[PageRange] = []
    for start, end in ranges:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


class ChecksumQueue(StackedQueue):
    """The queue below a path: a bio of a file with checksums brings the read of these with it (BioQueue)."""

    def __init__(self, queue: BioQueue, sums: Verification) -> None:
        super().__init__(queue)
        self._cache = sums.cache
        self._ahead = sums.rules.ahead
        self._block_size = sums.block_size

    def submit(self, task: Task, bio: Bio, plug: Plug) -> None:
        """Submit what it needs of checksums, then the bio (BioQueue)."""
        if isinstance(bio.end_io, ChecksumEndIo):
            tags: FileTags | None = bio.owner.inode.tags
            if tags is not None:
                blocks = bio.sectors * SECTOR_BYTES // self._block_size
                needed = tags.tag_blocks(bio.sector * SECTOR_BYTES // self._block_size, blocks)
                if self._cache.missing(needed):
                    self._cache.start(task, with_ahead(self._cache, tags, needed, self._ahead), plug)
        self._below.submit(task, bio, plug)


class ChecksumPath(ReadPath):
    """A read path over files with checksums (ReadPath). more_pages: read besides, to verify others."""

    def __init__(
        self, path: ReadPath, ledger: Ledger, cache: PageCache, mapper: Mapper, sums: Verification
    ) -> None:
        self._path = path
        self._cache = cache
        self._mapper = mapper
        self._tags = sums.cache
        self._per_page = max(PAGE_BYTES // sums.block_size, 1)
        self._before = sums.rules.read == "before"
        self._ahead = sums.rules.ahead
        self.more_pages = 0
        stack = f"read_pages;{EXPAND}"
        self._s_expand = ledger.site(TASK, "read_pages", EXPAND)
        self._s_add = ledger.site(TASK, stack, INSERT_SYMBOLS)
        self._reclaim = Reclaim(ledger, cache, stack)

    def read_pages(self, task: Task, file: OpenFile, ranges: list[PageRange]) -> Iterable[Any]:
        """Read a batch, and what has to be in memory besides (ReadPath)."""
        tags: FileTags | None = file.inode.tags
        if tags is None or not (tags.by_run or self._before):
            return self._path.read_pages(task, file, ranges)
        return self._read(task, file, tags, ranges)

    def read_folio(self, task: Task, file: OpenFile, page: int) -> Iterable[Any]:
        """Read a page alone, or with all of its runs (ReadPath)."""
        tags: FileTags | None = file.inode.tags
        if tags is None or not (tags.by_run or self._before):
            return self._path.read_folio(task, file, page)
        return self._read(task, file, tags, [(page, page + 1)], True)

    def _read(
        self, task: Task, file: OpenFile, tags: FileTags, ranges: list[PageRange], alone: bool = False
    ) -> Generator[Any, Any, None]:
        again: list[int] = []
        if tags.by_run:
            ranges, again = self._expanded(task, file, tags, ranges)
        needed: dict[int, int] = {}
        plug = Plug()
        for start, end in sorted(ranges + [(page, page + 1) for page in again]):
            yield from self._map(task, file, tags, start, end, needed, plug)
        if self._before:
            blocks = list(needed)
            if self._tags.missing(blocks):
                yield from self._tags.read(task, with_ahead(self._tags, tags, blocks, self._ahead))
        for page in again:
            yield from self._path.read_folio(task, file, page)
        if alone and ranges and ranges[-1][1] - ranges[0][0] == 1:
            yield from self._path.read_folio(task, file, ranges[0][0])
        elif ranges:
            yield from self._path.read_pages(task, file, ranges)

    def _map(
        self,
        task: Task,
        file: OpenFile,
        tags: FileTags,
        start: int,
        end: int,
        needed: dict[int, int],
        plug: Plug,
    ) -> Generator[Any, Any, None]:
        """Map pages, extent by extent; note the blocks with their checksums, in order."""
        inode: FsInode = file.inode
        block, stop = start * self._per_page, min(end * self._per_page, inode.blocks)
        while block < stop:
            found = yield from self._mapper.map(task, inode.map, block, stop - block, plug)
            length = min(found.length, stop - block)
            if found.kind == WRITTEN:
                for tag_block in tags.tag_blocks(found.physical, length):
                    needed[tag_block] = 1
            block += length

    def _expanded(
        self, task: Task, file: OpenFile, tags: FileTags, ranges: list[PageRange]
    ) -> tuple[list[PageRange], list[int]]:
        """
        Widen locked ranges to whole runs; return all pages to be read, whose runs are then counted, and
        beside them those that are to be read again.
        """
        mapping = file.mapping
        added: list[PageRange] = []
        again: list[int] = []
        for first, last in ranges:
            start, end = self._whole(tags, first, last)
            again += self._locked_again(mapping, tags, start, end)
            if (start, end) != (first, last):
                task.ps += self._s_expand.charge(1)
                added += self._insert_absent(task, mapping, start, first)
                behind = self._insert_absent(task, mapping, last, end)
                for page, stop in behind:
                    file.ra.size += stop - page
                    file.ra.async_size += stop - page
                added += behind
        fresh = [one for one in ranges + added if one[0] not in again]
        for first, last in _joined(sorted(fresh + [(page, page + 1) for page in again])):
            self._count(file, tags, first, last)
        return _joined(sorted(fresh)), again

    def _locked_again(self, mapping: Mapping, tags: FileTags, start: int, end: int) -> list[int]:
        """
        Return those of [start, end) that were read in vain, locked: the one that its reader has locked, and
        others. All their blocks that are in runs are to be read, those that came too.
        """
        again: list[int] = []
        for page in range(start, end) if mapping.known_blocks else ():
            if page not in mapping.known_blocks:
                continue
            again.append(page)
            if mapping.state[page] & PRESENT:
                mapping.state[page] = LOCKED | (mapping.state[page] & MARKED)
                self.more_pages += 1
                self._cache.updated += 1
            first = page * self._per_page
            for number in tags.runs(first, self._per_page):
                low, blocks = tags.run(number)
                for block in range(max(low, first), min(low + blocks, first + self._per_page)):
                    mapping.known_blocks[page] &= ~(1 << block - first)
        return again

    def _insert_absent(self, task: Task, mapping: Mapping, start: int, end: int) -> list[PageRange]:
        """Add the absent pages of [start, end), locked; return them."""
        added: list[PageRange] = []
        page = mapping.state.find(ABSENT, start, end)
        while page >= 0:
            stop = page + mapping.state.run(page, end, ABSENT)
            self._reclaim.pay(task, self._cache.insert(mapping, page, stop))
            task.ps += self._s_add.charge(stop - page)
            self.more_pages += stop - page
            added.append((page, stop))
            page = mapping.state.find(ABSENT, stop, end)
        return added

    def _whole(self, tags: FileTags, start: int, end: int) -> PageRange:
        """Return pages widened until they hold every run that has a block in them."""
        per_page = self._per_page
        while True:
            runs = tags.runs(start * per_page, (end - start) * per_page)
            if not len(runs):
                return start, end
            low = tags.run(runs[0])[0]
            last, blocks = tags.run(runs[-1])
            wider = min(start, low // per_page), max(end, -(-(last + blocks) // per_page))
            if wider == (start, end):
                return wider
            start, end = wider

    def _count(self, file: OpenFile, tags: FileTags, start: int, end: int) -> None:
        """Note how many blocks of each run come with the pages [start, end), and hold the rest of it."""
        per_page, state = self._per_page, file.mapping.state
        first, stop = start * per_page, end * per_page
        for number in tags.runs(first, stop - first):
            low, blocks = tags.run(number)
            come = min(low + blocks, stop) - max(low, first)
            tags.left[number] = tags.left.get(number, 0) + come
            if come < blocks:
                pages = low // per_page, -(-(low + blocks) // per_page)
                if any(state[page] & ~MARKED != LOCKED for page in range(*pages)):
                    tags.hold(number, file.mapping, *pages)
