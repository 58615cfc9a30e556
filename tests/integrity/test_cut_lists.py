"""Runs of lists that were cut, against all their blocks one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.integrity.extents import are_cut

RUNS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 4)), max_size=4)


def naive(pieces: list[tuple[int, int]], runs: list[tuple[int, int]]) -> bool:
    """Each piece has a block and lies in one run; all blocks come in the same order."""
    blocks = [(run, at) for run, (start, count) in enumerate(runs) for at in range(start, start + count)]
    for start, count in pieces:
        mine, blocks = blocks[:count], blocks[count:]
        one_run = len({run for run, _ in mine}) == 1
        if not one_run or [at for _, at in mine] != list(range(start, start + count)):
            return False
    return not blocks


@given(RUNS, st.data())
def test_pieces_are_runs_that_were_cut(runs: list[tuple[int, int]], data: st.DataObject) -> None:
    """Runs that are cut somewhere, and then perhaps changed."""
    pieces: list[tuple[int, int]] = []
    for start, blocks in runs:
        inside = st.integers(1, max(blocks - 1, 1))
        cuts = sorted(data.draw(st.sets(inside, max_size=3))) if blocks > 1 else []
        ends = [*cuts, blocks] if blocks else []
        for first, end in zip([0, *cuts], ends, strict=False):
            pieces.append((start + first, end - first))
    assert are_cut(pieces, runs)
    changed = list(data.draw(st.one_of(st.just(pieces), RUNS, st.permutations(pieces), st.just(pieces[1:]))))
    at, more = data.draw(st.tuples(st.integers(0, 6), st.integers(-1, 2)))
    if at < len(changed):
        changed[at] = changed[at][0], max(changed[at][1] + more, 0)
    assert naive(changed, runs) == are_cut(changed, runs)
