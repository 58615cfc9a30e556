"""
The mpage skeleton: one readahead call that turns pages into few large bios.

`do_mpage_readpage()` of fs/mpage.c and `ext4_mpage_readpages()` of fs/ext4/readpage.c (Linux 6.1) are one
algorithm with two sets of symbols: a call maps as many blocks as the window still needs, the answer is
carried to the next pages of the same call, a hole is asked for block by block, and a page whose blocks are
not adjacent (or are data after a hole) is *confused*: the bio goes out and the page is read through buffer
heads.

`per_block=True` is the counterfactual of before 2006: every block mapped by a call of its own, no carry.

A page that has buffer heads already is confused before anything is mapped. Such a page is cached, so it never
comes in a readahead call, but alone, by ->read_folio (mpage_read_folio, ext4_read_folio). One that could not
be read comes that way, too: without buffer heads it is mapped and read anew as a whole.

BOUNDARY, which only a block map sets, submits the bio. A page that cannot be mapped stays without data in
ext4's (set_error_page), and is confused in fs/mpage.c's: get_block then fails once more. Left out: the
cleancache.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from mypy_extensions import mypyc_attr

from sim.block.bio import Plug
from sim.block.protocols import BioQueue
from sim.cache.address_space import OpenFile, PageRange, ReadPath
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, Site
from sim.fs.fs_inode import FsInode
from sim.fs.mapper import Mapper
from sim.fs.merkle import VerityState
from sim.fs.status_cache import FAILED, WRITTEN, Mapped
from sim.paths.buffer_head import BufferHeadReader
from sim.paths.page_bio import PageBio, PageBioFactory
from sim.paths.symbols import MpageSymbols
from sim.paths.verity import VerityReadahead
from sim.units import PAGE_BYTES


@mypyc_attr(free_list_len=1)
class _Call:
    """
    The state of one call: the carried map, the bio, what a page is charged to, who reads the confused.

    page, end: what is left of the range at hand; left: pages of all. found: a map of the page at hand that
    was asked for and does not hold all of it.
    """

    __slots__ = (
        "bio",
        "charged",
        "confused",
        "end",
        "found",
        "lblk",
        "left",
        "length",
        "page",
        "physical",
        "plug",
    )

    def __init__(
        self, bio: PageBio, pages: int, plug: Plug, charged: Site, confused: BufferHeadReader
    ) -> None:
        self.bio = bio
        self.left = pages
        self.plug = plug
        self.charged = charged
        self.confused = confused
        self.found: Mapped | None = None
        self.page = self.end = 0
        self.lblk = 0
        self.physical = 0
        self.length = 0


@mypyc_attr(allow_interpreted_subclasses=True)
class MpagePath(ReadPath):
    """A read path on the mpage skeleton (ReadPath)."""

    def __init__(
        self,
        ledger: Ledger,
        queue: BioQueue,
        mapper: Mapper,
        bios: PageBioFactory,
        fallback: BufferHeadReader,
        fallback_alone: BufferHeadReader,
        block_size: int,
        symbols: MpageSymbols,
        per_block: bool = False,
        verity: VerityReadahead | None = None,
        error_confuses: bool = False,
    ) -> None:
        """
        fallback, fallback_alone: who reads confused pages of ->readahead and of ->read_folio. verity: who
        reads the Merkle trees of files that have one, None where the path knows of none. error_confuses: a
        page that cannot be mapped is confused.
        """
        self._error_confuses = error_confuses
        self._verity = verity
        self._queue = queue
        self._mapper = mapper
        self._bios = bios
        self._fallback = fallback
        self._fallback_alone = fallback_alone
        self._block_size = block_size
        self._per_page = PAGE_BYTES // block_size
        self._per_block = per_block
        self._boundary = mapper.boundary if mapper.by_block else None
        stack = symbols.call.rpartition(" ")[2]
        self._s_call = ledger.site(TASK, "read_pages", symbols.call)
        self._s_page = ledger.site(TASK, "read_pages", symbols.page)
        self._s_folio = ledger.site(TASK, "filemap_read_folio", symbols.folio)
        self._s_folio_page = ledger.site(TASK, "filemap_read_folio", symbols.folio_page)
        self._s_block = ledger.site(TASK, "read_pages", symbols.block)
        self._s_get = ledger.site(TASK, stack, symbols.get_block)
        self._s_zero = ledger.site(TASK, stack, symbols.hole, unit=symbols.hole)
        self._s_unlock = ledger.site(TASK, stack, symbols.hole_unlock)

    def read_pages(self, task: Task, file: OpenFile, ranges: list[PageRange]) -> Iterable[Any]:
        """
        Read the pages of a batch in one call (ReadPath), the map carried along; a folio is what a page is.
        """
        inode: FsInode = file.inode
        if inode.verity is not None and self._verity is not None:
            return self._read_behind_tree(task, file, ranges, inode.verity, self._verity)
        return self._read_batch(task, file, ranges, Plug(), True)

    def _read_behind_tree(
        self,
        task: Task,
        file: OpenFile,
        ranges: list[PageRange],
        state: VerityState,
        verity: VerityReadahead,
    ) -> Generator[Any, Any, None]:
        """The same, the pages of a Merkle tree first."""
        plug = Plug()
        for start, end in ranges:
            yield from verity.read(task, state, start, end - start, plug, self._read_batch)
        yield from self._read_batch(task, file, ranges, plug, True)

    def _read_batch(
        self, task: Task, file: OpenFile, ranges: list[PageRange], plug: Plug, ends: bool = False
    ) -> Iterable[Any]:
        """The same under a plug that ends with it, or goes on."""
        task.ps += self._s_call.charge(1)
        pages = 0
        for start, end in ranges:
            pages += end - start
        call = _Call(self._bios.open(task, file, plug), pages, plug, self._s_page, self._fallback)
        if len(ranges) == 1:
            call.page, call.end = ranges[0]
            if self._add_known(task, file, call):
                call.bio.submit()
                if task.blocked is None:
                    if ends:
                        self._queue.finish_plug(task, plug)
                    return ()
        return self._read_rest(task, file, ranges, call, ends)

    def _read_rest(
        self, task: Task, file: OpenFile, ranges: list[PageRange], call: _Call, ends: bool
    ) -> Generator[Any, Any, None]:
        """The pages of a batch that are not added yet: ask for maps, and wait where there is something to."""
        for start, end in ranges:
            if len(ranges) > 1:
                call.page, call.end = start, end
            while not self._add_known(task, file, call):
                if task.blocked is None:
                    pages = file.mapping.folio_pages(call.page)
                    yield from self._one_page(task, file, call, call.page, pages)
                    call.page += pages
                    call.left -= pages
                if task.blocked is not None:
                    yield from self._queue.wait_for_tag(task)
        call.bio.submit()
        if task.blocked is not None:
            yield from self._queue.wait_for_tag(task)
        if ends:
            self._queue.finish_plug(task, call.plug)

    def _add_known(self, task: Task, file: OpenFile, call: _Call) -> bool:
        """
        Add the pages of a range that lie wholly in known maps; return whether that were all.

        If not, the next page is at a border of what is known, or the task is blocked.
        """
        while task.blocked is None:
            if call.page == call.end:
                return True
            done = 0 if file.mapping.large else self._whole_pages(task, file, call, call.page, call.end)
            if not done:
                return False
            call.page += done
            call.left -= done
        return False

    def read_folio(self, task: Task, file: OpenFile, page: int) -> Generator[Any, Any, None]:
        """Read a page alone (ReadPath); one that has buffer heads is confused at once."""
        plug = Plug(holds=False)
        bio = self._bios.open(task, file, plug)
        pages = 1 << file.mapping.min_order
        call = _Call(bio, pages, plug, self._s_folio_page, self._fallback_alone)
        task.ps += self._s_folio.charge(1)
        known, buffered = file.mapping.known_blocks.pop(page, None), file.mapping.buffered
        if known is None or buffered is None or not buffered[page]:
            yield from self._one_page(task, file, call, page, pages)
            bio.submit()
            if task.blocked is not None:
                yield from self._queue.wait_for_tag(task)
        else:
            task.ps += self._s_folio_page.charge(1)
            yield from self._fallback_alone.read_kept(task, file, page, known, plug)

    def _whole_pages(self, task: Task, file: OpenFile, call: _Call, page: int, end: int) -> int:
        """Add the pages that lie wholly in the carried map, or one that is known; return how many."""
        lblk = page * self._per_page
        if self._per_block:
            return self._whole_pages_each(task, file.inode, call, page, end)
        if not call.lblk < lblk < call.lblk + call.length and not self._carry_known(task, file, call, lblk):
            return 0
        offset = lblk - call.lblk
        pages = min((call.length - offset) // self._per_page, end - page)
        if pages:
            task.ps += self._s_page.charge(pages)
            call.bio.add(lblk, call.physical + offset, pages * self._per_page, pages, call.left)
            if self._boundary is not None and self._boundary(lblk + pages * self._per_page):
                call.bio.submit()
        return pages

    def _carry_known(self, task: Task, file: OpenFile, call: _Call, lblk: int) -> bool:
        """Ask for a map that needs no wait, and carry it on, if all of the page at `lblk` lies in it."""
        inode: FsInode = file.inode
        last = self._last(inode, call, lblk)
        if lblk >= last or call.found is not None:
            return False
        found = self._mapper.known(task, inode.map, lblk, last - lblk)
        if found is None:
            return False
        if found.kind != WRITTEN or found.length < self._per_page:
            call.found = found
            return False
        self._carry(task, call, lblk, found)
        return True

    def _whole_pages_each(self, task: Task, inode: FsInode, call: _Call, page: int, end: int) -> int:
        """The counterfactual's pages that lie wholly in one known run: a call for each of their blocks."""
        lblk = page * self._per_page
        found = inode.map.status.lookup(lblk)
        if found is None or found.kind != WRITTEN:
            return 0
        length = min(found.length, inode.blocks - lblk)
        if self._mapper.by_block:
            length = self._mapper.walkable(inode.map, lblk, length)
        pages = min(length // self._per_page, end - page)
        if pages:
            blocks = pages * self._per_page
            self._mapper.charge_hits(task, inode.map, blocks, lblk)
            task.ps += self._s_get.charge(blocks)
            task.ps += self._s_page.charge(pages)
            call.bio.add(lblk, found.physical, blocks, pages, call.left)
            if self._boundary is not None and self._boundary(lblk + blocks):
                call.bio.submit()
        return pages

    def _last(self, inode: FsInode, call: _Call, lblk: int) -> int:
        """Return the block that a map of `lblk` is asked for up to: what the window still needs."""
        return min(lblk + call.left * PAGE_BYTES // self._block_size, inode.mappable)

    def _carry(self, task: Task, call: _Call, lblk: int, found: Mapped) -> int:
        """Carry the answer for `lblk` on; return how many blocks are mapped, 0: a hole, -1: an error."""
        task.ps += self._s_get.charge(1)
        if found.kind != WRITTEN:
            call.length = 0
            return -1 if found.kind == FAILED else 0
        call.lblk, call.physical, call.length = lblk, found.physical, found.length
        return found.length

    def _one_page(
        self, task: Task, file: OpenFile, call: _Call, page: int, pages: int = 1
    ) -> Generator[Any, Any, None]:
        """
        A page at the border of a map: ask for what is missing, or give up on it.

        pages: more than 1 for a large folio, which is treated as one page of so many blocks more.
        """
        per_page = pages * PAGE_BYTES // self._block_size
        inode: FsInode = file.inode
        first = page * PAGE_BYTES // self._block_size
        last = self._last(inode, call, first)
        if self._per_block:
            last = min(last, first + per_page)
        task.ps += call.charged.charge(1)
        at, start = 0, -1
        if call.lblk < first < call.lblk + call.length:
            start = call.physical + first - call.lblk
            at = call.lblk + call.length - first
            if at <= per_page:
                call.length = 0
        first_hole = per_page
        while at < per_page:
            mapped = 0
            if first + at < last:
                want = 1 if self._per_block else last - first - at
                found, call.found = call.found, None
                if found is None:
                    found = yield from self._mapper.map(task, inode.map, first + at, want, call.plug)
                mapped = self._carry(task, call, first + at, found)
            else:
                call.length = 0
            if mapped < 0:
                yield from self._unmapped(task, file, call, page, pages)
                return
            if not mapped:
                first_hole = min(first_hole, at)
                at += 1
                continue
            if first_hole != per_page or (at and start + at != call.physical):
                yield from self._confused(task, file, call, page, pages)
                return
            if not at:
                start = call.physical
            at += mapped
            if at <= per_page:
                call.length = 0
        if first_hole < per_page:
            zeroed = (per_page - first_hole) * self._block_size
            task.ps += self._s_zero.charge_units(1, zeroed)
            if not first_hole:
                task.ps += self._s_unlock.charge(1)
                file.mapping.set_uptodate(page, page + pages)
                return
            file.mapping.parts[page] = first_hole
        if pages > 1:
            task.ps += self._s_block.charge(max(first_hole - self._per_page, 0))
        call.bio.add(first, start, first_hole, 1, call.left)
        if first_hole < per_page or (self._boundary is not None and self._boundary(first + per_page)):
            call.bio.submit()

    def _unmapped(
        self, task: Task, file: OpenFile, call: _Call, page: int, pages: int
    ) -> Generator[Any, Any, None]:
        """A page of which a block cannot be mapped: zeroed and unlocked, or left to buffer heads."""
        if self._error_confuses:
            yield from self._confused(task, file, call, page, pages)
            return
        task.ps += self._s_zero.charge_units(1, pages * PAGE_BYTES) + self._s_unlock.charge(1)
        file.mapping.map_failed(page)

    def _confused(
        self, task: Task, file: OpenFile, call: _Call, page: int, pages: int
    ) -> Generator[Any, Any, None]:
        """Submit what there is, and read the page through buffer heads."""
        call.bio.submit()
        if task.blocked is not None:
            yield from self._queue.wait_for_tag(task)
        yield from call.confused.read_folios(task, file, page, page + pages, call.plug.holds, call.plug)
