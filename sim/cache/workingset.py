"""
Refaults: a page that comes back before as many pages went as are active would have stayed as one of these.

The cache counts its age in pages that were evicted or activated. An evicted page leaves its age behind; when
it is read again, the difference is its refault distance, and a page with at most as many active ones beside
it enters as active (workingset_refault() of mm/workingset.c). Left out: large folios, and the shrinking of
what evicted pages leave behind.
"""

from __future__ import annotations

from array import array

from sim.cache.pages import Mapping


class Workingset:
    """age: pages evicted or activated so far (nonresident_age)."""

    def __init__(self) -> None:
        self.age = 0

    def evicted(self, mapping: Mapping, start: int, end: int) -> None:
        """Note the age at which pages go, one after another."""
        count = end - start
        if not mapping.large:
            shadows = mapping.shadows
            if shadows is None:
                shadows = mapping.shadows = array("q", bytes(8 * mapping.pages))
            # The age of page p is shadow + p: one value for a run. Ages begin behind the last page, so that 0
            # stays what it is for a page that never went.
            shadows[start:end] = array("q", (self.age - start + mapping.pages,)) * count
        self.age += count

    def refaulted(self, mapping: Mapping, start: int, end: int, active: int) -> list[tuple[int, int]]:
        """
        Return the runs of [start, end), which are being inserted, that enter as active; forget their ages.

        active: the pages that are. They age the cache.
        """
        shadows = mapping.shadows
        if shadows is None:
            return []
        found = shadows[start:end]
        if not any(found):
            return []
        shadows[start:end] = array("q", bytes(8 * (end - start)))
        runs: list[tuple[int, int]] = []
        for page in range(start, end):
            left = found[page - start]
            if left and self.age - (left + page - mapping.pages) <= active:
                self.age += 1
                if runs and runs[-1][1] == page:
                    runs[-1] = (runs[-1][0], page + 1)
                else:
                    runs.append((page, page + 1))
        return runs
