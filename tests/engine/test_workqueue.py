"""
Work queues by hand-computed logs: a waking takes 3 ns, an item 10 ns, going to sleep 5 ns.

Each test would fail with another rule of kernel/workqueue.c.
"""

from __future__ import annotations

from typing import Any, get_args

import pytest

from sim.config.encryption import WorkQueueKind
from sim.engine.costs import Cost, CostTable
from sim.engine.cpu import SCHED_CREDIT_NS, SCHED_GRANULARITY_NS, Cpu
from sim.engine.ledger import IRQ, TASK, Ledger
from sim.engine.mode import make_clock
from sim.engine.workqueue import WORK_QUEUES, Item, Waker, WorkQueue
from sim.errors import ConfigError

WAKE, SLEEP, ITEM = 3, 5, 10
COSTS = CostTable(
    "test",
    {
        s: Cost(s, ns * 1000, 0, "", "other", 0, "test")
        for s, ns in {"try_to_wake_up": WAKE, "schedule": SLEEP}.items()
    },
)


class Bench:
    """A processor, a queue, and the log of its items: (time, name, core)."""

    def __init__(self, kind: str, cpus: int, max_active: int = 0, wakeup_ns: int = 0) -> None:
        self.clock = make_clock()
        self.cpu = Cpu(self.clock, cpus, wakeup_ns)
        self.ledger = Ledger(COSTS)
        self.work = WorkQueue(self.cpu, self.ledger, kind, max_active)
        self.waker = Waker(self.ledger, "")
        self.log: list[tuple[int, str, int]] = []

    def items(self, names: str) -> list[Item]:
        """An item of 10 ns for each letter."""
        return [Item(1, ITEM * 1000, self._done, name) for name in names]

    def _done(self, name: str) -> None:
        self.log.append((self.clock.now, name, self.cpu.here.index))

    def interrupt(self, at: int, names: str, core: int = 0) -> None:
        """At `at` an interrupt of no length queues items on a core."""

        def came(_: Any) -> None:
            self.cpu.interrupt(
                self.cpu.cores[core], 0, lambda n: self.work.queue(self.waker, self.items(n)), names
            )

        self.clock.call(at, came, None)

    def run(self, task_ns: int = 0) -> None:
        """Run, beside a task of so many ns from time 0 on on core 0."""
        if task_ns:
            task = self.cpu.task(0, "task")

            def burst() -> Any:
                task.ps = task_ns * 1000
                yield from task.settle()
                self.log.append((self.clock.now, "task", 0))

            self.clock.process(burst())
        self.clock.run()

    @property
    def calls(self) -> dict[str, int]:
        """Calls by symbol."""
        found: dict[str, int] = {}
        for row in self.ledger.rows():
            found[row.symbol] = found.get(row.symbol, 0) + row.calls
        return found


def test_a_worker_drains_its_list_before_it_sleeps() -> None:
    """
    Four items in one interrupt, one CPU: one is active, so one wake-up (3 ns); the worker does all four and
    sleeps once. That is not one wake-up and one sleep for each.
    """
    bench = Bench("unbound-highpri", 1)
    bench.interrupt(100, "abcd")
    bench.run()
    assert [(113, "a", 0), (123, "b", 0), (133, "c", 0), (143, "d", 0)] == bench.log
    assert {"try_to_wake_up": 1, "schedule": 1} == bench.calls
    assert (0, 3, 45) == bench.cpu.busy_ns


def test_items_that_come_one_by_one_have_a_worker_each_time() -> None:
    """As recorded on one CPU: the worker sleeps before the next item comes, and is woken again."""
    bench = Bench("unbound-highpri", 1)
    for at in (100, 200, 300):
        bench.interrupt(at, "x")
    bench.run()
    assert [113, 213, 313] == [at for at, _, _ in bench.log]
    assert {"try_to_wake_up": 3, "schedule": 3} == bench.calls


def test_workers_wake_one_another() -> None:
    """
    Six items, four CPUs: four become active, each with a wake-up of the same idle worker (12 ns of the
    interrupt, which found core 0 idle: there that worker runs). It finds three more, wakes a second (3 ns)
    and does its item, and so on: three wakings more. Two items wait inactive and wake no one.
    """
    bench = Bench("unbound", 4)
    bench.interrupt(100, "abcdef")
    bench.run()
    assert {"try_to_wake_up": 4 + 3, "schedule": 4} == bench.calls
    # Core 0: 112 + 3 + 10. Core 1, woken at 115: + 3 + 10. Core 2, at 118; core 3, at 121, wakes no one.
    assert [(125, "a", 0), (128, "b", 1)] == bench.log[:2]
    assert [(131, "c", 2), (131, "d", 3)] == sorted(bench.log[2:4])
    assert [(135, "e", 0), (138, "f", 1)] == bench.log[4:]


