"""
A heap of what is due, by two native integers, which are told apart faster than two tuples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from mypy_extensions import i64, mypyc_attr


@final
@mypyc_attr(free_list_len=1)
class Entry:
    """What is due at `at`, among equals by `order`: `function(argument)`, or, without one, `argument`."""

    __slots__ = ("argument", "at", "function", "order")

    def __init__(self, at: i64, order: i64, function: Callable[[Any], None] | None, argument: Any) -> None:
        self.at = at
        self.order = order
        self.function = function
        self.argument = argument


def push(queue: list[Entry], entry: Entry) -> None:
    """heappush()."""
    due, order = entry.at, entry.order
    at: i64 = len(queue)
    queue.append(entry)
    while at > 0:
        parent = (at - 1) >> 1
        above = queue[parent]
        if above.at < due or (above.at == due and above.order < order):
            break
        queue[at] = above
        at = parent
    queue[at] = entry


def pop(queue: list[Entry]) -> Entry:
    """heappop(): take what comes first."""
    last = queue.pop()
    size: i64 = len(queue)
    if size == 0:
        return last
    first = queue[0]
    due, order = last.at, last.order
    at: i64 = 0
    child: i64 = 1
    while child < size:
        below = queue[child]
        if child + 1 < size:
            other = queue[child + 1]
            if other.at < below.at or (other.at == below.at and other.order < below.order):
                below = other
                child += 1
        if due < below.at or (due == below.at and order < below.order):
            break
        queue[at] = below
        at = child
        child = 2 * at + 1
    queue[at] = last
    return first
