"""
Cores and what runs on them: tasks, interrupts, kworkers.

A core is a timeline. A task gathers the cost of what it does and *settles* it as one burst before it
touches anything that others can see (a page waited for). What it does for others within a burst, as handing
over a request, is due at its place in the burst (`Cpu.when_done`). Bursts on one core are served first come,
first served; interrupts preempt them, and so may workers: they push back the bursts' ends and all that is due
after. Left out: time slices (a burst is a few microseconds, a slice is milliseconds), migration of tasks,
caches going cold.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final, final

from mypy_extensions import i64, mypyc_attr

from sim.engine.clock import Clock
from sim.engine.costs import PS_PER_NS
from sim.engine.dues import Due, Dues
from sim.engine.ledger import IRQ, KWORKER, TASK
from sim.errors import InvariantError

SCHED_CREDIT_NS: Final = 3_000_000
"""Half of sysctl_sched_latency: how far back the time of who slept is set at most (place_entity())."""
SCHED_GRANULARITY_NS: Final = 1_000_000
"""
sysctl_sched_wakeup_granularity: who has run less by more than this goes first. Both are kernel/sched/fair.c's
of Linux 6.1, and grow with the cores.
"""


@mypyc_attr(allow_interpreted_subclasses=True)
class CpuWatch:
    """Sees all work that is put on the cores. A machine has none unless it keeps a trace."""

    def ran(
        self, core: int, context: str, task: Task | None, now: int, start: int, ns: int, first: bool
    ) -> None:
        """
        At `now`, `ns` of work are put on a core, from `start` on unless other work comes before them.

        task: whose it is; None: what a completion, an interrupt or a worker does. first: what tasks have left
        to do on the core waits for it; for an interrupt workers do, too.
        """
        raise NotImplementedError

    def queued(self, context: str) -> None:
        """What was charged in this context, and is not on a core yet, is work that was queued for later."""
        raise NotImplementedError


@final
@mypyc_attr(free_list_len=1)
class _Step(Due):
    """A place in `core`'s work at which, in `context`, `then(argument)` is to be called."""

    __slots__ = ("argument", "context", "core", "then")

    def __init__(self, at: i64, core: Core, context: str, then: Callable[[Any], None], argument: Any) -> None:
        super().__init__(at)
        self.core = core
        self.context = context
        self.then = then
        self.argument = argument


