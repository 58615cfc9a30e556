"""Work on cores, as it is written down: pieces, kinds, and whose charges are whose."""

from __future__ import annotations

from typing import Any

from sim.engine.costs import load_costs
from sim.engine.cpu import Cpu
from sim.engine.ledger import IRQ, KWORKER, TASK, Ledger
from sim.engine.mode import make_clock
from sim.engine.worker import Worker
from sim.engine.workqueue import Item, Waker, WorkQueue
from sim.machine.block_log import Pids
from sim.machine.cpu_log import CpuLog

COSTS = load_costs("linux-6.1-epyc-7001")


class Small:
    """One core, its log, and a site of each context."""

    def __init__(self) -> None:
        self.clock = make_clock()
        self.cpu = Cpu(self.clock, 1)
        self.ledger = Ledger(COSTS)
        self.log = CpuLog(Pids())
        self.log.attach(self.cpu.cores, self.ledger)
        self.reads = self.ledger.site(TASK, "", "vfs_read")
        self.ends = self.ledger.site(IRQ, "", "bio_endio")
        self.works = self.ledger.site(KWORKER, "", "process_one_work process_one_work;xts_decrypt")
        self.task = self.cpu.task(0, "reader")

    def rows(self) -> list[tuple[Any, ...]]:
        """Return what was written down: number, context, pid, start and length of each piece."""
        self.log.finish(self.clock.now)
        columns = self.log.columns()
        return [
            tuple(columns[name][row] for name in ("burst", "context", "pid", "start_ns", "ns"))
            for row in range(len(columns["burst"]))
        ]


def test_an_interrupt_cuts_a_burst_and_a_queued_one_waits():
    """A burst of 1000 ns, cut at 300 and 310 by interrupts of 50: three pieces are 1000; the next waits."""
    small = Small()
    cpu, core = small.cpu, small.cpu.cores[0]

    def run():
        small.task.ps = 1_000_000
        small.task.begin_burst()
        other = cpu.task(0, "other")
        other.ps = 200_000
        other.begin_burst()
        yield small.clock.timeout(300)
        cpu.interrupt(core, 50_000, lambda _: None, None)
        yield small.clock.timeout(10)
        cpu.interrupt(core, 50_000, lambda _: None, None)

    small.clock.process(run())
    small.clock.run()
    assert [
        (0, "task", 1001, 0, 300),
        (2, "irq", 0, 300, 50),
        (3, "irq", 0, 350, 50),
        (0, "task", 1001, 400, 700),
        (1, "task", 1002, 1100, 200),
    ] == small.rows()


def test_what_a_worker_does_is_its_own():
    """Two items that an interrupt queues: each worker's stretch has its part, the interrupt none of it."""
    small = Small()
    work = WorkQueue(small.cpu, small.ledger, "bound-highpri")
    waker = Waker(small.ledger, "")

    def queue(_nothing: object) -> None:
        items = [Item(1, small.works.charge(count), lambda _: None, None) for count in (1, 3)]
        work.queue(waker, items)

    small.cpu.interrupt(small.cpu.cores[0], small.ends.charge(2), queue, None)
    small.clock.run()
    small.rows()
    calls = [
        {row.symbol: row.calls for row in rows if row.symbol in ("bio_endio", "xts_decrypt")}
        for rows in small.log.kinds()
    ]
    assert [{"bio_endio": 2}, {"xts_decrypt": 1}, {"xts_decrypt": 3}] == [
        counts for counts in calls if counts
    ]


def test_what_is_queued_for_a_worker_that_runs_waits_its_turn():
    """Items that an interrupt queues while the worker is at another: each stretch has its own, in order."""
    small = Small()
    work = WorkQueue(small.cpu, small.ledger, "bound-highpri")
    waker = Waker(small.ledger, "")

    def queue(counts: tuple[int, ...]) -> None:
        work.queue(waker, [Item(1, small.works.charge(count), lambda _: None, None) for count in counts])

    core = small.cpu.cores[0]
    small.cpu.interrupt(core, small.ends.charge(1), queue, (50,))
    small.clock.call(2_000, lambda _: small.cpu.interrupt(core, small.ends.charge(2), queue, (1, 3)), None)
    small.clock.run()
    rows = small.rows()
    kinds, columns = small.log.kinds(), small.log.columns()
    workers = [row for row in range(len(rows)) if columns["context"][row] == "kworker"]
    done = dict.fromkeys((columns["burst"][row], columns["kind"][row]) for row in workers)
    decrypted = [sum(call.calls for call in kinds[kind] if call.symbol == "xts_decrypt") for _, kind in done]
    assert [50, 1, 3] == [count for count in decrypted if count]


def test_what_is_spent_in_passing_is_not_what_a_task_has_yet_to_settle():
    """A task that has done much and not settled it wakes another: each stretch has its own calls."""
    small = Small()
    wakes = small.ledger.site(TASK, "", "try_to_wake_up")

    def run():
        small.task.ps += small.reads.charge(500)
        small.cpu.spend(wakes.charge(1))
        yield from small.task.settle()

    small.clock.process(run())
    small.clock.run()
    small.rows()
    calls = [[(row.symbol, row.calls) for row in rows] for rows in small.log.kinds()]
    assert [[("try_to_wake_up", 1)], [("vfs_read", 500)]] == calls


def test_what_is_never_spent_is_told_at_the_end():
    """A charge that no stretch was made for is a stretch of no length; nothing is lost."""
    small = Small()
    small.task.ps += small.reads.charge(1)
    ((_, context, pid, _, ns),) = small.rows()
    assert ("task", 0, 0) == (context, pid, ns)
    ((row,),) = small.log.kinds()
    assert ("vfs_read", 1) == (row.symbol, row.calls)


def test_a_worker_that_sleeps_cuts_a_burst_where_it_runs():
    """A burst of 1000 ns; two workers of 100 at 300 go before its rest, one after the other."""
    small = Small()
    cpu, core = small.cpu, small.cpu.cores[0]

    def run():
        small.task.ps = 1_000_000
        small.task.begin_burst()
        yield small.clock.timeout(300)
        for name in ("a", "b"):
            worker = Worker(small.clock, core, name, True)
            worker.ps = 100_000
            worker.begin_burst()

    small.clock.process(run())
    small.clock.run()
    assert cpu.busy_ns == (1000, 0, 200)
    assert sorted((start, ns) for _, _, _, start, ns in small.rows()) == [
        (0, 300), (300, 100), (400, 100), (500, 700),
    ]  # fmt: skip
