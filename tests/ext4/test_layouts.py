"""
Layouts, recorded layouts and the allocator.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from ext4_samples import LAYOUTS
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import ConfigError
from sim.ext4.format.extents import Extent
from sim.ext4.make.allocator import Allocator
from sim.ext4.make.fiemap import parse_fiemap
from sim.ext4.make.filefrag import parse_filefrag
from sim.ext4.make.layout import (
    Aged,
    Fragmented,
    Pattern,
    Piece,
    Placed,
    Scattered,
    sparse,
    unwritten,
)

RECORDED = Path(__file__).parents[2] / "results" / "kernel" / "linux-6.1.192" / "layouts"
SETTINGS = settings(max_examples=60, derandomize=True, deadline=None, database=None)

FILEFRAG = """\
Filesystem type is: ef53
File size of holes is 53248 (13 blocks of 4096 bytes)
 ext:     logical_offset:        physical_offset: length:   expected: flags:
   0:        0..       1:      34048..     34049:      2:
   1:        4..       7:      34052..     34055:      4:      34050: unwritten
   2:       12..      12:      36864..     36864:      1:      34060: last,unwritten,eof
holes: 3 extents found
"""


@SETTINGS
@given(st.sampled_from(sorted(LAYOUTS)), st.integers(0, 300), st.integers(0, 5))
def test_pieces_are_disjoint(name: str, blocks: int, seed: int) -> None:
    """Every layout keeps its pieces apart in the file and in the region, and inside both."""
    plan = LAYOUTS[name].plan(blocks, seed, "/f")
    logical = [b for p in plan.pieces for b in range(p.logical, p.logical + p.length)]
    places = [b for p in plan.pieces for b in range(p.offset, p.offset + p.length)]
    assert logical == sorted(set(logical))
    assert len(places) == len(set(places))
    assert all(b < blocks for b in logical)
    assert all(b < plan.span for b in places)


def test_fragmented_shares_the_disk() -> None:
    """Extents of n blocks with as many of the neighbour between; the last one is cut at the end."""
    plan = Fragmented(2).plan(5, 0, "/f")
    assert (Piece(0, 0, 2, False), Piece(2, 4, 2, False), Piece(4, 8, 1, False)) == plan.pieces
    assert plan.neighbour


def test_patterns() -> None:
    """Sparse and unwritten are repeated patterns; blocks keep the offset of their logical block."""
    assert (Piece(0, 0, 2, False), Piece(4, 4, 2, False)) == sparse(2).plan(8, 0, "/f").pieces
    assert (Piece(0, 0, 4, False), Piece(6, 6, 1, False)) == sparse(2, every=3).plan(7, 0, "/f").pieces
    assert (Piece(0, 0, 9, True),) == unwritten().plan(9, 0, "/f").pieces
    odd = Pattern("1h3d2u").plan(7, 0, "/f").pieces
    assert (Piece(1, 1, 3, False), Piece(4, 4, 2, True)) == odd


@pytest.mark.parametrize("pattern", ["", "3x", "d", "0d1h", "3d-1h"])
def test_bad_patterns_are_refused(pattern: str) -> None:
    """A pattern that cannot be read is an error with its text."""
    with pytest.raises(ConfigError, match="pattern"):
        Pattern(pattern).plan(5, 0, "/f")


def test_aged_depends_on_seed_and_name_only() -> None:
    """The same seed and name give the same layout, another seed or name a different one."""
    plan = Aged(4).plan(500, 1, "/f")
    assert plan == Aged(4).plan(500, 1, "/f")
    assert plan != Aged(4).plan(500, 2, "/f")
    assert plan != Aged(4).plan(500, 1, "/g")
    assert [p.offset for p in plan.pieces] != sorted(p.offset for p in plan.pieces)
    assert any(p.unwritten for p in plan.pieces)


def test_recorded_kernel_layout() -> None:
    """A FIEMAP list recorded from a kernel keeps its absolute blocks."""
    path = RECORDED / "layout_nullmq_bs1024_sparse.json"
    rows = json.loads(path.read_text())["extents"]
    layout = parse_fiemap(str(path), path.read_text(), 1024)
    want = tuple(Extent(a // 1024, b // 1024, c // 1024, bool(f & 0x800)) for a, b, c, f in rows)
    assert want == layout.extents


def test_long_recorded_extents_are_cut() -> None:
    """FIEMAP rows longer than an entry can hold become several extents; a bare list is taken as well."""
    layout = parse_fiemap("f.json", json.dumps([[0, 4096, 40_000 * 1024, 1]]), 1024)
    assert (Extent(0, 4, 32_768, False), Extent(32_768, 32_772, 7_232, False)) == layout.extents


def test_unwritten_flag_of_fiemap() -> None:
    """Flag 0x800 marks an unwritten extent, other flags (last, merged, shared) do not."""
    rows = [[0, 4096, 4096, 0x800], [4096, 16384, 4096, 0x801], [8192, 32768, 4096, 0x3001]]
    layout = parse_fiemap("f.json", json.dumps({"block_size": 4096, "extents": rows}))
    assert [True, True, False] == [extent.unwritten for extent in layout.extents]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("{}", "no list of extents"),
        ('{"extents": [[0, 1]], "block_size": 1024}', "no list of extents"),
        ('{"extents": [[0, 1, 1024, 0]], "block_size": 1024}', "extent 0: 1024 bytes"),
        ('{"extents": [[0, 0, 1024, 4]], "block_size": 1024}', "delalloc"),
        ('{"extents": [[0, 0, 4096, 0]], "block_size": 4096}', "block_size is 4096"),
        ('{"extents": [[-1024, 0, 1024, 0]]}', "extent 0"),
        ('{"extents": [], "tree_blocks": ["a"]}', "tree_blocks"),
    ],
)
def test_bad_fiemap_lists_are_refused(text: str, words: str) -> None:
    """A list that cannot be laid out is one error that says why."""
    with pytest.raises(ConfigError, match=words):
        parse_fiemap("f.json", text, 1024)


def test_filefrag_text() -> None:
    """The text of `filefrag -v` gives extents and unwritten marks."""
    want = (Extent(0, 34048, 2, False), Extent(4, 34052, 4, True), Extent(12, 36864, 1, True))
    assert want == parse_filefrag("f.txt", FILEFRAG, 4096).extents
    halves = parse_filefrag("f.txt", FILEFRAG, 1024).extents
    assert Extent(0, 4 * 34048, 8, False) == halves[0]


@pytest.mark.parametrize(
    "change", [("13 blocks of", "13 of"), ("4..       7", "4.. x    7"), ("unwritten\n", "delalloc\n")]
)
def test_bad_filefrag_text_is_refused(change: tuple[str, str]) -> None:
    """Text of another program, a row that is not understood, and blocks without a place are errors."""
    with pytest.raises(ConfigError):
        parse_filefrag("f.txt", FILEFRAG.replace(*change), 4096)


@pytest.mark.parametrize("extents", [[(0, 5, 3), (2, 20, 1)], [(3, 5, 3)], [(0, 5, 0)]])
def test_placed_extents_must_fit_the_file(extents: list[tuple[int, int, int]]) -> None:
    """Overlapping, late and empty extents are refused."""
    with pytest.raises(ConfigError, match="disjoint extents"):
        Placed(tuple(Extent(*e, False) for e in extents)).plan(5, 0, "/f")


@SETTINGS
@given(
    st.lists(
        st.tuples(st.sampled_from(["take", "reserve", "release"]), st.integers(0, 59), st.integers(1, 20)),
        max_size=40,
    )
)
def test_allocator_against_a_set(steps: list[tuple[str, int, int]]) -> None:
    """Taking, reserving and giving back does to the runs what it does to a set of blocks."""
    allocator, free = Allocator(range(10, 70)), set(range(10, 70))
    for action, start, length in steps:
        blocks = set(range(start + 10, min(start + 10 + length, 70)))
        if action == "release":
            if blocks and not blocks & free:
                allocator.release(start + 10, len(blocks))
                free |= blocks
        elif action == "reserve":
            if blocks <= free:
                allocator.reserve(start + 10, len(blocks), "t")
                free -= blocks
            else:
                with pytest.raises(ConfigError):
                    allocator.reserve(start + 10, len(blocks), "t")
        elif length > len(free):
            with pytest.raises(ConfigError, match="larger image"):
                allocator.take(length, "t")
        else:
            taken = {b for first, n in allocator.take(length, "t") for b in range(first, first + n)}
            assert length == len(taken)
            assert taken <= free
            free -= taken
        runs = allocator.free_runs
        assert free == {b for first, end in runs for b in range(first, end)}
        assert all(end < after for (_, end), (after, _) in itertools.pairwise(runs))


@SETTINGS
@given(st.integers(0, 400), st.integers(1, 40), st.integers(0, 5))
def test_written_at_random(blocks: int, mean: int, seed: int) -> None:
    """Every block once, in a region of the file's size, by (seed, name) only."""
    plan = Scattered(mean).plan(blocks, seed, "/f")
    assert (plan, blocks) == (Scattered(mean, seed).plan(blocks, 99, "/f"), plan.span)
    assert list(range(blocks)) == [b for p in plan.pieces for b in range(p.logical, p.logical + p.length)]
    assert list(range(blocks)) == sorted(b for p in plan.pieces for b in range(p.offset, p.offset + p.length))
    assert not plan.neighbour


