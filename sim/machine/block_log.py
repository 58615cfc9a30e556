"""
Every event of a block queue as blktrace would see it: who, where, when.

What the queue tells is blktrace's letter, time and sectors. Added here: task and CPU, the readahead flag of
RWBS, and unplugging (U), which is told with the first request that it inserts. A completion is told of the
CPU that gets the interrupt; whom it interrupted is not known (pid 0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.config.traced import Columns, Words, in_order, numbers
from sim.engine.cpu import Task
from sim.engine.ledger import KWORKER, TASK

if TYPE_CHECKING:
    from sim.block.queue.submit import BlockQueue
    from sim.engine.cpu import Cpu

FIRST_PID = 1001
"""Of the first task that does something; the others follow."""
FIRST_KWORKER = 101
"""Of the worker on CPU 0."""


class Pids:
    """Numbers of tasks, in the order in which they are first seen."""

    def __init__(self) -> None:
        self._of: dict[Task, int] = {}

    def of(self, task: Task) -> int:
        """Return the number of a task."""
        return self._of.setdefault(task, FIRST_PID + len(self._of))


class BlockLog:
    """
    A tracer of one queue. windows: the read window that a task is in, by its pid (see recorder.py).
    """

    def __init__(self, pids: Pids, windows: dict[int, int]) -> None:
        self._pids = pids
        self._windows = windows
        self._queue: BlockQueue
        self._cpu: Cpu
        self._requests: dict[tuple[int, bool], tuple[int, str, str]] = {}
        self._unplugs = 0
        self._unplug_row = -1
        self._ns, self._sector, self._sectors = numbers(), numbers(), numbers()
        self._cpus, self._pid, self._window, self._count = numbers(), numbers(), numbers(), numbers()
        self._action, self._rwbs, self._comm = Words(), Words(), Words()

    def attach(self, queue: BlockQueue, cpu: Cpu) -> None:
        """See what this queue does."""
        self._queue, self._cpu = queue, cpu

    def __call__(self, told: str, ns: int, sector: int, sectors: int) -> None:
        """An event, as sim.block.queue.limits.BlockTracer has it."""
        letter, _, rwbs = told.partition(" ")
        if letter in "DC":
            self._below(letter, rwbs or "R", ns, sector, sectors)
            return
        submitting = self._queue.submitting
        assert submitting is not None
        task, bio = submitting
        pid, comm, cpu = self._pids.of(task), task.name, task.core.index
        if letter == "P":
            self._add(ns, "P", "N", 0, 0, cpu, pid, comm, -1)
            return
        rwbs = rwbs or "R"
        if bio is not None and bio.ahead and "A" not in rwbs:
            rwbs = _with_ahead(rwbs)
        write = "W" in rwbs
        if letter == "G":
            self._requests[sector, write] = pid, comm, rwbs
        elif letter == "F" and (moved := self._requests.pop((sector + sectors, write), None)):
            self._requests[sector, write] = moved
        elif letter == "I":
            pid, comm, rwbs = self._requests.get((sector, write), (pid, comm, rwbs))
            pid, comm = self._pids.of(task), task.name
            self._unplugged(ns, cpu, pid, comm)
        window = self._windows.get(pid, -1) if letter == "Q" else -1
        self._add(ns, letter, rwbs, sector, sectors, cpu, pid, comm, window)

    def _unplugged(self, ns: int, cpu: int, pid: int, comm: str) -> None:
        """A request is inserted: of a plug, if the queue has counted one; count the requests of each."""
        if self._queue.stats.unplugs > self._unplugs:
            self._unplugs = self._queue.stats.unplugs
            self._unplug_row = len(self._ns)
            self._add(ns, "U", "N", 0, 0, cpu, pid, comm, -1)
        if self._unplug_row >= 0:
            self._count[self._unplug_row] += 1

    def _below(self, letter: str, rwbs: str, ns: int, sector: int, sectors: int) -> None:
        """A command goes to the device or comes back."""
        cpu, key = self._cpu, (sector, "W" in rwbs)
        pid, comm, flags = self._requests.get(key, (0, "", rwbs))
        at = cpu.here.index
        self._unplug_row = -1
        if letter == "C":
            self._requests.pop(key, None)
            pid, comm = 0, f"swapper/{at}"
        elif cpu.context == KWORKER or not pid:
            pid, comm = FIRST_KWORKER + at, f"kworker/{at}"
        elif cpu.context != TASK:
            pid, comm = 0, f"swapper/{at}"
        self._add(ns, letter, flags, sector, sectors, at, pid, comm, -1)

    def _add(
        self,
        ns: int,
        action: str,
        rwbs: str,
        sector: int,
        sectors: int,
        cpu: int,
        pid: int,
        comm: str,
        window: int,
    ) -> None:
        self._ns.append(ns)
        self._action.append(action)
        self._rwbs.append(rwbs)
        self._sector.append(sector)
        self._sectors.append(sectors)
        self._cpus.append(cpu)
        self._pid.append(pid)
        self._comm.append(comm)
        self._window.append(window)
        self._count.append(0)

    def columns(self) -> Columns:
        """Return the events in the order of their times; those of one time as they were told."""
        columns: Columns = {
            "time_ns": self._ns,
            "action": self._action,
            "rwbs": self._rwbs,
            "sector": self._sector,
            "sectors": self._sectors,
            "cpu": self._cpus,
            "pid": self._pid,
            "comm": self._comm,
            "window": self._window,
            "count": self._count,
        }
        return in_order(columns, sorted(range(len(self._ns)), key=self._ns.__getitem__))


def _with_ahead(rwbs: str) -> str:
    """Return RWBS with A where blkparse prints it: before S and M."""
    head = rwbs.rstrip("SM")
    return f"{head}A{rwbs[len(head) :]}"
