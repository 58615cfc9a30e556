"""
Which pages of a file are to be written, are being written, or belong to the journal.
"""

from __future__ import annotations

from sim.cache.page_runs import filled
from sim.cache.readahead import Cached


class WriteTags(Cached):
    """
    The tags of the pages of one file (xa_mark_t of its struct address_space).

    pages: how many it has. dirty, writeback: one byte a page, 1 if it is to be written, or is being written;
    None as long as none was; dirty_pages, writeback_pages: how many are. journalled: one byte a page, 1 if
    the journal has it and has not committed it yet (ext4_release_folio() refuses it); None as long as it has
    none.
    """

    __slots__ = ("dirty", "dirty_pages", "journalled", "pages", "writeback", "writeback_pages")

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.dirty: bytearray | None = None
        self.writeback: bytearray | None = None
        self.journalled: bytearray | None = None
        self.dirty_pages = self.writeback_pages = 0

    def written_to(self) -> None:
        """Have tags: the file is written."""
        if self.dirty is None:
            self.dirty, self.writeback = bytearray(self.pages), bytearray(self.pages)

    def tag_dirty(self, page: int, dirty: bool) -> bool:
        """Tag a page as one that is to be written, or no more; tell whether that is new."""
        tags = self.dirty
        if tags is None or bool(tags[page]) == dirty:
            return False
        tags[page] = dirty
        self.dirty_pages += 1 if dirty else -1
        return True

    def tag_writeback(self, page: int, writeback: bool) -> None:
        """Tag a page as one that is being written, or no more."""
        tags = self.writeback
        if tags is not None and bool(tags[page]) != writeback:
            tags[page] = writeback
            self.writeback_pages += 1 if writeback else -1

    def begin_writeback(self, start: int, end: int) -> None:
        """Dirty pages, none of which is being written, are being written."""
        assert self.writeback is not None
        self.untag_row(start, end)
        self.writeback[start:end] = filled(1, end - start)
        self.writeback_pages += end - start

    def end_writeback(self, start: int, end: int) -> None:
        """Pages are written."""
        tags = self.writeback
        if tags is not None:
            self.writeback_pages -= tags.count(1, start, end)
            tags[start:end] = filled(0, end - start)

    def tag_row(self, start: int, end: int) -> None:
        """Tag pages, none of which is dirty, as dirty."""
        assert self.dirty is not None
        self.dirty[start:end] = filled(1, end - start)
        self.dirty_pages += end - start

    def untag_row(self, start: int, end: int) -> None:
        """Dirty pages need not be written."""
        assert self.dirty is not None
        self.dirty[start:end] = filled(0, end - start)
        self.dirty_pages -= end - start

    def tag_all_dirty(self, start: int, end: int) -> int:
        """Tag pages as dirty, be it that some are; return how many were not."""
        assert self.dirty is not None
        more = end - start - self.dirty.count(1, start, end)
        self.dirty[start:end] = filled(1, end - start)
        self.dirty_pages += more
        return more

    def tag_journalled(self, start: int, end: int, journalled: bool) -> None:
        """Tag pages whose data the journal is to commit, or has committed."""
        if self.journalled is None:
            self.journalled = bytearray(self.pages)
        self.journalled[start:end] = filled(int(journalled), end - start)
