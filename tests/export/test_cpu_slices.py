"""Stacks laid side by side over the time of a stretch of work, and cut where other work comes between."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.export.cpu_slices import Call, cut, kind_of

NAMES = st.sampled_from("abc")
STACKS = st.lists(NAMES, min_size=1, max_size=4).map(tuple)
CALLS = st.dictionaries(STACKS, st.integers(0, 90_000), min_size=1, max_size=8).map(
    lambda costs: [Call(stack, 1, ps, 2 * ps) for stack, ps in costs.items()]
)


def test_a_symbol_s_own_time_comes_before_what_it_calls():
    """a (1 ns) calls b (2 ns); then c (3 ns): three slices, one in another."""
    calls = [Call(("c",), 1, 3000, 0), Call(("a", "b"), 1, 2000, 0), Call(("a",), 1, 1000, 0)]
    ((*edges,),) = cut(kind_of(calls), [(10, 16)])
    assert [(10, "a"), (11, "b"), (13, ""), (13, ""), (13, "c"), (16, "")] == [edge[:2] for edge in edges]
    assert [1000, 2000, 3000] == [edge[2].ps for edge in edges if edge[2]]


def test_a_slice_is_cut_where_another_comes_between():
    """6 ns in two pieces with 4 ns between: what is open ends there and goes on, without its numbers."""
    calls = [Call(("a",), 1, 1000, 0), Call(("a", "b"), 1, 5000, 0)]
    first, second = cut(kind_of(calls), [(10, 13), (17, 20)])
    assert [(10, "a"), (11, "b"), (13, ""), (13, "")] == [edge[:2] for edge in first]
    assert [(17, "a", None), (17, "b", None), (20, "", None), (20, "", None)] == second


@given(CALLS, st.lists(st.tuples(st.integers(1, 5), st.integers(1, 60)), min_size=1, max_size=4))
def test_slices_are_nested_and_keep_every_call(calls, gaps):
    """
    In any pieces: a slice ends in the piece in which it begins, times go forward and stay in the piece, and
    every call is told once; its own time is right to a ns an edge.
    """
    pieces, at = [], 0
    for gap, length in gaps:
        pieces.append((at + gap, at + gap + length))
        at += gap + length
    kind = kind_of(calls)
    parts = cut(kind, pieces)
    assert len(pieces) == len(parts)
    assert sorted(calls) == sorted(edge[2] for part in parts for edge in part if edge[2])
    own, edges = dict[str, float](), 0
    for (start, end), part in zip(pieces, parts, strict=True):
        open_now, last = [], start
        for ns, name, _ in part:
            assert last <= ns <= end
            if open_now:
                own[open_now[-1]] = own.get(open_now[-1], 0) + ns - last
            edges += 1
            last = ns
            if name:
                open_now.append(name)
            else:
                open_now.pop()
        assert not open_now
    whole, length = kind.ps, sum(length for _, length in gaps)
    for name in own:
        share = sum(call.ps for call in calls if call.stack[-1] == name)
        if whole:
            assert abs(own[name] - share * length / whole) <= edges
