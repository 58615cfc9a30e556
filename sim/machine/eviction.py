"""
The pages of an inode that goes (truncate_inode_pages_range(), fs/buffer.c of Linux 6.1).
"""

from __future__ import annotations

from sim.cache.page_cache import PageCache
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.live_inode import LiveInode
from sim.machine.writer import Ext4Writer


class PageEviction:
    """Drops all pages of inodes. caller: the stack that does; not for journalled data."""

    def __init__(self, ledger: Ledger, writer: Ext4Writer, cache: PageCache, caller: str) -> None:
        self._writer = writer
        self._cache = cache
        free = "try_to_free_buffers"
        release = f"jbd2_journal_try_to_free_buffers jbd2_journal_try_to_free_buffers;{free}"
        has_journal = writer.journal is not None
        freed = release if has_journal else free
        self._s_page = ledger.site(TASK, caller, f"block_invalidate_folio {freed} folio_unlock")
        self._s_head = ledger.site(TASK, f"{caller};{free}", "free_buffer_head")

    def drop(self, task: Task, inode: LiveInode) -> None:
        """Drop an inode's pages, none of which is dirty or being written."""
        pages = len(buffered_pages(inode))
        task.ps += self._s_page.charge(pages) + self._s_head.charge(pages * self._writer.sb.per_page)
        self._cache.drop(inode.mapping)


def buffered_pages(inode: LiveInode) -> list[int]:
    """Return the pages that have buffer heads."""
    buffered = inode.mapping.buffered
    return [page for page, has in enumerate(buffered) if has] if buffered is not None else []
