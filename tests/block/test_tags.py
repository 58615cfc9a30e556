"""
Tags, kblockd and who completes: hand-computed, on a device of 100 us and code that costs nothing.

A request's task sleeps for a tag where there is none left (blk_mq_get_tag()), and its plug goes first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from test_block_queue import FixedLatency, Noted, free

from sim.block.bio import Bio, Plug
from sim.block.queue.limits import QueueLimits
from sim.block.queue.submit import BlockQueue
from sim.block.queue.tags import Tags, scheduler_tags
from sim.engine.costs import CostTable
from sim.engine.cpu import Cpu, Task
from sim.engine.ledger import IRQ, KWORKER, TASK, Ledger
from sim.engine.mode import make_clock

US = 1000


class Setup:
    """A queue of a SATA-like device over cores, and tasks that submit."""

    def __init__(
        self, cpus: int = 1, llc_cpus: int = 0, costs: dict[str, int] | None = None, **limits: Any
    ) -> None:
        """costs: of symbols in us a call; all else costs nothing."""
        self.clock = make_clock()
        self.cpu = Cpu(self.clock, cpus, llc_cpus=llc_cpus)
        table = free().costs
        priced = {name: replace(table[name], self_ps=us * US * 1000) for name, us in (costs or {}).items()}
        self.ledger = Ledger(CostTable("priced", table | priced))
        self.device = FixedLatency(self.clock, 100 * US)
        self.log: list[tuple[str, int, int, int]] = []
        said = {"max_sectors": 64, "max_segments": 8, "queue_depth": 4, "driver": "ahci"} | limits
        self.queue = BlockQueue(
            self.clock, self.cpu, self.ledger, QueueLimits(**said), self.device, lambda *e: self.log.append(e)
        )
        self.end_io = Noted(self.clock)

    def reader(self, sectors: list[int], core: int = 0, holds: bool = True) -> None:
        """Start a task that submits a bio of 8 sectors at each of these, and ends its plug."""
        task, plug = self.cpu.task(core, f"reader {core}"), Plug(holds=holds)
        self.clock.process(self._submit(task, plug, sectors))

    def _submit(self, task: Task, plug: Plug, sectors: list[int]) -> Any:
        for sector in sectors:
            self.queue.submit(task, Bio(sector, 8, 1, 1, self.end_io, None, [(sector // 8, 1)], True), plug)
            if task.blocked is not None:
                yield from self.queue.wait_for_tag(task)
        self.queue.finish_plug(task, plug)
        yield from task.settle()

    def calls(self, symbol: str) -> dict[str, int]:
        """Calls of a symbol by context."""
        found: dict[str, int] = {}
        for row in self.ledger.charges():
            if row.symbol == symbol:
                found[row.context] = found.get(row.context, 0) + row.calls
        return found

    def of(self, letters: str) -> list[tuple[str, int, int]]:
        """The events of these letters: letter, time in us, sector."""
        return [(action, at // US, sector) for action, at, sector, _ in self.log if action in letters]


def test_who_finds_no_tag_sleeps_and_its_plug_goes_first() -> None:
    """Four tags: the fifth request is made at 100 us, when the first four, out of the plug, are back."""
    setup = Setup()
    setup.reader([0, 100, 200, 300, 400, 500])
    setup.clock.run()
    assert [("G", 0, s) for s in (0, 100, 200, 300)] + [("G", 100, s) for s in (400, 500)] == setup.of("G")
    assert [("D", 0, s) for s in (0, 100, 200, 300)] + [("D", 100, s) for s in (500, 400)] == setup.of("D")
    assert {TASK: 1} == setup.calls("io_schedule")
    # The plug went as who is about to sleep sends it: inserted as one list, handed over by a worker.
    assert {TASK: 1} == setup.calls("blk_mq_insert_requests")
    assert {KWORKER: 1} == setup.calls("blk_mq_dispatch_rq_list")
    assert {KWORKER: 4, TASK: 2} == setup.calls("ata_scsi_queuecmd")


def test_a_merge_needs_no_tag() -> None:
    """Four requests, all of the tags, and a bio behind the last: it joins, and no one sleeps."""
    setup = Setup()
    setup.reader([0, 100, 200, 300, 308])
    setup.clock.run()
    assert [("M", 0, 308)] == setup.of("M")
    assert {} == setup.calls("io_schedule")


def test_an_elevator_has_tags_of_its_own() -> None:
    """
    The hardware takes four commands, the scheduler eight requests: eight are made at once, four issued, and
    the rest when there is room, each by a worker that the interrupt asks for.
    """
    setup = Setup(scheduler="mq-deadline")
    setup.reader([100 * n for n in range(9)])
    setup.clock.run()
    assert [("G", 0, 100 * n) for n in range(8)] + [("G", 100, 800)] == setup.of("G")
    assert [0, 0, 0, 0, 100, 100, 100, 100, 200] == [at for _, at, _ in setup.of("D")]


def test_nr_requests_says_how_many() -> None:
    """Given, it is what the scheduler has, whatever the hardware takes."""
    setup = Setup(scheduler="mq-deadline", tags=2)
    setup.reader([100 * n for n in range(4)])
    setup.clock.run()
    assert [0, 0, 100, 100] == [at for _, at, _ in setup.of("G")]


@pytest.mark.parametrize(("depth", "tags"), [(1, 2), (31, 62), (32, 64), (128, 256), (1023, 256)])
def test_default_nr_requests(depth: int, tags: int) -> None:
    """Twice the smaller of the depth and 128: 64 on SATA."""
    assert tags == scheduler_tags(depth)


def test_a_sleeper_is_woken_when_a_batch_has_come_back() -> None:
    """32 tags: four are the batch. Three back wake no one, the fourth wakes up to four, the next again."""
    tags = Tags(32)
    tags.left = 0
    assert [] == tags.put()  # no one sleeps: not counted
    clock = make_clock()
    events = [clock.event() for _ in range(6)]
    tags.sleepers.extend(events)
    assert [[], [], [], events[:4], [], [], [], events[4:]] == [tags.put() for _ in range(8)]
    assert 9 == tags.left


@pytest.mark.parametrize(("depth", "batch"), [(1, 1), (8, 1), (16, 2), (64, 8), (1023, 8)])
def test_the_batch(depth: int, batch: int) -> None:
    """An eighth of the tags, 1 to 8."""
    tags = Tags(depth)
    clock = make_clock()
    tags.sleepers.extend(clock.event() for _ in range(100))
    puts = 1
    while not (woken := tags.put()):
        puts += 1
    assert (batch, batch) == (puts, len(woken))


def test_a_cut_bio_waits_for_a_tag_piece_by_piece() -> None:
    """A bio of 40 sectors, requests of 8, two tags: pieces go as tags come back, and the bio ends once."""
    setup = Setup(max_sectors=8, queue_depth=2)
    task, plug = setup.cpu.task(0, "reader"), Plug(holds=False)

    def reader() -> Any:
        setup.queue.submit(task, Bio(0, 40, 1, 5, setup.end_io, None, [(0, 5)], True), plug)
        while task.blocked is not None:
            yield from setup.queue.wait_for_tag(task)

    setup.clock.process(reader())
    setup.clock.run()
    assert [(0, 0), (0, 8), (100, 16), (100, 24), (200, 32)] == [
        (at, sector) for _, at, sector in setup.of("D")
    ]
    assert [(0, 40)] == setup.end_io.done_bios


def test_tasks_are_served_in_the_order_they_came() -> None:
    """One tag, three readers on cores of their own: one after another."""
    setup = Setup(cpus=3, queue_depth=1)
    for core in range(3):
        setup.reader([1000 * core], core)
    setup.clock.run()
    assert [("D", 100 * n, 1000 * n) for n in range(3)] == setup.of("D")


@pytest.mark.parametrize(("driver", "own"), [("ahci", False), ("nvme", True), ("virtio_blk", True)])
def test_tags_are_of_a_hardware_queue(driver: str, own: bool) -> None:
    """A device with a queue per core has its tags for each of them; SATA has one queue for all."""
    setup = Setup(cpus=2, queue_depth=1, driver=driver)
    for core in range(2):
        setup.reader([1000 * core], core)
    setup.clock.run()
    assert ([0, 0] if own else [0, 100]) == [at for _, at, _ in setup.of("D")]


class Cores(Noted):
    """Notes on which core bios end."""

    cpu: Cpu

    def done(self, bio: Bio) -> None:
        """Note the core."""
        del bio
        self.done_bios.append((self.cpu.here.index, self.cpu.context))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("driver", "llc_cpus", "ends"),
    [
        ("nvme", 0, 3),  # a queue, and an interrupt, per core
        ("ahci", 0, 0),  # one interrupt, on core 0, which shares a cache with core 3
        ("ahci", 2, 3),  # and which does not: the completion is sent on
        ("ahci", 4, 0),
        ("null_blk", 0, 3),  # no interrupt at all
    ],
)
def test_who_completes(driver: str, llc_cpus: int, ends: int) -> None:
    """A request of core 3 on a machine of four cores."""
    setup = Setup(cpus=4, llc_cpus=llc_cpus, driver=driver)
    setup.end_io = Cores(setup.clock)
    setup.end_io.cpu = setup.cpu
    setup.reader([0], core=3)
    setup.clock.run()
    assert [(ends, IRQ)] == setup.end_io.done_bios
    sent = driver == "ahci" and llc_cpus == 2
    if driver != "null_blk":
        assert {IRQ: 1 + sent} == setup.calls("asm_common_interrupt")


def test_a_plug_that_is_flushed_at_its_end_goes_straight_to_the_driver() -> None:
    """No worker and no insertion: that is for who is about to sleep, and for elevators."""
    setup = Setup()
    setup.reader([0, 100])
    setup.clock.run()
    assert {TASK: 2} == setup.calls("ata_scsi_queuecmd")
    assert {} == setup.calls("blk_mq_dispatch_rq_list") == setup.calls("blk_mq_insert_requests")


def test_a_plug_that_is_flushed_for_sleep_is_looked_at_twice() -> None:
    """By io_schedule_prepare(), and by schedule(), which finds it empty; and once more at its end."""
    setup = Setup(queue_depth=1)
    setup.reader([0, 100])
    setup.clock.run()
    assert {TASK: 2 + 1} == setup.calls("__blk_flush_plug") == setup.calls("blk_mq_flush_plug_list")


def test_a_tag_that_came_back_meanwhile_is_not_slept_for() -> None:
    """
    Two tags, and submitting takes 150 us. Core 1's read has one until 250 us, core 0's first bio the other,
    in its plug. Its second finds none; by the task's clock that is at 300 us, and then there is one: the plug
    stays as it is, and is flushed at its end alone.
    """
    setup = Setup(cpus=2, costs={"submit_bio": 150}, queue_depth=2)
    setup.reader([1000], core=1, holds=False)
    setup.reader([0, 100])
    setup.clock.run()
    assert [("D", 150, 1000), ("D", 300, 100), ("D", 300, 0)] == setup.of("D")
    assert {} == setup.calls("io_schedule")
    assert {TASK: 2} == setup.calls("__blk_flush_plug")


def test_a_tag_comes_back_when_the_interrupt_is_over() -> None:
    """
    The interrupt takes 10 us on core 0, waking 5 us behind it; the sleeper on core 1 has the tag at 110, for
    who wakes it spends its time afterwards.
    """
    setup = Setup(cpus=2, costs={"asm_common_interrupt": 10, "try_to_wake_up": 5}, queue_depth=1)
    setup.reader([0, 100], core=1, holds=False)
    setup.clock.run()
    assert [("D", 0, 0), ("D", 110, 100)] == setup.of("D")
    assert {IRQ: 1} == setup.calls("try_to_wake_up")
    assert 2 * 10 * US + 5 * US == setup.cpu.cores[0].busy_irq_ns


def test_kblockd_is_asked_once_for_all_that_wait() -> None:
    """Four commands end at one instant and ask it each: one item, which issues the four that wait."""
    setup = Setup(scheduler="mq-deadline")
    setup.reader([100 * n for n in range(8)])
    setup.clock.run()
    assert {IRQ: 4} == setup.calls("mod_delayed_work_on")
    assert {KWORKER: 1} == setup.calls("process_one_work") == setup.calls("blk_mq_dispatch_rq_list")
    assert {IRQ: 1} == setup.calls("try_to_wake_up")


def test_kblockd_goes_before_the_tasks() -> None:
    """Its workers have high priority: what waits is issued at 100 us, though a task has the core for 1 ms."""
    setup = Setup(scheduler="mq-deadline", queue_depth=1)
    setup.reader([0, 100])
    other = setup.cpu.task(0, "other")

    def burst() -> Any:
        other.ps = 1_000_000 * 1000
        yield from other.settle()

    setup.clock.process(burst())
    setup.clock.run()
    assert [("D", 0, 0), ("D", 100, 100)] == setup.of("D")


def test_kblockd_runs_on_the_core_that_asked() -> None:
    """It is a bound queue: a device with a queue per core, whose interrupt comes to core 1, is run there."""
    costs = {"blk_mq_dispatch_rq_list": 3}
    setup = Setup(cpus=2, costs=costs, driver="nvme", scheduler="mq-deadline", queue_depth=1)
    setup.reader([0, 100], core=1)
    setup.clock.run()
    assert [0, 3 * US] == [core.busy_kworker_ns for core in setup.cpu.cores]


def test_a_handler_at_work_finds_what_else_is_done() -> None:
    """Two commands end at one instant: one interrupt for both, of 10 us; a third has its own at 300 us."""
    setup = Setup(costs={"asm_common_interrupt": 10})
    setup.reader([0, 100])
    setup.clock.call(200 * US, lambda _: setup.reader([200]), None)
    setup.clock.run()
    assert {IRQ: 2} == setup.calls("asm_common_interrupt")