def test_a_full_queue_wakes_no_one() -> None:
    """
    Items that come while as many are active as may be wait for a worker that is through with its own: two
    wakings in the interrupt, one by the first worker (6 to 9), none for "c" and "d".
    """
    bench = Bench("unbound", 2)
    bench.interrupt(0, "ab")
    bench.interrupt(5, "cd", core=1)
    bench.run()
    assert {"try_to_wake_up": 3, "schedule": 2} == bench.calls
    assert [(19, "a", 0), (19, "b", 1), (29, "c", 1), (29, "d", 0)] == sorted(bench.log)


@pytest.mark.parametrize(("max_active", "wakes"), [(0, 3), (1, 1)])
def test_a_bound_queue_stays_on_its_core(max_active: int, wakes: int) -> None:
    """
    Three items on core 1: each becomes active and wakes the worker that does not run yet, with a limit of one
    (dm-crypt's same_cpu_crypt) only the first; one worker does all, and while it runs no one is woken.
    """
    bench = Bench("bound", 4, max_active)
    bench.interrupt(100, "abc", core=1)
    bench.interrupt(120, "d", core=1)
    bench.run()
    assert {1} == {core for _, _, core in bench.log}
    start = 100 + 3 * wakes
    assert [start + 10, start + 20, start + 30, start + 40] == [at for at, _, _ in bench.log]
    assert {"try_to_wake_up": wakes, "schedule": 1} == bench.calls


def test_high_priority_goes_before_a_task() -> None:
    """A task of 1,000 ns, an item at 100: a waking of 3 ns, then it runs; the task ends 18 ns later."""
    bench = Bench("bound-highpri", 1)
    bench.interrupt(100, "a")
    bench.run(task_ns=1000)
    assert [(113, "a", 0), (1018, "task", 0)] == bench.log


def test_without_it_who_has_run_less_goes_first() -> None:
    """
    A worker that has run as much as the task waits for the end of its burst; when the task has run longer by
    more than CFS's granularity it does not.
    """
    for task_ns, first in ((SCHED_GRANULARITY_NS, "task"), (SCHED_GRANULARITY_NS + 1, "a")):
        bench = Bench("bound", 1)
        bench.interrupt(100, "a")
        bench.run(task_ns=task_ns)
        assert first == bench.log[0][1]


def test_a_sleeper_has_no_credit_without_end() -> None:
    """After a long sleep a worker is behind the task by the credit, no more: it cannot run on for longer."""
    cpu = Cpu(make_clock(), 1)
    core = cpu.cores[0]
    core.busy_task_ns = 100 * SCHED_CREDIT_NS
    assert cpu.goes_first(core, high=False)
    assert core.busy_task_ns - SCHED_CREDIT_NS == core.vruntime
    core.vruntime += SCHED_CREDIT_NS - SCHED_GRANULARITY_NS
    assert not cpu.goes_first(core, high=False)
    assert cpu.goes_first(core, high=True)


def test_a_tasklet_runs_behind_its_interrupt() -> None:
    """On the core of the interrupt, before its task, without waking or sleeping."""
    bench = Bench("tasklet", 2)
    bench.interrupt(100, "ab", core=0)
    bench.run(task_ns=1000)
    assert [(110, "a", 0), (120, "b", 0), (1020, "task", 0)] == bench.log
    assert {} == bench.calls
    assert (1000, 20, 0) == bench.cpu.busy_ns


def test_an_interrupt_delays_the_item_that_runs() -> None:
    """An item from 103 to 113, 30 ns of interrupt at 105: it ends at 143."""
    bench = Bench("bound", 1)
    bench.interrupt(100, "a")
    bench.clock.call(
        105, lambda _: bench.cpu.interrupt(bench.cpu.cores[0], 30_000, lambda _: None, None), None
    )
    bench.run()
    assert [(143, "a", 0)] == bench.log


def test_a_wakeup_takes_its_time_and_no_cpu() -> None:
    """
    50 ns from waking to running. An item that comes meanwhile wakes the same worker, in vain. That runs at
    150, and wakes a second, which finds nothing left at 203 and goes to sleep.
    """
    bench = Bench("unbound", 2, wakeup_ns=50)
    bench.interrupt(100, "a")
    bench.interrupt(120, "b")
    bench.run()
    assert {"try_to_wake_up": 3, "schedule": 2} == bench.calls
    assert [(163, "a"), (173, "b")] == [(at, name) for at, name, _ in bench.log]


@pytest.mark.parametrize("context", [TASK, IRQ])
def test_waking_is_paid_where_the_item_is_queued(context: str) -> None:
    """By the task, or in the interrupt, on its core."""
    bench = Bench("unbound", 2)
    task = bench.cpu.task(0, "task")
    if context == IRQ:
        bench.interrupt(0, "a")
    else:
        task.ps = 20_000
        bench.cpu.when_done(task, lambda n: bench.work.queue(bench.waker, bench.items(n)), "a")
        bench.clock.process(task.settle())
    bench.run()
    (row,) = [row for row in bench.ledger.rows() if row.symbol == "try_to_wake_up"]
    assert (context, 1) == (row.context, row.calls)
    assert ((23, 0, 15) if context == TASK else (0, 3, 15)) == bench.cpu.busy_ns


