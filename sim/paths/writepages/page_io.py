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

from array import array
from collections.abc import Iterator
from typing import Any, Final

from mypy_extensions import mypyc_attr

from sim.block.bio import MAX_VECTORS, Bio, EndIo, Plug
from sim.block.protocols import BioQueue
from sim.cache.pages import filled
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import IRQ, KWORKER, TASK, Ledger, under
from sim.fs.live_inode import (
    BH_DELAY,
    BH_DIRTY,
    BH_MAPPED,
    BH_UNWRITTEN,
    BH_UPTODATE,
    NEEDS_MAPPING,
    LiveInode,
    same,
)
from sim.fs.write_out import sector_of
from sim.paths.page_bio import ARRAY_VECTORS, WRITE_CONTEXT
from sim.paths.post_read_steps import CipherCalls
from sim.paths.write_calls import chain
from sim.paths.write_ciphers import FSCRYPT_WRITES
from sim.paths.writepages.page_runs import PageRuns
from sim.units import PAGE_BYTES, SECTOR_BYTES

WRITEPAGES: Final = "do_writepages;ext4_writepages"
PAGEVEC: Final = 15
"""Pages that one look-up returns."""


class IoEnd:
    """
    ext4_io_end_t. vectors: [first block, blocks] to be converted. references: bios under way, and its maker.
    reserved: credits set aside for the conversion.
    """

    __slots__ = ("bios", "inode", "references", "reserved", "vectors")

    def __init__(self, inode: LiveInode) -> None:
        self.inode = inode
        self.vectors: list[list[int]] = []
        self.references = 1
        self.reserved = 0
        self.bios: list[DataBio] = []

    def add(self, lblk: int, length: int) -> None:
        """Add blocks to what is to be converted."""
        vectors = self.vectors
        if vectors and vectors[-1][0] + vectors[-1][1] == lblk:
            vectors[-1][1] += length
        else:
            vectors.append([lblk, length])


class DataBio:
    """The data of one bio: which pages of an inode it has blocks of, and what it stands for when it ends."""

    __slots__ = ("ended", "event", "inode", "io_end", "pages")

    def __init__(self, inode: LiveInode, io_end: IoEnd | None, pages: PageRuns) -> None:
        self.inode = inode
        self.io_end = io_end
        self.pages = pages
        self.ended = False
        self.event: Any = None

    def awaited(self, clock: Clock) -> Any:
        """Return the event of its end, for somebody who waits for it."""
        if self.event is None:
            self.event = clock.event()
        return self.event


def bios_of_page(inode: LiveInode, page: int) -> Iterator[DataBio]:
    """Yield those bios under way that have blocks of a page and have not ended when their turn comes."""
    for data in list(inode.under_way):
        if data.pages.has(page) and not data.ended:
            yield data


