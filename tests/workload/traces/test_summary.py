"""What is in a trace, against counting page by page."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sim.workload.traces.summary import summary
from sim.workload.traces.trace import Builder

PLACES = st.tuples(st.integers(0, 2), st.integers(0, 60_000), st.integers(0, 20_000))


@given(st.lists(PLACES, min_size=1, max_size=30))
def test_pages_and_order_by_hand(reads):
    """The working set is the set of pages; each access goes on, jumps, or is the first of its file."""
    builder = Builder("t", "csv")
    opened = [builder.open(f"f{number}") for number in range(3)]
    pages: Counter[tuple[int, int]] = Counter()
    for file, offset, length in reads:
        builder.access("p", opened[file], offset, length)
        end = -(-(offset + length) // 4096) if length else 0
        pages.update((file, page) for page in range(offset // 4096, end))
    found = summary(builder.trace())
    assert len(pages) * 4096 == found.working_set_bytes
    assert pages.total() == found.page_accesses
    first_ones = len({file for file, _, _ in reads})
    assert len(reads) == found.sequential + found.forward + found.backward + first_ones
    assert (3, first_ones) == (found.files, found.files_accessed)