def test_a_task_goes_on_when_it_has_woken_a_worker() -> None:
    """It queues at 20 and wakes until 23, also if that was all it had to do."""
    bench = Bench("unbound", 2)
    task = bench.cpu.task(0, "task")

    def burst() -> Any:
        task.ps = 20_000
        bench.cpu.when_done(task, lambda n: bench.work.queue(bench.waker, bench.items(n)), "a")
        yield from task.settle()
        bench.log.append((bench.clock.now, "task", 0))

    bench.clock.process(burst())
    bench.run()
    assert (23, "task", 0) == bench.log[0]


def test_shares_are_neighbours_for_every_core() -> None:
    """Ten items on four cores: 2, 3, 2 and 3; a bound queue has one worker for all."""
    assert [2, 3, 2, 3] == Bench("unbound", 4).work.shares(10)
    assert [1, 1] == Bench("unbound", 4).work.shares(2)
    assert [10] == Bench("bound", 4).work.shares(10)


def test_an_experiment_may_name_every_kind() -> None:
    """And no other: the configuration's words are the engine's."""
    assert get_args(WorkQueueKind) == WORK_QUEUES


def test_an_unknown_kind_is_an_error() -> None:
    """With what is allowed."""
    with pytest.raises(ConfigError, match=WORK_QUEUES[-1]):
        Bench("unbuond", 1)


def test_a_bound_queue_has_256_active_items() -> None:
    """WQ_DFL_ACTIVE: of 300 items in one interrupt 256 become active, and wake; one worker does all."""
    bench = Bench("bound", 1)
    bench.interrupt(0, "x" * 300)
    bench.run()
    assert {"try_to_wake_up": 256, "schedule": 1} == bench.calls
    assert 256 * WAKE + 300 * ITEM == bench.log[-1][0]


def test_an_item_that_has_waited_is_active_as_others_are() -> None:
    """
    Two CPUs, two items at work until 19, two behind them until 29: one that comes at 22 waits inactive, and
    wakes no one. The wakings are those of the first interrupt, and one by the first worker.
    """
    bench = Bench("unbound", 2)
    bench.interrupt(0, "abcd")
    bench.interrupt(22, "e", core=1)
    bench.run()
    assert {"try_to_wake_up": 3, "schedule": 2} == bench.calls
    assert [19, 19, 29, 29, 39] == [at for at, _, _ in bench.log]


def test_a_worker_that_sleeps_is_on_no_core() -> None:
    """Two workers on two cores at 10, none at 30: the next worker finds the cores alike."""
    bench = Bench("unbound", 2)
    bench.interrupt(0, "ab")
    found: list[list[int]] = []
    for at in (10, 30):
        bench.clock.call(at, lambda _: found.append([core.workers for core in bench.cpu.cores]), None)
    bench.run()
    assert [[1, 1], [0, 0]] == found


@pytest.mark.parametrize(("cpus", "factor"), [(1, 1), (2, 2), (4, 3), (8, 4), (64, 4)])
def test_cfs_has_coarser_times_on_more_cores(cpus: int, factor: int) -> None:
    """
    Granularity 1 ms and credit 3 ms, times 1 + log2 of the cores, of eight at most
    (get_update_sysctl_factor()).
    """
    cpu = Cpu(make_clock(), cpus)
    core = cpu.cores[0]
    core.busy_task_ns = factor * 1_000_000
    assert not cpu.goes_first(core, high=False)
    core.busy_task_ns += 1
    assert cpu.goes_first(core, high=False)
    core.busy_task_ns = 1_000_000_000
    assert cpu.goes_first(core, high=False)
    assert 1_000_000_000 - factor * 3_000_000 == core.vruntime


def test_what_a_worker_has_run_counts_against_it() -> None:
    """After 600 us of its own it goes first when the tasks have run for more than 1,600 us."""
    cpu = Cpu(make_clock(), 1)
    core = cpu.cores[0]
    cpu.work(core, 600_000_000, True, None, None)
    core.busy_task_ns = 1_600_000
    assert not cpu.goes_first(core, high=False)
    core.busy_task_ns += 1
    assert cpu.goes_first(core, high=False)


def test_a_woken_worker_goes_where_the_fewest_workers_are() -> None:
    """Even if that core has a task to run for 500 ns and the other, which has a worker, is free."""
    cpu = Cpu(make_clock(), 3)
    first, second, third = cpu.cores
    first.workers, second.free_at, third.free_at = 1, 500, 500
    assert second is cpu.idlest(cpu.cores)
    second.free_at = 501
    assert third is cpu.idlest(cpu.cores)
