"""
fs/ext4/page_io.c of Linux 6.1, for writing: pages into bios, and what happens when these end.

A bio takes blocks as long as they follow one another on the disk and its 256 vectors last; a vector is a page
of which it has neighbouring blocks. An `IoEnd` stands for the bios of one round of ext4_writepages(): where
extents are still unwritten, its last reference hands it to a worker that converts them, and only then is
write-back over. Encrypted pages are encrypted whole, into bounce pages, before their bios are built.
Where the device encrypts (blk-crypto) there are none: a bio has a context with its first data unit number
(fscrypt_set_bio_crypt_ctx_bh()), and takes a block if that has the next one (fscrypt_mergeable_bio_bh()).

Left out: errors, vectors that join because their pages are neighbours in memory; key slots, as for reads; on
a kernel with blk-crypto, the calls above for files in the clear, which return at once.
"""

from __future__ import annotations

from typing import Final

from sim.block.bio import MAX_VECTORS, Bio, EndIo, Plug
from sim.block.protocols import BioQueue
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, under
from sim.fs.crypt_sites import CryptSites
from sim.fs.live_inode import (
    BH_DIRTY,
    BH_MAPPED,
    BH_UPTODATE,
    NEEDS_MAPPING,
    LiveInode,
    in_a_row,
    same,
)
from sim.fs.write_out import sector_of
from sim.paths.page_bio import ARRAY_VECTORS, WRITE_CONTEXT
from sim.paths.write_calls import chain
from sim.paths.write_ciphers import FSCRYPT_WRITES, WriteCiphers
from sim.paths.writepages.ends import DataBio, IoEnd, WriteBackEnds
from sim.paths.writepages.page_runs import PageRuns
from sim.units import PAGE_BYTES, PAGE_SECTORS, SECTOR_BYTES

WRITEPAGES: Final = "do_writepages;ext4_writepages"
PAGEVEC: Final = 15
"""Pages that one look-up returns."""


