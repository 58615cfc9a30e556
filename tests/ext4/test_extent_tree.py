"""
The extent tree: entries, planning, and reading back, against simple models and recorded kernel trees.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import ImageError
from sim.ext4.format.extents import (
    MAX_UNWRITTEN_BLOCKS,
    MAX_WRITTEN_BLOCKS,
    Extent,
    Header,
    decode_header,
    decode_index_entries,
    decode_leaf_entries,
    encode_header,
    encode_index_entries,
    encode_leaf_entries,
    entries_per_block,
    normalise,
    plan_tree,
)
from sim.ext4.read.walk import read_tree

SETTINGS = settings(max_examples=60, derandomize=True, deadline=None, database=None)


@st.composite
def extent_lists(draw: st.DrawFn) -> list[Extent]:
    """Disjoint extents with gaps, physical blocks anywhere."""
    extents = []
    logical = 0
    for gap, length, unwritten in draw(
        st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5), st.booleans()), max_size=400)
    ):
        logical += gap
        extents.append(Extent(logical, 1000 + 7 * len(extents), length, unwritten))
        logical += length
    return extents


@SETTINGS
@given(
    st.lists(
        st.builds(
            Extent,
            st.integers(0, 2**32 - 1),
            st.integers(0, 2**48 - 1),
            st.integers(1, MAX_UNWRITTEN_BLOCKS),
            st.booleans(),
        ),
        max_size=84,
    )
)
def test_leaf_entries_come_back(extents: list[Extent]) -> None:
    """Whatever an entry can hold is read back as it was written, unwritten marks included."""
    node = encode_header(Header(len(extents), len(extents), 0)) + encode_leaf_entries(extents)
    assert extents == decode_leaf_entries(node, decode_header(node, "node").entries)


def test_longest_lengths_keep_their_meaning() -> None:
    """32,768 blocks is a written extent, 32,767 may be unwritten: the two share one field."""
    extents = [Extent(0, 1, MAX_WRITTEN_BLOCKS, False), Extent(40_000, 1, MAX_UNWRITTEN_BLOCKS, True)]
    raw = encode_leaf_entries(extents)
    assert (bytes.fromhex("0080"), bytes.fromhex("ffff")) == (raw[4:6], raw[16:18])
    assert extents == decode_leaf_entries(bytes(12) + raw, 2)


def test_index_entries_come_back() -> None:
    """Index entries keep 48-bit block numbers."""
    children = [(0, 5), (2**32 - 1, 2**48 - 1)]
    assert children == decode_index_entries(bytes(12) + encode_index_entries(children), 2)


@pytest.mark.parametrize(
    ("count", "block_size", "leaves", "indexes"),
    [
        (4095, 1024, 49, 1),
        (16384, 1024, 196, 3),
        (4096, 4096, 13, 1),
        (4, 4096, 0, 0),
        (5, 4096, 1, 0),
        (1361, 4096, 5, 1),
    ],
)
def test_planned_trees_are_the_kernels(count: int, block_size: int, leaves: int, indexes: int) -> None:
    """Leaf and index blocks of files written front to back: the first three as recorded kernels made them."""
    plan = plan_tree([Extent(2 * n, 2 * n, 1, False) for n in range(count)], block_size)
    levels = [len(level) for level in plan.levels]
    assert (leaves, indexes) == (sum(levels[:1]), sum(levels[1:]))


@SETTINGS
@given(extent_lists(), st.sampled_from([48, 60, 1024]))
def test_encoded_tree_reads_back(extents: list[Extent], block_size: int) -> None:
    """A tree written to blocks is read back the same as it was planned; tiny blocks make it deep."""
    plan = plan_tree(extents, block_size)
    numbers = list(range(100, 100 + plan.blocks_needed))
    root, blocks = plan.encode(numbers)
    tree = read_tree(root, blocks.__getitem__, range(10_000), "test")
    assert plan.tree(numbers) == tree
    assert numbers == tree.blocks
    assert extents == tree.extents


@SETTINGS
@given(extent_lists(), st.integers(0, 2000))
def test_walk_chooses_the_leaf_of_a_block(extents: list[Extent], lblk: int) -> None:
    """leaf_of and find agree with a walk from the root that takes the last entry not above the block."""
    plan = plan_tree(extents, 60)
    root, blocks = plan.encode(range(100, 100 + plan.blocks_needed))
    tree = plan.tree(range(100, 100 + plan.blocks_needed))
    node, chain = root, []
    while (header := decode_header(node, "node")).depth:
        children = decode_index_entries(node, header.entries)
        block = [child for n, (key, child) in enumerate(children) if n == 0 or key <= lblk][-1]
        chain.append(block)
        node = blocks[block]
    assert tuple(chain) == tree.leaf_chain[tree.leaf_of(lblk)]
    naive = [e for e in extents if e.logical <= lblk < e.logical + e.length]
    assert (naive[0] if naive else None) == tree.find(lblk)


@SETTINGS
@given(extent_lists(), st.booleans())
def test_normalise_keeps_the_mapping(extents: list[Extent], merge: bool) -> None:
    """Merging and cutting changes no block's place, and fills no entry beyond its limit."""

    def mapping(of: list[Extent]) -> dict[int, tuple[int, bool]]:
        return {e.logical + i: (e.physical + i, e.unwritten) for e in of for i in range(e.length)}

    assert mapping(extents) == mapping(normalise(reversed(extents), merge))


