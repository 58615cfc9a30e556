"""
The bios of dm-integrity that are under way, and who waits for them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from sim.block.bio import Bio, EndIo
from sim.engine.clock import Event
from sim.engine.ledger import IRQ, KWORKER, TASK, Ledger


class Mapped:
    """
    A bio above. left: clones, chains of jobs and commits that it waits for. step: what is being done for it,
    a flag of its flushes, or 0 for its data. bios: that end above the disk.
    """

    __slots__ = ("bio", "bios", "clones", "left", "step")

    def __init__(self, bio: Bio) -> None:
        self.bio = bio
        self.bios = 0
        self.clones = 0
        self.left = 0
        self.step = 0


class Awaited:
    """Bios of the target's own, or clones, that somebody waits for."""

    __slots__ = ("event", "left")

    def __init__(self) -> None:
        self.left = 0
        self.event: Event | None = None

    @property
    def wakes(self) -> bool:
        """Whether the end of one of them wakes who waits: it is the last, and somebody does."""
        return self.left == 1 and self.event is not None and not self.event.triggered


class JournalRoom:
    """
    Entries of the journal that are free in time. left: how many; less than none: a commit has skipped some.
    waiting: who wants how many, first come first served; what is set aside for one is not in `left`.
    """

    __slots__ = ("left", "waiting")

    def __init__(self, left: int) -> None:
        self.left = left
        self.waiting: deque[tuple[int, Event]] = deque()

    def lacks(self, blocks: int) -> bool:
        """Tell whether who wants so many has to wait."""
        return bool(self.waiting) or self.left < blocks

    def free(self, blocks: int) -> None:
        """Have so many more, and let those go on for whom there are enough."""
        self.left += blocks
        while self.waiting and self.waiting[0][0] <= self.left:
            wanted, event = self.waiting.popleft()
            self.left -= wanted
            event.succeed()


def blocks_of(bio: Bio, first: int, sectors: int) -> list[tuple[int, int]]:
    """Return the runs of blocks that a part of a bio holds, in whole or in part; first: from its begin."""
    total = sum([count for _, count in bio.blocks])
    if not total:
        return []
    left, end = first * total // bio.sectors, -(-(first + sectors) * total // bio.sectors)
    runs = []
    for lblk, count in bio.blocks:
        start, stop = max(left, 0), min(end, count)
        if start < stop:
            runs.append((lblk + start, stop - start))
        left -= count
        end -= count
    return runs


def came(awaited: Awaited) -> None:
    """A bio that somebody waits for has come."""
    awaited.left -= 1
    if not awaited.left and awaited.event is not None and not awaited.event.triggered:
        awaited.event.succeed()


class CloneEnds(EndIo):
    """The end of clones (integrity_end_io). ended: told of each. A worker that waits for one is woken."""

    def __init__(self, ended: Callable[[Bio], None], ledger: Ledger) -> None:
        self._ended = ended
        contexts = (TASK, IRQ, KWORKER)
        self._s_end = {where: ledger.site(where, "bio_endio", "integrity_end_io") for where in contexts}
        stack = "bio_endio;integrity_end_io"
        self._s_wake = {where: ledger.site(where, stack, "try_to_wake_up") for where in contexts}

    def charge(self, bio: Bio, context: str) -> int:
        """Return the completion's cost (EndIo)."""
        owner = bio.owner[1]
        wakes = isinstance(owner, Awaited) and owner.wakes
        return self._s_end[context].charge(1) + self._s_wake[context].charge(int(wakes))

    def done(self, bio: Bio) -> None:
        """Let the target go on (EndIo)."""
        self._ended(bio)

    def queues_work(self, bio: Bio) -> bool:
        """Tell whether `done` queues work items (EndIo)."""
        del bio
        return True


class OwnEnds(EndIo):
    """The end of the target's own bios: who waits for them is woken."""

    def __init__(self, ledger: Ledger) -> None:
        contexts = (TASK, IRQ, KWORKER)
        self._s_wake = {where: ledger.site(where, "bio_endio", "try_to_wake_up") for where in contexts}

    def charge(self, bio: Bio, context: str) -> int:
        """Return the completion's cost (EndIo)."""
        awaited: Awaited = bio.owner
        return self._s_wake[context].charge(int(awaited.wakes))

    def done(self, bio: Bio) -> None:
        """Wake who waits (EndIo)."""
        if bio.record is not None:
            bio.record.ready(bio.record.interrupted_ns)
        came(bio.owner)
