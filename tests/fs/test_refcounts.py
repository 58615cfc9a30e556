"""The counts of shared blocks in leaves, against a dictionary, and by hand."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.cache.page_runs import runs_of as page_runs
from sim.errors import InvariantError
from sim.ext4.format.refcounts import decode, encode_leaf
from sim.fs.refcounts import NO_BLOCK, Leaf, RefCounts

ROOM = 3
RUNS = st.tuples(st.integers(0, 40), st.integers(1, 12))


def counts_in(counts: RefCounts) -> dict[int, int]:
    """Return the counts as the leaves have them, by way of their bytes."""
    return decode([encode_leaf(leaf.records, 1024) for leaf in counts.leaves], "leaves")


def shared_runs(model: Counter[int], first: int, length: int) -> list[tuple[int, int]]:
    """Return the runs of blocks of a range that are shared."""
    shared = sorted(block for block in range(first, first + length) if model[block] > 1)
    return [(start, end - start) for start, end in page_runs(shared)]


@given(st.lists(st.tuples(st.booleans(), RUNS), max_size=40))
def test_against_a_dictionary(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    """Whatever is shared and given back: counts, answers and room of leaves are as a dictionary has them."""
    counts, model = RefCounts([], ROOM), Counter(dict.fromkeys(range(60), 1))
    for more, (first, length) in steps:
        for start, blocks in [(first, length)] if more else shared_runs(model, first, length):
            changed = counts.adjust(start, blocks, 1 if more else -1)
            assert changed
            model.update(dict.fromkeys(range(start, start + blocks), 1 if more else -1))
        shared = {block: files for block, files in model.items() if files > 1}
        assert shared == counts_in(counts)
        assert all(len(leaf.records) <= ROOM for leaf in counts.leaves)
        for at in range(0, 52, 5):
            is_shared, run = counts.run(at, 7)
            same = [(model[block] > 1) == (model[at] > 1) for block in range(at, at + 7)]
            assert (model[at] > 1, (*same, False).index(False)) == (is_shared, run)


def test_a_leaf_is_cut_in_two() -> None:
    """The fourth record of a leaf of three: halves, of which the second has no place yet."""
    counts = RefCounts([Leaf(7, [(10, 9, 2)])], ROOM)
    assert [7] == [leaf.block for leaf in counts.adjust(12, 1, -1)]
    assert [(10, 2, 2), (13, 6, 2)] == counts.leaves[0].records
    counts.adjust(14, 1, 1)
    first, second = counts.leaves
    assert (7, [(10, 2, 2), (13, 1, 2)]) == (first.block, first.records)
    assert (NO_BLOCK, [(14, 1, 3), (15, 4, 2)]) == (second.block, second.records)


def test_an_empty_leaf_is_used_again() -> None:
    """What is no longer shared leaves its leaf empty; the next leaf that is needed is that one."""
    counts = RefCounts([Leaf(7, [(10, 2, 2)]), Leaf(8, [(20, 2, 2)])], ROOM)
    assert [8] == [leaf.block for leaf in counts.adjust(20, 2, -1)]
    assert [[(10, 2, 2)], []] == [leaf.records for leaf in counts.leaves]
    for block in (20, 22, 24):
        counts.adjust(block, 1, 1)
    assert [7, 8] == [leaf.block for leaf in counts.leaves]


def test_runs_over_two_leaves() -> None:
    """A question, and a change, that go on in the next leaf."""
    counts = RefCounts([Leaf(7, [(10, 5, 2)]), Leaf(8, [(15, 5, 3)])], ROOM)
    assert (True, 10) == counts.run(10, 20)
    assert (False, 4) == counts.run(6, 20)
    assert [7, 8] == [leaf.block for leaf in counts.adjust(13, 4, -1)]
    assert [(10, 3, 2)] == counts.leaves[0].records
    assert [(15, 2, 2), (17, 3, 3)] == counts.leaves[1].records


def test_what_nobody_shares_is_not_given_back() -> None:
    """Who takes away blocks that one file has must free them."""
    with pytest.raises(InvariantError, match="block 12 is given back, and is not shared"):
        RefCounts([Leaf(7, [(10, 2, 2)])], ROOM).adjust(11, 2, -1)
