"""Which checksums a file's blocks have: ranks in a table, runs of a list, against naive models."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.cache.pages import Mapping
from sim.fs.file_tags import ListTags, TableShape, TableTags

_GAPS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=8)
"""(blocks left out, blocks that follow)."""


def runs_of(gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return runs (first, blocks), so many blocks apart; neighbours stay two."""
    runs, at = [], 0
    for gap, blocks in gaps:
        runs.append((at + gap, blocks))
        at += gap + blocks
    return runs


@given(gaps=_GAPS, per_block=st.integers(1, 7), data=st.data())
def test_a_tables_rows_are_those_of_counting(
    gaps: list[tuple[int, int]], per_block: int, data: st.DataObject
) -> None:
    """Covered blocks have entries in their order; the rows of a run are those that counting gives."""
    covered = runs_of(gaps)
    blocks = [start + at for start, length in covered for at in range(length)]
    own = [1000 + 3 * row for row in range(-(-len(blocks) // per_block))]
    shape = TableShape(covered, own, per_block)
    assert list(range(len(blocks))) == [shape.rank(block) for block in blocks]
    start, length = data.draw(st.sampled_from(covered))
    rows = sorted({own[blocks.index(start + at) // per_block] for at in range(length)})
    tags = TableTags("/file", shape)
    assert rows == tags.tag_blocks(start, length)
    assert own[own.index(rows[-1]) + 1 :][:2] == tags.behind(rows[-1], 2)
    cut = tags.cut(start, length)
    assert rows == [row for row, _, _ in cut]
    each = [(row, first + at) for row, first, count in cut for at in range(count)]
    assert [(own[blocks.index(start + at) // per_block], start + at) for at in range(length)] == each


@given(gaps=_GAPS, first=st.integers(0, 60), blocks=st.integers(1, 30))
def test_the_runs_of_blocks_are_those_that_have_one(
    gaps: list[tuple[int, int]], first: int, blocks: int
) -> None:
    """Runs are found by bisection: as by looking at each."""
    runs = runs_of(gaps)
    tags = ListTags("/file", runs, [7, 8], 100)
    wanted = [
        number
        for number, (start, length) in enumerate(runs)
        if start < first + blocks and first < start + length
    ]
    assert wanted == list(tags.runs(first, blocks))
    assert [runs[number] for number in wanted] == [tags.run(number) for number in wanted]
    assert [7, 8] == tags.tag_blocks(first, blocks)


@given(gaps=_GAPS, ends=st.lists(st.integers(0, 80), min_size=2, max_size=8, unique=True))
def test_runs_are_cut_round_what_is_written(gaps: list[tuple[int, int]], ends: list[int]) -> None:
    """Block by block: what is written of a run and what is left are pieces of their own; others stay."""
    runs, ends = runs_of(gaps), sorted(ends)
    written = [(first, end - first) for first, end in zip(ends[::2], ends[1::2], strict=False)]
    changed = {at for first, blocks in written for at in range(first, first + blocks)}
    tags = ListTags("/file", runs, [], 100, None, 12, 1 << 20)
    wanted: list[tuple[int, int]] = []
    for start, length in runs:
        for at in range(start, start + length):
            if at == start or (at in changed) != (at - 1 in changed):
                wanted.append((at, 0))
            wanted[-1] = (wanted[-1][0], wanted[-1][1] + 1)
    for number, inside in sorted(tags.touched(written).items(), reverse=True):
        pieces = tags.rest(number, inside)
        assert tags.has_room(inside, pieces)
        tags.cut_up(number, sorted(inside + pieces))
    assert wanted == [tags.run(number) for number in range(len(wanted))]
    assert 100 + 12 * (len(wanted) - len(runs)) == tags.length_bytes


def test_a_list_has_room_for_so_much() -> None:
    """Two runs more of 12 bytes: into 24 bytes they go, not into 23."""
    for room, fits in ((24, True), (23, False)):
        tags = ListTags("/file", [(0, 8)], [], 40, None, 12, 40 + room)
        assert fits is tags.has_room([(3, 1)], tags.rest(0, [(3, 1)]))


def test_a_run_is_held_once() -> None:
    """Two readers of one run hold its pages once; they go when it is verified, not before."""
    tags, mapping = ListTags("/file", [(0, 8)], [], 0), Mapping(8, False)
    tags.hold(0, mapping, 0, 8)
    tags.hold(0, mapping, 0, 8)
    assert [(0, 8)] == mapping.held
    tags.let_go(0)
    tags.let_go(0)
    assert [] == mapping.held
