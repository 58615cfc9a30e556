"""Who waits for pages, against a dict of events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.cache.waiters import Waiters
from sim.engine.clock import Clock, Event

PAGES = st.integers(0, 9)
STEPS = st.lists(st.tuples(st.sampled_from(["wait", "wake", "within"]), PAGES, PAGES), max_size=40)


@given(steps=STEPS)
def test_as_a_dict_of_events(steps: list[tuple[str, int, int]]) -> None:
    """The same event for all who wait for a page; each is woken once, in the order in which they came."""
    clock, waiters = Clock(), Waiters()
    model: dict[int, Event] = {}
    names: dict[Event, int] = {}
    woken: list[object] = []
    expected: list[object] = []
    for number, (what, first, second) in enumerate(steps):
        if what == "wait":
            event = waiters.event(first, clock)
            assert event is model.setdefault(first, event)
            if event not in names:
                names[event] = first
                event.add(lambda event: woken.append((names[event], event.value)))
        elif what == "wake":
            waiters.wake(first, number)
            if model.pop(first, None) is not None:
                expected.append((first, number))
        else:
            start, end = sorted((first, second))
            waiters.wake_within(start, end, number)
            for page in [page for page in model if start <= page < end]:
                del model[page]
                expected.append((page, number))
        assert len(model) == waiters.count
    clock.run()
    assert expected == woken