def test_normalise_merges_and_cuts() -> None:
    """Neighbours join up to what an entry holds, which is one block less when unwritten."""
    joined = normalise([Extent(0, 10, 30_000, False), Extent(30_000, 30_010, 5_000, False)])
    assert [Extent(0, 10, 32_768, False), Extent(32_768, 32_778, 2_232, False)] == joined
    assert [e.length for e in normalise([Extent(0, 10, 32_768, True)])] == [32_767, 1]


def _read(extents: list[Extent], blocks_count: int = 1000) -> None:
    plan = plan_tree(extents, 1024)
    root, blocks = plan.encode(range(500, 500 + plan.blocks_needed))
    read_tree(root, blocks.__getitem__, range(1, blocks_count), "x.img: inode 12")


@pytest.mark.parametrize(
    ("extents", "words"),
    [
        ([Extent(0, 0, 1, False)], "physical block 0"),
        ([Extent(0, 999, 2, False)], "2 blocks at physical block 999"),
        ([Extent(0, 10, 5, False), Extent(4, 20, 1, False)], "logical block 4"),
        ([Extent(0, 10, 0, False)], "extent of 0 blocks"),
        ([Extent(0, 1, 600, False), Extent(600, 1, 600, False)], "map 1200 blocks"),
        ([Extent(2**32 - 1, 10, 2, False)], "logical block 4294967295"),
    ],
)
def test_impossible_extents_are_refused(extents: list[Extent], words: str) -> None:
    """Extents out of range, overlapping, empty, or more than the device holds give one ImageError."""
    with pytest.raises(ImageError, match=words) as caught:
        _read(extents)
    assert str(caught.value).startswith("x.img: inode 12: ")


def test_loop_in_the_tree_is_refused() -> None:
    """An index node that points back at itself is told, not followed."""
    root = encode_header(Header(1, 4, 2)) + encode_index_entries([(0, 77)])
    looped = (encode_header(Header(1, 84, 1)) + encode_index_entries([(0, 77)])).ljust(1024, b"\0")
    with pytest.raises(ImageError, match="visits block 77 twice"):
        read_tree(root.ljust(60, b"\0"), lambda _block: looped, range(1, 100), "x.img")


@pytest.mark.parametrize(("block_size", "entries"), [(1024, 84), (2048, 169), (4096, 340)])
def test_entries_per_block(block_size: int, entries: int) -> None:
    """A header and an entry take 12 bytes each."""
    assert entries == entries_per_block(block_size)
