"""
The clock: simpy's event queue in integer nanoseconds, and named streams of random numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import simpy

Process = Generator[Any, Any, Any]
"""What a simulated task is: a generator that yields events of its clock."""


class Clock:
    """
    An event queue whose time is an int of nanoseconds.

    Events of one instant run in the order they were scheduled (simpy's heap holds time, priority and
    sequence), so a run is a function of its inputs. `now` is read far more often than it moves and is
    forwarded without conversion: every delay must be an int >= 0.
    """

    def __init__(self) -> None:
        self._env = simpy.Environment()
        self.event: Callable[[], Any] = self._env.event
        """Return a new event: `yield` it to wait, `.succeed()` it to wake all waiters."""
        self.timeout: Callable[[int], Any] = self._env.timeout
        """Return an event that fires after an int of ns."""

    @property
    def now(self) -> int:
        """The present simulated time in ns."""
        return self._env.now  # type: ignore[return-value]  # ints in, ints out

    def call_after(self, delay_ns: int, function: Callable[[], None]) -> None:
        """Call `function()` after `delay_ns` (int, >= 0)."""
        self._env.timeout(delay_ns).callbacks.append(lambda _event: function())

    def call_event(self, delay_ns: int, function: Callable[[Any], None]) -> None:
        """Call `function(event)` after `delay_ns`: one closure cheaper than `call_after`."""
        self._env.timeout(delay_ns).callbacks.append(function)

    def process(self, generator: Process) -> Any:
        """Start a task; the result is an event that fires when the generator returns."""
        return self._env.process(generator)

    def all_of(self, events: list[Any]) -> Any:
        """Return an event that fires when all of `events` have fired."""
        return self._env.all_of(events)

    def run(self, until: Any = None) -> Any:
        """Run until the queue is empty, or until an event or a time in ns; return the event's value."""
        return self._env.run(until)

    @property
    def idle(self) -> bool:
        """Whether nothing is scheduled any more."""
        return self._env.peek() == float("inf")


def stream(seed: int, name: str) -> np.random.Generator:
    """
    Return the random stream `name` of run `seed`.

    Streams of different names are independent, and adding one does not disturb another: the key is
    SHA-256(seed, name), never a shared generator. Philox gives the same numbers on every platform.
    """
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
