"""Cores, tasks, interrupts, kworkers, and the ledger they charge to: tiny model, whole log."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import sim
from sim.engine.clock import Clock
from sim.engine.costs import Cost, CostTable, load_costs, parse_costs
from sim.engine.cpu import Cpu, Task
from sim.engine.ledger import IRQ, TASK, CallRow, Ledger
from sim.engine.mode import make_clock
from sim.engine.streams import stream
from sim.errors import ConfigError


def burst(clock: Clock, task: Task, ns: int, log: list[tuple[int, str]]) -> Any:
    """Work for `ns` and note when it is done."""
    task.ps += ns * 1000
    yield from task.settle()
    log.append((clock.now, task.name))


def test_bursts_on_one_core_follow_each_other_and_on_two_run_side_by_side() -> None:
    """Two tasks of 100 ns: 100 and 200 on one core, both 100 on two."""
    for cores, expected in ((1, [(100, "a"), (200, "b")]), (2, [(100, "a"), (100, "b")])):
        clock, log = make_clock(), []
        cpu = Cpu(clock, cores)
        for i, name in enumerate("ab"):
            clock.process(burst(clock, cpu.task(i, name), 100, log))
        clock.run()
        assert expected == log


def test_an_interrupt_pushes_back_the_burst_it_hits() -> None:
    """30 ns of interrupt work at 50 end at 80, and the burst of 100 at 130; a later burst is untouched."""
    clock, log = make_clock(), []
    cpu = Cpu(clock, 1)
    task = cpu.task(0, "task")
    clock.process(burst(clock, task, 100, log))
    clock.call(
        50, lambda _: cpu.interrupt(cpu.cores[0], 30_000, lambda _: log.append((clock.now, "irq")), None)
    )
    clock.run()
    clock.process(burst(clock, task, 100, log))
    clock.run()
    assert [(80, "irq"), (130, "task"), (230, "task")] == log
    assert (200, 30, 0) == cpu.busy_ns


def test_what_is_due_within_a_burst_waits_for_the_interrupts_before_it() -> None:
    """
    Work of 100 ns, a hand-over, work of 50. Interrupts of 30 ns at 40 and at 110 come before the hand-over,
    which was due at 100, then at 130: it is at 160, the end at 210. One at 170 pushes only the end, to 240.
    """
    clock, log = make_clock(), []
    cpu = Cpu(clock, 1)
    task = cpu.task(0, "end")

    def work() -> Any:
        task.ps += 100_000
        cpu.when_done(task, lambda said: log.append((clock.now, said)), "handed over")
        task.ps += 50_000
        yield from task.settle()
        log.append((clock.now, "end"))

    clock.process(work())
    for at in (40, 110, 170):
        clock.call(at, lambda _: cpu.interrupt(cpu.cores[0], 30_000, lambda _: None, None))
    clock.run()
    assert [(160, "handed over"), (240, "end")] == log


def test_an_interrupt_after_a_burst_delays_no_one_who_sleeps() -> None:
    """
    A burst of 100 ns, then a wait for an event at 500. Another task's burst of 600 is hit at 200 by 30 ns of
    interrupt: that is at 730. The sleeper wakes at 500, and slept.
    """
    clock, log = make_clock(), []
    cpu = Cpu(clock, 1)

    def sleeper(task: Task) -> Any:
        task.ps += 100_000
        slept = yield from task.wait(clock.timeout(500))
        log.append((clock.now, "slept" if slept else "was busy"))

    clock.process(sleeper(cpu.task(0, "sleeper")))
    clock.process(burst(clock, cpu.task(0, "other"), 600, log))
    clock.call(200, lambda _: cpu.interrupt(cpu.cores[0], 30_000, lambda _: None, None))
    clock.run()
    assert [(500, "slept"), (730, "other")] == log


def test_waiting_takes_the_later_of_work_and_event() -> None:
    """An event at 50 during a burst of 100 is seen at 100; one at 300 at 300."""
    clock, log = make_clock(), []
    cpu = Cpu(clock, 2)
    for core, at in ((0, 50), (1, 300)):

        def waiter(task: Task, event: Any) -> Any:
            task.ps += 100_000
            yield from task.wait(event)
            log.append(clock.now)

        clock.process(waiter(cpu.task(core, "w"), clock.timeout(at)))
    clock.run()
    assert [100, 300] == log


def test_time_of_a_task_includes_what_it_has_not_settled() -> None:
    """A charged task is ahead of the clock by its charge, behind what its core is busy with."""
    clock = make_clock()
    cpu = Cpu(clock, 1)
    first, second = cpu.task(0, "a"), cpu.task(0, "b")
    first.ps = 70_000
    clock.process(first.settle())
    clock.run(clock.timeout(0))
    second.ps = 5_500
    assert 75 == second.time_ns


def table(**costs: tuple[int, int]) -> CostTable:
    """Return costs of (self, per unit) ns by symbol."""
    return CostTable(
        "test", {s: Cost(s, a * 1000, b * 1000, "byte", "other", 0, "test") for s, (a, b) in costs.items()}
    )


def test_sites_come_apart_into_symbols() -> None:
    """A site of f calling g twice and h with units: rows per stack, calls and own times exact."""
    ledger = Ledger(table(f=(10, 0), g=(3, 0), h=(1, 2)), {"g": "g_old"})
    site = ledger.site(TASK, "main", "f f;g*2 f;h", unit="h")
    assert 3 * (10 + 6 + 1) * 1000 + 5 * 2000 == site.charge_units(3, 5)
    assert [
        CallRow("f", "main;f", TASK, "other", 3, 30_000, 0, 0),
        CallRow("g_old", "main;f;g_old", TASK, "other", 6, 18_000, 0, 0),
        CallRow("h", "main;f;h", TASK, "other", 3, 13_000, 5, 0),
    ] == ledger.rows()
    ledger.reset()
    assert [] == ledger.rows()


def test_a_site_charges_units_without_a_call() -> None:
    """`f:byte` in a pass is a unit of f and no call of it, and joins f's other rows; `/` starts a stack."""
    ledger = Ledger(table(f=(10, 2), g=(3, 0)))
    ledger.site(TASK, "", "f").charge(1)
    each = ledger.site(TASK, "main", "g /f:byte*2")
    assert 5 * (3 + 2 * 2) * 1000 == each.charge(5)
    assert [
        CallRow("f", "f", TASK, "other", 1, 10_000 + 10 * 2_000, 10, 0),
        CallRow("g", "main;g", TASK, "other", 5, 15_000, 0, 0),
    ] == ledger.rows()
    with pytest.raises(ConfigError, match=r"machine profile test: cost.f.unit: 'byte'; allowed: page"):
        ledger.site(TASK, "", "f:page")


