"""
Which extents the pages of a btrfs file are of, and when one is free again.

Copy on write: each range that is written back is an extent of its own. An extent is free when the last of
its pages was written elsewhere; its checksums go with the commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from sim.peers.rows import rows_of


class OwnExtents:
    """The extents of one file, by number, in the order in which they were written."""

    def __init__(self) -> None:
        self._of: dict[int, int] = {}
        self._pages: Counter[int] = Counter()
        self._next = 0
        self.freed = 0
        """Extents that were given up since `forget_freed`."""

    def write(self, pages: Iterable[int]) -> None:
        """Make a range of pages a new extent."""
        for page in pages:
            old = self._of.get(page)
            if old is not None:
                self._pages[old] -= 1
                self.freed += not self._pages[old]
            self._of[page] = self._next
            self._pages[self._next] += 1
        self._next += 1

    def forget_freed(self) -> int:
        """Return how many extents were given up, and begin anew."""
        freed, self.freed = self.freed, 0
        return freed

    def number(self, page: int) -> int:
        """Return the number of the extent that a page is of."""
        return self._of[page]

    def runs(self) -> Iterator[tuple[int, int]]:
        """Yield (first page, page after the last) of each extent as far as it is in use, in order."""
        for row in rows_of(sorted(self._of)):
            for _number, pages in groupby(row, self._of.__getitem__):
                used = list(pages)
                yield used[0], used[-1] + 1
