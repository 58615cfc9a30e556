"""
Tags: how many requests there can be, and who sleeps for one (block/blk-mq-tag.c, lib/sbitmap.c, Linux 6.1).

With an elevator a request takes a scheduler tag when it is made, twice as many as the smaller of the
hardware's depth and 128 unless nr_requests says otherwise, and one of the hardware's when it is issued;
without one it takes the hardware's at once. Who finds none sleeps; its plug is flushed first. Tags that come
back wake sleepers in batches. Left out: the fair shares of several queues on one set of tags, reserved tags.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from sim.block.bio import Bio, Plug
from sim.engine.clock import Event

BLKDEV_DEFAULT_RQ: Final = 128
"""Of the hardware's depth, so much counts for the scheduler's tags (include/linux/blkdev.h)."""
SBQ_WAIT_QUEUES: Final = 8
SBQ_WAKE_BATCH: Final = 8
"""So many wait queues, and at most so many sleepers woken at once (include/linux/sbitmap.h)."""


def scheduler_tags(queue_depth: int) -> int:
    """Return the default nr_requests of a queue with an elevator (blk_mq_init_sched())."""
    return 2 * min(queue_depth, BLKDEV_DEFAULT_RQ)


_NOBODY: Final[list[Event]] = []
"""Who is woken when nobody sleeps."""


class Tags:
    """The tags of one hardware queue. left: free ones. sleepers: the events of who waits, oldest first."""

    __slots__ = ("_freed", "_wake_batch", "left", "sleepers")

    def __init__(self, depth: int) -> None:
        self.left = depth
        self.sleepers: deque[Event] = deque()
        self._freed = 0
        self._wake_batch = max(1, min(depth // SBQ_WAIT_QUEUES, SBQ_WAKE_BATCH))

    def put(self) -> list[Event]:
        """A tag comes back; return the events of who is to be woken."""
        self.left += 1
        if not self.sleepers:
            return _NOBODY
        self._freed += 1
        if self._freed < self._wake_batch:
            return []
        self._freed = 0
        return [self.sleepers.popleft() for _ in range(min(self._wake_batch, len(self.sleepers)))]


Cut = tuple[int, int]
"""Sectors and segments of a piece of a bio."""


class Blocked:
    """
    A submission that has no tag yet. bio, plug: of what. sector, cuts: of the pieces to come. rest: what
    follows in its row. later: what the task has submitted behind it; without a bio, the end of a plug.
    """

    __slots__ = ("bio", "cuts", "later", "plug", "rest", "sector")

    def __init__(self, bio: Bio, plug: Plug, sector: int, cuts: list[Cut]) -> None:
        self.bio = bio
        self.plug = plug
        self.sector = sector
        self.cuts = cuts
        self.rest: Bio | None = None
        self.later: deque[tuple[Bio | None, Plug]] = deque()
