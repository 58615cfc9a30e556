"""
ext4_end_io_rsv_work() of Linux 6.1, in a worker: extents are written ones when their data is there.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sim.block.bio import Plug
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.ext4_super import Ext4Super
from sim.fs.map_flags import CONVERT, CREATE, UNWRITTEN
from sim.fs.map_write import WriteMapper
from sim.paths.writepages.ends import Converter, IoEnd, WriteBackEnds


class Conversions(Converter):
    """The conversions of one kind of write-back."""

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        task: Task,
        sb: Ext4Super,
        mapper: WriteMapper,
        ends: WriteBackEnds,
    ) -> None:
        """task: the worker. ends: whose pages end with the conversion."""
        self._clock = clock
        self._task = task
        self._sb = sb
        self._mapper = mapper
        self._ends = ends
        self._queued: list[IoEnd] = []
        self._running = False
        self._s_work = ledger.site(TASK, "", "process_one_work process_one_work;ext4_end_io_rsv_work")
        work = "process_one_work;ext4_end_io_rsv_work"
        self._s_io_end = ledger.site(TASK, work, "ext4_convert_unwritten_io_end_vec")
        self._s_start = ledger.site(
            TASK,
            work,
            "__ext4_journal_start_reserved __ext4_journal_start_reserved;jbd2_journal_start_reserved"
            " __ext4_journal_start_reserved;jbd2_journal_start_reserved;start_this_handle",
        )
        self._s_vector = ledger.site(TASK, work, "ext4_convert_unwritten_extents")
        convert = f"{work};ext4_convert_unwritten_extents"
        self._s_credits = ledger.site(TASK, convert, "ext4_ext_index_trans_blocks")
        self._s_queue = ledger.site(TASK, "", "queue_work_on")

    def queue(self, io_end: IoEnd) -> None:
        """ext4_add_complete_io()."""
        self._queued.append(io_end)
        self._task.ps += self._s_queue.charge(1)
        if not self._running:
            self._running = True
            self._clock.process(self._work())

    def _work(self) -> Generator[Any, Any, None]:
        task, sb = self._task, self._sb
        task.ps += self._s_work.charge(1)
        yield from task.settle()
        while self._queued:
            io_end = self._queued.pop(0)
            task.ps += self._s_io_end.charge(1)
            journal = sb.journal
            if journal is not None:
                task.ps += self._s_start.charge(1)
                journal.start_reserved(task, io_end.reserved)
            for lblk, length in io_end.vectors:
                task.ps += self._s_vector.charge(1)
                if journal is None:
                    task.ps += self._s_credits.charge(1)
                end = lblk + length
                while lblk < end:
                    if journal is None:
                        sb.start_at_once(task, 0)
                    found = yield from self._mapper.map_blocks(
                        task, io_end.inode, lblk, end - lblk, CREATE | UNWRITTEN | CONVERT, Plug(holds=False)
                    )
                    sb.mark_inode_dirty(task, io_end.inode)
                    lblk += found.length
                    if journal is None:
                        sb.stop(task)
            if journal is not None:
                sb.stop(task)
            task.ps += self._ends.converted(io_end)
            if not self._queued:
                yield from task.settle()
        self._running = False
