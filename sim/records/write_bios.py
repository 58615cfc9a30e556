"""
The bios of a write case: those that the simulator queues, with all their flags, and those of a record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sim.block.bio import Bio, Plug
from sim.block.opf import (
    FLUSH_FLAGS,
    REQ_BACKGROUND,
    REQ_FUA,
    REQ_IDLE,
    REQ_META,
    REQ_OP_WRITE,
    REQ_PREFLUSH,
    REQ_PRIO,
    REQ_SYNC,
)
from sim.block.protocols import BioQueue, StackedQueue
from sim.engine.cpu import Task

FLAGS: Final = {
    1: REQ_META,
    4: REQ_OP_WRITE,
    8: REQ_SYNC,
    16: REQ_FUA,
    32: REQ_PREFLUSH,
    64: REQ_PRIO,
    128: REQ_IDLE,
    256: REQ_BACKGROUND,
}
"""A record's flags -> ours."""
RAHEAD: Final = 2
"""A record's flag that no bio here has: what was read ahead may fail."""


@dataclass(frozen=True, slots=True, order=True)
class BioSeen:
    """A bio as it was queued: phase (-1: none), sector, sectors (0: a flush, at sector 0), REQ_*."""

    phase: int
    sector: int
    sectors: int
    opf: int


class WatchedQueue(StackedQueue):
    """A queue that remembers what the bio that is being submitted asks for; a tracer sees only letters."""

    def __init__(self, queue: BioQueue) -> None:
        super().__init__(queue)
        self._opf = 0

    def queued(self, letter: str) -> int:
        """Return the REQ_* of the bio that a tracer is told of; no flushes where the device has no cache."""
        flushes = "F" in letter.removeprefix("Q")
        return self._opf if flushes else self._opf & ~FLUSH_FLAGS

    def submit(self, task: Task, bio: Bio, plug: Plug) -> None:
        """Submit a bio, or a row of them."""
        self._opf = bio.opf
        self._below.submit(task, bio, plug)


def recorded_bios(record: dict[str, Any]) -> Iterator[BioSeen]:
    """
    Yield the bios of a record.

    A row is [phase, sector, sectors, flags, who, class] and, if there are several in a row, how many.
    """
    for phase, sector, sectors, flags, _who, _class, *times in record["bios"]:
        known = sum(ours for bit, ours in FLAGS.items() if flags & bit)
        unknown = flags & ~sum(FLAGS) & ~RAHEAD
        for at in range(times[0] if times else 1):
            yield BioSeen(phase, sector + at * sectors if sectors else 0, sectors, known | unknown << 16)
