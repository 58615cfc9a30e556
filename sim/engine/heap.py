"""
A heap of what is due, by two native integers, which are told apart faster than two tuples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from mypy_extensions import i64


@final
class Entry:
    """What is due at `at`, among equals by `order`: `function(argument)`, or, without one, `argument`."""

    __slots__ = ("argument", "at", "function", "order")

    def __init__(self) -> None:
        self.at: i64 = 0
        self.order: i64 = 0
        self.function: Callable[[Any], None] | None = None
        self.argument: Any = None


@final
class Heap:
    """
    A binary heap (heapq's) whose entries are its own: one that was popped is filled anew by a later push.

    size: how many there are. The list is as long as it ever had to be: an event queue comes and goes by the
    entry, and a list that follows is allocated anew each time.
    """

    __slots__ = ("_entries", "size")

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self.size: i64 = 0

    @property
    def first_at(self) -> i64:
        """When the first is due, of a heap that is not empty."""
        return self._entries[0].at

    def push(self, due: i64, order: i64, function: Callable[[Any], None] | None, argument: Any) -> None:
        """heappush()."""
        entries = self._entries
        at = self.size
        if at == len(entries):
            entries.append(Entry())
        entry = entries[at]
        entry.at = due
        entry.order = order
        entry.function = function
        entry.argument = argument
        self.size = at + 1
        while at > 0:
            parent = (at - 1) >> 1
            above = entries[parent]
            if above.at < due or (above.at == due and above.order < order):
                break
            entries[at] = above
            at = parent
        entries[at] = entry

    def pop(self) -> Entry:
        """heappop(): take what comes first. It is the caller's until the next push."""
        entries = self._entries
        size = self.size - 1
        self.size = size
        first = entries[0]
        if size == 0:
            return first
        last = entries[size]
        entries[size] = first
        due, order = last.at, last.order
        at: i64 = 0
        child: i64 = 1
        while child < size:
            below = entries[child]
            if child + 1 < size:
                other = entries[child + 1]
                if other.at < below.at or (other.at == below.at and other.order < below.order):
                    below = other
                    child += 1
            if due < below.at or (due == below.at and order < below.order):
                break
            entries[at] = below
            at = child
            child = 2 * at + 1
        entries[at] = last
        return first
