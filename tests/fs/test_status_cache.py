"""The extent status cache against a plain dictionary of blocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.ext4.format.extents import Extent
from sim.fs.status_cache import END_OF_BLOCKS, HOLE, UNWRITTEN, WRITTEN, Mapped, StatusCache

BLOCKS = 64


@st.composite
def files(draw: st.DrawFn) -> list[Extent]:
    """Draw the extents of a file of up to 64 blocks: holes, unwritten ones, physical neighbours or not."""
    extents = []
    logical, physical = draw(st.integers(0, 3)), 100
    while logical < BLOCKS:
        length = draw(st.integers(1, 9))
        physical += draw(st.sampled_from((0, 0, 5)))
        extents.append(Extent(logical, physical, length, draw(st.booleans())))
        logical += length + draw(st.sampled_from((0, 0, 2)))
        physical += length
    return extents


def truth(extents: list[Extent]) -> dict[int, tuple[int, int]]:
    """Return kind and physical block (0 for a hole) of each block."""
    blocks = dict.fromkeys(range(BLOCKS + 10), (HOLE, 0))
    for logical, physical, length, unwritten in extents:
        for i in range(length):
            blocks[logical + i] = (UNWRITTEN if unwritten else WRITTEN, physical + i)
    return blocks


def merges(blocks: dict[int, tuple[int, int]], block: int) -> bool:
    """Return whether the kernel would hold `block` and the one before it in one entry."""
    (kind, physical), (kind_before, before) = blocks[block], blocks[block - 1]
    return kind == kind_before and (kind == HOLE or physical == before + 1)


@given(
    extents=files(), actions=st.lists(st.tuples(st.integers(0, BLOCKS - 1), st.integers(1, 12)), max_size=12)
)
def test_lookup_agrees_with_a_dictionary(extents: list[Extent], actions: list[tuple[int, int]]) -> None:
    """After any inserts, each block is known or not, of the right kind and place, up to its entry's end."""
    blocks = truth(extents)
    cache = StatusCache(extents)
    known: set[int] = set()
    for start, length in actions:
        end = start + 1
        while end < start + length and end < BLOCKS and merges(blocks, end):
            end += 1
        cache.insert(start, end - start)
        known.update(range(start, end))
    entries = 0
    for block in range(BLOCKS):
        found = cache.lookup(block)
        if block not in known:
            assert found is None
            continue
        end = block + 1
        while end in known and merges(blocks, end):
            end += 1
        kind, physical = blocks[block]
        assert found is not None
        assert (kind, end - block) == (found.kind, found.length)
        assert kind == HOLE or physical == found.physical
        entries += block - 1 not in known or not merges(blocks, block)
    assert entries == cache.entries


@given(extents=files())
def test_full_knows_every_block_to_the_end_of_its_run(extents: list[Extent]) -> None:
    """A warm cache answers for any block, holes and the space beyond the file included."""
    blocks = truth(extents)
    cache = StatusCache(extents)
    cache.fill()
    for block in range(BLOCKS):
        found = cache.lookup(block)
        assert found is not None
        assert blocks[block][0] == found.kind
    last = cache.lookup(1000)
    assert last is not None
    assert (HOLE, END_OF_BLOCKS - 1000) == (last.kind, last.length)
    cache.clear()
    assert cache.lookup(0) is None


def test_cache_extent_keeps_out_when_a_part_is_known() -> None:
    """ext4_es_cache_extent() inserts nothing where any block of the extent is known already."""
    cache = StatusCache([Extent(0, 100, 10, False)])
    cache.insert(4, 1)
    cache.cache(0, 10)
    assert cache.lookup(0) is None
    cache.cache(5, 5)
    assert Mapped(WRITTEN, 104, 6) == cache.lookup(4)
    assert 1 == cache.entries
