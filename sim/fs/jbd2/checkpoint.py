"""
What tasks ask of a journal: a commit, room in the log; and checkpoints, which make room
(fs/jbd2/checkpoint.c, journal.c of Linux 6.1).

The oldest transaction's blocks go where they belong, the device's cache is emptied, the superblock says where
the log begins now. Left out: errors, discards.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

from sim.block.bio import Plug
from sim.block.opf import REQ_FUA, REQ_IDLE, REQ_META, REQ_OP_WRITE, REQ_PREFLUSH, REQ_SYNC
from sim.block.protocols import BioQueue
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, under
from sim.fs.bdev_buffers import BH_SYMBOLS, BH_WBC, BdevBuffers
from sim.fs.jbd2.handle import Transaction
from sim.fs.jbd2.log import Log
from sim.fs.jbd2.log_bytes import LogBytes
from sim.fs.jbd2.ordered_data import OrderedData
from sim.fs.jbd2.transaction import Transactions
from sim.fs.write_out import Disk, Pending, WriteOut, sector_of
from sim.units import SECTOR_BYTES

Erase = Callable[[Task], Generator[Any, Any, None]]
"""What is done to the blocks of a log that nobody needs."""
STACK: Final = "jbd2_journal_commit_transaction"
LOG_FLAGS: Final = REQ_OP_WRITE | REQ_META | REQ_SYNC | REQ_IDLE


class CheckpointedLog(Transactions):
    """
    A journal's transactions over its log; who commits is a subclass.

    barrier, async_commit: mount options. data: whose data is ordered. bytes: of the log, None if data is
    off. is_empty: the superblock on the disk says so, and a replay would not look at the log (JBD2_FLUSHED).
    """

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        queue: BioQueue,
        log: Log,
        buffers: BdevBuffers,
        thread: Task,
        disk: Disk | None,
        barrier: bool = True,
        async_commit: bool = False,
        commit_ns: int = 5_000_000_000,
        is_empty: bool = False,
    ) -> None:
        super().__init__(clock, ledger, log.blocks // 4, log.overhead)
        self.log = log
        self.buffers = buffers
        self.barrier = barrier
        self.async_commit = async_commit
        self.commit_ns = commit_ns
        self.data = OrderedData()
        self.bytes: LogBytes | None = None
        self.is_empty = is_empty
        self.committed = 0
        self.thread = thread
        self.closed = False
        self._checkpointed: Any = None
        self._queue = queue
        self._size = buffers.block_size
        self._out = WriteOut(
            clock,
            ledger,
            queue,
            disk,
            "end_bio_bh_io_sync end_bio_bh_io_sync;journal_end_buffer_io_sync",
            "",
            f"{STACK};__wait_on_buffer",
        )
        self._in_place = WriteOut(
            clock,
            ledger,
            queue,
            disk,
            "end_bio_bh_io_sync end_bio_bh_io_sync;end_buffer_write_sync",
            "",
            "jbd2_log_do_checkpoint;__wait_on_buffer",
        )
        self._place_waits(ledger)
        self._begin(ledger)

    def _begin(self, ledger: Ledger) -> None:
        """Start what commits."""
        raise NotImplementedError

    def _place_waits(self, ledger: Ledger) -> None:
        """Find the places of what waits for a commit, and of checkpoints."""
        self._s_wait = ledger.site(TASK, "", "jbd2_log_wait_commit")
        self._s_sleep = ledger.site(TASK, "jbd2_log_wait_commit", "schedule try_to_wake_up")
        self._s_wait_space = ledger.site(TASK, "", "__jbd2_log_wait_for_space")
        self._s_checkpoint = ledger.site(TASK, "", "jbd2_log_do_checkpoint")
        self._s_flush_batch = ledger.site(TASK, "jbd2_log_do_checkpoint", "__flush_batch")
        self._s_write = ledger.site(
            TASK, "jbd2_log_do_checkpoint", f"write_dirty_buffer {under('write_dirty_buffer', BH_WBC)}"
        )
        self._s_much = ledger.site(TASK, STACK, "jbd2_update_log_tail")
        self._s_tail = ledger.site(TASK, "", "jbd2_journal_update_sb_log_tail")
        self._s_superblock = ledger.site(
            TASK, "", f"jbd2_write_superblock {under('jbd2_write_superblock', BH_SYMBOLS)}"
        )

    # -- what tasks ask for ------------------------------------------------------------------------

    def has_space(self) -> bool:
        """Tell whether the log has room for another transaction (jbd2_log_space_left())."""
        taken = self.committing.credits if self.committing is not None else 0
        return self.log.free - 32 - taken >= self.limit

    def make_room(self, task: Task) -> Generator[Any, Any, None]:
        """Wait until a handle may start."""
        running = self.running
        if running is not None:
            if not running.locked:
                self.ask(task, running.tid)
            yield from self._sleep_until_committed(task, running)
            return
        task.ps += self._s_wait_space.charge(1)
        if self.committing is not None:
            yield from self._sleep_until_committed(task, self.committing)
        if self._checkpointed is not None:  # j_checkpoint_mutex
            yield from task.wait(self._checkpointed)
        elif not self.has_space():
            self._checkpointed = self.clock.event()
            yield from self.do_checkpoint(task)
            ended, self._checkpointed = self._checkpointed, None
            ended.succeed()

    def awaits_checkpoint(self, block: int) -> bool:
        """Tell whether a transaction of the log has a block on its list."""
        return self.log.has(block)

    def filed(self, blocks: Sequence[int]) -> None:
        """They are the journal's from now on, not of who writes them in place (set_buffer_jbddirty())."""
        self.buffers.clean(blocks)
        self.data.clean(blocks)

    def begun(self, transaction: Transaction) -> None:
        """Its commit is due after the interval."""
        self.clock.call(self.commit_ns, self._due, transaction)

    def _due(self, transaction: Transaction) -> None:
        if self.running is transaction and not self.closed:
            self.request(transaction.tid)

    def ask(self, task: Task, tid: int) -> None:
        """jbd2_log_start_commit()."""
        task.ps += self._s_ask.charge(1)
        self.request(tid)

    def request(self, tid: int) -> None:
        """__jbd2_log_start_commit(): let the thread commit `tid`."""
        self.requested = max(self.requested, tid)
        if self.wake is not None:
            wake, self.wake = self.wake, None
            wake.succeed()

    def will_send_barrier(self, tid: int) -> bool:
        """jbd2_trans_will_send_data_barrier(): tell whether a commit of `tid` is still to empty the cache."""
        committing = self.committing
        if committing is not None and committing.tid == tid and committing.flushing:
            return False
        return self.barrier and tid > self.committed

    def complete(self, task: Task, tid: int) -> Generator[Any, Any, None]:
        """jbd2_complete_transaction(): return when `tid` is committed."""
        running = self.running
        if running is not None and running.tid == tid and self.requested < tid:
            self.request(tid)
        for transaction in (running, self.committing):
            if transaction is not None and transaction.tid == tid:
                task.ps += self._s_wait.charge(1)
                yield from self._sleep_until_committed(task, transaction)

    def _sleep_until_committed(self, task: Task, transaction: Transaction) -> Generator[Any, Any, None]:
        if transaction.tid <= self.committed:
            return
        if transaction.ended is None:
            transaction.ended = self.clock.event()
        if (yield from task.wait(transaction.ended)):
            task.ps += self._s_sleep.charge(1)

    def _submit(self, task: Task, plug: Plug, place: int, flags: int, out: WriteOut | None = None) -> Pending:
        """Submit the write of a block of the journal. out: on whose way it goes; None: the log's."""
        size = self._size
        return (out or self._out).submit(
            task, plug, sector_of(place, size), size // SECTOR_BYTES, 1, [(place, 1)], None, flags
        )

    # -- checkpoints -------------------------------------------------------------------------------

    def do_checkpoint(self, task: Task) -> Generator[Any, Any, None]:
        """
        jbd2_log_do_checkpoint(): if the tail of the log can move, move it; else bring the oldest
        transaction's blocks in place before.
        """
        task.ps += self._s_checkpoint.charge(1)
        if self.log.before_oldest():
            yield from self._cleanup_tail(task)
            return
        yield from self._commit_what_changes(task)
        plug, oldest = Plug(), self.log.oldest()
        blocks = [block for block in oldest if self.buffers.is_dirty(block) or self.data.is_dirty(block)]
        others = [self.buffers.under_way(block) for block in oldest]
        pending = [each for each in others if each is not None]
        for first in range(0, len(blocks), 64):
            task.ps += self._s_flush_batch.charge(1)
            batch = blocks[first : first + 64]
            self.buffers.clean(batch)
            self.data.clean(batch)
            opf = REQ_OP_WRITE | REQ_SYNC
            written = self._in_place.submit_each(task, plug, batch, self._size, opf, self._s_write)
            self.buffers.writes(batch, written)
            pending.extend(written)
        self._queue.finish_plug(task, plug)
        yield from self._in_place.wait(task, pending)
        self.log.dropped()
        if self.log.before_oldest():
            yield from self._cleanup_tail(task)

    def flush(self, task: Task, erase: Erase | None = None) -> Generator[Any, Any, None]:
        """
        jbd2_journal_flush(): commit what there is, bring all in place, have the log empty.

        erase: done to the log before its superblock says so.
        """
        last = self.running or self.committing
        if last is not None:
            self.ask(task, last.tid)
            yield from self._sleep_until_committed(task, last)
        while self.log.checkpoints:
            yield from self.do_checkpoint(task)
        if erase is not None:
            yield from erase(task)
        if self.bytes is not None:
            self.bytes.tail(self.committed + 1, 0)
        yield from self._write_superblock(task, REQ_FUA)
        self.log.move_tail()
        self.is_empty = True

    def _cleanup_tail(self, task: Task) -> Generator[Any, Any, None]:
        """
        jbd2_cleanup_journal_tail(): empty the device's cache before the superblock says where the log begins.
        """
        if self.barrier:
            yield from self._out.flush(task)
        yield from self.update_tail(task, REQ_FUA)

    def _commit_what_changes(self, task: Task) -> Generator[Any, Any, None]:
        """
        Wait until no transaction has a block that the oldest one in the log is still to bring in place, or
        frees it: until then, what it holds now must not be written, and what it held is in the log alone.
        """
        while True:
            metadata = self.log.oldest()
            for transaction in (self.committing, self.running):
                if transaction is not None and any(
                    block in transaction.files or block in transaction.forgotten for block in metadata
                ):
                    break
            else:
                return
            if transaction is self.running:
                self.ask(task, transaction.tid)
            yield from self._sleep_until_committed(task, transaction)

    def update_tail(self, task: Task, flags: int) -> Generator[Any, Any, None]:
        """
        jbd2_journal_update_sb_log_tail(): the log begins at the oldest transaction that is to be
        checkpointed.
        """
        task.ps += self._s_tail.charge(1)
        if self.bytes is not None:
            tid, start = self.log.next_tail
            self.bytes.tail(tid or self.committed + 1, start)
        yield from self._write_superblock(task, flags)
        self.log.move_tail()

    def _write_superblock(self, task: Task, flags: int) -> Generator[Any, Any, None]:
        """
        jbd2_write_superblock(): write it, and wait. flags: REQ_FUA and REQ_PREFLUSH count with barriers only.
        """
        task.ps += self._s_superblock.charge(1)
        if not self.barrier:
            flags &= ~(REQ_FUA | REQ_PREFLUSH)
        plug = Plug(holds=False)
        yield from self._in_place.wait(
            task, [self._submit(task, plug, self.log.superblock, LOG_FLAGS | flags, self._in_place)]
        )
