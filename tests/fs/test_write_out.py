"""Bios on their way and who waits for them."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from write_kit import WriteRig

from sim.block.bio import Plug
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
