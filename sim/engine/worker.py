"""
A worker that sleeps within its item: a task by what it can do, a worker by when it runs (see workqueue.py).
"""

from __future__ import annotations

from typing import final

from sim.engine.clock import Clock
from sim.engine.costs import PS_PER_NS
from sim.engine.cpu import Core, Cpu, Task
from sim.engine.dues import Due
from sim.engine.ledger import TASK


@final
class Worker(Task):
    """
    A thread of a work queue. first: it goes before what tasks have left to do on its core, see
    Cpu.goes_first(); else behind it. It is charged as a task, and counts as busy as a worker.
    """

    __slots__ = ("first",)

    def __init__(self, clock: Clock, core: Core, name: str, first: bool) -> None:
        super().__init__(clock, core, name)
        self.first = first

    @property
    def time_ns(self) -> int:
        """The time this worker has come to, its unsettled work included."""
        core = self.core
        start = max(self._clock.now, core.irq_free_at, core.work_free_at)
        if not self.first:
            start = max(start, core.free_at)
        return start + self.ps // PS_PER_NS

    def begin_burst(self) -> None:
        """Put the gathered cost on the core, before the tasks' or behind it."""
        core, now = self.core, self._clock.now
        ns = self.ps // PS_PER_NS
        self.ps -= ns * PS_PER_NS
        core.busy_kworker_ns += ns
        core.vruntime += ns
        end = core.work(now, ns, self.first)
        if core.watch is not None:
            core.watch.ran(core.index, TASK, self, now, end - ns, ns, self.first)
        self._burst = Due(end)
        core.expect_of_worker(now, self._burst)

    def expect(self, now: int, due: Due) -> None:
        """Push a place in its work back, as Core.expect_of_worker()."""
        self.core.expect_of_worker(now, due)


class Workers:
    """Workers of one or more queues, by core and name: as many as were ever at work at once."""

    def __init__(self, clock: Clock, cpu: Cpu) -> None:
        self._clock = clock
        self._cpu = cpu
        self._idle: dict[tuple[int, str], list[Worker]] = {}

    def take(self, core: Core, name: str) -> Worker:
        """Return one that is woken now."""
        first, idle = self._cpu.goes_first(core, False), self._idle.get((core.index, name))
        if not idle:
            return Worker(self._clock, core, name, first)
        worker = idle.pop()
        worker.first = first
        return worker

    def give(self, worker: Worker) -> None:
        """Have one back that is done."""
        self._idle.setdefault((worker.core.index, worker.name), []).append(worker)
