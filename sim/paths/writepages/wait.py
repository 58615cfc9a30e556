"""Waiting for pages under write-back (mm/filemap.c of Linux 6.1)."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from sim.block.protocols import BioQueue
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.live_inode import LiveInode
from sim.paths.writepages.ends import bios_of_page
from sim.paths.writepages.page_io import PAGEVEC


class WriteBackWait:
    """Waiting for write-back (__filemap_fdatawait_range())."""

    def __init__(self, clock: Clock, ledger: Ledger, queue: BioQueue) -> None:
        self._clock = clock
        self._queue = queue
        wait = "__filemap_fdatawait_range"
        self._s_call = ledger.site(TASK, "", wait)
        self._s_lookup = ledger.site(TASK, wait, "pagevec_lookup_range_tag")
        self._s_page = ledger.site(TASK, wait, "folio_wait_writeback")
        self._s_sleep = ledger.site(
            TASK, f"{wait};folio_wait_writeback", "io_schedule;schedule try_to_wake_up"
        )

    def wait(self, task: Task, inode: LiveInode) -> Generator[Any, Any, None]:
        """Sleep until no page of a file is under write-back."""
        task.ps += self._s_call.charge(1)
        if task.blocked is not None:
            yield from self._queue.wait_for_tag(task)
        yield from task.settle()
        writeback, page = inode.mapping.writeback, 0
        while True:
            task.ps += self._s_lookup.charge(1)
            if writeback is None or not inode.under_way:
                return
            batch = [0][:0]
            page = writeback.find(1, page)
            while page >= 0 and len(batch) < PAGEVEC:
                batch.append(page)
                page = writeback.find(1, page + 1)
            task.ps += self._s_page.charge(len(batch))
            for each in batch:
                yield from self._wait_for(task, inode, each)
            if len(batch) < PAGEVEC:
                return
            page = batch[-1] + 1

    def until(self, task: Task, inodes: Iterable[LiveInode], most: int) -> Generator[Any, Any, None]:
        """Sleep until no more than `most` pages of all files are on their way, the oldest of each first."""
        files = list(inodes)
        while total_under_way(files) > most:
            data = next(inode.under_way[0] for inode in files if inode.under_way)
            yield from task.wait(data.awaited(self._clock))

    def _wait_for(self, task: Task, inode: LiveInode, page: int) -> Generator[Any, Any, None]:
        """folio_wait_writeback()."""
        for data in bios_of_page(inode, page):
            if (yield from task.wait(data.awaited(self._clock))):
                task.ps += self._s_sleep.charge(1)


def total_under_way(inodes: Iterable[LiveInode]) -> int:
    """Return how many pages of these inodes are under write-back."""
    return sum([inode.mapping.writeback_pages for inode in inodes])
