"""Block events with task, CPU and RWBS: two tasks that take turns at one queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from core_kit import FixedLatency

from sim.block.bio import Bio, EndIo, Plug
from sim.block.opf import REQ_FUA, REQ_META, REQ_OP_WRITE, REQ_SYNC
from sim.block.queue.limits import QueueLimits
from sim.block.queue.submit import BlockQueue
from sim.engine.costs import load_costs
from sim.engine.cpu import Cpu, Task
from sim.engine.ledger import Ledger
from sim.engine.mode import make_clock
from sim.machine.block_log import BlockLog, Pids


class _Ends(EndIo):
    """Bios that end."""

    def charge(self, bio: Bio, context: str) -> int:
        """At no cost."""
        del bio, context
        return 0

    def done(self, bio: Bio) -> None:
        """Nothing waits."""


class Setup:
    """A queue with an elevator over two cores, its log, and two tasks with a plug each."""

    def __init__(self, **limits: Any) -> None:
        self.clock = make_clock()
        self.cpu = Cpu(self.clock, 2)
        self.log = BlockLog(Pids(), {1001: 7})
        said = {"max_sectors": 64, "max_segments": 8, "queue_depth": 4, "scheduler": "mq-deadline"}
        limit = QueueLimits(**said, driver="ahci", write_cache=True, fua=True, **limits)
        ledger = Ledger(load_costs("linux-6.1-epyc-7001"))
        device = FixedLatency(self.clock, 50_000)
        self.queue = BlockQueue(self.clock, self.cpu, ledger, limit, device, self.log)
        self.log.attach(self.queue, self.cpu)
        self.tasks = [self.cpu.task(number, name) for number, name in enumerate(("first", "second"))]
        self.plugs = [Plug(), Plug()]

    def submit(self, at: int, sector: int, opf: int = 0, ahead: bool = False) -> None:
        """Let a task submit a bio of a page."""
        bio = Bio(sector, 8, 1, 1, _Ends(), None, [(sector // 8, 1)], ahead, opf)
        self.queue.submit(self.tasks[at], bio, self.plugs[at])

    def run(self, process: Callable[[Task], Any]) -> list[tuple[Any, ...]]:
        """Run to the end; return action, RWBS, sector, CPU, pid and window of each event."""
        self.clock.process(process(self.tasks[0]))
        self.clock.run()
        columns = self.log.columns()
        names = ("action", "rwbs", "sector", "cpu", "pid", "window")
        return [tuple(columns[name][row] for name in names) for row in range(len(columns["action"]))]


def test_each_task_has_its_own_events():
    """The second submits before the first ends its plug: what is inserted is of who plugged it."""
    setup = Setup()

    def both(first: Task) -> Any:
        setup.submit(0, 0, ahead=True)
        setup.submit(1, 800)
        setup.queue.finish_plug(first, setup.plugs[0])
        yield from first.settle()
        setup.queue.finish_plug(setup.tasks[1], setup.plugs[1])
        yield from setup.tasks[1].settle()

    events = setup.run(both)
    of_first = [event for event in events if event[2] == 0 and event[0] in "QGI"]
    assert [("Q", "RA", 0, 0, 1001, 7), ("G", "RA", 0, 0, 1001, -1), ("I", "RA", 0, 0, 1001, -1)] == of_first
    of_second = [event for event in events if event[2] == 800 and event[0] in "QGI"]
    assert [
        ("Q", "R", 800, 1, 1002, -1),
        ("G", "R", 800, 1, 1002, -1),
        ("I", "R", 800, 1, 1002, -1),
    ] == of_second
    assert [("U", 1001), ("U", 1002)] == [(event[0], event[4]) for event in events if event[0] == "U"]
    columns = setup.log.columns()
    counts = [columns["count"][row] for row in range(len(events)) if events[row][0] == "U"]
    assert [1, 1] == counts
    assert {0} == {event[4] for event in events if event[0] == "C"}


def test_who_waited_for_a_tag_goes_on_as_itself():
    """A task that got no tag and slept, while another submits, has its request under its own name."""
    setup = Setup(tags=1)

    def two(first: Task) -> Any:
        setup.submit(0, 0)
        setup.submit(0, 80)
        assert first.blocked is not None
        setup.clock.process(other(setup.tasks[1]))
        yield from setup.queue.wait_for_tag(first)
        setup.queue.finish_plug(first, setup.plugs[0])
        yield from first.settle()

    def other(second: Task) -> Any:
        yield setup.clock.timeout(10)
        setup.submit(1, 800)
        if second.blocked is not None:
            yield from setup.queue.wait_for_tag(second)
        setup.queue.finish_plug(second, setup.plugs[1])
        yield from second.settle()

    events = setup.run(two)
    assert {0: 1001, 80: 1001, 800: 1002} == {event[2]: event[4] for event in events if event[0] == "G"}


@pytest.mark.parametrize(
    ("opf", "ahead", "rwbs"),
    [
        (0, False, "R"),
        (0, True, "RA"),
        (REQ_OP_WRITE, False, "W"),
        (REQ_OP_WRITE | REQ_SYNC | REQ_META, False, "WSM"),
        (REQ_OP_WRITE | REQ_SYNC | REQ_META, True, "WASM"),
        (REQ_OP_WRITE | REQ_FUA | REQ_SYNC, False, "WFS"),
    ],
)
def test_rwbs_is_as_blkparse_prints_it(opf, ahead, rwbs):
    """R or W, F for FUA, A for readahead, S, M, in this order, from Q to C."""
    setup = Setup()

    def one(first: Task) -> Any:
        setup.submit(0, 0, opf, ahead)
        setup.queue.finish_plug(first, setup.plugs[0])
        yield from first.settle()

    events = setup.run(one)
    assert {rwbs} == {event[1] for event in events if event[0] in "QGIDC"}
    assert {"Q", "G", "D", "C"} <= {event[0] for event in events}
