"""
ext4_writepages() of Linux 6.1: its rounds over the dirty pages of a file (fs/ext4/inode.c).

Round 0 has no handle and writes what is mapped. Each later one collects one extent of delayed or unwritten
blocks, maps it in a handle, and writes its pages; pages that were collected and not written are looked at
again, so that with short extents the whole scan is quadratic. A design that scans once, which no kernel has,
maps the rest of what it collected in the rounds that follow, and collects again when nothing is left of it;
where a piece ends within a page it asks for all of that rest, not for the page's.
Left out: inline data, nr_to_write and cyclic ranges (all dirty pages are written), errors.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.block.bio import MAX_VECTORS, Plug
from sim.block.protocols import BioQueue
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.ext4_super import Ext4Super
from sim.fs.live_inode import (
    BH_DIRTY,
    BH_MAPPED,
    BH_UNWRITTEN,
    GETS_PLACE,
    NEEDS_MAPPING,
    LiveInode,
    in_a_row,
    same,
)
from sim.fs.map_flags import CREATE, DELALLOC_RESERVED, IO_CREATE, IO_SUBMIT
from sim.fs.map_write import WriteMapper
from sim.fs.writeback_control import WritebackControl
from sim.paths.writepages.ends import IoEnd, bios_of_page
from sim.paths.writepages.page_io import PAGEVEC, WRITEPAGES, IoSubmit, PageIo
from sim.paths.writepages.scan import Scan
from sim.units import PAGE_BYTES

MAX_WRITEPAGES_EXTENT: Final = 2048
"""Blocks that one extent collects at most."""
PAGE_IS_BUFFERS: Final = 4
"""A page that is looked at once more than it is written takes as long as so many of its buffers."""


class Ext4Writepages:
    """
    Writes out the dirty pages of files of one file system.

    rows: pages that are alike are taken together; False: each alone, with the same result.
    """

    def __init__(
        self,
        ledger: Ledger,
        queue: BioQueue,
        sb: Ext4Super,
        mapper: WriteMapper,
        page_io: PageIo,
        scans_once: bool = False,
    ) -> None:
        """scans_once: see WriteDesign."""
        self.rows = True
        self._once = scans_once
        self._queue = queue
        self._sb = sb
        self._mapper = mapper
        self._io = page_io
        self._per_page = sb.per_page
        up = WRITEPAGES
        self._s_call = ledger.site(TASK, "", f"do_writepages {up} {up};ext4_io_submit_init")
        self._s_tag = ledger.site(TASK, up, "tag_pages_for_writeback")
        self._s_round = ledger.site(
            TASK,
            up,
            "ext4_init_io_end mpage_prepare_extent_to_map mpage_release_unused_pages ext4_io_submit"
            " ext4_release_io_end",
        )
        self._s_kept = ledger.site(TASK, up, "ext4_init_io_end ext4_io_submit ext4_release_io_end")
        self._s_first = ledger.site(TASK, up, "ext4_put_io_end_defer")
        self._s_later = ledger.site(TASK, up, "ext4_put_io_end ext4_ext_index_trans_blocks")
        prepare = f"{up};mpage_prepare_extent_to_map"
        self._s_lookup = ledger.site(TASK, prepare, "pagevec_lookup_range_tag")
        self._s_bufs = ledger.site(TASK, prepare, "mpage_process_page_bufs")
        self._s_again = ledger.site(TASK, prepare, "mpage_process_page_bufs:buffer")
        self._s_wait = ledger.site(TASK, prepare, "folio_wait_writeback")
        self._s_submit = ledger.site(
            TASK, prepare, "mpage_submit_page mpage_submit_page;folio_clear_dirty_for_io"
        )
        self._s_vector = ledger.site(TASK, up, "ext4_alloc_io_end_vec")
        self._s_folios = ledger.site(TASK, up, "filemap_get_folios")
        self._s_nolock = ledger.site(TASK, up, "ext4_ext_index_trans_blocks")

    def writepages(self, task: Task, inode: LiveInode, wbc: WritebackControl) -> Generator[Any, Any, None]:
        """Submit all dirty pages."""
        dirty = inode.mapping.dirty
        if dirty is None or not inode.mapping.dirty_pages:
            return
        task.ps += self._s_call.charge(1)
        if wbc.tagged:
            task.ps += self._s_tag.charge(1)
        if self._sb.nolock:
            task.ps += self._s_nolock.charge(1)
        plug = Plug() if task.plug is None else task.plug
        tagged = bytearray(dirty)
        yield from self._rounds(task, inode, tagged, wbc, plug)
        if task.plug is None:
            self._queue.finish_plug(task, plug)

    def _rounds(
        self, task: Task, inode: LiveInode, tagged: bytearray, wbc: WritebackControl, plug: Plug
    ) -> Generator[Any, Any, None]:
        io_end = IoEnd(inode)
        flags = wbc.data_flags
        scan = Scan(IoSubmit(inode, io_end, flags), wbc.cyclic, wbc.sync)
        task.ps += self._s_round.charge(1) + self._s_first.charge(1)
        inode.page_locks.hold(scan)
        yield from self._prepare(task, inode, tagged, scan, False, plug)
        self._release(task, scan)
        self._io.submit(task, scan.io, plug)
        self._io.ends.put(io_end)
        while not scan.over or scan.kept:
            io_end = IoEnd(inode)
            scan.io = IoSubmit(inode, io_end, flags)
            task.ps += (self._s_kept if scan.kept else self._s_round).charge(1) + self._s_later.charge(1)
            sb, credits = self._sb, self._sb.extent_credits()
            reserve = sb.convert_credits() if sb.nolock else 0
            if sb.must_wait(credits, reserve):
                self._queue.flush_for_sleep(task, plug)
            if reserve:
                yield from sb.reserve(task, reserve)
            yield from sb.start(task, credits)
            inode.page_locks.hold(scan)
            if scan.kept:
                for page in range(scan.first, scan.next):
                    yield from self._lock(task, inode, scan, page, plug)
                scan.length, scan.kept = scan.kept, 0
            else:
                yield from self._prepare(task, inode, tagged, scan, True, plug)
            if scan.length:
                yield from self._map_and_submit(task, inode, scan, plug)
            sb.stop(task)
            if io_end.vectors:
                io_end.reserved = reserve
            else:
                sb.unreserve(reserve)
            self._release(task, scan)
            self._io.submit(task, scan.io, plug)
            if task.blocked is not None:
                yield from self._queue.wait_for_tag(task)
            self._io.ends.put(io_end)

    def _lock(
        self, task: Task, inode: LiveInode, scan: Scan, page: int, plug: Plug
    ) -> Generator[Any, Any, None]:
        """lock_page()."""
        if inode.page_locks.busy(page, scan):
            self._queue.flush_for_sleep(task, plug)
            yield from inode.page_locks.wait(task, page, self._io.ends.clock, scan)

    def _release(self, task: Task, scan: Scan) -> None:
        """mpage_release_unused_pages(): collected and not written: they are looked at again."""
        scan.io.inode.page_locks.drop(scan)
        if scan.first < scan.next and not scan.kept:
            pages = scan.next - scan.first
            task.ps += self._s_folios.charge(-(-pages // PAGEVEC))
            task.ps += self._s_again.charge(pages * (PAGE_IS_BUFFERS + self._per_page))
            scan.over = False

    # -- collecting ------------------------------------------------------------------------------------

    def _prepare(
        self, task: Task, inode: LiveInode, tagged: bytearray, scan: Scan, mapping: bool, plug: Plug
    ) -> Generator[Any, Any, None]:
        """mpage_prepare_extent_to_map(): write what is mapped, collect the first extent that is not."""
        scan.length = scan.flags = 0
        start = scan.next = scan.first
        task.ps += self._s_lookup.charge(1)
        seen = 0
        page = tagged.find(1, start)
        dirty, writeback = inode.mapping.dirty, inode.mapping.writeback
        assert dirty is not None
        assert writeback is not None
        while page >= 0:
            if seen and not seen % PAGEVEC:
                task.ps += self._s_lookup.charge(1)
            seen += 1
            if scan.length and scan.next != page:
                return
            yield from self._lock(task, inode, scan, page, plug)
            if not dirty[page] or (writeback[page] and not scan.sync):
                page = tagged.find(1, page + 1)
                continue
            if not scan.length:
                scan.first = page
            scan.next = page + 1
            task.ps += self._s_wait.charge(1)
            if writeback[page]:
                yield from self._wait_for(task, inode, page, plug)
            if not self._process(task, inode, scan, page, 0, mapping, plug):
                return
            if task.blocked is not None:
                yield from self._queue.wait_for_tag(task)
            page += 1
            alike = self._row(inode, tagged, scan, page) if self.rows else 0
            if alike:
                self._take_row(task, scan, page, alike, seen)
                seen, page = seen + alike, page + alike
            page = tagged.find(1, page)
        if (seen and not seen % PAGEVEC) or scan.endless:
            task.ps += self._s_lookup.charge(1)
        scan.over = True

    def _row(self, inode: LiveInode, tagged: bytearray, scan: Scan, page: int) -> int:
        """
        Return how many pages from `page` on are taken as the one before was: into its bio, or into the extent
        that is being collected. None of them makes a bio go.
        """
        assert inode.mapping.writeback is not None
        end, per_page = tagged.find(0, page), self._per_page
        most = (end if end >= 0 else len(tagged)) - page
        blocks = -(-inode.size // self._sb.block_size)
        most = min(most, (blocks - 1) // per_page - page)  # at the last one the scan is over
        if most < 2 or scan.next != page or inode.page_locks.holders != [scan]:
            return 0
        if not scan.length:
            most = self._io.row(scan.io, page, most)
        else:
            base = page * per_page
            most = min(most, (MAX_WRITEPAGES_EXTENT - scan.length) // per_page)
            if most < 2 or scan.lblk + scan.length != base:
                return 0
            now, end = inode.state[base], base + most * per_page
            if not now & BH_DIRTY or not now & BH_MAPPED or now & NEEDS_MAPPING != scan.flags:
                return 0
            if inode.state[base:end] != same(now, end - base):
                return 0
        return most if inode.mapping.writeback.find(1, page, page + most) < 0 else 0

    def _take_row(self, task: Task, scan: Scan, page: int, pages: int, seen: int) -> None:
        """Do for pages, see _row(), what is done for each; seen: pages before them, at least one."""
        task.ps += self._s_lookup.charge((seen + pages - 1) // PAGEVEC - (seen - 1) // PAGEVEC)
        task.ps += self._s_wait.charge(pages) + self._s_bufs.charge(pages)
        if scan.length:
            scan.length += pages * self._per_page
        else:
            self._submit_row(task, scan, page, pages)
        scan.next = page + pages

    def _submit_row(self, task: Task, scan: Scan, page: int, pages: int) -> None:
        """mpage_submit_page() of pages that go into the bio under construction."""
        task.ps += self._s_submit.charge(pages)
        scan.first = page + pages
        scan.io.inode.page_locks.woken()
        self._io.write_row(task, scan.io, page, pages)

    def _wait_for(self, task: Task, inode: LiveInode, page: int, plug: Plug) -> Generator[Any, Any, None]:
        """A page is still on its way from before: wait until it has come there."""
        for data in bios_of_page(inode, page):
            self._queue.flush_for_sleep(task, plug)
            yield from task.wait(data.awaited(self._io.ends.clock))

    def _process(
        self,
        task: Task,
        inode: LiveInode,
        scan: Scan,
        page: int,
        start: int,
        mapping: bool,
        plug: Plug,
    ) -> bool:
        """mpage_process_page_bufs(): False: stop here."""
        task.ps += self._s_bufs.charge(1)
        state, per_page = inode.state, self._per_page
        blocks = -(-inode.size // self._sb.block_size)
        lblk = page * per_page + start
        end = (page + 1) * per_page
        while True:
            if lblk >= blocks or not self._add(scan, lblk, state[lblk], mapping):
                if scan.length or not mapping:
                    return False
                break
            lblk += 1
            if lblk == end:
                break
        if not scan.length:
            self._submit_page(task, scan, page, plug)
        if lblk >= blocks:
            scan.over = True
            return False
        return True

    def _add(self, scan: Scan, lblk: int, state: int, mapping: bool) -> bool:
        """mpage_add_bh_to_extent()."""
        if not state & BH_DIRTY or not state & BH_MAPPED or not state & NEEDS_MAPPING:
            return not scan.length
        flags = state & NEEDS_MAPPING
        if not scan.length:
            if not mapping:
                return False
            scan.lblk, scan.length, scan.flags = lblk, 1, flags
            return True
        if scan.length >= MAX_WRITEPAGES_EXTENT:
            return False
        if lblk == scan.lblk + scan.length and flags == scan.flags:
            scan.length += 1
            return True
        return False

    def _submit_page(self, task: Task, scan: Scan, page: int, plug: Plug) -> None:
        """mpage_submit_page()."""
        task.ps += self._s_submit.charge(1)
        scan.first = page + 1
        scan.io.inode.page_locks.woken()
        self._io.write_page(task, scan.io, page, plug)

    # -- mapping ---------------------------------------------------------------------------------------

    def _map_and_submit(
        self, task: Task, inode: LiveInode, scan: Scan, plug: Plug
    ) -> Generator[Any, Any, None]:
        """mpage_map_and_submit_extent(): map what was collected, as often as it goes on; write its pages."""
        task.ps += self._s_vector.charge(1)
        while scan.length:
            flags = CREATE | IO_SUBMIT | (IO_CREATE if self._sb.nolock else 0)
            if scan.flags & GETS_PLACE:
                flags |= DELALLOC_RESERVED
            found = yield from self._mapper.map_blocks(task, inode, scan.lblk, scan.length, flags, plug)
            if found.unwritten:
                assert scan.io.io_end is not None
                scan.io.io_end.add(scan.lblk, found.length)
            self._submit_mapped(task, inode, scan, scan.lblk, found.physical, found.length, plug)
        disksize = min(scan.first * self._sb.block_size * self._per_page, inode.size)
        if disksize > inode.disksize:
            inode.disksize = disksize
            self._sb.mark_inode_dirty(task, inode)

    def _submit_mapped(
        self,
        task: Task,
        inode: LiveInode,
        scan: Scan,
        lblk: int,
        physical: int,
        length: int,
        plug: Plug,
    ) -> None:
        """mpage_map_and_submit_buffers(): give blocks their places; write pages of which all have one."""
        state, place, per_page = inode.state, inode.place, self._per_page
        end, collected = lblk + length, scan.lblk + scan.length
        first, last = lblk // per_page, (end - 1) // per_page
        task.ps += self._s_folios.charge(-(-(last - first + 1) // PAGEVEC))
        page = first - 1
        while page < last:
            page += 1
            base = page * per_page
            most = end // per_page - page if base >= lblk else 0
            alike = self._map_row(inode, scan, page, most, physical + base - lblk)
            if alike:
                self._submit_row(task, scan, page, alike)
                page += alike - 1
                continue
            for block in range(max(base, lblk), base + per_page):
                if block >= end:
                    if self._once and end < collected:
                        scan.lblk, scan.length = end, collected - end
                        return
                    scan.length = scan.flags = 0
                    self._process(task, inode, scan, page, block - base, True, plug)
                    if scan.length and scan.lblk > end:
                        task.ps += self._s_vector.charge(1)
                    return
                if state[block] & GETS_PLACE:
                    state[block] &= ~GETS_PLACE
                    place[block] = physical + block - lblk
                state[block] &= ~BH_UNWRITTEN
            self._submit_page(task, scan, page, plug)
        scan.length = 0
        if self._once and end < collected:
            scan.lblk, scan.kept = end, collected - end

    def _map_row(self, inode: LiveInode, scan: Scan, page: int, most: int, place: int) -> int:
        """
        Give the blocks of pages their places, where all are alike and go into the bio under construction;
        return how many pages.
        """
        io, base = scan.io, page * self._per_page
        most = min(most, MAX_VECTORS - io.vectors, inode.size // PAGE_BYTES - page)
        if not self.rows or most < 2 or not io.pages or place != io.next:
            return 0
        end, now = base + most * self._per_page, inode.state[base]
        if not now & GETS_PLACE or inode.state[base:end] != same(now, end - base):
            return 0
        inode.state[base:end] = same(now & ~NEEDS_MAPPING, end - base)
        inode.place[base:end] = in_a_row(place, end - base)
        return most if self._io.row(io, page, most) == most else 0
