"""
Writing back behind the writers' backs: the flusher thread (fs/fs-writeback.c of Linux 6.1), and what sync(2)
and syncfs(2) do with it.

A worker wakes when the interval has passed, when there are more dirty pages than the background threshold, or
when sync asks for it, and writes the dirty inodes: WB_SYNC_NONE, nobody waits. Left out: cgroups, bandwidth
estimates (a pass writes all of an inode's dirty pages), b_more_io, dirty times.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from sim.block.bio import Plug
from sim.block.opf import REQ_SYNC
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.ext4_super import Ext4Super
from sim.fs.live_inode import LiveInode
from sim.fs.write_out import Pending, WriteOut
from sim.fs.writeback_control import WB_BACKGROUND, WB_SYNC_ALL, WB_TAGGED, WritebackControl
from sim.paths.file_sync import WriteBack
from sim.paths.writepages.page_io import PAGEVEC
from sim.paths.writepages.wait import WriteBackWait


class Flusher:
    """The flusher of one device. inodes: of its file system, by number."""

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        thread: Task,
        sb: Ext4Super,
        inodes: dict[int, LiveInode],
        write_back: WriteBack,
        wait: WriteBackWait,
        out: WriteOut,
    ) -> None:
        """out: on whose way flushes go."""
        self._clock = clock
        self._account = thread
        self._sb = sb
        self._inodes = inodes
        self._write_back = write_back
        self._wait = wait
        self._out = out
        self._running: Any = None
        work = "process_one_work;wb_workfn"
        self._s_work = ledger.site(
            TASK, "", f"process_one_work {work} {work};wb_writeback {work};wb_writeback;writeback_sb_inodes"
        )
        single = f"{work};wb_writeback;writeback_sb_inodes;__writeback_single_inode"
        self._s_inode = ledger.site(TASK, "", single)
        self._s_clean = ledger.site(TASK, single, "do_writepages do_writepages;ext4_writepages")
        location = "" if sb.journal is not None else " ext4_write_inode;__ext4_get_inode_loc"
        self._s_write_inode = ledger.site(TASK, single, f"ext4_write_inode{location}")
        self._s_sync_fs = ledger.site(TASK, "", "ext4_sync_fs")
        self._s_barrier = ledger.site(TASK, "ext4_sync_fs", "jbd2_trans_will_send_data_barrier")
        self._s_blockdev = ledger.site(TASK, "", "sync_blockdev")
        self._s_write = ledger.site(
            TASK,
            "filemap_fdatawrite_wbc",
            "do_writepages do_writepages;blkdev_writepages"
            " do_writepages;blkdev_writepages;generic_writepages"
            " do_writepages;blkdev_writepages;generic_writepages;write_cache_pages",
        )
        self._s_tag = ledger.site(TASK, "write_cache_pages", "tag_pages_for_writeback")
        self._s_lookup = ledger.site(TASK, "write_cache_pages", "pagevec_lookup_range_tag")
        waiting = "sync_blockdev;__filemap_fdatawait_range"
        self._s_waiting = ledger.site(TASK, "", f"{waiting} {waiting};pagevec_lookup_range_tag")
        self._s_nowait = ledger.site(TASK, "", "filemap_fdatawrite_wbc")

    def dirty_inodes(self) -> list[LiveInode]:
        """Return the inodes that are dirty, or have dirty pages."""
        return [inode for inode in self._inodes.values() if inode.dirty or inode.mapping.dirty_pages]

    def start(self, wbc: WritebackControl = WB_BACKGROUND) -> None:
        """Wake the thread; it writes what is dirty."""
        if self._running is None:
            self._running = self._clock.process(self._work(wbc))

    def _work(self, wbc: WritebackControl) -> Generator[Any, Any, None]:
        """wb_workfn(): all inodes under one plug (wb_writeback())."""
        thread = self._account
        thread.ps += self._s_work.charge(1)
        plug = thread.plug = Plug()
        for inode in self.dirty_inodes():
            thread.ps += self._s_inode.charge(1)
            if inode.mapping.dirty_pages:
                yield from self._write_back.writepages(thread, inode, wbc)
                if thread.blocked is not None:
                    yield from self._out.queue.wait_for_tag(thread)
            else:
                thread.ps += self._s_clean.charge(1)
            if inode.dirty:
                inode.dirty = inode.dirty_datasync = False
                thread.ps += self._s_write_inode.charge(1)
                if self._sb.journal is None:
                    self._sb.buffers.getblk(thread, 1)
            yield from thread.settle()
        thread.plug = None
        self._sb.buffers.finish(thread, plug)
        if thread.blocked is not None:
            yield from self._out.queue.wait_for_tag(thread)
        yield from thread.settle()
        self._running = None

    def finish(self, task: Task, wbc: WritebackControl = WB_BACKGROUND) -> Generator[Any, Any, None]:
        """Wake the thread and wait until it has come to its end."""
        yield from task.settle()
        self.start(wbc)
        if self._running is not None:
            yield self._running

    def idle(self, task: Task) -> Generator[Any, Any, None]:
        """Wait until the pass that is under way, if one is, has come to its end."""
        if self._running is not None:
            yield from task.settle()
        if self._running is not None:
            yield self._running

    def syncfs(self, task: Task) -> Generator[Any, Any, None]:
        """sync_filesystem(): the flusher, the journal, then all inodes with waiting, then the device."""
        yield from self.finish(task, WB_TAGGED)
        journal = self._sb.journal
        task.ps += self._s_sync_fs.charge(1)
        transaction = journal.running if journal is not None else None
        if journal is not None and transaction is not None:
            journal.request(transaction.tid)
            yield self._clock.timeout(0)  # the thread that is woken goes first
        pending = self._write_metadata(task, 0)
        yield from self.finish(task, WB_SYNC_ALL)
        for inode in list(self._inodes.values()):
            if inode.mapping.writeback_pages:
                yield from self._wait.wait(task, inode)
        yield from self._sync_journal(task)
        yield from self.sync_blockdev(task, pending)

    def _sync_journal(self, task: Task) -> Generator[Any, Any, None]:
        """ext4_sync_fs() with waiting: what is to be committed is; a flush unless that brings one."""
        journal, barrier = self._sb.journal, self._sb.options.barrier
        task.ps += self._s_sync_fs.charge(1)
        if journal is not None:
            last = journal.next_tid - 1
            if barrier:
                task.ps += self._s_barrier.charge(1)
                barrier = not journal.will_send_barrier(last)
            yield from journal.complete(task, last)
        if barrier:
            yield from self._out.flush(task)

    def _write_metadata(self, task: Task, flags: int) -> list[Pending]:
        """filemap_fdatawrite_wbc() of the device: committed metadata goes in place. flags: 0 or REQ_SYNC."""
        task.ps += self._s_nowait.charge(1)
        buffers = self._sb.buffers
        if not buffers.dirty_page_count:
            return []
        task.ps += self._s_write.charge(1)
        if flags:
            task.ps += self._s_tag.charge(1)
        task.ps += self._s_lookup.charge(buffers.dirty_page_count // PAGEVEC + 1)
        return buffers.write_back(task, flags)

    def sync_blockdev(self, task: Task, pending: list[Pending]) -> Generator[Any, Any, None]:
        """
        sync_blockdev(): metadata that is committed, in place, and wait for it.

        pending: what of it is on its way.
        """
        task.ps += self._s_blockdev.charge(1)
        pending = pending + self._write_metadata(task, REQ_SYNC)
        yield from self._sb.buffers.wait(task, pending)
        task.ps += self._s_waiting.charge(1)


def total_dirty(inodes: Iterable[LiveInode]) -> int:
    """Return how many pages of these inodes are dirty."""
    return sum([inode.mapping.dirty_pages for inode in inodes])
