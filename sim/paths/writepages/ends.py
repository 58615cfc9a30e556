"""
The completions of write-back (fs/ext4/page-io.c of Linux 6.1): which pages a bio has blocks of, when a page
is no longer under write-back, what is converted behind the last bio.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mypy_extensions import mypyc_attr

from sim.block.bio import Bio, EndIo
from sim.cache.page_runs import filled
from sim.engine.clock import Clock
from sim.engine.ledger import IRQ, KWORKER, TASK, Ledger
from sim.fs.live_inode import LiveInode
from sim.paths.writepages.page_runs import PageRuns


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
        ps = self._s_end[context].charge(bio.count)
        io_end = data.io_end
        if io_end is None or not io_end.vectors:
            ps += self._s_finish[context].charge(bio.count)
            ps += self._s_page[context].charge(self._finish(data))
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