class IoSubmit:
    """
    A bio under construction (struct ext4_io_submit): of one write-back, for others go on while it sleeps.

    first, next: blocks on the disk, where it begins and what would follow. last_block: of the file. data:
    what its inode knows of it, None while it is empty.
    """

    __slots__ = (
        "blocks",
        "data",
        "first",
        "flags",
        "inode",
        "io_end",
        "last_block",
        "next",
        "pages",
        "vectors",
    )

    def __init__(self, inode: LiveInode, io_end: IoEnd | None, flags: int) -> None:
        self.inode = inode
        self.io_end = io_end
        self.flags = flags
        self.first = self.next = 0
        self.vectors = 0
        self.last_block = -1
        self.pages = PageRuns()
        self.blocks: list[tuple[int, int]] = []
        self.data: DataBio | None = None

    def begin(self, first: int) -> None:
        """Begin a bio at a block of the disk: its pages are under way, for whoever waits for them."""
        self.first = self.next = first
        self.data = DataBio(self.inode, self.io_end, self.pages)
        self.inode.under_way.append(self.data)

    def take_bio(self, block_size: int, vectors: int, ends: EndIo, count: int = 1) -> Bio:
        """
        Return the bio, to be sent at once, which its IoEnd now knows of; nothing is left of it here.

        count: it is a row of so many, all alike.
        """
        data, self.data = self.data, None
        if self.io_end is not None:
            self.io_end.references += 1
        sectors = (self.next - self.first) * (block_size // SECTOR_BYTES)
        first = sector_of(self.first, block_size)
        bio = Bio(first, sectors // count, count, vectors, ends, data, self.blocks, False, self.flags)
        if self.inode.inline_crypto:
            bio.crypt = self.inode, self.first - self.blocks[0][0]
        self.pages, self.blocks = PageRuns(), []
        return bio


class PageIo:
    """
    ext4_bio_write_page(), and what it does to the bio under construction.

    caller: the folded stack that submits pages. clears_vectors: see WriteDesign. ciphers: what encrypts.
    """

    def __init__(
        self,
        ledger: Ledger,
        queue: BioQueue,
        ends: WriteBackEnds,
        block_size: int,
        caller: str,
        clears_vectors: bool = True,
        ciphers: WriteCiphers = FSCRYPT_WRITES,
    ) -> None:
        self._cleared = ARRAY_VECTORS[MAX_VECTORS] if clears_vectors else 0
        self._queue = queue
        self.ends = ends
        self._size = block_size
        self._per_page = PAGE_BYTES // block_size
        page = f"{caller};ext4_bio_write_page"
        self._s_page = ledger.site(TASK, "", f"{page} {page};__folio_start_writeback {page};folio_unlock")
        self._s_block = ledger.site(TASK, page, "io_submit_add_bh io_submit_add_bh;bio_add_page")
        ended = under("end_page_writeback", chain("folio_end_writeback;__folio_end_writeback"))
        self._s_nothing = ledger.site(TASK, page, f"end_page_writeback {ended}")
        self._s_no_room = ledger.site(TASK, f"{page};io_submit_add_bh", "bio_add_page")
        free = "/bio_endio;bio_put;bio_free;bvec_free"
        self._s_bio = ledger.site(
            TASK, page, f"bio_alloc_bioset bio_alloc_bioset;bvec_alloc {free}", unit="bvec_alloc"
        )
        self._s_encrypt = ledger.site(TASK, page, ciphers.page)
        self._crypt = CryptSites(ledger, page, ciphers.block, block_size)
        add, mergeable = f"{page};io_submit_add_bh", "fscrypt_mergeable_bio_bh"
        self._s_mergeable = ledger.site(TASK, add, f"{mergeable} {mergeable};fscrypt_mergeable_bio")
        self._s_context = ledger.site(TASK, add, WRITE_CONTEXT)

    def write_page(self, task: Task, io: IoSubmit, page: int, plug: Plug) -> None:
        """mpage_submit_page() and ext4_bio_write_page(): the dirty, mapped blocks of one page."""
        inode = io.inode
        mapping, state, per_page = inode.mapping, inode.state, self._per_page
        task.ps += self._s_page.charge(1)
        mapping.tag_dirty(page, False)
        base = page * per_page
        end = min(per_page, -(-(inode.size - page * PAGE_BYTES) // self._size))
        chosen = [0][:0]
        for block in range(base, base + per_page):
            now = state[block]
            if block >= base + end:
                state[block] = (now & ~BH_DIRTY) | BH_UPTODATE
            elif not now & BH_DIRTY or now & NEEDS_MAPPING or not now & BH_MAPPED:
                if not now & BH_MAPPED:
                    state[block] = now & ~BH_DIRTY
                elif now & BH_DIRTY:
                    mapping.tag_dirty(page, True)
                self.submit(task, io, plug)
            else:
                state[block] = now & ~BH_DIRTY
                chosen.append(block)
        if not chosen:
            task.ps += self._s_nothing.charge(1)
            return
        mapping.tag_writeback(page, True)
        if inode.fs_layer_crypto:
            task.ps += self._s_encrypt.charge(1) + self._crypt.charge(end, len(chosen))
        for block in chosen:
            self._add(task, io, page, block, plug)

    def _add(self, task: Task, io: IoSubmit, page: int, block: int, plug: Plug) -> None:
        """io_submit_add_bh(): add a block to the bio, sending that first if it does not follow."""
        place = io.inode.place[block]
        if io.pages and (place != io.next or not self._mergeable(task, io, block)):
            self.submit(task, io, plug)
        joins = io.pages.last == page and io.last_block == block - 1
        if not joins and io.vectors == MAX_VECTORS:
            task.ps += self._s_no_room.charge(1)
            self.submit(task, io, plug)
        if not io.pages:
            task.ps += self._s_bio.charge_units(1, self._cleared)
            if io.inode.inline_crypto:
                task.ps += self._s_context.charge(1)
            io.begin(place)
        task.ps += self._s_block.charge(1)
        if not joins:
            io.vectors += 1
        if io.pages.last != page:
            io.pages.append(page)
            self.ends.began(io.inode, page)
        if io.blocks and io.last_block == block - 1:
            first, count = io.blocks[-1]
            io.blocks[-1] = (first, count + 1)
        else:
            io.blocks.append((block, 1))
        io.next += 1
        io.last_block = block

    def _mergeable(self, task: Task, io: IoSubmit, block: int) -> bool:
        """fscrypt_mergeable_bio_bh(): whether a block that follows on the disk follows in number, too."""
        if not io.inode.inline_crypto:
            return True
        task.ps += self._s_mergeable.charge(1)
        return io.last_block == block - 1

    def row(self, io: IoSubmit, page: int, most: int) -> int:
        """
        Return how many pages from `page` on, of at most `most`, are all alike for write_page() and go into
        the bio under construction: every block dirty and mapped, one behind the other on the disk. The caller
        sees to it that the page is behind the last one in the bio.
        """
        pages = min(most, MAX_VECTORS - io.vectors)
        return self.alike(io.inode, page, pages, io.next) if io.pages else 0

    def alike(self, inode: LiveInode, page: int, most: int, place: int) -> int:
        """
        Return `most`, or fewer at the end of the file, if so many pages from `page` on have every block dirty
        and mapped, one behind the other on the disk, the first at `place`; 0 else.
        """
        base = page * self._per_page
        pages = min(most, inode.size // PAGE_BYTES - page)
        if pages <= 1 or inode.place[base] != place:
            return 0
        end = base + pages * self._per_page
        state = inode.state[base]
        if not state & BH_DIRTY or not state & BH_MAPPED or state & NEEDS_MAPPING:
            return 0
        if inode.place[end - 1] != place + end - 1 - base:
            return 0
        if inode.state[base:end] != same(state, end - base):
            return 0
        return pages if inode.place[base:end] == in_a_row(place, end - base) else 0

    def write_row(self, task: Task, io: IoSubmit, page: int, pages: int) -> None:
        """Do for a row of pages, see row(), what write_page() does for each."""
        inode, per_page = io.inode, self._per_page
        mapping, base, blocks = inode.mapping, page * per_page, pages * per_page
        task.ps += self._s_page.charge(pages) + self._s_block.charge(blocks)
        mapping.begin_writeback(page, page + pages)
        inode.state[base : base + blocks] = same(inode.state[base] & ~BH_DIRTY, blocks)
        if inode.fs_layer_crypto:
            task.ps += self._s_encrypt.charge(pages) + self._crypt.charge(blocks, blocks)
        elif inode.inline_crypto:
            task.ps += self._s_mergeable.charge(blocks)
        io.pages.extend(page, page + pages)
        self.ends.began_row(inode, page, page + pages)
        io.vectors += pages
        io.next += blocks
        if io.last_block == base - 1:
            first, count = io.blocks[-1]
            io.blocks[-1] = (first, count + blocks)
        else:
            io.blocks.append((base, blocks))
        io.last_block = base + blocks - 1

    def write_alone(self, task: Task, inode: LiveInode, page: int, most: int, flags: int, plug: Plug) -> int:
        """
        Write pages, each with a bio of its own: those of at most `most` from `page` on that are alike, and
        whose bios only join the plug's newest request. Return how many. The file is in the clear: one that is
        encrypted is never journalled.
        """
        base = page * self._per_page
        first = inode.place[base]
        pages = self.alike(inode, page, most, first)
        if not pages:
            return 0
        sector, blocks = sector_of(first, self._size), [(base, pages * self._per_page)]
        asked = Bio(sector, PAGE_SECTORS, pages, pages, self.ends, None, blocks, False, flags)
        pages = self._queue.joins(task, asked, plug)
        if not pages:
            return 0
        io = IoSubmit(inode, None, flags)
        io.begin(first)
        task.ps += self._s_bio.charge_units(pages, pages * self._cleared)
        self.write_row(task, io, page, pages)
        self._queue.submit(task, io.take_bio(self._size, pages, self.ends, pages), plug)
        return pages

    def pass_over(self, task: Task, inode: LiveInode, page: int, most: int) -> int:
        """
        Do what write_page() does for tagged pages whose blocks have been written: those of at most `most`
        from `page` on that are alike. Return how many.
        """
        base, state = page * self._per_page, inode.state[page * self._per_page]
        most = min(most, inode.size // PAGE_BYTES - page)
        if most < 1 or state & BH_DIRTY or not state & BH_MAPPED or state & NEEDS_MAPPING:
            return 0
        part = inode.state[base : base + most * self._per_page]
        pages = (len(part) - len(part.lstrip(same(state, 1)))) // self._per_page
        task.ps += self._s_page.charge(pages) + self._s_nothing.charge(pages)
        inode.mapping.untag_row(page, page + pages)
        return pages

    def submit(self, task: Task, io: IoSubmit, plug: Plug) -> None:
        """ext4_io_submit(): send the bio, if there is one."""
        if not io.pages:
            return
        bio = io.take_bio(self._size, io.vectors, self.ends)
        io.vectors, io.last_block = 0, -1
        self._queue.submit(task, bio, plug)
