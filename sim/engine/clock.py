"""
The clock: an event queue in integer nanoseconds, and the processes that wait for its events.

What runs a simulation when the core is compiled; `sim.engine.simpy_clock` is the same on simpy's event
queue, which runs it otherwise (`sim.engine.mode.make_clock`). The order of events is simpy's: by time, and
within one instant in the order in which they were scheduled, but for the start of a process, which comes
first. The tests hold the two against each other.

Left out of simpy's: interrupts, conditions but "all of", failing events. An exception in a process ends the
run that it happens in.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, Final, final

from mypy_extensions import i64, mypyc_attr

from sim.engine.garbage import seldom_collected
from sim.engine.heap import Heap

Process = Generator[Any, Any, Any]
"""What a simulated task is: a generator that yields events of its clock."""

_NORMAL: Final = 1 << 60
"""Added to the serial number of all but the starts of processes, which so come first within an instant."""


@mypyc_attr(free_list_len=1)
class Event:
    """
    Something that happens once, with a value. A process waits for it by `yield`.

    triggered: it is going to happen; processed: it has, and who waited has gone on.
    """

    __slots__ = ("_clock", "_first", "_more", "processed", "triggered", "value")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.value: Any = None
        self.triggered = False
        self.processed = False
        self._first: Running | None = None  # nearly always one process waits
        self._more: list[Callable[[Event], None]] | None = None

    def succeed(self, value: Any = None) -> None:
        """Let it happen at this instant, behind all that is scheduled; RuntimeError if it has."""
        if self.triggered:
            raise RuntimeError("an event happens once")
        self.triggered = True
        self.value = value
        self._clock.happens(self)

    def add(self, callback: Callable[[Event], None]) -> None:
        """Call `callback(self)` when it happens."""
        if self._more is None:
            self._more = []
        self._more.append(callback)

    def wait(self, running: Running) -> None:
        """Let a process go on when it happens."""
        if self._first is None and self._more is None:
            self._first = running
        else:
            self.add(running.resume)

    def fire(self) -> None:
        """It happens: the clock's business."""
        self.processed = True
        running, more = self._first, self._more
        self._first = self._more = None
        if running is not None:
            running.resume(self)
        if more is not None:
            for callback in more:
                callback(self)


@final
class Running(Event):
    """A process: an event that happens when its generator ends, with what that returned."""

    __slots__ = ("_send",)

    def __init__(self, clock: Clock, generator: Process) -> None:
        super().__init__(clock)
        self._send: Callable[[Any], Any] = generator.send

    def resume(self, event: Event) -> None:
        """Go on with the generator until it waits for something that has not happened yet."""
        send = self._send
        while True:
            try:
                target = send(event.value)
            except StopIteration as stop:
                self.succeed(stop.value)
                return
            if not isinstance(target, Event):
                raise TypeError(f"a process yielded {target!r}, which is no event of its clock")
            if not target.processed:
                target.wait(self)
                return
            event = target


@final
class Clock:
    """
    An event queue whose time is an int of nanoseconds.

    now: the present simulated time in ns. A run is a function of its inputs: ties are broken by the order of
    scheduling, never by an address or a hash. Every delay is an int >= 0.
    """

    __slots__ = ("_queue", "_serial", "now")

    def __init__(self) -> None:
        self.now = 0
        self._serial: i64 = 0
        self._queue = Heap()

    def event(self) -> Event:
        """Return a new event: `yield` it to wait, `.succeed()` it to wake all who do."""
        return Event(self)

    def timeout(self, delay_ns: int) -> Event:
        """Return an event that happens after `delay_ns`."""
        event = Event(self)
        event.triggered = True
        self._schedule(delay_ns, None, event)
        return event

    def call(self, delay_ns: int, function: Callable[[Any], None], argument: Any = None) -> None:
        """Call `function(argument)` after `delay_ns`: the cheapest of all events."""
        self._schedule(delay_ns, function, argument)

    def call_after(self, delay_ns: int, function: Callable[[], None]) -> None:
        """Call `function()` after `delay_ns`."""
        self._schedule(delay_ns, lambda _none: function(), None)

    def process(self, generator: Process) -> Running:
        """Start a process at this instant, before anything else of it; return the event of its end."""
        running = Running(self, generator)
        start = Event(self)
        start.triggered = True
        start.wait(running)
        self._serial += 1
        self._queue.push(self.now, self._serial, None, start)
        return running

    def all_of(self, events: Iterable[Event]) -> Event:
        """Return an event that happens when all of `events` have."""
        done = Event(self)
        left = [0]

        def one_more(_event: Event) -> None:
            left[0] -= 1
            if not left[0]:
                done.succeed()

        for event in events:
            if not event.processed:
                left[0] += 1
                event.add(one_more)
        if not left[0]:
            done.succeed()
        return done

    def happens(self, event: Event) -> None:
        """Let an event happen later in this instant."""
        self._serial += 1
        self._queue.push(self.now, _NORMAL + self._serial, None, event)

    def _schedule(self, delay_ns: int, function: Callable[[Any], None] | None, argument: Any) -> None:
        if delay_ns < 0:
            raise ValueError(f"a delay of {delay_ns} ns: time does not run backwards")
        self._serial += 1
        self._queue.push(self.now + delay_ns, _NORMAL + self._serial, function, argument)

    def run(self, until: Event | None = None) -> Any:
        """
        Run until nothing is scheduled, or until the event `until` has happened; return its value.

        Raises whatever a process or a callback raises.
        """
        with seldom_collected():
            return self._run(until)

    def _run(self, until: Event | None) -> Any:
        queue = self._queue
        while queue.size:
            if until is not None and until.processed:
                return until.value
            entry = queue.pop()
            self.now = entry.at
            function, argument = entry.function, entry.argument
            entry.argument = None  # nobody else keeps it alive
            if function is not None:
                function(argument)
            else:
                event: Event = argument
                event.fire()
        return until.value if until is not None else None

    @property
    def idle(self) -> bool:
        """Whether nothing is scheduled any more."""
        return self._queue.size == 0