class IoSubmit:
    """
    A bio under construction (struct ext4_io_submit): of one write-back, for others go on while it sleeps.

    first, next: blocks on the disk, where it begins and what would follow. last_block: of the file.
    """

    __slots__ = ("blocks", "first", "flags", "inode", "io_end", "last_block", "next", "pages", "vectors")

    def __init__(self, inode: LiveInode, io_end: IoEnd | None, flags: int) -> None:
        self.inode = inode
        self.io_end = io_end
        self.flags = flags
        self.first = self.next = 0
        self.vectors = 0
        self.last_block = -1
        self.pages = PageRuns()
        self.blocks: list[tuple[int, int]] = []

    def take_bio(self, block_size: int, vectors: int, ends: EndIo) -> Bio:
        """Return the bio, to be sent at once, which its inode and IoEnd now know of; begin an empty one."""
        data = DataBio(self.inode, self.io_end, self.pages)
        if self.io_end is not None:
            self.io_end.references += 1
        self.inode.under_way.append(data)
        sectors = (self.next - self.first) * (block_size // SECTOR_BYTES)
        first = sector_of(self.first, block_size)
        bio = Bio(first, sectors, 1, vectors, ends, data, self.blocks, False, self.flags)
        if self.inode.inline_crypto:
            bio.crypt = self.inode, self.first - self.blocks[0][0]
        self.pages, self.blocks = PageRuns(), []
        return bio


@mypyc_attr(allow_interpreted_subclasses=True)
class Converter:
    """Converts what an IoEnd has written, in a worker; the null one is never asked."""

    def queue(self, io_end: IoEnd) -> None:
        """Hand an IoEnd over to a worker."""
        raise NotImplementedError


class WriteBackEnds(EndIo):
    """
    The completions of data bios: pages are no longer under write-back when the last bio of each has ended.

    end, finish: the calls of a bio; page: those of each page that it was the last one of.
    """

    def __init__(self, clock: Clock, ledger: Ledger, end: str, finish: str, page: str) -> None:
        self.clock = clock
        contexts = (IRQ, TASK, KWORKER)
        self._s_end = {context: ledger.site(context, "bio_endio", end) for context in contexts}
        self._s_finish = {context: ledger.site(context, "bio_endio", finish) for context in contexts}
        self._s_page = {context: ledger.site(context, "bio_endio", page) for context in contexts}
        self.converter = Converter()
        self._parts: dict[int, bytearray] = {}

    def began(self, inode: LiveInode, page: int) -> None:
        """Count one more bio that has blocks of a page."""
        self._parts_of(inode)[page] += 1

    def began_row(self, inode: LiveInode, first: int, end: int) -> None:
        """Count the bio that has all blocks of pages."""
        self._parts_of(inode)[first:end] = filled(1, end - first)

    def _parts_of(self, inode: LiveInode) -> bytearray:
        """Return how many bios under way have blocks of each page of a file."""
        parts, pages = self._parts.get(inode.number), inode.mapping.pages
        if parts is None:
            parts = self._parts[inode.number] = bytearray(pages)
        elif len(parts) < pages:
            parts.extend(bytes(pages - len(parts)))
        return parts

    def charge(self, bio: Bio, context: str) -> int:
        """Return the completion's cost (EndIo)."""
        data: DataBio = bio.owner
        ps = self._s_end[context].charge(1)
        io_end = data.io_end
        if io_end is None or not io_end.vectors:
            ps += self._s_finish[context].charge(1) + self._s_page[context].charge(self._finish(data))
        return ps

    def done(self, bio: Bio) -> None:
        """The device has it (EndIo)."""
        data: DataBio = bio.owner
        if bio.record is not None:
            bio.record.ready(bio.record.interrupted_ns)
        io_end = data.io_end
        if io_end is not None:
            if io_end.vectors:
                io_end.bios.append(data)
            else:
                self._over(data)
            self.put(io_end)
        else:
            self._over(data)

    def put(self, io_end: IoEnd) -> None:
        """ext4_put_io_end_defer(): the last reference starts the conversion."""
        io_end.references -= 1
        if not io_end.references and io_end.vectors:
            self.converter.queue(io_end)

    def converted(self, io_end: IoEnd) -> int:
        """ext4_release_io_end(): the extents are written; end the pages; return the cost."""
        ps = 0
        for data in io_end.bios:
            ps += self._s_finish[TASK].charge(1) + self._s_page[TASK].charge(self._finish(data))
        for data in io_end.bios:
            self._over(data)
        return ps

    def _finish(self, data: DataBio) -> int:
        """End the pages of which this was the last bio; return how many."""
        parts, mapping = self._parts_of(data.inode), data.inode.mapping
        ended = 0
        for first, end in data.pages.runs:
            if end - first > 1 and parts[first:end] == filled(1, end - first):
                parts[first:end] = filled(0, end - first)
                mapping.end_writeback(first, end)
                ended += end - first
                continue
            for page in range(first, end):
                parts[page] -= 1
                if not parts[page]:
                    mapping.tag_writeback(page, False)
                    ended += 1
        return ended

    def _over(self, data: DataBio) -> None:
        data.ended = True
        data.inode.under_way.remove(data)
        if data.event is not None:
            data.event.succeed()


class PageIo:
    """
    ext4_bio_write_page(), and what it does to the bio under construction.

    caller: the folded stack that submits pages. clears_vectors: see WriteDesign. encrypt: a page.
    """

    def __init__(
        self,
        ledger: Ledger,
        queue: BioQueue,
        ends: WriteBackEnds,
        block_size: int,
        caller: str,
        clears_vectors: bool = True,
        encrypt: CipherCalls = FSCRYPT_WRITES.encrypt,
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
        self._s_encrypt = ledger.site(TASK, page, encrypt.page)
        self._s_crypt = ledger.site(TASK, page, encrypt.unit, unit="xts_encrypt")
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
            elif not now & BH_DIRTY or now & (BH_DELAY | BH_UNWRITTEN) or not now & BH_MAPPED:
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
            task.ps += self._s_encrypt.charge(1) + self._s_crypt.charge_units(end, end * self._size)
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
            io.first = io.next = place
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
        inode, per_page = io.inode, self._per_page
        base = page * per_page
        pages = min(most, MAX_VECTORS - io.vectors, inode.size // PAGE_BYTES - page)
        if pages <= 1 or not io.pages or inode.place[base] != io.next:
            return 0
        end = base + pages * per_page
        state = inode.state[base]
        if not state & BH_DIRTY or not state & BH_MAPPED or state & NEEDS_MAPPING:
            return 0
        if inode.place[end - 1] != io.next + end - 1 - base:
            return 0
        if inode.state[base:end] != same(state, end - base):
            return 0
        return pages if inode.place[base:end] == array("q", range(io.next, io.next + end - base)) else 0

    def write_row(self, task: Task, io: IoSubmit, page: int, pages: int) -> None:
        """Do for a row of pages, see row(), what write_page() does for each."""
        inode, per_page = io.inode, self._per_page
        mapping, base, blocks = inode.mapping, page * per_page, pages * per_page
        task.ps += self._s_page.charge(pages) + self._s_block.charge(blocks)
        mapping.begin_writeback(page, page + pages)
        inode.state[base : base + blocks] = same(inode.state[base] & ~BH_DIRTY, blocks)
        if inode.fs_layer_crypto:
            task.ps += self._s_encrypt.charge(pages)
            task.ps += self._s_crypt.charge_units(blocks, blocks * self._size)
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

    def submit(self, task: Task, io: IoSubmit, plug: Plug) -> None:
        """ext4_io_submit(): send the bio, if there is one."""
        if not io.pages:
            return
        bio = io.take_bio(self._size, io.vectors, self.ends)
        io.vectors, io.last_block = 0, -1
        self._queue.submit(task, bio, plug)
