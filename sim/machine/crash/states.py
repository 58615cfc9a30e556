"""
What a disk may hold after a power cut: of what it was told to write, which sectors are there.

Safe is what has completed with FUA, what had completed when a flush that has completed was submitted
(PREFLUSH, or a bare one), and all that has completed on a disk without a volatile cache. Of everything else
that was submitted, each sector may be there or not: the disk writes in any order, and a sector of 512 bytes
as a whole. But what waits for a flush has waited for it: if anything of a PREFLUSH bio is there, its flush is
done. Sectors that were written twice have the later one, if that is there.

Left out: a disk that lies about flushes, sectors of 4 KiB that tear, reads of a torn sector that fail, and a
disk that ends a bio long after it was reset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from sim.block.write_log import NOT_ENDED, WrittenBio
from sim.units import SECTOR_BYTES

NOTHING: Final = "nothing"
EVERYTHING: Final = "everything"
SOME: Final = "some"
"""What of the sectors that are not safe is on the disk."""


def boundaries(log: Sequence[WrittenBio]) -> list[int]:
    """Return the moments (ns) just behind a bio's submission or its completion, in order."""
    moments = {bio.submitted_ns for bio in log} | {bio.ended_ns for bio in log if bio.ended_ns != NOT_ENDED}
    return sorted(moments)


class CutLog:
    """
    A log at the moment of a power cut. safe: bios that are on the disk for sure; open: all others that were
    submitted by then; both in the order of submission.
    """

    def __init__(self, log: Sequence[WrittenBio], at_ns: int, volatile: bool) -> None:
        """volatile: the disk has a cache that loses what was not flushed."""
        self._log = [bio for bio in log if bio.submitted_ns <= at_ns]
        self._ended = [bio.ended_ns != NOT_ENDED and bio.ended_ns <= at_ns for bio in self._log]
        self._safe = [
            ended and (not volatile or bio.fua) for bio, ended in zip(self._log, self._ended, strict=True)
        ]
        done = [ended and bio.preflush for bio, ended in zip(self._log, self._ended, strict=True)]
        self._safe = self._flushed(done)

    def _flushed(self, done: Sequence[bool]) -> list[bool]:
        """Return what is safe if these bios' flushes are done: all that had completed before the last."""
        flushes = [bio for bio, flushed in zip(self._log, done, strict=True) if flushed]
        last = max((bio.submitted_ns for bio in flushes), default=-1)
        return [
            safe or (ended and bio.ended_ns <= last)
            for bio, ended, safe in zip(self._log, self._ended, self._safe, strict=True)
        ]

    @property
    def open(self) -> int:
        """How many bios with data are not safe."""
        return sum(1 for bio, safe in zip(self._log, self._safe, strict=True) if bio.data and not safe)

    def written(self, what: str, rng: np.random.Generator) -> Iterator[tuple[int, bytes]]:
        """
        Yield (byte offset, bytes) of what is on the disk, in the order in which it is to be put there.

        what: of the bios that are not safe NOTHING, EVERYTHING, or SOME: each at random whole, gone, or torn.
        """
        chosen = [self._sectors(bio, what, rng) for bio in self._log]
        begun = [bio.preflush and bool(sectors.any()) for bio, sectors in zip(self._log, chosen, strict=True)]
        for bio, sectors, safe in zip(self._log, chosen, self._flushed(begun), strict=True):
            if safe or sectors.all():
                if bio.data:
                    yield bio.offset, bio.data
                continue
            for sector in np.flatnonzero(sectors).tolist():
                first = sector * SECTOR_BYTES
                yield bio.offset + first, bio.data[first : first + SECTOR_BYTES]

    def _sectors(
        self, bio: WrittenBio, what: str, rng: np.random.Generator
    ) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Return which sectors of a bio are there, if it is not safe."""
        count = len(bio.data) // SECTOR_BYTES
        if what != SOME:
            return np.full(count, what == EVERYTHING)
        match int(rng.integers(3)):
            case 0:
                return np.zeros(count, np.bool_)
            case 1:
                return np.ones(count, np.bool_)
        return rng.random(count) < rng.random()
