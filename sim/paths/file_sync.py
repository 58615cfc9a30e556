"""
Making a file's data durable: fsync(2), fdatasync(2), sync_file_range(2) (fs/ext4/fsync.c of Linux 6.1).

Left out: fast commits, a directory's parent, errors.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from mypy_extensions import mypyc_attr

from sim.block.bio import Plug
from sim.block.opf import REQ_META, REQ_OP_WRITE, REQ_PRIO, REQ_SYNC
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, Site, under
from sim.fs.bdev_buffers import BH_WBC
from sim.fs.ext4_super import Ext4Super
from sim.fs.live_inode import LiveInode
from sim.fs.write_out import Pending, WriteOut, sector_of
from sim.fs.writeback_control import WB_SYNC_ALL, WB_SYNC_NONE, WritebackControl
from sim.paths.write_calls import chain
from sim.paths.writepages.wait import WriteBackWait
from sim.units import SECTOR_BYTES


@mypyc_attr(allow_interpreted_subclasses=True)
class WriteBack:
    """How the dirty pages of files are written: one of the designs, by inode."""

    def writepages(self, task: Task, inode: LiveInode, wbc: WritebackControl) -> Generator[Any, Any, None]:
        """do_writepages()."""
        raise NotImplementedError


class FileSync:
    """The system calls that write files out and wait."""

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        sb: Ext4Super,
        write_back: WriteBack,
        wait: WriteBackWait,
        out: WriteOut,
    ) -> None:
        """out: on whose way flushes go, and inodes where there is no journal."""
        self._clock = clock
        self._sb = sb
        self._write_back = write_back
        self._wait = wait
        self._out = out
        self._s_fsync = ledger.site(TASK, "", chain("entry_SYSCALL_64;vfs_fsync_range;ext4_sync_file"))
        self._s_fdatasync = ledger.site(TASK, "", chain("entry_SYSCALL_64;ext4_sync_file"))
        self._s_range = ledger.site(TASK, "", "entry_SYSCALL_64")
        self._s_write = ledger.site(TASK, "", "filemap_fdatawrite_wbc")
        self._s_commit = ledger.site(
            TASK, "ext4_sync_file", chain("ext4_fc_commit;jbd2_complete_transaction")
        )
        self._s_barrier = ledger.site(TASK, "ext4_sync_file", "jbd2_trans_will_send_data_barrier")
        write = "ext4_sync_file;sync_inode_metadata;__writeback_single_inode"
        buffer = "sync_dirty_buffer;__sync_dirty_buffer"
        self._s_again = ledger.site(TASK, write, "do_writepages")
        written = f"{write};ext4_write_inode"
        inner = f"__ext4_get_inode_loc {chain(buffer)}"
        self._s_inode = ledger.site(
            TASK,
            "",
            f"filemap_fdatawait_range {write} {written} {under(written, inner)}",
        )
        self._s_inode_block = ledger.site(TASK, f"{written};{buffer}", BH_WBC)
        associated = "write_dirty_buffer"
        self._s_associated = ledger.site(
            TASK, "ext4_sync_file;sync_mapping_buffers", f"{associated} {under(associated, BH_WBC)}"
        )
        self._s_force = ledger.site(TASK, "ext4_sync_file", "ext4_force_commit")

    def fsync(self, task: Task, inode: LiveInode, data_only: bool = False) -> Generator[Any, Any, None]:
        """fsync(2); data_only: fdatasync(2), for which times do not count."""
        task.ps += (self._s_fdatasync if data_only else self._s_fsync).charge(1)
        yield from self.write_and_wait(task, inode)
        journal = self._sb.journal
        if journal is None:
            yield from self._without_journal(task, inode, data_only)
        elif inode.journalled:
            task.ps += self._s_force.charge(1)
            yield from self._force(task)
        else:
            tid = inode.datasync_tid if data_only else inode.sync_tid
            task.ps += self._s_commit.charge(1)
            barrier = False
            if self._sb.options.barrier:
                task.ps += self._s_barrier.charge(1)
                barrier = not journal.will_send_barrier(tid)
            yield from journal.complete(task, tid)
            if barrier:
                yield from self._out.flush(task)
        yield from task.settle()

    def _force(self, task: Task) -> Generator[Any, Any, None]:
        """ext4_force_commit(): commit what there is."""
        journal = self._sb.journal
        assert journal is not None
        transaction = journal.running or journal.committing
        if transaction is not None:
            yield from journal.complete(task, transaction.tid)

    def _without_journal(self, task: Task, inode: LiveInode, data_only: bool) -> Generator[Any, Any, None]:
        """
        ext4_fsync_nojournal(): the blocks of the file's metadata, waited for; and if the inode is dirty its
        block, and a flush. Who finds the inode clean does without a flush.
        """
        plug = Plug()
        blocks = [block for block in inode.associated if self._sb.buffers.is_dirty(block)]
        inode.associated.clear()
        yield from self._write_blocks(task, blocks, plug, self._s_associated)
        if inode.dirty_datasync or (inode.dirty and not data_only):
            yield from self._write_inode(task, inode)
            if self._sb.options.barrier:
                yield from self._out.flush(task)

    def _write_inode(self, task: Task, inode: LiveInode) -> Generator[Any, Any, None]:
        """sync_inode_metadata(): __writeback_single_inode() of a file that has no dirty pages any more."""
        buffers, block = self._sb.buffers, inode.table_block
        task.ps += self._s_again.charge(1)
        inode.dirty = inode.dirty_datasync = False
        yield from self._wait.wait(task, inode)
        task.ps += self._s_inode.charge(1)
        buffers.getblk(task, 1)
        if buffers.is_dirty(block):
            yield from self._write_blocks(task, [block], Plug(holds=False), self._s_inode_block)

    def _write_blocks(
        self, task: Task, blocks: list[int], plug: Plug, calls: Site
    ) -> Generator[Any, Any, None]:
        """Write blocks of metadata to their places, in that order, and wait for each."""
        if not blocks:
            return
        buffers, size = self._sb.buffers, self._sb.block_size
        buffers.clean(blocks)
        flags = REQ_OP_WRITE | REQ_SYNC | REQ_META | REQ_PRIO
        pending: list[Pending] = []
        for block in blocks:
            task.ps += calls.charge(1)
            place, sectors = sector_of(block, size), size // SECTOR_BYTES
            pending.append(self._out.submit(task, plug, place, sectors, 1, [(block, 1)], None, flags))
        self._out.queue.finish_plug(task, plug)
        yield from self._out.wait(task, pending)

    def write_and_wait(self, task: Task, inode: LiveInode) -> Generator[Any, Any, None]:
        """file_write_and_wait_range()."""
        yield from self.write_range(task, inode)
        yield from self._wait.wait(task, inode)

    def write_range(
        self, task: Task, inode: LiveInode, wbc: WritebackControl = WB_SYNC_ALL
    ) -> Generator[Any, Any, None]:
        """filemap_fdatawrite_wbc(), if anything is dirty."""
        task.ps += self._s_write.charge(1)
        if inode.mapping.dirty_pages:
            yield from self._write_back.writepages(task, inode, wbc)
            if task.blocked is not None:
                yield from self._out.queue.wait_for_tag(task)

    def sync_file_range(
        self, task: Task, inode: LiveInode, before: bool, write: bool, after: bool
    ) -> Generator[Any, Any, None]:
        """sync_file_range(2) of the whole file: WAIT_BEFORE, WRITE, WAIT_AFTER."""
        task.ps += self._s_range.charge(1)
        if before:
            yield from self._wait.wait(task, inode)
        if write:
            yield from self.write_range(task, inode, WB_SYNC_ALL if before and after else WB_SYNC_NONE)
        if after:
            yield from self._wait.wait(task, inode)
        yield from task.settle()
