"""
Committing: a transaction into the log, by the journal's own thread (fs/jbd2/commit.c of Linux 6.1).

Ordered data is written or waited for; descriptors and blocks go into the log under one plug, a bio a block;
then the commit record, with PREFLUSH and FUA (nobarrier: without; journal_async_commit: with the rest, and a
flush behind). Then the blocks are dirty where they belong, for whoever writes them back.

Left out: fast commits, errors, discards.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sim.block.bio import Plug
from sim.block.opf import REQ_FUA, REQ_PREFLUSH
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, under
from sim.errors import InvariantError
from sim.fs.bdev_buffers import BH_SYMBOLS, BH_WBC
from sim.fs.jbd2.checkpoint import LOG_FLAGS, STACK, CheckpointedLog
from sim.fs.jbd2.handle import WAITS, WRITES, Transaction
from sim.fs.write_out import Pending


class Jbd2Journal(CheckpointedLog):
    """One journal: its transactions, its log, and the thread that commits."""

    def _begin(self, ledger: Ledger) -> None:
        """Start the thread."""
        self._place_commit(ledger)
        self.open()

    def _place_commit(self, ledger: Ledger) -> None:
        """Find the places of what the thread calls in a commit."""
        self._s_commit = ledger.site(
            TASK,
            "",
            f"{STACK} {STACK};__jbd2_journal_clean_checkpoint_list"
            f" {STACK};jbd2_journal_write_revoke_records {STACK};ext4_journal_commit_callback",
        )
        descriptor = "jbd2_journal_get_descriptor_buffer"
        self._s_descriptor = ledger.site(TASK, STACK, descriptor, unit=descriptor)
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
        self._s_forgotten = ledger.site(TASK, STACK, "__jbd2_journal_refile_buffer")
        self._s_bh = ledger.site(TASK, STACK, BH_SYMBOLS)
        write = f"{STACK};jbd2_journal_write_revoke_records"
        self._s_write_revoked = ledger.site(
            TASK, write, f"write_dirty_buffer {under('write_dirty_buffer', BH_WBC)}"
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
        self.shadows.begin(metadata)
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
        task.ps += self._s_forgotten.charge(len(transaction.forgotten))
        for block in transaction.forgotten:
            self.log.leaves(block)
        self.committed = transaction.tid
        self.data.committed(task, transaction.tid)
        yield from task.settle()
        if transaction.ended is not None:
            transaction.ended.succeed()

    def _shrink(self, transaction: Transaction) -> None:
        """Let blocks leave their old transactions, unless they are not in place yet, or in this one."""
        self.log.shrink(lambda block: self._busy(block, transaction))

    def _busy(self, block: int, transaction: Transaction) -> bool:
        """Tell whether a block cannot leave its old transaction: not in place yet, or in a newer one."""
        if block in transaction.files or block in transaction.forgotten:
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
            task.ps += self._cleared(1)
            places = self.log.take(1 + len(batch))
            task.ps += self._s_lookup.charge(len(places))
            task.ps += self._s_bh.charge(len(places))
            if self.bytes is not None:
                self.bytes.descriptor(tid, batch, places)
            written = self._out.submit_each(task, plug, places, self._size, LOG_FLAGS)
            self.shadows.submitted([places[0], *batch], written)
            pending.extend(written)
            self.buffers.make(task, places[0])
        if self.async_commit:
            pending.append(self._write_record(task, tid, plug))
        self._queue.finish_plug(task, plug)
        return pending

    def _cleared(self, blocks: int) -> int:
        """Return the cost of blocks of the log that are the journal's own: each is cleared first."""
        return self._s_descriptor.charge_units(blocks, blocks * self.log.block_size)

    def _write_revocations(self, task: Task, tid: int, revoked: list[int], plug: Plug) -> list[Pending]:
        """jbd2_journal_write_revoke_records(): what a replay must not bring back."""
        blocks = -(-len(revoked) // self.log.revocations)
        if not blocks:
            return []
        task.ps += self._cleared(blocks) + self._s_lookup.charge(blocks)
        task.ps += self._s_write_revoked.charge(blocks)
        places = self.log.take(blocks)
        if self.bytes is not None:
            self.bytes.revocations(tid, revoked, places)
        for place in places:
            self.buffers.make(task, place)
        return [self._submit(task, plug, place, LOG_FLAGS, self._in_place) for place in places]

    def _write_record(self, task: Task, tid: int, plug: Plug) -> Pending:
        """journal_submit_commit_record()."""
        task.ps += self._cleared(1) + self._s_lookup.charge(1) + self._s_record.charge(1)
        flags = LOG_FLAGS
        if self.barrier and not self.async_commit:
            flags |= REQ_PREFLUSH | REQ_FUA
        place = self.log.take(1)[0]
        if self.bytes is not None:
            self.bytes.record(tid, place, task.time_ns)
        self.buffers.make(task, place)
        return self._submit(task, plug, place, flags)

    def _refile(self, task: Task, metadata: list[int]) -> None:
        """What was committed is dirty where it belongs, unless the running transaction has it too."""
        running = self.running
        if running is not None:
            files, before = running.files, len(metadata)
            metadata = [block for block in metadata if block not in files]
            task.ps += self._s_refile_next.charge(before - len(metadata))
        for block in self.data.refiled(task, metadata):
            self.buffers.mark_dirty(task, block)

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
