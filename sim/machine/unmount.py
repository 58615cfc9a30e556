"""
umount(2) of a file system that was written (fs/super.c, fs/ext4/super.c, block/bdev.c of Linux 6.1).

What is dirty is written, inodes and their pages are dropped; with delalloc all is synced once more for each
kind of quota (ext4_quota_off()); the journal brings its transactions in place and is marked as empty; the
superblock says that the file system is clean; then the device's own pages go. Left out: a journal on another
device, quota files, errors, orphans, inodes that are still in use.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.block.bio import Plug
from sim.block.opf import REQ_FUA, REQ_META, REQ_OP_WRITE, REQ_PRIO, REQ_SYNC
from sim.cache.page_cache import PageCache
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.bdev_buffers import BH_SYMBOLS
from sim.fs.live_inode import BH_DIRTY, BH_MAPPED, LiveInode
from sim.fs.write_out import sector_of
from sim.machine.eviction import PageEviction, buffered_pages
from sim.machine.writer import Ext4Writer
from sim.units import SECTOR_BYTES

QUOTA_TYPES: Final = 3
"""Of users, groups, projects: delayed blocks are allocated before quota is turned off for each."""
_PUT: Final = "entry_SYSCALL_64;kill_block_super"


class Unmount:
    """umount(2) of one file system. others: inodes in memory that are no files: the root, directories."""

    def __init__(self, ledger: Ledger, writer: Ext4Writer, cache: PageCache, others: int) -> None:
        self._writer = writer
        self._cache = cache
        self._others = others
        inner = "ext4_es_remove_extent ext4_es_remove_extent;__es_remove_extent"
        self._s_clear = ledger.site(
            TASK, f"{_PUT};ext4_evict_inode", f"{inner} ext4_es_remove_extent;ext4_da_release_space"
        )
        self._s_discard = ledger.site(TASK, f"{_PUT};ext4_evict_inode", "ext4_discard_preallocations")
        self._s_journalled = ledger.site(TASK, f"{_PUT};ext4_evict_inode", "jbd2_complete_transaction")
        evict = f"{_PUT};ext4_evict_inode;truncate_inode_pages_range"
        free = "try_to_free_buffers"
        self._pages = PageEviction(ledger, writer, cache, evict)
        self._s_page_journalled = ledger.site(
            TASK, evict, f"jbd2_journal_invalidate_folio jbd2_journal_invalidate_folio;{free} folio_unlock"
        )
        self._s_head = ledger.site(TASK, f"{evict};{free}", "free_buffer_head")
        self._s_super = ledger.site(TASK, "", BH_SYMBOLS)
        self._s_try = ledger.site(TASK, f"{_PUT};invalidate_bdev", free)
        self._s_invalidate = ledger.site(TASK, f"{_PUT};kill_bdev", "block_invalidate_folio folio_unlock")
        put = f"{_PUT};blkdev_put"
        waiting = "__filemap_fdatawait_range"
        lookup = f"{waiting} {waiting};pagevec_lookup_range_tag"
        self._s_put = ledger.site(TASK, put, f"filemap_fdatawrite_wbc {lookup}")
        write = (
            "__writeback_single_inode;do_writepages;blkdev_writepages;generic_writepages;write_cache_pages"
        )
        now = " ".join(write.split(";"))
        self._s_now = ledger.site(
            TASK,
            put,
            f"{now} tag_pages_for_writeback pagevec_lookup_range_tag filemap_fdatawait_range {lookup}",
        )

    def run(self, task: Task) -> Generator[Any, Any, None]:
        """Do it; nothing is dirty afterwards, and nothing cached."""
        writer = self._writer
        yield from writer.flusher.syncfs(task)
        files = list(writer.inodes.values())
        for inode in files:
            yield from self._evict(task, inode)
        if writer.sb.delalloc:
            for _ in range(QUOTA_TYPES):
                yield from writer.flusher.syncfs(task)
        journal = writer.journal
        if journal is not None:
            yield from journal.destroy(task)
        without_pages = self._others + 1 + (journal is not None)  # and the buddy cache's, the journal's
        task.ps += self._s_clear.charge(len(files) + without_pages) + self._s_discard.charge(without_pages)
        yield from self._commit_super(task)
        yield from self._put_device(task)
        writer.stop_timers()
        yield from task.settle()

    def _evict(self, task: Task, inode: LiveInode) -> Generator[Any, Any, None]:
        """ext4_evict_inode(): its pages with their buffer heads, and what was preallocated."""
        writer, mapping = self._writer, inode.mapping
        journal = writer.journal
        pages = buffered_pages(inode)
        if inode.journalled and journal is not None and mapping.present:
            task.ps += self._s_journalled.charge(1)
            yield from journal.complete(task, inode.datasync_tid)
            yield from writer.sync.write_and_wait(task, inode)
        if inode.journalled and journal is not None:
            task.ps += self._s_page_journalled.charge(len(pages))
            per_page = writer.sb.per_page
            for page in pages:
                for block in range(page * per_page, (page + 1) * per_page):
                    if inode.state[block] & (BH_MAPPED | BH_DIRTY) == BH_MAPPED:
                        journal.log.leaves(inode.place[block])
            task.ps += self._s_head.charge(len(pages) * writer.sb.per_page)
            self._cache.drop(mapping)
        else:
            self._pages.drop(task, inode)
        writer.allocator.closed(task, inode)

    def _commit_super(self, task: Task) -> Generator[Any, Any, None]:
        """ext4_commit_super(): the superblock, past the journal."""
        sb, out = self._writer.sb, self._writer.out
        task.ps += self._s_super.charge(1)
        sb.buffers.clean([sb.superblock])
        flags = REQ_OP_WRITE | REQ_SYNC | REQ_META | REQ_PRIO | (REQ_FUA if sb.options.barrier else 0)
        size = sb.block_size
        place = sector_of(sb.superblock, size)
        blocks = [(sb.superblock, 1)]
        pending = out.submit(task, Plug(holds=False), place, size // SECTOR_BYTES, 1, blocks, None, flags)
        yield from out.wait(task, [pending])

    def _put_device(self, task: Task) -> Generator[Any, Any, None]:
        """The device's pages: those that nobody holds, then the superblock's; and the device's last close."""
        writer = self._writer
        buffers, per_page = writer.sb.buffers, writer.sb.per_page
        yield from writer.flusher.sync_blockdev(task, [])
        pages = buffers.drop_pages()
        task.ps += self._s_try.charge(pages + 1) + self._s_head.charge(pages * per_page)
        yield from writer.flusher.sync_blockdev(task, [])
        task.ps += self._s_put.charge(2) + self._s_invalidate.charge(1) + self._s_now.charge(1)
