"""
Who may change a metadata buffer that several tasks want at a time: lock_buffer(), and what
do_get_write_access() waits for (fs/buffer.c, fs/jbd2/transaction.c of Linux 6.1).

A buffer is locked by who changes it, and while it is written in place. A buffer that is new to the running
transaction may belong to the one that is being committed: then it is copied, or waited for
(sim.fs.jbd2.shadow). One that the running transaction has is given at once (jbd2_write_access_granted()). Who
waits for a lock is woken alone, in turn, and may find that another has been quicker; who waits for the log
wakes with all others.

Left out: metadata of which all tasks' changes are made at one instant (bitmaps, group descriptors, inodes,
extent trees), which asks for none of this; a lock that is free costs nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.cache.filemap import SLEEP_SYMBOLS
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger, under
from sim.errors import InvariantError
from sim.fs.bdev_buffers import BdevBuffers
from sim.fs.jbd2.commit import Jbd2Journal
from sim.fs.write_out import Pending

_LOCK: Final = "__lock_buffer"
_GET: Final = "__ext4_journal_get_write_access;jbd2_journal_get_write_access;do_get_write_access"
_FREEZE: Final = "jbd2_freeze_jh_data"


class BufferLocks:
    """
    The locks of some buffers. journal: theirs, None if there is none.

    waits, waited_ns: how often a task slept for a buffer, and how long; copies: that were left to a commit.
    """

    def __init__(
        self, clock: Clock, ledger: Ledger, buffers: BdevBuffers, journal: Jbd2Journal | None
    ) -> None:
        self.waits = self.waited_ns = self.copies = 0
        self._clock = clock
        self._buffers = buffers
        self._journal = journal
        self._held: dict[int, Task] = {}
        self._waiting: dict[int, list[Any]] = {}
        self._s_lock = ledger.site(TASK, "", f"{_LOCK} {under(_LOCK, SLEEP_SYMBOLS)}")
        self._s_shadow = ledger.site(TASK, _GET, SLEEP_SYMBOLS)
        self._s_freeze = ledger.site(TASK, _GET, _FREEZE, unit=_FREEZE)

    def may_change(self, task: Task, block: int) -> Generator[Any, Any, None]:
        """
        Wait until the task's handle may have a buffer: what do_get_write_access() sleeps for, and copies.

        The rest of that call is `get_write_access()`, which follows at once.
        """
        journal = self._journal
        while journal is not None and not journal.lists(block)[0]:
            yield from task.settle()
            yield from self._until_free(task, block)
            if journal.lists(block)[0]:
                return
            if journal.shadows.freeze(block):
                self.copies += 1
                task.ps += self._s_freeze.charge_units(1, self._buffers.block_size)
                return
            pending = journal.shadows.under_way(block)
            if pending is None:
                return
            began_ns = self._clock.now
            yield from task.wait(self._ended(pending))
            task.ps += self._s_shadow.charge(1)
            self._slept(began_ns)

    def lock(self, task: Task, block: int) -> Generator[Any, Any, None]:
        """lock_buffer()."""
        yield from task.settle()
        yield from self._until_free(task, block)
        self._held[block] = task

    def unlock(self, task: Task, block: int) -> Generator[Any, Any, None]:
        """unlock_buffer(), when what the task has done under the lock is over."""
        yield from task.settle()
        if self._held.get(block) is not task:
            raise InvariantError(f"task {task.name} lets the buffer of block {block} go, which it has not")
        del self._held[block]
        waiting = self._waiting.pop(block, [])
        if waiting:
            waiting.pop(0).succeed()
        if waiting:
            self._waiting[block] = waiting

    def _until_free(self, task: Task, block: int) -> Generator[Any, Any, None]:
        """__lock_buffer(): sleep until nobody has the buffer, and it is not on its way to its place."""
        while True:
            written = self._buffers.under_way(block)
            if written is not None:
                event = self._ended(written)
            elif block in self._held:
                event = self._clock.event()
                self._waiting.setdefault(block, []).append(event)
            else:
                return
            began_ns = self._clock.now
            yield from task.wait(event)
            task.ps += self._s_lock.charge(1)
            self._slept(began_ns)

    def _ended(self, pending: Pending) -> Any:
        """Return an event of the end of a bio."""
        if pending.event is None:
            pending.event = self._clock.event()
        return pending.event

    def _slept(self, began_ns: int) -> None:
        self.waits += 1
        self.waited_ns += self._clock.now - began_ns
