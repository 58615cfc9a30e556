"""The pages of a bio, as runs: of a bio of 256 neighbours there is one."""

from __future__ import annotations


class PageRuns:
    """Pages of one file in the order in which they came. last: the one that came last, -1 for none."""

    __slots__ = ("count", "last", "runs")

    def __init__(self) -> None:
        self.runs: list[tuple[int, int]] = []
        self.count = 0
        self.last = -1

    def __len__(self) -> int:
        """Return how many pages there are."""
        return self.count

    def append(self, page: int) -> None:
        """Add a page."""
        self.extend(page, page + 1)

    def extend(self, first: int, end: int) -> None:
        """Add the pages [first, end)."""
        if self.last == first - 1 and self.count:
            self.runs[-1] = (self.runs[-1][0], end)
        else:
            self.runs.append((first, end))
        self.last = end - 1
        self.count += end - first

    def has(self, page: int) -> bool:
        """Tell whether a page is among them."""
        return any(first <= page < end for first, end in self.runs)
