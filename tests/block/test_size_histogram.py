"""Sizes counted, against a dict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.block.queue.limits import SizeHistogram


@given(steps=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.booleans()), max_size=40))
def test_as_a_dict(steps: list[tuple[int, int, bool]]) -> None:
    """Whenever it is looked at: what was counted so far, in the order in which sizes first came."""
    histogram, model = SizeHistogram(), dict[int, int]()
    for size, count, look in steps:
        histogram.add(size, count)
        model[size] = model.get(size, 0) + count
        if look:
            assert list(model.items()) == list(histogram.counts.items())
    assert list(model.items()) == list(histogram.counts.items())
    same = SizeHistogram()
    for size, count in model.items():
        same.add(size, count)
    assert same == histogram