class Core:
    """
    One core's timeline, in ns.

    free_at: end of the last burst queued, of tasks or workers; irq_free_at, work_free_at: of the last
    interrupt, of the last worker's burst. workers: woken, and not asleep. vruntime: ns that workers without
    priority have run, as CFS counts. busy_*: ns spent. watch: sees all its work, or None.
    """

    __slots__ = (
        "_due",
        "_work_due",
        "busy_irq_ns",
        "busy_kworker_ns",
        "busy_task_ns",
        "free_at",
        "index",
        "irq_free_at",
        "vruntime",
        "watch",
        "work_free_at",
        "workers",
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.free_at: i64 = 0
        self.irq_free_at: i64 = 0
        self.work_free_at: i64 = 0
        self.workers = 0
        self.vruntime: i64 = 0
        self.watch: CpuWatch | None = None
        self._due = Dues()
        self._work_due = Dues()
        self.busy_task_ns: i64 = 0
        self.busy_irq_ns: i64 = 0
        self.busy_kworker_ns: i64 = 0

    def expect(self, now: i64, due: Due) -> None:
        """Push a place back from now on, as often as an interrupt comes before it."""
        self._due.reach(now - 1)  # what is due now may still be pushed back, see Cpu.spend()
        self._due.add(due)

    def push_back(self, now: i64, ns: i64) -> None:
        """An interrupt of `ns` comes: all that is not reached yet waits for it."""
        self._work_due.push_back(now, ns)
        if self.work_free_at > now:
            self.work_free_at += ns
        self.push_tasks_back(now, ns)

    def push_tasks_back(self, now: i64, ns: i64) -> None:
        """Another takes the core for `ns`: what tasks have not reached yet waits for it."""
        if self.free_at > now:
            self.free_at += ns
        self._due.push_back(now, ns)

    def work(self, now: int, ns: int, first: bool) -> int:
        """Put a worker's burst on the core, before the tasks' or behind them; return its end."""
        start = max(now, self.irq_free_at, self.work_free_at)
        if first:
            self.push_tasks_back(start, ns)
        elif self.free_at > start:
            start = self.free_at
        end = start + ns
        self.work_free_at = end
        self.free_at = max(self.free_at, end)
        return end

    def expect_of_worker(self, now: int, due: Due) -> None:
        """Push a place in a worker's burst back, as expect()."""
        self._work_due.reach(now)
        self._work_due.add(due)


class Task:
    """
    A thread pinned to a core. `ps` is what it has done and not yet settled.

    Charge with `task.ps += site.charge(n)`. Work that others must see at its right time is scheduled at
    `time_ns`; before it stops or looks at shared state the task calls `yield from settle()`, and to wait
    for something `yield from wait(event)`. blocked: a submission that waits for a tag (sim.block.queue).
    handle: what the task has open on a journal (current->journal_info). plug: of a caller's, which what is
    plugged below goes into (current->plug).
    """

    __slots__ = ("_burst", "_clock", "blocked", "core", "handle", "name", "plug", "ps")

    def __init__(self, clock: Clock, core: Core, name: str) -> None:
        self._clock = clock
        self.core = core
        self.name = name
        self.ps: i64 = 0
        self.blocked: Any = None
        self.handle: Any = None
        self.plug: Any = None
        self._burst = Due(0)

    @property
    def time_ns(self) -> i64:
        """The time this task has come to, its unsettled work included."""
        core = self.core
        start: i64 = self._clock.now
        if core.free_at > start:
            start = core.free_at
        if core.irq_free_at > start:
            start = core.irq_free_at
        return start + self.ps // PS_PER_NS

    def event(self) -> Any:
        """Return a new event, for the task to wait for."""
        return self._clock.event()

    def settle(self) -> Generator[Any, Any, bool]:
        """Spend the gathered cost on the core, behind what is queued there and what interrupts it."""
        return self.wait(None)

    def wait(self, event: Any) -> Generator[Any, Any, bool]:
        """
        Spend the gathered cost, then sleep until `event` (None: only spend); return whether it slept.

        The event may come before the work is done: the later of both counts. One event, not two, in the
        usual case that the device is slower than the burst.
        """
        if self.blocked is not None:
            raise InvariantError(f"task {self.name} went on without a tag for what it submits")
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
        core = self.core
        now: i64 = self._clock.now
        start = now
        if core.free_at > start:
            start = core.free_at
        if core.irq_free_at > start:
            start = core.irq_free_at
        ns = self.ps // PS_PER_NS
        self.ps -= ns * PS_PER_NS
        if core.watch is not None:
            core.watch.ran(core.index, TASK, self, now, start, ns, False)
        core.free_at = end = start + ns
        core.busy_task_ns += ns
        self._burst = Due(end)
        core.expect(now, self._burst)

    def expect(self, now: int, due: Due) -> None:
        """Push a place in its work back from now on, as Core.expect()."""
        self.core.expect(now, due)

    @property
    def behind_ns(self) -> i64:
        """How long the last burst still takes, interrupts included; 0 or less when it is over."""
        return self._burst.at - self._clock.now


class Cpu:
    """
    All cores of a machine.

    here, context: the core on which the code runs that is called now, and as what (of a completion and what
    it calls; who runs a task knows).
    """

    def __init__(self, clock: Clock, cores: int, wakeup_ns: int = 0, llc_cpus: int = 0) -> None:
        """
        wakeup_ns: from waking a worker until it runs; no CPU time is spent. llc_cpus: how many cores share a
        last-level cache; 0: all.
        """
        self._clock = clock
        self._wakeup_ns = wakeup_ns
        self.cores = [Core(index) for index in range(cores)]
        self.llc_cpus = llc_cpus or cores
        self._scale = 1 + (min(cores, 8).bit_length() - 1)  # SCHED_TUNABLESCALING_LOG
        self.here = self.cores[0]
        self.context: str = TASK
        # A bound method is an object, made whenever it is asked for.
        self._on_reached: Callable[[Any], None] = self._reached
        self._on_interrupted: Callable[[Any], None] = self._interrupted

    @property
    def now(self) -> int:
        """The clock's time in ns."""
        return self._clock.now

    def task(self, number: int, name: str) -> Task:
        """Return a task pinned to core `number` modulo the number of cores."""
        return Task(self._clock, self.cores[number % len(self.cores)], name)

    def interrupt(self, core: Core, ps: i64, done: Callable[[Any], None], argument: Any) -> None:
        """Run `ps` of interrupt work on `core` now, ahead of its bursts; `done(argument)` at its end."""
        ns = ps // PS_PER_NS
        now: i64 = self._clock.now
        start = core.irq_free_at if core.irq_free_at > now else now
        if core.watch is not None:
            core.watch.ran(core.index, IRQ, None, now, start, ns, True)
        core.irq_free_at = start + ns
        core.busy_irq_ns += ns
        core.push_back(now, ns)
        self._clock.call(start + ns - now, self._on_interrupted, _Step(start + ns, core, IRQ, done, argument))

    def _interrupted(self, step: _Step) -> None:
        self.here, self.context = step.core, IRQ
        step.then(step.argument)

    def when_done(self, task: Task, then: Callable[[Any], None], argument: Any) -> None:
        """Do `then(argument)` when the core has done what the task has gathered: now, if that is nothing."""
        step = _Step(task.time_ns, task.core, TASK, then, argument)
        task.expect(self._clock.now, step)
        self._reached(step)

    def _reached(self, step: _Step) -> None:
        """A place in a core's work is reached, unless interrupts have come before it."""
        wait = step.at - self._clock.now
        if wait > 0:
            self._clock.call(wait, self._on_reached, step)
        else:
            self.here, self.context = step.core, step.context
            step.then(step.argument)

    def spend(self, ps: int) -> None:
        """Spend `ps` here and now, in the context that runs; what else the core has to do waits."""
        ns, now, core = ps // PS_PER_NS, self._clock.now, self.here
        if self.context == IRQ:
            start = max(core.irq_free_at, now)
            if core.watch is not None:
                core.watch.ran(core.index, IRQ, None, now, start, ns, True)
            core.irq_free_at = start + ns
            core.busy_irq_ns += ns
            core.push_back(now, ns)
        elif self.context == TASK:
            if core.watch is not None:
                core.watch.ran(core.index, TASK, None, now, now, ns, True)
            core.busy_task_ns += ns
            core.free_at = max(core.free_at, now)
            core.push_tasks_back(now - 1, ns)  # the task goes on behind it, also one that is due now
        else:
            self.work(core, ps, True, None, None)

    def do(self, ps: int, then: Callable[[Any], None], argument: Any) -> None:
        """Spend `ps` here and now, as spend(); `then(argument)` when it is done."""
        core = self.here
        if self.context == IRQ:
            self.interrupt(core, ps, then, argument)
        elif self.context == TASK:
            now = self._clock.now
            step = _Step(now + ps // PS_PER_NS, core, TASK, then, argument)
            self.spend(ps)
            core.expect(now, step)
            self._reached(step)
        else:
            self.work(core, ps, True, then, argument)

    def shares_cache(self, core: Core, other: Core) -> bool:
        """cpus_share_cache(): tell whether two cores have one last-level cache."""
        return core.index // self.llc_cpus == other.index // self.llc_cpus

    def idlest(self, cores: list[Core]) -> Core:
        """
        Return the core that a woken worker goes to: the fewest workers, then free first, then the first.
        """
        best = cores[0]
        for core in cores:
            if (core.workers, core.free_at) < (best.workers, best.free_at):
                best = core
        return best

    def wake(self, then: Callable[[Any], None], argument: Any) -> None:
        """Let a woken worker run `then(argument)`, when it has noticed."""
        if self._wakeup_ns:
            self._clock.call(self._wakeup_ns, then, argument)
        else:
            then(argument)

    def goes_first(self, core: Core, high: bool) -> bool:
        """check_preempt_wakeup(): tell whether a woken worker goes before the tasks of its core."""
        if high:
            return True
        credit = SCHED_CREDIT_NS * self._scale
        core.vruntime = max(core.vruntime, core.busy_task_ns - credit)
        return core.busy_task_ns - core.vruntime > SCHED_GRANULARITY_NS * self._scale

    def work(
        self, core: Core, ps: int, first: bool, then: Callable[[Any], None] | None, argument: Any
    ) -> None:
        """Run `ps` of a worker's on `core`, before its tasks or behind them; `then(argument)` at its end."""
        ns = ps // PS_PER_NS
        core.busy_kworker_ns += ns
        core.vruntime += ns
        now = self._clock.now
        end = core.work(now, ns, first)
        if core.watch is not None:
            core.watch.ran(core.index, KWORKER, None, now, end - ns, ns, first)
        if then is not None:
            step = _Step(end, core, KWORKER, then, argument)
            core.expect_of_worker(now, step)
            self._clock.call(end - now, self._on_reached, step)

    @property
    def busy_ns(self) -> tuple[int, int, int]:
        """Return ns spent by tasks, interrupts and kworkers over all cores."""
        return (
            sum(core.busy_task_ns for core in self.cores),
            sum(core.busy_irq_ns for core in self.cores),
            sum(core.busy_kworker_ns for core in self.cores),
        )
