"""Merkle trees as pages behind a file: where which level lies, and what verifying a block looks at."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sim.fs.merkle import MerkleTree, VerityState
from sim.units import KIB, MIB, PAGE_BYTES


def test_the_tree_of_a_recorded_file() -> None:
    """
    8 MiB in blocks of 4 KiB: 16 leaves behind the root, from page 2048 on; the first window of 32 pages needs
    page 2049 and the root, as 7.3.4 read them.
    """
    tree = MerkleTree(8 * MIB, 4 * KIB)
    assert (2048, 2048 + 17, [1, 0]) == (tree.first_page, tree.end_page, tree.starts)
    assert [(2049, 2050), (2048, 2049)] == tree.page_ranges(0, 32)
    assert [(2050, 2051), (2048, 2049)] == tree.page_ranges(128, 32)
    assert [16, 0] == tree.path(2047)


def test_smaller_blocks_have_more_levels_in_a_page() -> None:
    """8 MiB in blocks of 1 KiB: 8 and 1 above 256 leaves, which lie behind them, in pages 2050 on."""
    tree = MerkleTree(8 * MIB, KIB)
    assert [9, 1, 0] == tree.starts
    assert [(2050, 2052), (2048, 2049), (2048, 2049)] == tree.page_ranges(0, 32)
    assert 2048 + -(-265 // 4) == tree.end_page


def test_a_tree_begins_at_64_kib() -> None:
    """A file of 5,000 bytes: page 16. One block has no tree, its hash is in the descriptor."""
    assert 16 == MerkleTree(5000, 4 * KIB).first_page
    assert [] == MerkleTree(4096, 4 * KIB).page_ranges(0, 1)


def test_a_block_looks_up_to_what_is_verified() -> None:
    """The first: leaf and root; its neighbour: the leaf; one below another leaf: that and the root."""
    state = VerityState(MerkleTree(8 * MIB, 4 * KIB), None)
    assert [2, 1, 2, 1] == [state.verify(block).looked for block in (0, 1, 128, 255)]
    assert {0, 1, 2} == state.verified


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 300 * MIB), st.sampled_from([KIB, 2 * KIB, 4 * KIB, 64 * KIB]), st.data())
def test_the_pages_of_a_range_are_those_of_its_blocks(
    size: int, block_size: int, data: st.DataObject
) -> None:
    """Any file, any pages of it: level by level, from the page of the first block's hash to the last's."""
    tree = MerkleTree(size, block_size)
    pages = -(-size // PAGE_BYTES)
    first = data.draw(st.integers(0, pages - 1))
    count = data.draw(st.integers(1, min(64, pages - first)))
    per_page = PAGE_BYTES // tree.block_size
    low, high = tree.path(first * per_page), tree.path((first + count) * per_page - 1)
    naive = [(tree.page_of(a), tree.page_of(b) + 1) for a, b in zip(low, high, strict=True)]
    assert naive == tree.page_ranges(first, count)
    last = -(-size // tree.block_size) - 1
    assert all(tree.first_page <= tree.page_of(block) < tree.end_page for block in tree.path(last))
