"""What a queue over another hands on."""

from __future__ import annotations

from typing import Any

from sim.block.bio import Bio, EndIo, Plug
from sim.block.protocols import BioQueue, StackedQueue
from sim.block.queue.limits import QueueLimits
from sim.engine.clock import Clock
from sim.engine.cpu import Cpu


class Below(BioQueue):
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.limits = QueueLimits(1280, 128, 64)
        self.asked: list[tuple[Any, ...]] = []

    def submit(self, task: Any, bio: Bio, plug: Plug) -> None:
        """Note it."""
        self.asked.append(("submit", task, bio, plug))

    def wait_for_tag(self, task: Any) -> Any:
        """Note it."""
        self.asked.append(("wait_for_tag", task))
        yield "an event"

    def finish_plug(self, task: Any, plug: Plug) -> None:
        """Note it."""
        self.asked.append(("finish_plug", task, plug))

    def flush_for_sleep(self, task: Any, plug: Plug) -> None:
        """Note it."""
        self.asked.append(("flush_for_sleep", task, plug))


def test_a_queue_over_another_hands_on_what_it_does_not_do_itself() -> None:
    """With the same task, bio and plug; a task that waits, waits for the queue below."""
    below, task, plug = Below(), Cpu(Clock(), 1).task(0, "reader"), Plug()
    above = StackedQueue(below)
    bio = Bio(8, 8, 1, 1, EndIo(), None, [(0, 1)], False)
    above.submit(task, bio, plug)
    assert ["an event"] == list(above.wait_for_tag(task))
    above.finish_plug(task, plug)
    above.flush_for_sleep(task, plug)
    asked = [
        ("submit", task, bio, plug),
        ("wait_for_tag", task),
        ("finish_plug", task, plug),
        ("flush_for_sleep", task, plug),
    ]
    assert asked == below.asked
    assert below.limits is above.limits
