"""
Cores and what runs on them: tasks, interrupts, kworkers.

A core is a timeline. A task gathers the cost of what it does and *settles* it as one burst before it
touches anything that others can see (a page waited for). What it does for others within a burst, as handing
over a request, is due at its place in the burst (`Cpu.when_done`). Bursts on one core are served first come,
first served; interrupt work preempts them, and pushes back their ends and all that is due after it. Left out:
time slices (a burst is a few microseconds, a slice is milliseconds), migration, caches going cold.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from sim.engine.clock import Clock
from sim.engine.costs import PS_PER_NS

QUEUE_WORK_SYMBOLS: Final = "queue_work_on queue_work_on;try_to_wake_up"
"""What queueing a work item calls: its worker sleeps, and is woken, as recorded."""
WORK_ITEM_SYMBOLS: Final = "process_one_work worker_thread;schedule"
"""What a work item costs besides its work: as recorded, a worker wakes, and goes to sleep again, for each."""


class Due:
    """A place in a core's work that is not reached yet; an interrupt before it pushes it back. at: in ns."""

    __slots__ = ("at", "listed")

    def __init__(self, at: int) -> None:
        self.at = at
        self.listed = False


class Core:
    """
    One core's timeline, in ns.

    free_at: end of the last burst queued. busy_*: ns spent.
    """

    __slots__ = (
        "_due",
        "busy_irq_ns",
        "busy_kworker_ns",
        "busy_task_ns",
        "free_at",
        "index",
        "irq_free_at",
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.free_at = 0
        self.irq_free_at = 0
        self._due: list[Due] = []
        self.busy_task_ns = 0
        self.busy_irq_ns = 0
        self.busy_kworker_ns = 0

    def expect(self, due: Due) -> None:
        """Push a place back from now on, as often as an interrupt comes before it."""
        if not due.listed:
            due.listed = True
            self._due.append(due)

    def push_back(self, now: int, ns: int) -> None:
        """An interrupt of `ns` comes: all that is not reached yet waits for it."""
        if self.free_at > now:
            self.free_at += ns
        left = []
        for due in self._due:
            if due.at > now:
                due.at += ns
                left.append(due)
            else:
                due.listed = False
        self._due = left

    def starts_at(self, now: int) -> int:
        """Return when a burst queued now would start."""
        start = self.free_at if self.free_at > now else now
        return self.irq_free_at if self.irq_free_at > start else start


class Task:
    """
    A thread pinned to a core. `ps` is what it has done and not yet settled.

    Charge with `task.ps += site.charge(n)`. Work that others must see at its right time is scheduled at
    `time_ns`; before it stops or looks at shared state the task calls `yield from settle()`, and to wait
    for something `yield from wait(event)`.
    """

    __slots__ = ("_burst", "_clock", "core", "name", "ps")

    def __init__(self, clock: Clock, core: Core, name: str) -> None:
        self._clock = clock
        self.core = core
        self.name = name
        self.ps = 0
        self._burst = Due(0)

    @property
    def time_ns(self) -> int:
        """The time this task has come to, its unsettled work included."""
        core, start = self.core, self._clock.now
        if core.free_at > start:
            start = core.free_at
        if core.irq_free_at > start:
            start = core.irq_free_at
        return start + self.ps // PS_PER_NS

    def settle(self) -> Generator[Any, Any, bool]:
        """Spend the gathered cost on the core, behind what is queued there and what interrupts it."""
        return self.wait(None)

    def wait(self, event: Any) -> Generator[Any, Any, bool]:
        """
        Spend the gathered cost, then sleep until `event` (None: only spend); return whether it slept.

        The event may come before the work is done: the later of both counts. One event, not two, in the
        usual case that the device is slower than the burst.
        """
        self.begin_burst()
        slept = False
        if event is not None:
            yield event
            slept = self.behind_ns < 0
        while (wait := self.behind_ns) > 0:
            yield self._clock.timeout(wait)
        return slept

    def begin_burst(self) -> None:
        """Put the gathered cost on the core, behind what is queued there."""
        core, start = self.core, self._clock.now
        if core.free_at > start:
            start = core.free_at
        if core.irq_free_at > start:
            start = core.irq_free_at
        ns = self.ps // PS_PER_NS
        self.ps -= ns * PS_PER_NS
        core.free_at = end = start + ns
        core.busy_task_ns += ns
        self._burst.at = end
        core.expect(self._burst)

    @property
    def behind_ns(self) -> int:
        """How long the last burst still takes, interrupts included; 0 or less when it is over."""
        return self._burst.at - self._clock.now


class Cpu:
    """All cores of a machine."""

    def __init__(self, clock: Clock, cores: int, wakeup_ns: int = 0) -> None:
        """wakeup_ns: from queueing a work item until an idle worker runs it; no CPU time is spent in it."""
        self._clock = clock
        self._wakeup_ns = wakeup_ns
        self.cores = [Core(index) for index in range(cores)]

    @property
    def now(self) -> int:
        """The clock's time in ns."""
        return self._clock.now

    def task(self, number: int, name: str) -> Task:
        """Return a task pinned to core `number` modulo the number of cores."""
        return Task(self._clock, self.cores[number % len(self.cores)], name)

    def interrupt(self, core: Core, ps: int, done: Callable[[Any], None], argument: Any) -> None:
        """Run `ps` of interrupt work on `core` now, ahead of its bursts; `done(argument)` at its end."""
        ns = ps // PS_PER_NS
        now = self._clock.now
        start = core.irq_free_at if core.irq_free_at > now else now
        core.irq_free_at = start + ns
        core.busy_irq_ns += ns
        core.push_back(now, ns)
        self._clock.call(start + ns - now, done, argument)

    def when_done(self, task: Task, then: Callable[[Any], None], argument: Any) -> None:
        """Do `then(argument)` when the core has done what the task has gathered: now, if that is nothing."""
        due = Due(task.time_ns)
        task.core.expect(due)
        self._reached((due, then, argument))

    def _reached(self, expected: tuple[Due, Callable[[Any], None], Any]) -> None:
        """A place in a core's work is reached, unless interrupts have come before it."""
        due, then, argument = expected
        wait = due.at - self._clock.now
        if wait > 0:
            self._clock.call(wait, self._reached, expected)
        else:
            then(argument)

    def kworker(self, ps: int, done: Callable[[Any], None], argument: Any) -> None:
        """
        Run a work item of `ps` on the core that is free first (an unbound work queue), then `done(argument)`.

        Ties go to the lowest core. Interrupts that come later delay the bursts after it, not the item.
        """
        ns = ps // PS_PER_NS
        now = self._clock.now
        core = self.cores[0]
        for other in self.cores:
            if other.free_at < core.free_at:
                core = other
        start = max(core.starts_at(now), now + self._wakeup_ns)
        core.free_at = start + ns
        core.busy_kworker_ns += ns
        self._clock.call(start + ns - now, done, argument)

    @property
    def busy_ns(self) -> tuple[int, int, int]:
        """Return ns spent by tasks, interrupts and kworkers over all cores."""
        return (
            sum(core.busy_task_ns for core in self.cores),
            sum(core.busy_irq_ns for core in self.cores),
            sum(core.busy_kworker_ns for core in self.cores),
        )
