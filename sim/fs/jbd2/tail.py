"""
The journal's superblock, which says where the log begins (fs/jbd2/journal.c of Linux 6.1).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, final

from sim.block.bio import Plug
from sim.block.opf import REQ_FUA, REQ_IDLE, REQ_META, REQ_OP_WRITE, REQ_PREFLUSH, REQ_SYNC
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, under
from sim.fs.bdev_buffers import BH_SYMBOLS
from sim.fs.jbd2.log import Log
from sim.fs.write_out import WriteOut, sector_of
from sim.units import SECTOR_BYTES


@final
class LogTail:
    """The tail of a log. out: on whose way its superblock goes. barrier: a mount option."""

    def __init__(self, ledger: Ledger, log: Log, out: WriteOut, block_size: int, barrier: bool) -> None:
        """As the journal has it."""
        self._log = log
        self._out = out
        self._size = block_size
        self._barrier = barrier
        self._s_tail = ledger.site(TASK, "", "jbd2_journal_update_sb_log_tail")
        self._s_superblock = ledger.site(
            TASK, "", f"jbd2_write_superblock {under('jbd2_write_superblock', BH_SYMBOLS)}"
        )

    def clean_up(self, task: Task) -> Generator[Any, Any, None]:
        """jbd2_cleanup_journal_tail(): what was brought in place has to be durable before the tail moves."""
        if self._barrier:
            yield from self._out.flush(task)
        yield from self.move(task)

    def move(self, task: Task) -> Generator[Any, Any, None]:
        """jbd2_journal_update_sb_log_tail(): to the oldest transaction that is to be checkpointed."""
        task.ps += self._s_tail.charge(1)
        yield from self._write_superblock(task, REQ_FUA)
        self._log.move_tail()

    def mark_empty(self, task: Task) -> Generator[Any, Any, None]:
        """jbd2_mark_journal_empty(): nothing is to be replayed."""
        yield from self._write_superblock(task, REQ_PREFLUSH | REQ_FUA)
        self._log.move_tail()

    def _write_superblock(self, task: Task, flags: int) -> Generator[Any, Any, None]:
        """jbd2_write_superblock(): write it, and wait; `flags` count with barriers only."""
        task.ps += self._s_superblock.charge(1)
        opf = REQ_OP_WRITE | REQ_META | REQ_SYNC | REQ_IDLE | (flags if self._barrier else 0)
        place, size = self._log.superblock, self._size
        pending = self._out.submit(
            task,
            Plug(holds=False),
            sector_of(place, size),
            size // SECTOR_BYTES,
            1,
            [(place, 1)],
            None,
            opf,
        )
        yield from self._out.wait(task, [pending])
