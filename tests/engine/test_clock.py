"""The clock of the compiled core against simpy's: the same programs, the same log."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.engine.clock import Clock
from sim.engine.mode import compiled, make_clock
from sim.engine.simpy_clock import SimpyClock
from sim.errors import ConfigError

STEPS = st.one_of(
    st.tuples(st.just("sleep"), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.integers(0, 3)),
    st.tuples(st.just("succeed"), st.integers(0, 3)),
    st.tuples(st.just("call"), st.integers(0, 5)),
    st.tuples(st.just("start"), st.integers(0, 2)),
    st.tuples(st.just("all"), st.integers(0, 3)),
)


def play(clock: Any, programs: list[list[tuple[str, int]]]) -> list[tuple[int, str]]:
    """Run programs, each a process; return who did what when."""
    log: list[tuple[int, str]] = []
    events = [clock.event() for _ in range(4)]
    fired: set[int] = set()
    started = [0]

    def process(name: str, steps: list[tuple[str, int]]) -> Any:
        for number, (step, value) in enumerate(steps):
            log.append((clock.now, f"{name}.{number} {step}"))
            if step == "sleep":
                yield clock.timeout(value)
            elif step == "wait":
                got = yield events[value]
                log.append((clock.now, f"{name}.{number} got {got}"))
            elif step == "succeed" and value not in fired:
                fired.add(value)
                events[value].succeed(f"{name}.{number}")
            elif step == "call":
                clock.call(value, lambda word: log.append((clock.now, word)), f"{name}.{number} called")
            elif step == "start" and started[0] < 5:
                started[0] += 1
                clock.process(process(f"{name}.{number}", programs[value % len(programs)][:3]))
            elif step == "all":
                yield clock.all_of((clock.timeout(value), clock.timeout(1)))

    for number, steps in enumerate(programs):
        clock.process(process(str(number), steps))
    clock.run()
    return log


@given(programs=st.lists(st.lists(STEPS, max_size=6), min_size=1, max_size=4))
def test_both_clocks_run_a_program_alike(programs: list[list[tuple[str, int]]]) -> None:
    """Sleeps, events, calls, processes that start processes: the same steps in the same order."""
    assert play(SimpyClock(), programs) == play(Clock(), programs)


@given(delays=st.lists(st.integers(0, 50), max_size=300))
def test_calls_come_by_time_and_then_in_the_order_of_scheduling(delays: list[int]) -> None:
    """A heap of any size gives what sorting gives."""
    clock, called = Clock(), list[int]()
    for number, delay in enumerate(delays):
        clock.call(delay, called.append, number)
    clock.run()
    assert sorted(range(len(delays)), key=lambda number: (delays[number], number)) == called


def test_what_is_scheduled_for_an_instant_runs_in_order() -> None:
    """A process that starts comes first; then what was scheduled earlier, for this instant or for now."""
    clock = Clock()
    log: list[str] = []

    def now(_none: Any) -> None:
        clock.call(0, log.append, "soon")
        clock.process(started())

    def started() -> Any:
        log.append("started")
        yield clock.timeout(0)
        log.append("went on")

    clock.call(5, now)
    clock.call(5, log.append, "second")
    clock.run()
    assert ["started", "second", "soon", "went on"] == log


def test_what_a_clock_refuses() -> None:
    """An event happens once, time does not run backwards, a process yields events."""
    clock = Clock()
    event = clock.event()
    event.succeed()
    with pytest.raises(RuntimeError, match="happens once"):
        event.succeed()
    with pytest.raises(ValueError, match="backwards"):
        clock.timeout(-1)

    def wrong() -> Any:
        yield 7

    clock.process(wrong())
    with pytest.raises(TypeError, match="no event"):
        clock.run()


def test_which_clock_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain Python runs on simpy's unless asked otherwise; a compiled core on its own."""
    monkeypatch.delenv("READPATH_CLOCK", raising=False)
    assert isinstance(make_clock(), Clock if compiled() else SimpyClock)
    monkeypatch.setenv("READPATH_CLOCK", "native")
    assert isinstance(make_clock(), Clock)
    monkeypatch.setenv("READPATH_CLOCK", "sundial")
    with pytest.raises(ConfigError, match="sundial"):
        make_clock()
