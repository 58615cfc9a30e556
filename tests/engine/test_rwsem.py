"""
A semaphore of one writer or many readers, by hand-computed logs: who has it when, of tasks that hold it for a
while. A kernel's rules for who comes next; each test would fail with another.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.engine.cpu import Cpu, Task
from sim.engine.mode import make_clock
from sim.engine.rwsem import WAIT_TIMEOUT_NS, RwSemaphore
from sim.errors import InvariantError


class Bench:
    """Tasks on cores of their own, unless said otherwise, and the log: (ns, task, what it did)."""

    def __init__(self, cores: int = 8) -> None:
        self.clock = make_clock()
        self.cpu = Cpu(self.clock, cores)
        self.semaphore = RwSemaphore()
        self.log: list[tuple[int, str, str]] = []

    def hold(
        self,
        name: str,
        core: int,
        at: int,
        runs: int = 0,
        sleeps: int = 0,
        writes: bool = True,
        times: int = 1,
    ) -> None:
        """From `at` on a task takes it, runs and sleeps for so many ns, and lets it go; `times` in a row."""
        self.clock.process(self._hold(self.cpu.task(core, name), at, runs, sleeps, writes, times))

    def _hold(
        self, task: Task, at: int, runs: int, sleeps: int, writes: bool, times: int
    ) -> Generator[Any, Any, None]:
        semaphore = self.semaphore
        yield self.clock.timeout(at)
        for _ in range(times):
            if not (semaphore.try_write(task) if writes else semaphore.try_read()):
                if writes and semaphore.spins(task):
                    yield from semaphore.spin(task)
                else:
                    yield from semaphore.sleep(task, writes)
            self._note(task, "has")
            task.ps += runs * 1000
            yield from task.settle()
            if sleeps:
                yield from task.wait(self.clock.timeout(sleeps))
            self._note(task, "lets go")
            semaphore.up_write() if writes else semaphore.up_read()

    def _note(self, task: Task, what: str) -> None:
        self.log.append((self.clock.now, task.name, what))

    def had(self) -> list[tuple[int, str]]:
        """Run; return who had it from when on."""
        self.clock.run()
        return [(at, name) for at, name, what in self.log if what == "has"]


def test_who_spins_has_it_in_turn():
    """Three writers on cores of their own, of whom each comes back at once: none comes twice in a row."""
    bench = Bench()
    for core, name in enumerate("abc"):
        bench.hold(name, core, core, runs=10, times=2)
    assert bench.had() == [(0, "a"), (10, "b"), (20, "c"), (30, "a"), (40, "b"), (50, "c")]


def test_who_sleeps_is_passed_by_who_runs():
    """The holder sleeps, so the other does; it is woken when the holder, which goes on, has it again."""
    bench = Bench()
    bench.hold("a", 0, 0, sleeps=10, times=3)
    bench.hold("b", 1, 5, runs=1)
    assert bench.had() == [(0, "a"), (10, "a"), (20, "a"), (30, "b")]


def test_on_one_core_nobody_spins():
    """A holder that runs where the other would spin: the other sleeps, and is passed."""
    bench = Bench()
    bench.hold("a", 0, 0, runs=10, times=2)
    bench.hold("b", 0, 5, runs=1)
    assert bench.had() == [(0, "a"), (10, "a"), (20, "b")]


def test_who_was_passed_for_too_long_is_not_passed_again():
    """RWSEM_FLAG_HANDOFF: woken behind 4 ms and passed once more, it has the lock when it is let go next."""
    bench = Bench()
    third = WAIT_TIMEOUT_NS // 3
    bench.hold("a", 0, 0, sleeps=third, times=9)
    bench.hold("b", 1, 5, runs=1)
    assert (5 * third, "b") in bench.had()


def test_readers_have_it_together_and_wait_for_a_writer():
    """Two readers at once; a writer behind them; a reader that comes then stands behind the writer."""
    bench = Bench()
    for core, name in enumerate("rs"):
        bench.hold(name, core, core, sleeps=10, writes=False)
    bench.hold("w", 2, 3, sleeps=10)
    bench.hold("t", 3, 4, sleeps=10, writes=False)
    assert bench.had() == [(0, "r"), (1, "s"), (11, "w"), (21, "t")]


def test_all_readers_in_the_queue_are_woken_with_the_first():
    """Also those behind a writer (rwsem_mark_wake())."""
    bench = Bench()
    bench.hold("w", 0, 0, sleeps=10)
    bench.hold("r", 1, 1, sleeps=10, writes=False)
    bench.hold("v", 2, 2, sleeps=10)
    bench.hold("s", 3, 3, sleeps=10, writes=False)
    assert bench.had() == [(0, "w"), (10, "r"), (10, "s"), (20, "v")]


def test_letting_go_what_nobody_has():
    """It is a fault of ours, and named."""
    for let_go in (RwSemaphore().up_read, RwSemaphore().up_write):
        with pytest.raises(InvariantError):
            let_go()


HOLDERS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(0, 9), st.integers(0, 9), st.booleans()),
    max_size=8,
)


@given(HOLDERS, st.integers(1, 3))
def test_one_writer_or_readers_and_everybody_comes_to_it(
    holders: list[tuple[int, int, int, int, bool]], times: int
) -> None:
    """Whoever comes when, on whichever core: no writer beside another holder, and nobody waits for ever."""
    bench = Bench()
    for number, (core, at, runs, sleeps, writes) in enumerate(holders):
        bench.hold(f"{number}{'w' if writes else 'r'}", core, at, runs, sleeps, writes, times)
    bench.clock.run()
    has: list[str] = []
    for _, name, what in bench.log:
        has = [*has, name] if what == "has" else [other for other in has if other != name]
        assert len(has) < 2 or all(other.endswith("r") for other in has)
    assert not has
    assert len(bench.log) == 2 * times * len(holders)
