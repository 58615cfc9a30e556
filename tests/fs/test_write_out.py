"""Bios on their way and who waits for them."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from write_kit import WriteRig

from sim.block.bio import Plug
from sim.block.opf import REQ_OP_READ
from sim.engine.cpu import Task


def test_two_may_wait_for_one_bio() -> None:
    """A block that two tasks need is read once, and both go on when it has come."""
    rig, came = WriteRig(latency_ns=50_000), list[str]()
    buffers, clock = rig.writer.buffers, rig.machine.clock

    def needs(task: Task) -> Generator[Any, Any, None]:
        yield from buffers.read(task, 777, Plug(holds=False))
        came.append(task.name)

    for number in range(2):
        clock.process(needs(rig.machine.cpu.task(number, f"reader {number}")))
    clock.run()
    assert ["reader 0", "reader 1"] == sorted(came)


def test_what_waits_for_a_tag_is_flushed_before_the_sleep() -> None:
    """More bios under a plug than there are tags, then a sleep for all: none stays in the plug."""
    rig = WriteRig(latency_ns=50_000, depth=2)
    machine, plug, out = rig.machine, Plug(), rig.writer.out

    def reads(task: Task) -> Generator[Any, Any, None]:
        pending = [out.submit(task, plug, at * 80, 8, 1, [], None, REQ_OP_READ) for at in range(5)]
        machine.disk.flush_for_sleep(task, plug)
        yield from out.wait(task, pending)
        assert [True] * 5 == [each.ended for each in pending]

    rig.run(reads(rig.task))
    assert 0 == machine.queue.stats.pending
