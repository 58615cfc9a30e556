"""
The path that reads nothing: ->readahead declares every page up to date and unlocks it.

No kernel has it; a module of the recordings swaps it in. What such a read costs is what all paths share:
allocating, clearing and inserting pages, readahead's decisions, the copy out.
"""

from __future__ import annotations

from mypy_extensions import mypyc_attr

from sim.cache.address_space import OpenFile, PageRange, ReadPath
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger


@mypyc_attr(allow_interpreted_subclasses=True)
class NoIo(ReadPath):
    """A read path without I/O (ReadPath)."""

    def __init__(self, ledger: Ledger) -> None:
        call = "blk_finish_plug blk_finish_plug;__blk_flush_plug"
        self._s_call = ledger.site(
            TASK, "", f"{call} blk_finish_plug;__blk_flush_plug;blk_mq_flush_plug_list"
        )
        self._s_page = ledger.site(TASK, "read_pages", "folio_unlock /read_pages:page")

    def read_pages(self, task: Task, file: OpenFile, ranges: list[PageRange]) -> tuple[()]:
        """Unlock the folios of a batch (ReadPath)."""
        task.ps += self._s_call.charge(1)
        for start, end in ranges:
            task.ps += self._s_page.charge(file.mapping.folios(start, end))
            file.mapping.set_uptodate(start, end)
        return ()

    def read_folio(self, task: Task, file: OpenFile, page: int) -> tuple[()]:
        """Unlock a page (ReadPath)."""
        return self.read_pages(task, file, [(page, page + 1)])
