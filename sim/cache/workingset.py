"""
Refaults: a page that comes back before as many pages went as are active would have stayed as one of these.

The cache counts its age in pages that were evicted or activated. An evicted page leaves its age behind; when
it is read again, the difference is its refault distance, and a page with at most as many active ones beside
it enters as active (workingset_refault() of mm/workingset.c). What is so old that no cache of this size can
have as many active pages is forgotten. Left out: large folios.
"""

from __future__ import annotations

from array import array
from collections import deque
from typing import Final

from sim.cache.page_runs import runs_of
from sim.cache.pages import Mapping

CHUNK: Final = 512
"""Pages whose ages are kept, and forgotten, together."""


class Workingset:
    """age: pages evicted or activated so far (nonresident_age)."""

    def __init__(self, limit_pages: int) -> None:
        """limit_pages: of the cache; twice as many are never active, even with pages under I/O beyond it."""
        self.age = 0
        self._horizon = 2 * limit_pages
        self._oldest: deque[tuple[int, Mapping, int]] = deque()

    def evicted(self, mapping: Mapping, start: int, end: int) -> None:
        """Note the age at which pages go, one after another."""
        if not mapping.large:
            # The age of page p is shadow + p: one value for a run. Ages begin behind the last page, so that 0
            # stays what it is for a page that never went.
            value = array("q", (self.age - start + mapping.pages,))
            for chunk in range(start // CHUNK, (end - 1) // CHUNK + 1):
                first, last = max(start - chunk * CHUNK, 0), min(end - chunk * CHUNK, CHUNK)
                self._chunk(mapping, chunk)[first:last] = value * (last - first)
        self.age += end - start

    def _chunk(self, mapping: Mapping, number: int) -> array[int]:
        """Return the ages of a chunk, and note that it is in use; forget those that are too old."""
        shadows = mapping.shadows.get(number)
        if shadows is None:
            shadows = mapping.shadows[number] = array("q", bytes(8 * CHUNK))
            self._oldest.append((self.age, mapping, number))
        mapping.last_eviction[number] = self.age
        oldest = self._oldest
        while oldest and self.age - oldest[0][0] > self._horizon:
            _, other, at = oldest.popleft()
            last = other.last_eviction[at]
            if self.age - last > self._horizon:
                del other.shadows[at], other.last_eviction[at]
            else:
                oldest.append((last, other, at))
        return shadows

    def refaulted(self, mapping: Mapping, start: int, end: int, active: int) -> list[tuple[int, int]]:
        """
        Return the runs of [start, end), which are being inserted, that enter as active; forget their ages.

        active: the pages that are. They age the cache.
        """
        soon: list[int] = []
        for chunk in range(start // CHUNK, (end - 1) // CHUNK + 1):
            shadows = mapping.shadows.get(chunk)
            if shadows is None:
                continue
            first, last = max(start - chunk * CHUNK, 0), min(end - chunk * CHUNK, CHUNK)
            found = shadows[first:last]
            shadows[first:last] = array("q", bytes(8 * (last - first)))
            for at, left in enumerate(found, chunk * CHUNK + first):
                if left and self.age - (left + at - mapping.pages) <= active:
                    self.age += 1
                    soon.append(at)
        return runs_of(soon)
