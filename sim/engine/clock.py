"""
The clock: simpy's event queue in integer nanoseconds, and named streams of random numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from heapq import heappop, heappush
from typing import Any

import numpy as np
import simpy
from simpy.events import NORMAL

Process = Generator[Any, Any, Any]
"""What a simulated task is: a generator that yields events of its clock."""


class _Call:
    """
    A function to be called at a time: what an event with one callback is, without the rest of an event.

    It lies in simpy's queue among the events; `callbacks` and `_ok` are what simpy's own step() reads.
    """

    __slots__ = ("argument", "function")

    _ok = True

    def __init__(self, function: Callable[[Any], None], argument: Any) -> None:
        self.function = function
        self.argument = argument

    @property
    def callbacks(self) -> list[Callable[[Any], None]]:
        """The function, as simpy calls it."""
        return [lambda _event: self.function(self.argument)]

    @callbacks.setter
    def callbacks(self, _none: None) -> None:
        pass


class Clock(simpy.Environment):
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

    def call(self, delay_ns: int, function: Callable[[Any], None], argument: Any = None) -> None:
        """Call `function(argument)` after `delay_ns` (int, >= 0): the cheapest of all events."""
        queue: list[Any] = self._queue
        heappush(queue, (self.now + delay_ns, NORMAL, next(self._eid), _Call(function, argument)))

    def call_event(self, delay_ns: int, function: Callable[[Any], None]) -> None:
        """Call `function(None)` after `delay_ns`."""
        self.call(delay_ns, function)

    def call_after(self, delay_ns: int, function: Callable[[], None]) -> None:
        """Call `function()` after `delay_ns`."""
        self.call(delay_ns, lambda _none: function())

    def run(self, until: Any = None) -> Any:
        """
        Run until the queue is empty, or until the event `until` has happened; return its value.

        An exception in a process that nobody waits for is raised here.
        """
        queue: list[Any] = self._queue
        stop = until if isinstance(until, simpy.Event) else None
        while queue:
            if stop is not None and stop.processed:
                return stop.value
            time, _, _, event = heappop(queue)
            self.now = self._now = time
            if event.__class__ is _Call:
                event.function(event.argument)
                continue
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


def stream(seed: int, name: str) -> np.random.Generator:
    """
    Return the random stream `name` of run `seed`.

    Streams of different names are independent, and adding one does not disturb another: the key is
    SHA-256(seed, name), never a shared generator. Philox gives the same numbers on every platform.
    """
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