def test_instructions_are_counted_beside_the_time() -> None:
    """A call and a unit cost instructions too; the clock does not see them."""
    ledger = Ledger(CostTable("test", {"f": Cost("f", 1000, 500, "byte", "other", 0, "s", 7_000, 250)}))
    assert 2 * 1000 + 6 * 500 == ledger.site(TASK, "", "f", unit="f").charge_units(2, 6)
    assert [2 * 7_000 + 6 * 250] == [row.mi for row in ledger.rows()]


def test_a_profile_of_instructions_goes_at_its_stated_pace() -> None:
    """2 GHz at 1.25 instructions a cycle: 0.4 ns each; own ns win; a pace without source is refused."""
    clock = {"ghz": 2.0, "ipc": 1.25, "source": "s"}
    entry = {"instructions": 100, "unit": "byte", "unit_instructions": 2, "group": "g", "source": "s"}
    costs = parse_costs("m", {"clock": clock, "cost": {"f": entry, "g": entry | {"self": 7, "per_unit": 1}}})
    assert (40_000, 800, 100_000, 2_000) == (
        costs["f"].self_ps,
        costs["f"].unit_ps,
        costs["f"].self_mi,
        costs["f"].unit_mi,
    )
    assert (7_000, 1_000) == (costs["g"].self_ps, costs["g"].unit_ps)
    with pytest.raises(ConfigError, match=r"m: clock: is not complete"):
        parse_costs("m", {"clock": {"ghz": 2.0, "ipc": 1.0}, "cost": {}})
    with pytest.raises(ConfigError, match=r"m: cost.f: 'self' is missing"):
        parse_costs("m", {"cost": {"f": entry}})


def test_fused_sites_count_like_their_parts() -> None:
    """Charging a fused site is charging each part, also when the rows are read twice."""
    ledger = Ledger(table(f=(10, 0), g=(3, 0)))
    first, second = ledger.site(IRQ, "", "f"), ledger.site(IRQ, "f", "g")
    both = ledger.fuse(first, second)
    assert 13_000 == both.charge(1)
    first.charge(1)
    assert {"f": 2, "g": 1} == ledger.calls()
    assert {"f": 2, "g": 1} == ledger.calls()


