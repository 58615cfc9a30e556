"""
A mounted ext4 as the write side sees it: mount options, journal, where metadata lies; and changing an inode
(fs/ext4/inode.c, ext4_jbd2.c of Linux 6.1).

Left out: quotas, fast commits, extended attributes that grow, bigalloc. The list of orphans: sim.fs.unlink.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final

from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, Site
from sim.ext4.format.superblock import SUPERBLOCK_OFFSET
from sim.fs.bdev_buffers import BdevBuffers
from sim.fs.inode_locks import InodeLocks
from sim.fs.jbd2.commit import Jbd2Journal
from sim.fs.live_inode import LiveInode
from sim.fs.metadata_bytes import MetadataBytes

MAX_EXTENT_DEPTH: Final = 5
META_TRANS_BLOCKS: Final = 6
"""What every handle that writes data reserves for inode, superblock and attributes."""
TICK_NS: Final = 4_000_000
"""A tick of 250 Hz: how finely times are kept (current_time())."""


@dataclass(frozen=True, slots=True)
class MountOptions:
    """
    data: "ordered", "writeback" or "journal". dioread_nolock: as asked, None for the default: where a block
    is a page. commit_ns: interval of commits.
    """

    data: str = "ordered"
    delalloc: bool = True
    dioread_nolock: bool | None = None
    barrier: bool = True
    journal_async_commit: bool = False
    commit_ns: int = 5_000_000_000


class Ext4Super:
    """
    What all inodes share. groups, descriptor_blocks: how many there are. journal: None if there is none.

    ticks_left: how often a write still finds new times, -1: as the clock says. bytes: None if data is off.
    """

    def __init__(
        self,
        ledger: Ledger,
        buffers: BdevBuffers,
        journal: Jbd2Journal | None,
        options: MountOptions,
        groups: int,
        descriptor_blocks: int,
        per_page: int,
        descriptors_at: int = 0,
    ) -> None:
        """descriptors_at: the first block of the group descriptors."""
        self.buffers = buffers
        self.journal = journal
        self.locks = InodeLocks(ledger, buffers)
        self.options = options
        self.block_size = buffers.block_size
        self.per_page = per_page
        self.groups = groups
        self.descriptor_blocks = descriptor_blocks
        self._descriptors_at = descriptors_at
        self.superblock = SUPERBLOCK_OFFSET // buffers.block_size
        self.ticks_left: int = -1
        self.bytes: MetadataBytes | None = None
        nolock = options.dioread_nolock if options.dioread_nolock is not None else per_page == 1
        self.nolock = nolock and options.delalloc and options.data != "journal"
        self.delalloc = options.delalloc and options.data != "journal"
        mark = "__ext4_mark_inode_dirty"
        reserve = f"{mark};ext4_reserve_inode_write"
        self._s_reserve = ledger.site(
            TASK,
            "",
            f"{mark} {reserve} {reserve};ext4_get_inode_loc"
            f" {reserve};ext4_get_inode_loc;__ext4_get_inode_loc {mark};ext4_mark_iloc_dirty"
            f" {mark};ext4_mark_iloc_dirty;ext4_fc_track_inode",
        )
        alone = "ext4_reserve_inode_write"
        self._s_reserve_alone = ledger.site(
            TASK,
            "",
            f"{alone} {alone};ext4_get_inode_loc {alone};ext4_get_inode_loc;__ext4_get_inode_loc",
        )
        self._s_mark_alone = ledger.site(
            TASK, "", "ext4_mark_iloc_dirty ext4_mark_iloc_dirty;ext4_fc_track_inode"
        )
        self._s_dirty = ledger.site(TASK, "", "__mark_inode_dirty")
        self._s_dirty_inode = ledger.site(TASK, "__mark_inode_dirty", "ext4_dirty_inode")
        self._s_no_journal = {
            "start": ledger.site(TASK, "", "__ext4_journal_start_sb"),
            "stop": ledger.site(TASK, "", "__ext4_journal_stop"),
            "get": ledger.site(TASK, "", "__ext4_journal_get_write_access"),
            "create": ledger.site(TASK, "", "__ext4_journal_get_create_access"),
            "dirty": ledger.site(TASK, "", "__ext4_handle_dirty_metadata"),
            "of inode": ledger.site(TASK, "__ext4_handle_dirty_metadata", "mark_buffer_dirty_inode"),
        }

    def descriptor_block(self, group: int) -> int:
        """Return the block that holds a group's descriptor."""
        return self._descriptors_at + group // (-(-self.groups // self.descriptor_blocks))

    # -- handles, with a journal or without ----------------------------------------------------------

    def start(self, task: Task, credits: int) -> Generator[Any, Any, None]:
        """ext4_journal_start(): credits for `credits` blocks, and one for what is revoked."""
        if self.journal is None:
            task.ps += self._s_no_journal["start"].charge(1)
        else:
            yield from self.journal.start(task, credits + 1)

    def reserve(self, task: Task, credits: int) -> Generator[Any, Any, None]:
        """Set credits aside for the conversion at the end of I/O."""
        if self.journal is not None:
            yield from self.journal.reserve(task, credits)

    def unreserve(self, credits: int) -> None:
        """What was set aside is not needed."""
        if self.journal is not None and credits:
            self.journal.unreserve(credits)

    def ensure_credits(self, task: Task, credits: int) -> Generator[Any, Any, None]:
        """ext4_journal_ensure_credits()."""
        if self.journal is not None:
            yield from self.journal.ensure_credits(task, credits)

    def must_wait(self, credits: int, reserve: int) -> bool:
        """Tell whether starting a handle, with a reserve, would sleep."""
        journal = self.journal
        if journal is None:
            return False
        return not journal.fits(credits + 1) or (reserve > 0 and not journal.reserve_fits(reserve))

    def can_start(self, task: Task, credits: int) -> bool:
        """Tell whether start() would not sleep."""
        return self.journal is None or task.handle is not None or self.journal.fits(credits + 1)

    def start_at_once(self, task: Task, credits: int) -> None:
        """Start a handle that does not have to wait."""
        if self.journal is None:
            task.ps += self._s_no_journal["start"].charge(1)
        else:
            self.journal.start_at_once(task, credits + 1)

    def stop(self, task: Task) -> None:
        """ext4_journal_stop()."""
        if self.journal is None:
            task.ps += self._s_no_journal["stop"].charge(1)
        else:
            self.journal.stop(task)

    def sites_of_handles(self) -> list[Site]:
        """Return all that handles may charge which start at once and change blocks."""
        return list(self._s_no_journal.values()) if self.journal is None else self.journal.sites_of_handles()

    def rows_fit(self, credits: int, used: int, most: int) -> int:
        """Return how many handles, at most, start at once, one after another, each with `used` new blocks."""
        return most if self.journal is None else self.journal.rows_fit(credits + 1, used, most)

    def get_write_access(self, task: Task, block: int) -> None:
        """ext4_journal_get_write_access()."""
        if self.journal is None:
            task.ps += self._s_no_journal["get"].charge(1)
        else:
            self.journal.get_write_access(task, block)

    def get_create_access(self, task: Task, block: int) -> None:
        """ext4_journal_get_create_access()."""
        if self.journal is None:
            task.ps += self._s_no_journal["create"].charge(1)
        else:
            self.journal.get_create_access(task, block)

    def dirty_metadata(self, task: Task, block: int, inode: LiveInode | None = None) -> None:
        """
        ext4_handle_dirty_metadata(): to the journal; without one the block is dirty at once. inode: whose
        fsync(2) then has to write the block (mark_buffer_dirty_inode()).
        """
        if self.journal is None:
            task.ps += self._s_no_journal["dirty"].charge(1)
            if inode is not None:
                task.ps += self._s_no_journal["of inode"].charge(1)
                inode.associated[block] = True
            self.buffers.mark_dirty(task, block)
        else:
            self.journal.dirty_metadata(task, block)

    def extend(self, task: Task, credits: int) -> bool:
        """ext4_journal_extend(): tell whether the task's handle has got so many credits more."""
        return self.journal is None or self.journal.extend(task, credits)

    def forget(self, task: Task, inode: LiveInode, block: int) -> None:
        """ext4_forget() of metadata: with data=journal nothing is revoked, without a journal only dropped."""
        if self.journal is None:
            inode.associated.pop(block, None)
            self.buffers.clean([block])
        elif self.options.data == "journal":
            self.journal.forget(task, block)
        else:
            self.journal.revoke(task, block)

    # -- inodes --------------------------------------------------------------------------------------

    def mark_inode_dirty(self, task: Task, inode: LiveInode) -> None:
        """ext4_mark_inode_dirty(): copy the inode into its block of the table, under the task's handle."""
        task.ps += self._s_reserve.charge(1)
        self._get_table_access(task, inode)
        self._copy_inode(task, inode)

    def reserve_inode_write(self, task: Task, inode: LiveInode) -> None:
        """ext4_reserve_inode_write(), of who marks the inode later."""
        task.ps += self._s_reserve_alone.charge(1)
        self._get_table_access(task, inode)

    def mark_iloc_dirty(self, task: Task, inode: LiveInode) -> None:
        """ext4_mark_iloc_dirty(), of who has reserved the inode."""
        task.ps += self._s_mark_alone.charge(1)
        self._copy_inode(task, inode)

    def _get_table_access(self, task: Task, inode: LiveInode) -> None:
        self.buffers.getblk(task, 1)
        self.get_write_access(task, inode.table_block)

    def _copy_inode(self, task: Task, inode: LiveInode) -> None:
        if self.bytes is not None:
            self.bytes.inode_copied(inode, task.time_ns)
        self.dirty_metadata(task, inode.table_block)
        self.note_sync(task, inode)

    def note_sync(self, task: Task, inode: LiveInode, data: bool = False) -> None:
        """ext4_update_inode_fsync_trans(): what fsync(2) of this inode has to wait for."""
        if self.journal is not None and task.handle is not None:
            tid = task.handle.transaction.tid
            inode.sync_tid = tid
            if data:
                inode.datasync_tid = tid

    def mark_dirty_sync(
        self, task: Task, inode: LiveInode, datasync: bool = False
    ) -> Generator[Any, Any, None]:
        """
        mark_inode_dirty_sync(): ext4_dirty_inode() in a handle of its own, or in the task's. datasync:
        mark_inode_dirty(), of what fdatasync(2) needs, too.
        """
        if not self.can_start(task, 2):
            yield from self.start(task, 2)
            self.mark_dirty_under_handle(task, inode, datasync)
            self.stop(task)
        else:
            self.mark_dirty_under_handle(task, inode, datasync)

    def mark_dirty_under_handle(self, task: Task, inode: LiveInode, datasync: bool = False) -> None:
        """mark_dirty_sync(), of who has a handle, or need not wait for one."""
        task.ps += self._s_dirty.charge(1) + self._s_dirty_inode.charge(1)
        inode.dirty = True
        inode.dirty_datasync |= datasync
        self.start_at_once(task, 2)
        self.mark_inode_dirty(task, inode)
        self.stop(task)

    def update_time(self, task: Task, inode: LiveInode, now_ns: int) -> Generator[Any, Any, None]:
        """file_update_time(): once for each tick in which it is written."""
        if self.ticks_left >= 0:
            if not self.ticks_left:
                return
            self.ticks_left -= 1
        else:
            tick = now_ns // TICK_NS
            if tick == inode.tick:
                return
            inode.tick = tick
        yield from self.mark_dirty_sync(task, inode)

    # -- credits -------------------------------------------------------------------------------------

    def write_credits(self, inode: LiveInode) -> int:
        """ext4_writepage_trans_blocks() of one page, and of its data if that is journalled."""
        index = MAX_EXTENT_DEPTH * (2 if self.per_page == 1 else 3)
        credits = self._with_groups(index, self.per_page)
        return credits + (self.per_page if inode.journalled else 0) + 1

    def extent_credits(self) -> int:
        """ext4_da_writepages_trans_blocks(): of one extent."""
        return self._with_groups(MAX_EXTENT_DEPTH * (2 if self.per_page == 1 else 3), self.per_page)

    def convert_credits(self) -> int:
        """What is set aside to convert a page's blocks (ext4_chunk_trans_blocks(), and one)."""
        return 1 + self._with_groups(MAX_EXTENT_DEPTH * 2, 1)

    def _with_groups(self, index: int, extents: int) -> int:
        groups = min(index + extents, self.groups)
        return index + groups + min(groups, self.descriptor_blocks) + META_TRANS_BLOCKS
