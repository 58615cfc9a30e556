"""
What the code above a block device needs of it: a place to submit bios to.

`BlockQueue` is one, the queue over the hardware; a device that is stacked on another (dm-crypt) is one too.
"""

from __future__ import annotations

from mypy_extensions import mypyc_attr

from sim.block.bio import Bio, Plug
from sim.block.queue.limits import QueueLimits
from sim.engine.cpu import Task
from sim.engine.ledger import Site
from sim.errors import InvariantError


@mypyc_attr(allow_interpreted_subclasses=True)
class BioQueue:
    """
    A block device as a file system sees it.

    limits: of the queue over the hardware. alone: the sites that a bio passes which is submitted alone under
    its plug; the caller charges them before `submit_alone`.
    """

    limits: QueueLimits
    alone: tuple[Site, Site, Site]

    def submit(self, task: Task, bio: Bio, plug: Plug) -> None:
        """Submit a bio, or a row of them; it completes exactly once. Never sleeps."""
        raise NotImplementedError

    def takes_alone(self, bio_sectors: int, segments: int) -> bool:
        """Return whether `submit_alone` may be called with a bio of this size."""
        raise NotImplementedError

    def takes_row_alone(self, unit_sectors: int, count: int) -> bool:
        """Return whether `submit_alone` may be called with such a row of one-block bios."""
        raise NotImplementedError

    def submit_alone(self, task: Task, bio: Bio) -> None:
        """Submit a bio, or a row, under a plug of its own and flush that."""
        raise NotImplementedError

    def finish_plug(self, task: Task, plug: Plug) -> None:
        """Flush what the plug holds at the end of a window."""
        raise NotImplementedError

    def flush_for_sleep(self, task: Task, plug: Plug) -> None:
        """Flush what the plug holds because the task is about to sleep."""
        raise NotImplementedError


class NeverAlone(BioQueue):
    """The part of a BioQueue that is the same for all that take bios one by one, under a plug."""

    def takes_alone(self, bio_sectors: int, segments: int) -> bool:
        """Return False: no bio is alone under its plug."""
        del bio_sectors, segments
        return False

    def takes_row_alone(self, unit_sectors: int, count: int) -> bool:
        """Return False, as `takes_alone`."""
        del unit_sectors, count
        return False

    def submit_alone(self, task: Task, bio: Bio) -> None:
        """Raise InvariantError: nothing may be submitted so."""
        del task, bio
        raise InvariantError(f"{type(self).__name__} takes bios one by one")
