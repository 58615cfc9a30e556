"""
Committing metadata: jbd2's transactions in the log, and their blocks in place (fs/jbd2, Linux 6.1).

A commit writes descriptor and metadata blocks into the log under one plug, waits, and then writes the commit
record with PREFLUSH and FUA. The first one after the log was empty writes the journal's superblock before,
for a log that it calls empty is not replayed. A checkpoint writes the blocks in place, waits, empties the
device's cache and writes the superblock twice: where the log begins, and that it is empty. The thread of the
journal is the task that waits for it: its switches are charged as sleeping is.

Left out: handles of several tasks in one transaction, the 5 s timer, ordered data (its writers wait for it
themselves), revoke records, checksums, fast commits, data=journal, WRITE ZEROES.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final

from sim.block.bio import MAX_VECTORS, Plug
from sim.block.opf import REQ_FUA, REQ_META, REQ_OP_READ, REQ_OP_WRITE, REQ_PREFLUSH, REQ_SYNC
from sim.block.protocols import BioQueue
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.ext4.format.journal import Journal, Written
from sim.fs.write_out import Disk, Pending, WriteOut, sector_of
from sim.units import PAGE_BYTES, SECTOR_BYTES

COMMIT_STACK: Final = "jbd2_journal_commit_transaction"
_WBC: Final = "submit_bh;submit_bh_wbc"
_BH: Final = f"submit_bh {_WBC} {_WBC};bio_alloc_bioset {_WBC};bio_add_page"


class Jbd2:
    """The journal of one file system, in time; `journal` has its bytes."""

    def __init__(
        self, clock: Clock, ledger: Ledger, queue: BioQueue, journal: Journal, disk: Disk | None
    ) -> None:
        self.journal = journal
        self._queue = queue
        self._size = journal.block_size
        self.out = WriteOut(
            clock, ledger, queue, disk, "end_bio_bh_io_sync", "", f"{COMMIT_STACK};__wait_on_buffer"
        )
        self._s_handle = ledger.site(TASK, "", "jbd2__journal_start")
        self._s_modify = ledger.site(TASK, "", "jbd2_journal_get_write_access jbd2_journal_dirty_metadata")
        self._s_commit = ledger.site(
            TASK, "", f"jbd2_log_start_commit jbd2_log_start_commit;try_to_wake_up {COMMIT_STACK}"
        )
        self._s_logged = ledger.site(TASK, COMMIT_STACK, f"jbd2_journal_write_metadata_buffer {_BH}")
        self._s_record = ledger.site(TASK, COMMIT_STACK, f"journal_submit_commit_record {_BH}")
        self._s_checkpoint = ledger.site(TASK, "", "jbd2_log_do_checkpoint")
        self._s_in_place = ledger.site(TASK, "jbd2_log_do_checkpoint", f"write_dirty_buffer {_BH}")
        self._s_search = ledger.site(TASK, "", "memchr_inv", unit="memchr_inv")

    def modify(self, task: Task, blocks: int) -> None:
        """One handle that changes `blocks` blocks."""
        task.ps += self._s_handle.charge(1) + self._s_modify.charge(blocks)

    def commit(self, task: Task, blocks: Sequence[Written]) -> Generator[Any, Any, None]:
        """jbd2_journal_commit_transaction(): log these blocks; return when their record is on the medium."""
        empty = not self.journal.tail
        transaction = self.journal.commit(blocks)
        if empty:  # JBD2_FLUSHED
            yield from self._update_superblock(task, REQ_OP_WRITE | REQ_SYNC)
        task.ps += self._s_commit.charge(1) + self._s_logged.charge(len(transaction.logged))
        yield from self.out.wait(task, self.write(task, transaction.logged))
        task.ps += self._s_record.charge(1)
        opf = REQ_OP_WRITE | REQ_SYNC | REQ_PREFLUSH | REQ_FUA
        yield from self.out.wait(task, self.write(task, [transaction.commit], opf))

    def checkpoint(self, task: Task, blocks: Sequence[Written]) -> Generator[Any, Any, None]:
        """
        jbd2_journal_flush(): bring committed blocks in place, and note that the log is empty.

        jbd2_cleanup_journal_tail() says first where the log begins, which is where it ends.
        """
        task.ps += self._s_checkpoint.charge(1) + self._s_in_place.charge(len(blocks))
        yield from self.out.wait(task, self.write(task, blocks, REQ_OP_WRITE | REQ_SYNC | REQ_META))
        yield from self.out.flush(task)
        opf = REQ_OP_WRITE | REQ_SYNC | REQ_FUA
        self.journal.cleaned_up()
        yield from self._update_superblock(task, opf)
        self.journal.checkpointed()
        yield from self._update_superblock(task, opf)

    def _update_superblock(self, task: Task, opf: int) -> Generator[Any, Any, None]:
        """jbd2_write_superblock(): write it, and wait."""
        yield from self.out.wait(task, self.write(task, [self.journal.superblock()], opf))

    def write(
        self, task: Task, blocks: Sequence[Written], opf: int = REQ_OP_WRITE | REQ_SYNC
    ) -> list[Pending]:
        """Submit a bio a block under one plug, as submit_bh() does."""
        plug, size = Plug(), self._size
        pending = [
            self.out.submit(
                task,
                plug,
                sector_of(block, size),
                size // SECTOR_BYTES,
                1,
                [(block, 1)],
                lambda block=block, data=data: [(block * size, data)],  # type: ignore[misc]
                opf,
            )
            for block, data in blocks
        ]
        self._queue.finish_plug(task, plug)
        return pending

    def search_log(self, task: Task) -> Generator[Any, Any, None]:
        """Read the whole log, but for its superblock, and look at every byte of it."""
        yield from self.out.wait(task, self._over_log(task, REQ_OP_READ))
        task.ps += self._s_search.charge_units(1, (len(self.journal.blocks) - 1) * self._size)

    def zero_log(self, task: Task) -> Generator[Any, Any, None]:
        """EXT4_IOC_CHECKPOINT with ZEROOUT: zeros over the log (__jbd2_journal_erase()), and a flush."""
        yield from self.out.wait(task, self._over_log(task, REQ_OP_WRITE | REQ_SYNC))
        yield from self.out.flush(task)

    def _over_log(self, task: Task, opf: int) -> list[Pending]:
        """Submit bios of up to 256 pages over the log."""
        plug, size, pending = Plug(), self._size, []
        for first, length in runs_of(self.journal.blocks[1:], MAX_VECTORS * PAGE_BYTES // size):
            write = opf & REQ_OP_WRITE
            pending.append(
                self.out.submit(
                    task,
                    plug,
                    sector_of(first, size),
                    length * size // SECTOR_BYTES,
                    -(-length * size // PAGE_BYTES),
                    [(0, length)],
                    (lambda at=first * size, count=length * size: [(at, bytes(count))]) if write else None,  # type: ignore[misc]
                    opf,
                )
            )
        self._queue.finish_plug(task, plug)
        return pending


def runs_of(blocks: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Return runs (first, length) of blocks that follow one another, of at most `most`."""
    runs: list[tuple[int, int]] = []
    for block in blocks:
        if runs and sum(runs[-1]) == block and runs[-1][1] < most:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((block, 1))
    return runs
