"""
Who wrote what, and what was promised: every write(2) and every sync of the jobs, by file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.units import SECTOR_BYTES


@dataclass(frozen=True, slots=True)
class WriteCall:
    """A write(2): its number, bytes of the file, when it began and returned (ns)."""

    number: int
    offset: int
    length: int
    began_ns: int
    ended_ns: int


class FileHistory:
    """The writes of one file, and its syncs (began, returned), in ns."""

    def __init__(self) -> None:
        self.writes: list[WriteCall] = []
        self.syncs: list[tuple[int, int]] = []

    def promised(self, at_ns: int, sectors: int) -> npt.NDArray[np.int64]:
        """
        Return for each of the first `sectors` sectors the number of the last write that a sync has promised
        to keep, 0 for none: a write that had returned when a sync began that has returned by then.
        """
        began = max((began for began, ended in self.syncs if ended <= at_ns), default=-1)
        return self._last(sectors, began)

    def turns(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """
        Return for numbers of writes which turn each had, from 1 on; 0 for what is no write of this file.

        Who writes a file beside others waits for its lock with a number: writes take turns as they return.
        """
        turns = np.zeros(max([write.number for write in self.writes], default=0) + 1, np.int64)
        for turn, write in enumerate(self.writes, 1):
            turns[write.number] = turn
        return turns[np.where((numbers > 0) & (numbers < len(turns)), numbers, 0)]

    def begun(self, at_ns: int, sectors: int) -> npt.NDArray[np.int64]:
        """Return for each of the first `sectors` sectors the last write that had begun then, 0 for none."""
        return self._latest(sectors, [write for write in self.writes if write.began_ns <= at_ns])

    def issued(self, at_ns: int) -> int:
        """Return the number of the last write that had begun by then, 0 for none."""
        return max((write.number for write in self.writes if write.began_ns <= at_ns), default=0)

    def _last(self, sectors: int, ended_by_ns: int) -> npt.NDArray[np.int64]:
        return self._latest(sectors, [write for write in self.writes if write.ended_ns <= ended_by_ns])

    def _latest(self, sectors: int, writes: list[WriteCall]) -> npt.NDArray[np.int64]:
        found = np.zeros(sectors, np.int64)
        for write in writes:
            first, end = write.offset // SECTOR_BYTES, (write.offset + write.length) // SECTOR_BYTES
            found[first:end] = write.number
        return found
