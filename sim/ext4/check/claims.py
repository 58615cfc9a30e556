"""
Who owns which blocks, as runs: memory follows the number of extents, not the size of the device.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FILE_SYSTEM = 0
"""The owner of what belongs to no inode."""


class Overlap(NamedTuple):
    """Blocks [start, stop) that `place` claims and `other` has."""

    start: int
    stop: int
    place: str
    other: str


class Claims:
    """
    Runs of blocks with their owners.

    ratio: blocks of a cluster; in one cluster an inode may have several blocks, two inodes may not meet.
    """

    def __init__(self, ratio: int) -> None:
        self._ratio = ratio
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._owners: list[int] = []
        self._places: list[str] = []
        self._merged: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None

    def add(self, start: int, length: int, owner: int, place: str) -> None:
        """Note that an inode (or FILE_SYSTEM) has these blocks."""
        self._starts.append(start // self._ratio)
        self._stops.append(-(-(start + length) // self._ratio))
        self._owners.append(owner)
        self._places.append(place)

    def of_file_system(self) -> Claims:
        """Return those of what belongs to no inode."""
        found = Claims(self._ratio)
        for start, stop, owner, place in zip(
            self._starts, self._stops, self._owners, self._places, strict=True
        ):
            if owner == FILE_SYSTEM:
                found.add(start * self._ratio, (stop - start) * self._ratio, owner, place)
        return found

    def overlaps(self) -> list[Overlap]:
        """Return where two owners meet, or an inode has blocks twice."""
        found: list[Overlap] = []
        last, end = -1, -1
        for index in np.lexsort((np.array(self._owners), np.array(self._starts))).tolist():
            start, stop = self._starts[index], self._stops[index]
            if start < end and last >= 0:
                same = self._owners[index] == self._owners[last]
                if not same or (self._ratio == 1 and self._owners[index] != FILE_SYSTEM):
                    clash = min(stop, end)
                    found.append(
                        Overlap(
                            start * self._ratio,
                            clash * self._ratio,
                            self._places[index],
                            self._places[last],
                        )
                    )
            if stop > end:
                last, end = index, stop
        return found

    def used(self, start: int, length: int) -> npt.NDArray[np.bool_]:
        """Return for each of `length` clusters from cluster `start` whether it has an owner."""
        starts, stops = self._runs()
        first = int(np.searchsorted(stops, start, side="right"))
        last = int(np.searchsorted(starts, start + length, side="left"))
        bits = np.zeros(length, dtype=np.bool_)
        for index in range(first, last):
            bits[max(int(starts[index]) - start, 0) : int(stops[index]) - start] = True
        return bits

    def _runs(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return all that is owned as runs that do not touch, in order; made once, when all is claimed."""
        if self._merged is None:
            starts: list[int] = []
            stops: list[int] = []
            for start, stop in sorted(zip(self._starts, self._stops, strict=True)):
                if stops and start <= stops[-1]:
                    stops[-1] = max(stops[-1], stop)
                else:
                    starts.append(start)
                    stops.append(stop)
            self._merged = np.array(starts, dtype=np.int64), np.array(stops, dtype=np.int64)
        return self._merged
