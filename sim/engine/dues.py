"""
What a core has to do at a place in its work: when that is, while interrupts and workers push it back.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import final


class Due:
    """A place in a core's work that is not reached yet; an interrupt before it pushes it back."""

    __slots__ = ("_at", "_dues")

    def __init__(self, at: int) -> None:
        self._at = at
        self._dues: Dues | None = None

    @property
    def at(self) -> int:
        """When it is reached, in ns, as far as is known."""
        return self._at if self._dues is None else self._at + self._dues.pushed_ns

    def enter(self, dues: Dues) -> int:
        """Be pushed back with all of a list from now on; return what tells its place among them."""
        self._dues = dues
        self._at -= dues.pushed_ns
        return self._at

    def leave(self) -> None:
        """Stay where it is from now on."""
        self._at = self.at
        self._dues = None


@final
class Dues:
    """
    The places of one core that are not reached, the next one first.

    pushed_ns: how far all of them were pushed back so far. That is one addition, however many they are.
    """

    __slots__ = ("_heap", "_number", "pushed_ns")

    def __init__(self) -> None:
        self.pushed_ns = 0
        self._heap: list[tuple[int, int, Due]] = []
        self._number = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._heap)

    def add(self, due: Due) -> None:
        """Push a place back from now on."""
        self._number += 1
        heappush(self._heap, (due.enter(self), self._number, due))

    def reach(self, now: int) -> None:
        """Let those go that are reached by `now`."""
        heap = self._heap
        while heap and heap[0][0] + self.pushed_ns <= now:
            heappop(heap)[2].leave()

    def push_back(self, now: int, ns: int) -> None:
        """Push those back that are not reached by `now`; the others stay where they are."""
        self.reach(now)
        self.pushed_ns += ns
