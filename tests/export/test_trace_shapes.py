"""Packets with numbers left open: many at once are what one by one are, in the order in which they came."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sim.export.trace_shapes import TIME_BYTES, Shape, Stretch, assembled

VARINT, RAW = Shape(b"<" + bytes(8) + b">", [1]), Shape(bytes(8) + b"!" + bytes(8), [0, 9], frozenset([9]))
"""A time between brackets; a time and 64 bits."""


def varint(value: int) -> bytes:
    """Return a number as a varint of TIME_BYTES."""
    more = [value >> 7 * at & 127 | 128 for at in range(TIME_BYTES - 1)]
    return bytes([*more, value >> 7 * (TIME_BYTES - 1) & 127])


TIMES = st.integers(0, (1 << 55) - 1)
ITEMS = st.one_of(
    st.binary(max_size=3),
    st.tuples(st.just(VARINT), st.tuples(TIMES)),
    st.tuples(st.just(RAW), st.tuples(TIMES, st.integers(0, (1 << 63) - 1))),
)


def one_by_one(item) -> bytes:
    """Return what an item is, alone."""
    if isinstance(item, bytes):
        return item
    shape, numbers = item
    if shape is VARINT:
        return b"<" + varint(numbers[0]) + b">"
    return varint(numbers[0]) + b"!" + numbers[1].to_bytes(8, "little")


@given(st.lists(ITEMS, max_size=30))
def test_many_are_what_one_by_one_are(items):
    """Whatever shapes come in whatever order."""
    assert b"".join(map(one_by_one, items)) == b"".join(assembled(items))


def test_more_than_are_put_together_at_once():
    """10,000 items: the order is kept from one batch to the next, and memory is that of a batch."""
    items = [(VARINT, (at,)) if at % 3 else bytes([at % 256]) for at in range(10_000)]
    pieces = list(assembled(items))
    assert b"".join(map(one_by_one, items)) == b"".join(pieces)
    assert len(pieces) > 2


def test_two_shapes_behind_each_other_have_the_numbers_of_both():
    """Places and 64-bit places move with the second."""
    both = VARINT.and_then(RAW)
    expected = one_by_one((VARINT, (5,))) + one_by_one((RAW, (6, 1 << 60)))
    assert expected == both.filled(np.array([[5, 6, 1 << 60]]))


def test_a_stretch_has_its_shares():
    """From 100 on, 10 long, with edges at none, a quarter, half and all of it: rounded to even."""
    four = VARINT.and_then(VARINT).and_then(VARINT).and_then(VARINT)
    stretch = Stretch(four, [0.0, 0.25, 0.5, 1.0])
    expected = b"".join(one_by_one((VARINT, (ns,))) for ns in (100, 102, 105, 110))
    assert expected == stretch.filled(np.array([[100, 10]]))
