"""
The metadata buffers of the transaction that is being committed, for who wants to change one of them
(do_get_write_access(), jbd2_journal_write_metadata_buffer(), journal_end_buffer_io_sync() of Linux 6.1).

From the commit's begin until it is written to the log, a buffer is on BJ_Metadata: who changes it leaves a
copy of it to the commit (b_frozen_data). From then until that bio has ended it is BH_Shadow: the log is
written from the buffer itself, and who would change it sleeps; unless there is a copy, which is written
instead. Behind that it is on BJ_Forget, and may be changed.
"""

from __future__ import annotations

from collections.abc import Sequence

from sim.fs.write_out import Pending


class Shadows:
    """The buffers of one commit."""

    __slots__ = ("_frozen", "_metadata", "_shadow")

    def __init__(self) -> None:
        self._metadata: set[int] = set()
        self._frozen: set[int] = set()
        self._shadow: dict[int, Pending] = {}

    def begin(self, metadata: Sequence[int]) -> None:
        """A commit has begun, of these blocks."""
        self._metadata = set(metadata)
        self._frozen = set()
        self._shadow = {}

    def submitted(self, blocks: Sequence[int], pending: Sequence[Pending]) -> None:
        """Blocks are on their way to the log, in that order: those that were not copied are BH_Shadow."""
        self._metadata.difference_update(blocks)
        at = 0
        for each in pending:
            for block in blocks[at : at + each.count]:
                if block not in self._frozen:
                    self._shadow[block] = each
            at += each.count

    def freeze(self, block: int) -> bool:
        """Have the commit keep a copy of a block that is about to change; tell whether one is made now."""
        if block not in self._metadata or block in self._frozen:
            return False
        self._frozen.add(block)
        return True

    def under_way(self, block: int) -> Pending | None:
        """Return the bio by which a block is BH_Shadow, None if it may be changed."""
        pending = self._shadow.get(block)
        return None if pending is None or pending.ended else pending
