"""
The locks of inodes: i_rwsem, which one writer of a file or directory holds at a time, and i_data_sem, which
guards where its blocks are (include/linux/fs.h, fs/ext4/ext4.h of Linux 6.1).

i_rwsem is taken by write(2), with all of balance_dirty_pages(), by fallocate(2), by unlink(2), and of a
directory by who makes a name in it or takes one away. fsync(2) does without it. Buffered reads of ext4 do not
take it: a page's lock is all that stands between them and a writer. i_data_sem is taken to read where the
extent tree is looked up, to write where it changes or preallocated blocks are given back. A task holds
i_rwsem, a handle, a page, i_data_sem in this order.

A lock that is free costs nothing: what taking it takes is in what its callers cost as recorded. Left out:
the locks of an inode that is evicted, which nobody else has; i_data_sem of who only reads
(sim.paths.live_maps).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.block.bio import Plug
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.engine.rwsem import RwSemaphore
from sim.fs.bdev_buffers import BdevBuffers
from sim.fs.live_inode import LiveInode

_WRITE: Final = "rwsem_down_write_slowpath"
_READ: Final = "rwsem_down_read_slowpath"


class InodeLocks:
    """
    Takes the locks of the inodes of one file system. waits, waited_ns: how often a task slept for one, and
    how long.
    """

    def __init__(self, ledger: Ledger, buffers: BdevBuffers) -> None:
        self._buffers = buffers
        self.waits = self.waited_ns = 0
        self._s_spin = ledger.site(TASK, "", _WRITE)
        self._s_write = ledger.site(TASK, "", f"{_WRITE} {_WRITE};schedule {_WRITE};try_to_wake_up")
        self._s_read = ledger.site(TASK, "", f"{_READ} {_READ};schedule {_READ};try_to_wake_up")

    def metrics(self) -> dict[str, float | int]:
        """Return what the waits came to."""
        return {"inode_lock_waits": self.waits, "inode_lock_wait_ns": self.waited_ns}

    def lock(self, task: Task, inode: LiveInode) -> Generator[Any, Any, None]:
        """inode_lock(): i_rwsem to write; `inode.rwsem.up_write()` lets it go."""
        return self.down_write(task, inode.rwsem)

    def down_read(
        self, task: Task, semaphore: RwSemaphore, plug: Plug | None = None
    ) -> Generator[Any, Any, None]:
        """down_read(). plug: the task's, if it has one: it is flushed if the task sleeps."""
        if not semaphore.try_read():
            yield from self._sleep(task, semaphore, False, plug)

    def down_write(
        self, task: Task, semaphore: RwSemaphore, plug: Plug | None = None
    ) -> Generator[Any, Any, None]:
        """down_write(). plug: the task's, if it has one: it is flushed if the task sleeps."""
        if semaphore.try_write(task):
            return
        if not semaphore.spins(task):
            yield from self._sleep(task, semaphore, True, plug)
            return
        task.ps += self._s_spin.charge(1)
        self._waited((yield from semaphore.spin(task)))

    def _sleep(
        self, task: Task, semaphore: RwSemaphore, writes: bool, plug: Plug | None
    ) -> Generator[Any, Any, None]:
        if plug is not None:
            self._buffers.flush_for_sleep(task, plug)
        waited_ns = yield from semaphore.sleep(task, writes)
        if waited_ns:
            task.ps += (self._s_write if writes else self._s_read).charge(1)
        self._waited(waited_ns)

    def _waited(self, waited_ns: int) -> None:
        if waited_ns:
            self.waits += 1
            self.waited_ns += waited_ns
