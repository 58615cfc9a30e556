"""
A lock that one writer holds, or any number of readers: struct rw_semaphore (kernel/locking/rwsem.c of Linux
6.1).

A writer that comes while the holder runs on another core spins, and has the lock when it is let go, first
come, first served (rwsem_optimistic_spin() and its queue). Any other sleeps in the semaphore's queue. Who
lets go wakes the first in it: a reader and all others with it, who have the lock; a writer has to take it
when it runs, and may find that another has been quicker. After 4 ms of that it is handed on
(RWSEM_FLAG_HANDOFF). Readers do not join readers past a queue.

Left out: a spinner that gives up, when the holder goes to sleep or its own time is up, and that spinning
keeps its core busy: it is a wait like any other. A holder that does not sleep is seen by nobody: what it
does within a burst is done at one instant, as all of a task's work is (sim.engine.cpu).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.engine.cpu import Task
from sim.errors import InvariantError

WAIT_TIMEOUT_NS: Final = 4_000_000
"""RWSEM_WAIT_TIMEOUT."""


class _Waiter:
    """Who sleeps in the queue. handoff: it waits for too long to be passed again."""

    __slots__ = ("event", "handoff", "task", "writes")

    def __init__(self, task: Task, writes: bool) -> None:
        self.task = task
        self.writes = writes
        self.event: Any = task.event()
        self.handoff = False


class RwSemaphore:
    """readers: how many hold it; writer: who does, or None."""

    __slots__ = ("_queue", "_spinners", "_spun", "readers", "writer")

    def __init__(self) -> None:
        self.readers = 0
        self.writer: Task | None = None
        self._queue: list[_Waiter] = []
        self._spun = False  # the writer spun for it, and has not gone on yet
        self._spinners: list[tuple[Task, Any]] = []

    def try_read(self) -> bool:
        """Take it to read, if that can be done at once."""
        queue = self._queue
        if self.writer is not None or (queue and (self.readers or queue[0].handoff)):
            return False
        self.readers += 1
        return True

    def try_write(self, task: Task) -> bool:
        """Take it to write, if that can be done at once."""
        if self.writer is not None or self.readers or (self._queue and self._queue[0].handoff):
            return False
        self.writer = task
        return True

    def spins(self, task: Task) -> bool:
        """rwsem_can_spin_on_owner(): tell whether a writer does better not to sleep."""
        holder = self.writer
        if holder is None or holder.core is task.core:
            return False
        return self._spun or holder.behind_ns > 0

    def spin(self, task: Task) -> Generator[Any, Any, int]:
        """Take it to write when it is let go; return for how many ns that took."""
        asked_ns, event = task.time_ns, task.event()
        self._spinners.append((task, event))
        yield from task.wait(event)
        self._spun = False
        return max(task.time_ns - asked_ns, 0)

    def sleep(self, task: Task, writes: bool) -> Generator[Any, Any, int]:
        """
        rwsem_down_write_slowpath() or rwsem_down_read_slowpath(): return for how many ns the task has slept,
        0 if its own work took as long.
        """
        asked_ns, waiter = task.time_ns, _Waiter(task, writes)
        self._queue.append(waiter)
        while True:
            yield from task.wait(waiter.event)
            if waiter not in self._queue:
                return max(task.time_ns - asked_ns, 0)
            if self.writer is None and not self.readers:
                self._queue.remove(waiter)
                self.writer = task
                return max(task.time_ns - asked_ns, 0)
            waiter.handoff = task.time_ns - asked_ns > WAIT_TIMEOUT_NS
            waiter.event = task.event()

    def up_read(self) -> None:
        """up_read()."""
        if not self.readers:
            raise InvariantError("a reader lets go a semaphore that none has")
        self.readers -= 1
        if not self.readers:
            self._wake()

    def up_write(self) -> None:
        """up_write()."""
        if self.writer is None:
            raise InvariantError("a writer lets go a semaphore that none has")
        self.writer = None
        if self._spinners:
            self.writer, event = self._spinners.pop(0)
            self._spun = True
            event.succeed()
        else:
            self._wake()

    def _wake(self) -> None:
        """rwsem_mark_wake()."""
        queue = self._queue
        if not queue:
            return
        first = queue[0]
        if first.writes:
            if first.handoff:
                self.writer = queue.pop(0).task
            if not first.event.triggered:
                first.event.succeed()
            return
        self._queue = [waiter for waiter in queue if waiter.writes]
        for waiter in queue:
            if not waiter.writes:
                self.readers += 1
                waiter.event.succeed()