def test_random_order_is_random_over_the_whole_file() -> None:
    """
    Any two pieces are as likely in order as not, near or far (aged: only near ones are shuffled). With n
    pieces the inversions have mean n(n-1)/4 and variance n(n-1)(2n+5)/72 (Kendall); lengths have the mean
    asked for.
    """
    pieces = Scattered(4).plan(8_000, 1, "/f").pieces
    n, places = len(pieces), [piece.offset for piece in pieces]
    inversions = sum(left > right for left, right in itertools.combinations(places, 2))
    assert abs(inversions - n * (n - 1) / 4) < 4 * (n * (n - 1) * (2 * n + 5) / 72) ** 0.5
    # A geometric length of mean m has variance m(m - 1).
    assert abs(8_000 / n - 4) < 4 * (12 / n) ** 0.5
    assert {1} == {piece.length for piece in Scattered(1).plan(500, 1, "/f").pieces}


def test_aged_without_holes_and_unwritten_parts() -> None:
    """Both shares can be 0, alone and together; without a word each is 5 % of the runs."""

    def shares(layout: Aged) -> tuple[bool, bool]:
        pieces = layout.plan(4_000, 1, "/f").pieces
        mapped = sum(piece.length for piece in pieces)
        return mapped < 4_000, any(piece.unwritten for piece in pieces)

    assert (True, True) == shares(Aged(4))
    assert (False, True) == shares(Aged(4, hole_share=0))
    assert (True, False) == shares(Aged(4, unwritten_share=0))
    assert (False, False) == shares(Aged(4, hole_share=0, unwritten_share=0))
