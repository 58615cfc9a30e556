"""Workers that sleep within an item: before tasks or behind them, and pushed back by interrupts."""

from __future__ import annotations

from typing import Any

import pytest

from sim.engine.cpu import Cpu
from sim.engine.mode import make_clock
from sim.engine.worker import Worker, Workers


@pytest.mark.parametrize(("first", "ends"), [(True, (130, 1100)), (False, (1100, 1000))])
def test_a_worker_goes_before_tasks_or_behind_them(first: bool, ends: tuple[int, int]) -> None:
    """
    A burst of 1000 ns from 0, a worker's of 100 from 30: it ends at 130 and the task's at 1100, or behind it.
    """
    clock = make_clock()
    cpu = Cpu(clock, 1)
    task, ended = cpu.task(0, "task"), {}

    def reads() -> Any:
        task.ps = 1_000_000
        yield from task.settle()
        ended["task"] = clock.now

    def works() -> Any:
        yield clock.timeout(30)
        worker = Worker(clock, cpu.cores[0], "worker", first)
        worker.ps = 100_000
        assert (130 if first else 1100) == worker.time_ns
        yield from worker.settle()
        ended["worker"] = clock.now

    clock.process(reads())
    clock.process(works())
    clock.run()
    assert ends == (ended["worker"], ended["task"])
    assert (1000, 0, 100) == cpu.busy_ns
    assert 100 == cpu.cores[0].vruntime


def test_what_a_worker_does_for_others_is_due_at_its_place() -> None:
    """Half way in its burst of 100 ns, which an interrupt of 20 at 10 pushes back, before a task's work."""
    clock = make_clock()
    cpu, at = Cpu(clock, 1), []
    task = cpu.task(0, "task")

    def works() -> Any:
        task.ps = 1_000_000
        task.begin_burst()
        worker = Worker(clock, cpu.cores[0], "worker", True)
        worker.ps = 50_000
        cpu.when_done(worker, lambda _: at.append(clock.now), None)
        worker.ps += 50_000
        yield from worker.settle()
        at.append(clock.now)

    clock.process(works())
    clock.call(10, lambda _: cpu.interrupt(cpu.cores[0], 20_000, lambda _: None, None), None)
    clock.run()
    assert [70, 120] == at


def test_two_workers_of_a_core_follow_one_another() -> None:
    """Both go before tasks, the second behind the first."""
    clock, ended = make_clock(), []
    cpu = Cpu(clock, 1)

    def works(name: str) -> Any:
        worker = Worker(clock, cpu.cores[0], name, True)
        worker.ps = 100_000
        yield from worker.settle()
        ended.append((name, clock.now))

    clock.process(works("a"))
    clock.process(works("b"))
    clock.run()
    assert [("a", 100), ("b", 200)] == ended


def test_there_are_as_many_workers_as_are_at_work() -> None:
    """One that is given back is taken again, on its core and under its name alone; others are new."""
    clock = make_clock()
    cpu = Cpu(clock, 2)
    workers, core = Workers(clock, cpu), cpu.cores[0]
    one, two = workers.take(core, "a"), workers.take(core, "a")
    assert one is not two
    workers.give(one)
    assert workers.take(cpu.cores[1], "a") is not one
    assert workers.take(core, "b") is not one
    assert not one.first
    core.busy_task_ns = 1_000_000_000
    assert workers.take(core, "a") is one
    assert one.first