def test_a_symbol_without_a_cost_is_an_error_with_its_neighbours() -> None:
    """No charge disappears: an unknown symbol is refused when its site is declared."""
    with pytest.raises(ConfigError, match=r"symbol 'ext4_map_block' has no cost; allowed: ext4_map_blocks"):
        Ledger(load_costs("linux-6.1-epyc")).site(TASK, "", "ext4_map_block")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"self": 1, "group": "g"}, "m: cost.f: 'source' is missing; allowed: self, per_unit"),
        ({"self": -1, "group": "g", "source": "s"}, "m: cost.f.self: -1 is not a cost; allowed: a number"),
        ({"self": 1, "group": "g", "source": "s", "per_unit": 1}, "m: cost.f: per_unit and unit go together"),
        ({"slef": 1}, "m: cost.f.slef: unknown key; allowed: self"),
        (
            {"self": 1, "group": "g", "source": "s", "interval": [2, 1]},
            "m: cost.f.interval: [2, 1] is no interval; allowed: [lowest, highest]",
        ),
    ],
)
def test_profiles_are_checked(entry: dict[str, Any], message: str) -> None:
    """A constant without source, unit or sense is one clear line."""
    with pytest.raises(ConfigError) as caught:
        parse_costs("m", {"cost": {"f": entry}})
    assert str(caught.value).startswith(message)


def test_every_constant_of_the_shipped_profile_has_a_source() -> None:
    """Nothing gets in without saying where it comes from."""
    for profile in ("linux-6.1-epyc", "linux-3.16-2014"):
        costs = load_costs(profile).costs
        assert [] == [symbol for symbol, cost in costs.items() if not cost.source.strip()]
    with pytest.raises(
        ConfigError, match=r"machine.profile: 'linux' is not known; allowed: linux-3.16-2014, linux-6.1-epyc"
    ):
        load_costs("linux")


def test_the_clock_runs_calls_and_events_in_order() -> None:
    """Events of one instant keep the order in which they were scheduled, whatever kind they are."""
    clock, log = make_clock(), []

    def process() -> Any:
        yield clock.timeout(10)
        log.append(("process", clock.now))

    clock.process(process())
    clock.call(10, lambda x: log.append((x, clock.now)), "call")
    clock.call_after(10, lambda: log.append(("after", clock.now)))
    clock.run()
    assert [("call", 10), ("after", 10), ("process", 10)] == log
    assert clock.idle


def test_an_exception_in_a_process_reaches_the_caller() -> None:
    """A failing process is not lost."""
    clock = make_clock()

    def process() -> Any:
        yield clock.timeout(1)
        raise KeyError("lost")

    clock.process(process())
    with pytest.raises(KeyError, match="lost"):
        clock.run()


def test_streams_are_named_and_independent() -> None:
    """A stream is a function of seed and name alone."""
    assert stream(1, "a").integers(1 << 60) == stream(1, "a").integers(1 << 60)
    assert stream(1, "a").integers(1 << 60) != stream(1, "b").integers(1 << 60)
    assert stream(1, "a").integers(1 << 60) != stream(2, "a").integers(1 << 60)


def test_a_faster_clock_makes_nothing_slower_and_no_byte_faster(tmp_path: Path) -> None:
    """A profile of three times the pace over the default machine: bytes of a `rep` keep their ns."""
    file = tmp_path / "fast.toml"
    file.write_text(
        'name = "fast"\nabout = "x"\nbase = "linux-6.1-epyc-7001"\n'
        '[clock]\nghz = 5.7\nipc = 2.0\nsource = "sheet"\n'
    )
    base, fast = load_costs("linux-6.1-epyc-7001"), load_costs(str(file))
    assert [] == [
        symbol
        for symbol, cost in fast.costs.items()
        if cost.self_ps > base[symbol].self_ps + 1 or cost.unit_ps > base[symbol].unit_ps + 1
    ]
    assert base["copy_page_to_iter"].unit_ps == fast["copy_page_to_iter"].unit_ps
    pace_ps = 342.1  # of the default machine
    ratio = 1000 / 11.4 / pace_ps
    added = base["__filemap_add_folio"].self_ps
    assert added * ratio == pytest.approx(fast["__filemap_add_folio"].self_ps, rel=1e-3)
    others_ps = (4100 - 4096) * pace_ps  # of clear_page_erms' instructions 4,096 are bytes of a rep stosb
    expected = base["clear_page_erms"].self_ps - others_ps * (1 - ratio)
    assert fast["clear_page_erms"].self_ps == pytest.approx(expected, rel=1e-3)


