"""
Work queues: items that wait, and workers that are woken, run one after the other, and sleep again
(kernel/workqueue.c, Linux 6.1.192).

Whoever queues an item wakes an idle worker, unless as many items are active as may be: these wait inactive,
and wake no one. A worker drains the list before it sleeps, so that a wake-up and a sleep come once for each
of its rounds, not for each item. An unbound queue has one list for all cores. It wakes a worker for every
item that becomes active; until that one runs it is the same again, and it wakes the next when it finds more
to do. A bound queue has a list per core, and wakes no worker while one runs.

A woken worker goes to a core with nothing to do, else to the one with the fewest workers. There it goes
before a task if its queue has high priority, else if it has run less than the tasks by more than the wake-up
granularity of CFS, as 6.1 decides. What was recorded, on one CPU, is one wake-up and one sleep for each item
of fscrypt (high priority), and for 71 to 147 of 100 of dm-crypt's: time decides there.

A tasklet has no worker: it runs behind the interrupt that scheduled it, on its core. No recording has one.

Left out: rescuers, more than one NUMA node, a worker's move to another core, ksoftirqd, time slices: a worker
that does not go before a task waits for the end of its burst.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sim.engine.cpu import Core, Cpu
from sim.engine.ledger import IRQ, KWORKER, TASK, Ledger, Site
from sim.errors import ConfigError

WQ_DFL_ACTIVE: Final = 256
"""How many items of a bound queue may be active a core, unless it says otherwise."""

WORK_QUEUES: Final = ("unbound", "unbound-highpri", "bound", "bound-highpri", "tasklet")
"""Kinds of queues: WQ_UNBOUND or not, WQ_HIGHPRI or not; a tasklet is none, but is used for the same."""


class Item(NamedTuple):
    """
    Work items of neighbours that one worker does in a row: how many, their cost in ps, and what then is done.
    """

    number: int
    ps: int
    done: Callable[[Any], None]
    argument: Any


class Waker:
    """
    The call that wakes a worker, below what queues items, in each context.

    callers: the folded stack of who queues, by context, or of all. queues: the symbol that queues.
    """

    __slots__ = ("sites",)

    def __init__(self, ledger: Ledger, callers: str | dict[str, str], queues: str = "queue_work_on") -> None:
        if isinstance(callers, str):
            callers = dict.fromkeys((TASK, IRQ, KWORKER), callers)
        self.sites: dict[str, Site] = {
            context: ledger.site(context, f"{caller};{queues}" if caller else queues, "try_to_wake_up")
            for context, caller in callers.items()
        }


class _Pool:
    """The items and workers of an unbound queue, or of one core of a bound one."""

    __slots__ = ("active", "cores", "inactive", "ready", "running", "waking")

    def __init__(self, cores: list[Core]) -> None:
        self.cores = cores
        self.ready: deque[Item] = deque()
        self.inactive: deque[Item] = deque()
        self.active = 0
        self.running = 0
        self.waking = False


SleepingItem = tuple[_Pool, Core]
"""Of an item that is being done: whose it is, and on which core."""


class WorkQueue:
    """
    One work queue.

    kind: of WORK_QUEUES. max_active: items that may be active at once, per core if bound; 0: as many as there
    are cores (unbound), WQ_DFL_ACTIVE (bound). context, root: where in the ledger its items run, and the
    symbol that runs them; queues: the symbol that queues one.

    Raises ConfigError for an unknown kind.
    """

    def __init__(self, cpu: Cpu, ledger: Ledger, kind: str, max_active: int = 0) -> None:
        if kind not in WORK_QUEUES:
            raise ConfigError("encryption.work_queue", f"{kind!r} is not known", ", ".join(WORK_QUEUES))
        self._cpu = cpu
        self.softirq = kind == "tasklet"
        self._high = kind.endswith("-highpri")
        self._bound = kind.startswith("bound")
        cores = cpu.cores
        self.max_active = max_active or (WQ_DFL_ACTIVE if self._bound else len(cores))
        self._pools = [_Pool([core]) for core in cores] if self._bound else [_Pool(cores)]
        self.context = IRQ if self.softirq else KWORKER
        self.root = "tasklet_action_common" if self.softirq else "process_one_work"
        self.queues = "__tasklet_schedule" if self.softirq else "queue_work_on"
        self._doing: SleepingItem = self._pools[0], cores[0]
        self._asleep = False
        self._s_more = ledger.site(KWORKER, "process_one_work", "try_to_wake_up")
        self._s_sleep = ledger.site(KWORKER, "worker_thread", "schedule")

    def shares(self, count: int) -> list[int]:
        """Return how `count` items that are queued together are shared out: stretches of neighbours."""
        shares = 1 if self._bound or self.softirq else min(count, len(self._cpu.cores))
        return [count * (n + 1) // shares - count * n // shares for n in range(shares)]

    def queue(self, waker: Waker, items: list[Item]) -> None:
        """
        Queue items where the code that runs now runs, and wake who is to do them.

        The cost of queueing is the caller's to charge; that of waking is charged here, to its core.
        """
        cpu = self._cpu
        watch = cpu.here.watch
        if watch is not None:
            watch.queued(self.context)
        if self.softirq:
            for item in items:
                cpu.interrupt(cpu.here, item.ps, item.done, item.argument)
            return
        pool = self._pools[cpu.here.index if self._bound else 0]
        woken, free = 0, self.max_active - pool.active
        for item in items:
            woken += item.number
            if pool.active < self.max_active:
                pool.active += 1
                pool.ready.append(item)
            else:
                pool.inactive.append(item)
        woken = min(woken, free) if self._needs_more(pool) else 0
        if woken > 0:
            cpu.spend(waker.sites[cpu.context].charge(woken))
            self._wake(pool)

    def _needs_more(self, pool: _Pool) -> bool:
        """need_more_worker(): there is work, and no worker that counts runs."""
        return bool(pool.ready) and not (self._bound and pool.running)

    def _wake(self, pool: _Pool) -> None:
        """Wake an idle worker; the one that was woken before and does not run yet is the same."""
        if pool.waking:
            return
        pool.waking = True
        core = self._cpu.idlest(pool.cores)
        core.workers += 1
        self._cpu.wake(self._start, (pool, core))

    def _start(self, woken: tuple[_Pool, Core]) -> None:
        """A woken worker runs."""
        pool, core = woken
        pool.waking = False
        pool.running += 1
        if pool.ready:
            self._work(pool, core, self._cpu.goes_first(core, self._high))
        else:
            self._sleep(pool, core)

    def _work(self, pool: _Pool, core: Core, first: bool) -> None:
        """process_one_work(): take an item, see that the rest has a worker, do it."""
        item = pool.ready.popleft()
        if self._needs_more(pool):
            self._cpu.work(core, self._s_more.charge(1), first, self._woke, (pool, core, item))
        else:
            self._cpu.work(core, item.ps, first, self._worked, (pool, core, item))

    def _woke(self, doing: tuple[_Pool, Core, Item]) -> None:
        """A worker has called for another, and does its own item."""
        pool, core, item = doing
        self._wake(pool)
        self._cpu.work(core, item.ps, True, self._worked, doing)

    def _worked(self, did: tuple[_Pool, Core, Item]) -> None:
        """An item is done, unless it sleeps now."""
        pool, core, item = did
        self._doing, self._asleep = (pool, core), False
        item.done(item.argument)
        if not self._asleep:
            self._next(pool, core)

    def sleep(self) -> SleepingItem:
        """
        Let the item that is being done sleep: it stays active, and its worker does nothing else until wake(),
        which is to be given what this returns. If others are ready another worker is woken for them
        (wq_worker_sleeping()).
        """
        pool, core = self._doing
        self._asleep = True
        pool.running -= 1
        core.workers -= 1
        if self._needs_more(pool):
            self._wake(pool)
        return pool, core

    def wake(self, doing: SleepingItem) -> None:
        """An item that slept is done."""
        pool, core = doing
        pool.running += 1
        core.workers += 1
        self._next(pool, core)

    def _next(self, pool: _Pool, core: Core) -> None:
        """Go on with the next item, or sleep."""
        pool.active -= 1
        if pool.inactive:
            pool.active += 1
            pool.ready.append(pool.inactive.popleft())
        if pool.ready:
            self._work(pool, core, True)
        else:
            self._sleep(pool, core)

    def _sleep(self, pool: _Pool, core: Core) -> None:
        """A worker found nothing more to do."""
        pool.running -= 1
        core.workers -= 1
        self._cpu.work(core, self._s_sleep.charge(1), True, None, None)
