"""
The data of files, as commits see it: what is written before them, and journalled data, which they have
themselves.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.errors import InvariantError
from sim.fs.jbd2.ordered_data import OrderedData
from sim.fs.live_inode import BH_DIRTY, BH_JBDDIRTY, LiveInode
from sim.fs.writeback_control import WB_SYNC_ALL

if TYPE_CHECKING:
    from sim.machine.writer import Ext4Writer

_COMMITTED: Final = bytes((state & ~BH_JBDDIRTY) | BH_DIRTY for state in range(256))
"""What the state of a buffer head becomes when the journal has committed it."""


class CommittedData(OrderedData):
    """The data of all files of one mount. Blocks of the device that are data: (inode, logical block)."""

    def __init__(self, writer: Ext4Writer, ledger: Ledger) -> None:
        self._writer = writer
        self._journalled: dict[int, tuple[LiveInode, int]] = {}
        self._committed: dict[int, tuple[LiveInode, int]] = {}
        self._s_dirty = ledger.site(TASK, "", "mark_buffer_dirty")
        self._s_dirty_page = ledger.site(TASK, "mark_buffer_dirty", "__folio_mark_dirty __mark_inode_dirty")

    def submit(self, task: Task, number: int) -> Generator[Any, Any, None]:
        """Write out an inode's dirty pages (generic_writepages())."""
        yield from self._writer.for_commit.writepages(task, self._writer.inodes[number], WB_SYNC_ALL)

    def wait(self, task: Task, number: int) -> Generator[Any, Any, None]:
        """Wait for an inode's pages under write-back."""
        yield from self._writer.wait.wait(task, self._writer.inodes[number])

    def journalled(self, inode: LiveInode, lblk: int, block: int, count: int = 1) -> None:
        """`count` blocks of a file's data, from logical block `lblk` on, belong to the journal."""
        if count == 1:
            self._journalled[block] = inode, lblk
        else:
            places = zip(repeat(inode), range(lblk, lblk + count), strict=False)
            self._journalled.update(zip(range(block, block + count), places, strict=True))

    def held(self, block: int) -> bytes | None:
        """Return what a block of journalled data holds; None for another."""
        found = self._journalled.get(block)
        if found is None or found[0].bytes is None:
            return None
        return found[0].bytes.blocks(found[1], 1)

    def committed(self, task: Task, tid: int) -> None:
        """ext4_journal_commit_callback()."""
        self._writer.allocator.committed(task, tid)

    def is_dirty(self, block: int) -> bool:
        """Tell whether a committed block of a file's data is still to be written in place."""
        found = self._committed.get(block)
        return found is not None and bool(found[0].state[found[1]] & BH_DIRTY)

    def clean(self, blocks: Sequence[int]) -> None:
        """A checkpoint writes those of these that are such blocks; their pages stay tagged."""
        committed = self._committed
        if committed:
            for block in blocks:
                found = committed.get(block)
                if found is not None:
                    found[0].state[found[1]] &= ~BH_DIRTY

    def refiled(self, task: Task, blocks: list[int]) -> list[int]:
        """Blocks are committed: as data they are dirty in their pages from now on. Return the others."""
        journalled, others = self._journalled, []
        if not journalled:
            return blocks
        owner: LiveInode | None = None
        first = end = 0
        for block in blocks:
            found = journalled.pop(block, None)
            if found is None:
                others.append(block)
                continue
            self._committed[block] = found
            if found[0] is owner and found[1] == end:
                end += 1
                continue
            if owner is not None:
                self._refiled_run(task, owner, first, end)
            owner, first = found
            end = first + 1
        if owner is not None:
            self._refiled_run(task, owner, first, end)
        return others

    def _refiled_run(self, task: Task, inode: LiveInode, first: int, end: int) -> None:
        """mark_buffer_dirty() of blocks [first, end) of a file, which the journal no longer holds."""
        state, mapping, per_page = inode.state, inode.mapping, self._writer.sb.per_page
        if mapping.dirty is None or mapping.journalled is None:
            raise InvariantError(f"inode {inode.number} has journalled data and was never written")
        state[first:end] = state[first:end].translate(_COMMITTED)
        task.ps += self._s_dirty.charge(end - first)
        page, last = first // per_page, -(-end // per_page)
        task.ps += self._s_dirty_page.charge(mapping.tag_all_dirty(page, last))
        if first % per_page and _journal_has(state[page * per_page : (page + 1) * per_page]):
            page += 1
        if end % per_page and page < last and _journal_has(state[(last - 1) * per_page : last * per_page]):
            last -= 1
        if page < last:
            mapping.tag_journalled(page, last, False)


def _journal_has(states: bytearray) -> bool:
    """Tell whether the journal still has a block of a page."""
    return any(state & BH_JBDDIRTY for state in states)
