"""The buddies of a group against the plain reading of its bitmap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import InvariantError
from sim.fs.mballoc.buddy import Buddy, pack, unpack

ORDERS = 6
BLOCKS = 128


def chunks(bits: bytes) -> list[tuple[int, int]]:
    """Return (start, order) of the chunks of every free run, by trying every order at every block."""
    found = []
    at = 0
    while at < len(bits):
        if bits[at]:
            at += 1
            continue
        order = max(
            order
            for order in range(ORDERS)
            if at % (1 << order) == 0
            and not any(bits[at : at + (1 << order)])
            and at + (1 << order) <= len(bits)
        )
        found.append((at, order))
        at += 1 << order
    return found


def check(buddy: Buddy) -> None:
    """Compare everything that a Buddy keeps with what its bitmap says."""
    bits = bytes(buddy.maps[0])
    plain = chunks(bits)
    assert [sum(order == each for _, order in plain) for each in range(ORDERS)] == buddy.counters
    for order in range(1, ORDERS):
        entries = [0 if (at << order, order) in plain else 1 for at in range(BLOCKS >> order)]
        assert entries == list(buddy.maps[order])
    assert bits.count(0) == buddy.free
    assert sum(not bit and (at == 0 or bits[at - 1]) for at, bit in enumerate(bits)) == buddy.fragments
    assert not buddy.free or not bits[buddy.first_free :].startswith(b"\1") or buddy.first_free < bits.find(0)
    assert 0 not in bits[: buddy.first_free]
    assert max((order for _, order in plain), default=-1) == buddy.largest_order()


def plain_extent(bits: bytes, block: int, needed: int) -> int:
    """Return what mb_find_extent returns: whole chunks from `block` on until there are `needed` blocks."""
    if bits[block]:
        return 0
    plain = chunks(bits)
    index = next(n for n, (at, order) in enumerate(plain) if at <= block < at + (1 << order))
    end = plain[index][0] + (1 << plain[index][1])
    while end - block < needed and index + 1 < len(plain) and plain[index + 1][0] == end:
        index += 1
        end += 1 << plain[index][1]
    return end - block


runs = st.lists(st.tuples(st.integers(0, BLOCKS - 1), st.integers(1, 40)), max_size=8)


def bits_of(used: list[tuple[int, int]]) -> bytearray:
    """Return bits of which these runs are in use."""
    bits = bytearray(BLOCKS)
    for start, length in used:
        for at in range(start, min(start + length, BLOCKS)):
            bits[at] = 1
    return bits


@given(runs, st.lists(st.tuples(st.integers(0, BLOCKS - 1), st.integers(1, BLOCKS)), max_size=12))
def test_taking_and_giving_back_keeps_the_buddies_those_of_the_bitmap(
    used: list[tuple[int, int]], steps: list[tuple[int, int]]
) -> None:
    """Each step flips the run that begins at a block, as far as it is all of one kind."""
    buddy = Buddy(bits_of(used), ORDERS, BLOCKS)
    check(buddy)
    for start, most in steps:
        bits = buddy.maps[0]
        length = 1
        while length < most and start + length < BLOCKS and bits[start + length] == bits[start]:
            length += 1
        if bits[start]:
            buddy.mark_free(start, length)
        else:
            buddy.mark_used(start, length)
        check(buddy)


@given(runs, st.integers(0, BLOCKS - 1), st.integers(1, BLOCKS))
def test_an_extent_is_whole_chunks(used: list[tuple[int, int]], block: int, needed: int) -> None:
    """Never past a block in use, and no chunk more than is needed."""
    buddy = Buddy(bits_of(used), ORDERS, BLOCKS)
    assert plain_extent(bytes(buddy.maps[0]), block, needed) == buddy.find_extent(block, needed)


@given(runs)
def test_a_bitmap_packs_to_what_it_was_unpacked_from(used: list[tuple[int, int]]) -> None:
    """The lowest bit of the first byte is block 0."""
    bits = bits_of(used)
    assert bits == unpack(pack(bits))
    assert sum(bit << at for at, bit in enumerate(bits)) == int.from_bytes(pack(bits), "little")


def test_what_is_in_use_cannot_be_taken_and_what_is_free_not_given_back() -> None:
    """A block given out twice would spoil a file: it stops at once."""
    buddy = Buddy(bits_of([(4, 1)]), ORDERS, BLOCKS)
    with pytest.raises(InvariantError, match="blocks 3 to 4 of a group are not all free"):
        buddy.mark_used(3, 2)
    with pytest.raises(InvariantError, match="blocks 4 to 5 of a group are not all in use"):
        buddy.mark_free(4, 2)
    with pytest.raises(InvariantError, match="blocks 120 to 128"):
        buddy.mark_used(120, 9)
