"""
The journal of dm-integrity in mode J: entries, sections, commits, and copies to their places
(drivers/md/dm-integrity.c, Linux 6.1).

An entry takes a block. Entries fill sections in a row; a commit pads the last one and writes whole
sections. At half of the journal (journal_watermark) a commit is started, and after it all committed
sections are copied to their places: a bio for each run of blocks that follow each other within a section,
less those at its ends that are committed anew behind it.

The commit that the watermark starts finds what there is when the writer next sleeps. What enters while it,
and the copying after it, are at work waits for the next one, which begins with the next request to the
device.

Left out: replay, autocommit after 10 s, journals that are encrypted or have a MAC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sim.block.dm.asked import COMMIT, WRITER, Asked
from sim.block.dm.bufio import BufferCache
from sim.block.opf import REQ_FUA, REQ_OP_WRITE, REQ_SYNC
from sim.integrity.interleaved import SUPERBLOCK_SECTORS, Interleaved

WATERMARK_PERCENT = 50
"""DEFAULT_JOURNAL_WATERMARK."""


class Journal:
    """
    A journal that is empty at first.

    write_tag: told of each sector whose tag is to be written when blocks are copied to their places.
    watermark: percent of the journal that are used when a commit is started (journal_watermark).
    """

    def __init__(
        self,
        layout: Interleaved,
        asked: Asked,
        buffers: BufferCache,
        write_tag: Callable[[int], None],
        watermark: int = WATERMARK_PERCENT,
    ) -> None:
        self._layout = layout
        self._asked = asked
        self._buffers = buffers
        self._write_tag = write_tag
        self._entries: list[int | None] = [None] * (layout.sections * layout.section_entries)
        self._where: dict[int, int] = {}
        """Sector of a block -> the last entry that it has."""
        self._free = len(self._entries)
        self._threshold = (len(self._entries) * (100 - watermark) + 50) // 100
        self._next = 0
        """The entry that is taken next."""
        self._uncommitted = 0
        """The first section that is not committed."""
        self._committed = 0
        """Entries from there backwards that are committed and not copied."""
        self._queued = False
        self._working = False

    def parts(self, sector: int, sectors: int) -> Iterator[tuple[int, int, bool]]:
        """
        Yield (sector, sectors, whether they are in the journal) of what is read: what lies in its place, up
        to the first block that is not there; blocks of which the last entries lie in a row.
        """
        step, end = self._layout.block_sectors, sector + sectors
        while sector < end:
            at, entry = sector + step, self._where.get(sector)
            while at < end:
                found = self._where.get(at)
                if found is not None if entry is None else found != entry + (at - sector) // step:
                    break
                at += step
            yield sector, at - sector, entry is not None
            sector = at

    def begin_request(self) -> None:
        """Let a queued commit begin: a bio is allocated, which may sleep."""
        if self._queued and not self._working:
            self._queued = False
            self._working = self._commit()

    def take(self, sector: int, blocks: int) -> int:
        """
        Return how many of the blocks from a sector could be entered; 0: there is no room until
        `copy_to_places`.
        """
        taken = min(blocks, self._free)
        if not taken:
            return 0
        for number in range(taken):
            at = sector + number * self._layout.block_sectors
            self._entries[self._next] = at
            self._where[at] = self._next
            self._next = (self._next + 1) % len(self._entries)
        self._free -= taken
        self._asked.call("__journal_read_write")
        self._asked.takes(taken)
        if self._free <= self._threshold:
            self._queued = True
        return taken

    def copy_to_places(self) -> None:
        """Copy all that is committed to its place (integrity_writer), and have room again."""
        if not self._working:
            self.begin_request()
        self._working = False
        self._asked.by(WRITER)
        self._asked.call("integrity_writer", "do_journal_write")
        per, count = self._layout.section_entries, len(self._entries)
        first = (self._uncommitted * per - self._committed) % count
        newest = self._newest(first)
        for section in range(self._committed // per):
            start = (first + section * per) % count
            for at, run in self._runs(start):
                self._copy(at, run, newest)
            self._forget(start)
        self._asked.call("dm_bufio_write_dirty_buffers_async")
        self._buffers.write_dirty()
        self._asked.call("dm_integrity_flush_buffers")
        self._buffers.flush()
        self._asked.frees(self._committed)
        self._free += self._committed
        self._committed = 0

    def settle(self) -> None:
        """End what the watermark has begun: the copying after its commit."""
        if self._working:
            self.copy_to_places()

    def flush(self) -> None:
        """Commit for a flush: first what was queued before, then what is there (integrity_commit)."""
        for _again in range(1 + self._queued):
            self._working = self._commit()
        self._queued = False

    def _forget(self, start: int) -> None:
        """Take the entries of a section out; blocks that were entered again behind it stay."""
        for entry in range(start, start + self._layout.section_entries):
            sector = self._entries[entry]
            if sector is not None and self._where.get(sector) == entry:
                del self._where[sector]
            self._entries[entry] = None

    def _commit(self) -> bool:
        """Write the sections that are not committed; return whether copying is to follow."""
        self._asked.by(COMMIT)
        self._asked.call("integrity_commit")
        per, count = self._layout.section_entries, len(self._entries)
        over = self._next % per
        if over:
            self._asked.skips(per - over)
            self._free -= per - over
            self._next = (self._next + per - over) % count
        sections = (self._next // per - self._uncommitted) % self._layout.sections
        if not sections and self._free + self._committed < count:
            sections = self._layout.sections
        if not sections:
            return self._working
        self._write_sections(sections)
        self._uncommitted = (self._uncommitted + sections) % self._layout.sections
        self._committed += sections * per
        return self._free <= self._threshold

    def _write_sections(self, sections: int) -> None:
        """Write sections from the first uncommitted one; two bios where they go round the journal's end."""
        self._asked.call("write_journal")
        to_end = self._layout.sections - self._uncommitted
        opf = REQ_OP_WRITE | REQ_FUA | (REQ_SYNC if sections <= to_end else 0)
        for first, number in ((self._uncommitted, min(sections, to_end)), (0, sections - to_end)):
            if number > 0:
                size = self._layout.section_sectors
                self._asked.call("rw_journal_sectors")
                self._asked.dm_io(SUPERBLOCK_SECTORS + first * size, number * size, opf)

    def _runs(self, start: int) -> Iterator[tuple[int, int]]:
        """Yield (entry, blocks) of a section: blocks in a row that follow each other in one area."""
        per, step = self._layout.section_entries, self._layout.block_sectors
        at = start
        while at < start + per:
            sector = self._entries[at]
            if sector is None:
                at += 1
                continue
            end = at + 1
            while end < start + per and self._entries[end] == sector + (end - at) * step:
                if self._layout.area_of(sector + (end - at) * step) != self._layout.area_of(sector):
                    break
                end += 1
            yield at, end - at
            at = end

    def _newest(self, first: int) -> dict[int, int]:
        """Return the last entry of each committed block, from the first committed entry on."""
        count = len(self._entries)
        found: dict[int, int] = {}
        for number in range(self._committed):
            sector = self._entries[(first + number) % count]
            if sector is not None:
                found[sector] = (first + number) % count
        return found

    def _copy(self, entry: int, blocks: int, newest: dict[int, int]) -> None:
        """
        Copy blocks of entries in a row, without those at either end of which a newer one is committed.
        """
        self._asked.call("add_new_range")
        end = entry + blocks
        while entry < end and self._is_old(entry, newest):
            entry += 1
        while entry < end and self._is_old(end - 1, newest):
            end -= 1
        if entry == end:
            return
        sector = self._entries[entry]
        assert sector is not None
        step = self._layout.block_sectors
        for number in range(end - entry):
            self._write_tag(sector + number * step)
        self._asked.dm_io(self._layout.data_sector(sector), (end - entry) * step, REQ_OP_WRITE)

    def _is_old(self, entry: int, newest: dict[int, int]) -> bool:
        """Tell whether a block is committed anew behind this entry."""
        self._asked.call("find_newer_committed_node")
        sector = self._entries[entry]
        return sector is not None and newest[sector] != entry
