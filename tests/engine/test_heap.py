"""The heap of what is due, against heapq."""

from __future__ import annotations

import heapq

from hypothesis import given
from hypothesis import strategies as st

from sim.engine.heap import Heap

STEPS = st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 9), st.integers(-3, 3))), max_size=80)


@given(steps=STEPS)
def test_as_heapq(steps: list[tuple[int, int] | None]) -> None:
    """Pushed and popped in any order: the least first, by time and then by order; None pops."""
    heap, model = Heap(), list[tuple[int, int, int]]()
    for number, step in enumerate(steps):
        if step is not None:
            at, order = step[0], step[1] * 1000 + number
            heap.push(at, order, None, number)
            heapq.heappush(model, (at, order, number))
        elif model:
            assert model[0][0] == heap.first_at
            entry = heap.pop()
            assert heapq.heappop(model) == (entry.at, entry.order, entry.argument)
        assert len(model) == heap.size
    while heap.size:
        entry = heap.pop()
        assert heapq.heappop(model) == (entry.at, entry.order, entry.argument)


def test_an_entry_is_filled_again() -> None:
    """Ten events, one after another, take one entry."""
    heap, entries = Heap(), set[int]()
    for at in range(10):
        heap.push(at, 0, None, at)
        entries.add(id(heap.pop()))
    assert 1 == len(entries)