def test_bytes_go_at_the_pace_that_both_profiles_state(tmp_path: Path) -> None:
    """ns_per_byte of a profile, half of its base's: a copied byte takes half."""
    file = tmp_path / "copies.toml"
    shipped = Path(sim.__file__).parent / "profiles" / "machines" / "linux-6.1-epyc.toml"
    clock = tomllib.loads(shipped.read_text())["clock"]
    file.write_text(
        'name = "copies"\nabout = "x"\nbase = "linux-6.1-epyc"\n'
        f"[clock]\nns_per_instruction = {clock['ns_per_instruction']}\n"
        f'ns_per_byte = {clock["ns_per_byte"] / 2}\nsource = "sheet"\n'
    )
    base, half = load_costs("linux-6.1-epyc"), load_costs(str(file))
    assert base["copy_page_to_iter"].unit_ps / 2 == pytest.approx(half["copy_page_to_iter"].unit_ps, abs=1)
    assert base["__filemap_add_folio"].self_ps == half["__filemap_add_folio"].self_ps


def test_what_is_queued_behind_a_delayed_burst_is_delayed_too() -> None:
    """
    30 ns of interrupt at 50 in a burst of 100: another task's burst of 10, queued at 60, is over at 140. So
    for workers.
    """
    clock, log = make_clock(), []
    cpu = Cpu(clock, 1)
    clock.process(burst(clock, cpu.task(0, "a"), 100, log))
    clock.call(50, lambda _: cpu.interrupt(cpu.cores[0], 30_000, lambda _: None, None))
    clock.call(60, lambda _: clock.process(burst(clock, cpu.task(0, "b"), 10, log)))
    clock.run()
    assert [(130, "a"), (140, "b")] == log
    clock, log = make_clock(), []
    cpu = Cpu(clock, 1)

    def work(name: str, ns: int) -> None:
        cpu.work(cpu.cores[0], ns * 1000, True, lambda _: log.append((clock.now, name)), None)

    work("a", 100)
    clock.call(50, lambda _: cpu.interrupt(cpu.cores[0], 30_000, lambda _: None, None))
    clock.call(60, lambda _: work("b", 10))
    clock.run()
    assert [(130, "a"), (140, "b")] == log


def test_an_interrupt_that_comes_when_something_is_due_comes_too_late() -> None:
    """What is due at 100 happens at 100, though an interrupt of 30 ns begins then; the next waits for it."""
    clock, log = make_clock(), []
    cpu = Cpu(clock, 1)
    clock.call(100, lambda _: cpu.interrupt(cpu.cores[0], 30_000, lambda _: None, None))
    task = cpu.task(0, "task")
    for ns, name in ((100_000, "first"), (1_000, "second")):
        task.ps += ns
        cpu.when_done(task, lambda said: log.append((clock.now, said)), name)
    clock.process(task.settle())
    clock.run()
    assert [(100, "first"), (131, "second")] == log


def test_parts_of_a_ns_add_up() -> None:
    """Three bursts of 700 ps are 0, 1 and 1 ns: 2.1 in all."""
    clock = make_clock()
    cpu = Cpu(clock, 1)
    task = cpu.task(0, "task")
    ends = []

    def work() -> Any:
        for _ in range(3):
            task.ps += 700
            yield from task.settle()
            ends.append(clock.now)

    clock.process(work())
    clock.run()
    assert [0, 1, 2] == ends
    assert 100 == task.ps


@pytest.mark.parametrize(("event_ns", "slept"), [(99, False), (100, False), (101, True)])
def test_only_who_has_nothing_left_to_do_sleeps(event_ns: int, slept: bool) -> None:
    """Work of 100 ns, and an event before, at, or after its end."""
    clock = make_clock()
    task = Cpu(clock, 1).task(0, "task")
    task.ps = 100_000
    assert slept == clock.run(clock.process(task.wait(clock.timeout(event_ns))))


def test_who_is_due_now_waits_for_what_is_spent_now_also_behind_another_burst() -> None:
    """A burst is over at 100. At 100 another begins, then 10 ns are spent in a task: it is over at 110."""
    clock, log = make_clock(), []
    cpu = Cpu(clock, 1)
    other = cpu.task(0, "other")

    def at_its_end(_: Any) -> None:
        other.begin_burst()
        cpu.spend(10_000)

    clock.call(100, at_its_end, None)
    clock.process(burst(clock, cpu.task(0, "task"), 100, log))
    clock.run()
    assert [(110, "task")] == log
