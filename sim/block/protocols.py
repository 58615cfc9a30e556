"""
What the code above a block device needs of it: a place to submit bios to.

`BlockQueue` is one, the queue over the hardware; a device that is stacked on another (dm-crypt) is a
`StackedQueue`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from mypy_extensions import mypyc_attr

from sim.block.bio import Bio, Plug
from sim.block.queue.limits import QueueLimits
from sim.engine.cpu import Task


@mypyc_attr(allow_interpreted_subclasses=True)
class BioQueue:
    """
    A block device as a file system sees it.

    limits: of the queue over the hardware.
    """

    limits: QueueLimits

    def submit(self, task: Task, bio: Bio, plug: Plug) -> None:
        """
        Submit a bio, or a row of them; it completes exactly once. Never sleeps, but may leave `task.blocked`:
        then the task goes on with `yield from wait_for_tag(task)`.
        """
        raise NotImplementedError

    def joins(self, task: Task, bio: Bio, plug: Plug) -> int:
        """
        Return how many bios of a row join the plug's newest request from behind if they are submitted now.
        Nobody sees a difference then whether they come one by one or together; 0 where somebody would.
        """
        del task, bio, plug
        return 0

    def wait_for_tag(self, task: Task) -> Generator[Any, Any, None]:
        """Sleep until all that a blocked task has submitted has its requests."""
        raise NotImplementedError

    def finish_plug(self, task: Task, plug: Plug) -> None:
        """Flush what the plug holds at the end of a window."""
        raise NotImplementedError

    def flush_for_sleep(self, task: Task, plug: Plug) -> None:
        """Flush what the plug holds because the task is about to sleep."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class StackedQueue(BioQueue):
    """A queue over another (BioQueue): what it does not do itself, the one below does, joins() apart."""

    def __init__(self, below: BioQueue) -> None:
        self.limits = below.limits
        self._below = below

    def submit(self, task: Task, bio: Bio, plug: Plug) -> None:
        """Submit a bio to the queue below."""
        self._below.submit(task, bio, plug)

    def wait_for_tag(self, task: Task) -> Generator[Any, Any, None]:
        """Sleep until what a blocked task has submitted below has its requests."""
        return self._below.wait_for_tag(task)

    def finish_plug(self, task: Task, plug: Plug) -> None:
        """Flush what the plug holds for the queue below."""
        self._below.finish_plug(task, plug)

    def flush_for_sleep(self, task: Task, plug: Plug) -> None:
        """Flush what the plug holds before a sleep, as finish_plug()."""
        self._below.flush_for_sleep(task, plug)
