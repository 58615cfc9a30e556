"""
What a core has to do at a place in its work: when that is, while interrupts and workers push it back.
"""

from __future__ import annotations

from typing import final

from mypy_extensions import i64, mypyc_attr

from sim.engine.heap import Heap


@mypyc_attr(free_list_len=1)
class Due:
    """A place in a core's work that is not reached yet; an interrupt before it pushes it back."""

    __slots__ = ("_at", "_dues")

    def __init__(self, at: i64) -> None:
        self._at = at
        self._dues: Dues | None = None

    @property
    def at(self) -> i64:
        """When it is reached, in ns, as far as is known."""
        return self._at if self._dues is None else self._at + self._dues.pushed_ns

    def enter(self, dues: Dues) -> i64:
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
        self.pushed_ns: i64 = 0
        self._heap = Heap()
        self._number: i64 = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return self._heap.size

    def add(self, due: Due) -> None:
        """Push a place back from now on."""
        self._number += 1
        self._heap.push(due.enter(self), self._number, None, due)

    def reach(self, now: i64) -> None:
        """Let those go that are reached by `now`."""
        heap = self._heap
        while heap.size and heap.first_at + self.pushed_ns <= now:
            entry = heap.pop()
            due: Due = entry.argument
            entry.argument = None
            due.leave()

    def push_back(self, now: i64, ns: i64) -> None:
        """Push those back that are not reached by `now`; the others stay where they are."""
        self.reach(now)
        self.pushed_ns += ns
