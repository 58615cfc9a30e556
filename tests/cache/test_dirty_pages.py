"""The dirty pages of a file, as eCryptfs leaves them, and what is no write of that model."""

from __future__ import annotations

from itertools import pairwise

import pytest
from core_kit import Rig
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.cache.buffered_write import BufferedWriter, DirtyPages
from sim.cache.pages import Mapping
from sim.errors import InvariantError

PAGE = 4096


def test_parts_of_blocks_are_refused() -> None:
    """A write that would have to read the rest of a block is no write of this model."""
    rig = Rig("page_io", [(0, 100, 8)], 8 * PAGE)
    writer = BufferedWriter(rig.machine.ledger, rig.machine.cache, PAGE)
    with pytest.raises(InvariantError, match="blocks of 4096 only"):
        writer.write(rig.machine.cpu.task(0, "writer"), rig.open(), DirtyPages(), 0, 1000)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=20))
@settings(deadline=None)
def test_dirty_pages_are_a_set(writes: list[tuple[int, int]]) -> None:
    """Runs are what a set of pages says, apart and in order, and the mapping holds just them."""
    mapping, dirty, pages = Mapping(64, False), DirtyPages(), set[int]()
    for start, count in writes:
        dirty.add(mapping, start, start + count)
        pages.update(range(start, start + count))
        assert pages == {page for first, last in dirty.runs for page in range(first, last)}
        assert all(one[1] < other[0] for one, other in pairwise(dirty.runs))
        assert sorted(mapping.held) == dirty.runs
    dirty.take(mapping)
    assert ([], []) == (dirty.runs, mapping.held)
