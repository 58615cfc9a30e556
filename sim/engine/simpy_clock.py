"""
The clock on simpy's event queue: what runs a simulation whose core is not compiled, and the reference for the
one of sim.engine.clock.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

import simpy
from simpy.events import NORMAL

from sim.engine.garbage import seldom_collected

_CALL_ENTRY: Final = 5


class SimpyClock(simpy.Environment):
    """
    An event queue whose time is an int of nanoseconds.

    Events of one instant run in the order they were scheduled (simpy's heap holds time, priority and
    sequence), so a run is a function of its inputs. Every delay must be an int >= 0. `now` is a plain
    attribute, and the loop is simpy's with the calls taken out: both are the hot spot of every run.
    """

    now: int = 0  # shadows simpy's property; run() keeps both in step
    """The present simulated time in ns."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0

    def event(self) -> simpy.Event:
        """Return a new event: `yield` it to wait, `.succeed()` it to wake all who do."""
        return simpy.Event(self)

    def timeout(self, delay_ns: int) -> simpy.Timeout:  # type: ignore[override]
        """Return an event that fires after `delay_ns` (int, >= 0)."""
        return simpy.Timeout(self, delay_ns)

    def call(self, delay_ns: int, function: Callable[[Any], None], argument: Any = None) -> None:
        """
        Call `function(argument)` after `delay_ns` (int, >= 0): the cheapest of all events.

        It lies in simpy's heap among the events, as an entry that is longer by one; entries are ordered by
        time, priority and sequence, and never compared beyond.
        """
        queue: list[Any] = self._queue
        heappush(queue, (self.now + delay_ns, NORMAL, next(self._eid), function, argument))

    def call_after(self, delay_ns: int, function: Callable[[], None]) -> None:
        """Call `function()` after `delay_ns`."""
        self.call(delay_ns, lambda _none: function())

    def run(self, until: Any = None) -> Any:
        """
        Run until the queue is empty, or until the event `until` has happened; return its value.

        An exception in a process that nobody waits for is raised here.
        """
        with seldom_collected():
            return self._run(until)

    def _run(self, until: Any) -> Any:
        queue: list[Any] = self._queue
        stop = until if isinstance(until, simpy.Event) else None
        while queue:
            if stop is not None and stop.processed:
                return stop.value
            entry = heappop(queue)
            self.now = self._now = entry[0]
            if len(entry) == _CALL_ENTRY:
                entry[3](entry[4])
                continue
            event = entry[3]
            callbacks, event.callbacks = event.callbacks, None
            for callback in callbacks:
                callback(event)
            if not event._ok and not hasattr(event, "_defused"):
                raise event._value
        return stop.value if stop is not None else None

    @property
    def idle(self) -> bool:
        """Whether nothing is scheduled any more."""
        return not self._queue
