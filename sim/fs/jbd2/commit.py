"""
Committing: a transaction into the log, by the journal's own thread (fs/jbd2/commit.c of Linux 6.1).

Ordered data is written or waited for; descriptors and blocks go into the log under one plug, a bio a block;
then the commit record, with PREFLUSH and FUA (nobarrier: without; journal_async_commit: with the rest, and a
flush behind). Then the blocks are dirty where they belong, for whoever writes them back.

Left out: fast commits, errors, the shadow of a block that is changed while it is written, discards.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from mypy_extensions import mypyc_attr

from sim.block.bio import Plug
from sim.block.opf import REQ_FUA, REQ_IDLE, REQ_META, REQ_OP_WRITE, REQ_PREFLUSH, REQ_SYNC
from sim.block.protocols import BioQueue
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, under
from sim.errors import InvariantError
from sim.fs.bdev_buffers import BH_SYMBOLS, BdevBuffers
from sim.fs.jbd2.log import Log
from sim.fs.jbd2.log_bytes import LogBytes
from sim.fs.jbd2.transaction import WAITS, WRITES, Transaction, Transactions
from sim.fs.live_inode import LiveInode
from sim.fs.write_out import Disk, Pending, WriteOut, sector_of
from sim.units import SECTOR_BYTES

STACK: Final = "jbd2_journal_commit_transaction"
LOG_FLAGS: Final = REQ_OP_WRITE | REQ_META | REQ_SYNC | REQ_IDLE


@mypyc_attr(allow_interpreted_subclasses=True)
class OrderedData:
    """The data of inodes, as a commit sees it."""

    def submit(self, task: Task, number: int) -> Generator[Any, Any, None]:
        """Write out an inode's dirty pages whose blocks exist."""
        raise NotImplementedError

    def wait(self, task: Task, number: int) -> Generator[Any, Any, None]:
        """Wait for an inode's pages under write-back."""
        raise NotImplementedError

    def journalled(self, inode: LiveInode, lblk: int, block: int) -> None:
        """A block of a file's data belongs to the journal."""
        what = f"block {block}, {lblk} of inode {inode.number},"
        raise InvariantError(f"{what} is journalled where no data is")

    def is_dirty(self, block: int) -> bool:
        """Tell whether a committed block of a file's data is still to be written in place."""
        del block
        return False

    def clean(self, block: int) -> None:
        """A checkpoint writes such a block."""
        del block

    def refiled(self, task: Task, block: int) -> bool:
        """A block is committed: tell whether it is one of a file's data, dirty in its page from now on."""
        del task, block
        return False


class Jbd2Journal(Transactions):
    """
    One journal: its transactions, its log, and the thread that commits.

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
        self._place_commit(ledger)
        self._place_waits(ledger)
        self.open()

    def _place_commit(self, ledger: Ledger) -> None:
        """Find the places of what the thread calls in a commit."""
        self._s_commit = ledger.site(
            TASK,
            "",
            f"{STACK} {STACK};__jbd2_journal_clean_checkpoint_list"
            f" {STACK};jbd2_journal_write_revoke_records {STACK};ext4_journal_commit_callback",
        )
        self._s_descriptor = ledger.site(TASK, STACK, "jbd2_journal_get_descriptor_buffer")
        self._s_lookup = ledger.site(
            TASK,
            f"{STACK};jbd2_journal_next_log_block",
            f"/{STACK};jbd2_journal_next_log_block ext4_map_blocks ext4_map_blocks;ext4_es_lookup_extent",
        )
        self._s_block = ledger.site(
            TASK,
            STACK,
            "jbd2_journal_write_metadata_buffer jbd2_journal_write_metadata_buffer;alloc_buffer_head"
            " jbd2_journal_write_metadata_buffer;__jbd2_journal_file_buffer free_buffer_head"
            " jbd2_journal_file_buffer jbd2_journal_file_buffer;__jbd2_journal_file_buffer"
            " __jbd2_journal_insert_checkpoint __jbd2_journal_refile_buffer",
        )
        self._s_refile_next = ledger.site(
            TASK, f"{STACK};__jbd2_journal_refile_buffer", "__jbd2_journal_file_buffer"
        )
        self._s_bh = ledger.site(TASK, STACK, BH_SYMBOLS)
        write = f"{STACK};jbd2_journal_write_revoke_records"
        self._s_write_revoked = ledger.site(
            TASK, write, f"write_dirty_buffer {under('write_dirty_buffer', BH_SYMBOLS)}"
        )
        self._s_record = ledger.site(TASK, STACK, f"journal_submit_commit_record {BH_SYMBOLS}")
        self._s_data = {
            WRITES: ledger.site(
                TASK,
                STACK,
                "ext4_journal_submit_inode_data_buffers"
                " ext4_journal_submit_inode_data_buffers;jbd2_journal_submit_inode_data_buffers",
            ),
            WAITS: ledger.site(
                TASK,
                STACK,
                "ext4_journal_finish_inode_data_buffers"
                " ext4_journal_finish_inode_data_buffers;jbd2_journal_finish_inode_data_buffers",
            ),
        }

    def _place_waits(self, ledger: Ledger) -> None:
        """Find the places of what waits for a commit, and of checkpoints."""
        self._s_wait = ledger.site(TASK, "", "jbd2_log_wait_commit")
        self._s_sleep = ledger.site(TASK, "jbd2_log_wait_commit", "schedule try_to_wake_up")
        self._s_wait_space = ledger.site(TASK, "", "__jbd2_log_wait_for_space")
        self._s_checkpoint = ledger.site(TASK, "", "jbd2_log_do_checkpoint")
        self._s_flush_batch = ledger.site(TASK, "jbd2_log_do_checkpoint", "__flush_batch")
        self._s_write = ledger.site(
            TASK, "jbd2_log_do_checkpoint", f"write_dirty_buffer {under('write_dirty_buffer', BH_SYMBOLS)}"
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

    def filed(self, block: int) -> None:
        """It is dirty for the journal from now on, not for who writes it in place (set_buffer_jbddirty())."""
        self.buffers.clean(block)
        self.data.clean(block)

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

    # -- the thread --------------------------------------------------------------------------------

    def _kjournald(self) -> Generator[Any, Any, None]:
        """kjournald2(): commit what is asked for."""
        thread = self.thread
        while not self.closed:
            running = self.running
            if running is None or self.requested < running.tid:
                self.wake = self.clock.event()
                yield self.wake
                continue
            yield from self._commit(thread, running)
            yield from thread.settle()

    def open(self) -> None:
        """Start the thread."""
        self.closed = False
        self.clock.process(self._kjournald())

    def close(self) -> None:
        """End the thread."""
        self.closed = True
        self.request(0)

    def _commit(self, task: Task, transaction: Transaction) -> Generator[Any, Any, None]:
        """jbd2_journal_commit_transaction()."""
        if self.is_empty:
            self.is_empty = False
            yield from self.update_tail(task, 0)
        transaction.locked = True
        task.ps += self._s_commit.charge(1)
        while transaction.updates:  # a reserved handle may still come
            transaction.drained = self.clock.event()
            yield from task.wait(transaction.drained)
        self._shrink(transaction)
        self.committing, self.running = transaction, None
        metadata, revoked = transaction.metadata(), list(transaction.revoked)
        if self.bytes is not None:
            self.bytes.freeze(metadata)
        for number, what in transaction.inodes.items():
            if what & WRITES:
                task.ps += self._s_data[WRITES].charge(1)
                yield from self.data.submit(task, number)
        written = self._write_log(task, transaction.tid, metadata, revoked)
        for number in transaction.inodes:
            task.ps += self._s_data[WAITS].charge(1)
            yield from self.data.wait(task, number)
        yield from self._out.wait(task, written)
        freed = self.log.before_oldest()
        transaction.flushing = True
        if not self.async_commit:
            record = self._write_record(task, transaction.tid, Plug(holds=False))
            yield from self._out.wait(task, [record])
        elif self.barrier:
            yield from self._out.flush(task)
        if freed >= self.limit:
            task.ps += self._s_much.charge(1)
            yield from self.update_tail(task, REQ_FUA)
        self.log.committed(transaction.tid, metadata)
        self.committing = None
        transaction.credits = 0
        self._refile(task, metadata)
        self.committed = transaction.tid
        yield from task.settle()
        if transaction.ended is not None:
            transaction.ended.succeed()

    def _shrink(self, transaction: Transaction) -> None:
        """Let blocks leave their old transactions, unless they are not in place yet, or in this one."""
        self.log.shrink(lambda block: self._busy(block, transaction))

    def _busy(self, block: int, transaction: Transaction) -> bool:
        """Tell whether a block cannot leave its old transaction: not in place yet, or in a newer one."""
        if block in transaction.files or block in transaction.revoked:
            return True
        if self.buffers.is_dirty(block) or self.data.is_dirty(block):
            return True
        return self.buffers.under_way(block) is not None

    def _write_log(self, task: Task, tid: int, metadata: list[int], revoked: list[int]) -> list[Pending]:
        """Submit revocations, descriptors and blocks; with journal_async_commit the commit record, too."""
        task.ps += self._s_block.charge(len(metadata))
        plug = Plug()
        pending = self._write_revocations(task, tid, revoked, plug)
        for first in range(0, len(metadata), self.log.tags):
            batch = metadata[first : first + self.log.tags]
            task.ps += self._s_descriptor.charge(1)
            places = self.log.take(1 + len(batch))
            task.ps += self._s_lookup.charge(len(places))
            task.ps += self._s_bh.charge(len(places))
            if self.bytes is not None:
                self.bytes.descriptor(tid, batch, places)
            pending.extend([self._submit(task, plug, place, LOG_FLAGS) for place in places])
            self.buffers.make(task, places[0])
        if self.async_commit:
            pending.append(self._write_record(task, tid, plug))
        self._queue.finish_plug(task, plug)
        return pending

    def _write_revocations(self, task: Task, tid: int, revoked: list[int], plug: Plug) -> list[Pending]:
        """jbd2_journal_write_revoke_records(): what a replay must not bring back."""
        blocks = -(-len(revoked) // self.log.revocations)
        if not blocks:
            return []
        task.ps += self._s_descriptor.charge(blocks) + self._s_lookup.charge(blocks)
        task.ps += self._s_write_revoked.charge(blocks)
        places = self.log.take(blocks)
        if self.bytes is not None:
            self.bytes.revocations(tid, revoked, places)
        for place in places:
            self.buffers.make(task, place)
        return [self._submit(task, plug, place, REQ_OP_WRITE | REQ_SYNC) for place in places]

    def _write_record(self, task: Task, tid: int, plug: Plug) -> Pending:
        """journal_submit_commit_record()."""
        task.ps += self._s_descriptor.charge(1) + self._s_lookup.charge(1) + self._s_record.charge(1)
        flags = LOG_FLAGS
        if self.barrier and not self.async_commit:
            flags |= REQ_PREFLUSH | REQ_FUA
        place = self.log.take(1)[0]
        if self.bytes is not None:
            self.bytes.record(tid, place, task.time_ns)
        self.buffers.make(task, place)
        return self._submit(task, plug, place, flags)

    def _submit(self, task: Task, plug: Plug, place: int, flags: int, out: WriteOut | None = None) -> Pending:
        """Submit the write of a block of the journal. out: on whose way it goes; None: the log's."""
        size = self._size
        return (out or self._out).submit(
            task, plug, sector_of(place, size), size // SECTOR_BYTES, 1, [(place, 1)], None, flags
        )

    def _refile(self, task: Task, metadata: list[int]) -> None:
        """What was committed is dirty where it belongs, unless the running transaction has it too."""
        running = self.running
        for block in metadata:
            if running is not None and block in running.files:
                task.ps += self._s_refile_next.charge(1)
            elif not self.data.refiled(task, block):
                self.buffers.mark_dirty(task, block)

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
            for block in blocks[first : first + 64]:
                task.ps += self._s_write.charge(1)
                self.buffers.clean(block)
                self.data.clean(block)
                written = self._submit(task, plug, block, REQ_OP_WRITE | REQ_SYNC, self._in_place)
                self.buffers.writes(block, written)
                pending.append(written)
        self._queue.finish_plug(task, plug)
        yield from self._in_place.wait(task, pending)
        self.log.dropped()
        if self.log.before_oldest():
            yield from self._cleanup_tail(task)

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
                    block in transaction.files or block in transaction.revoked for block in metadata
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

    def destroy(self, task: Task) -> Generator[Any, Any, None]:
        """
        jbd2_journal_destroy(): the thread ends, all transactions are brought in place, the log is empty.

        The last one is committed by who syncs before; one that runs then is not expected.
        """
        last = self.committing or self.running
        if last is not None:
            raise InvariantError(f"a journal is destroyed, transaction {last.tid} is not committed")
        self.close()
        while self.log.checkpoints:
            yield from self.do_checkpoint(task)
        yield from self._write_superblock(task, REQ_PREFLUSH | REQ_FUA)
        self.log.move_tail()
