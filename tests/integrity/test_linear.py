"""Checksums of parts from those of wholes: held against the checksum of the part itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.integrity.algorithms import ALGORITHMS
from sim.integrity.linear import crc_of, moved, of_both, of_head, of_tail, tag_of_piece

BYTES = st.binary(max_size=300)


def test_the_check_value() -> None:
    """CRC-32C of "123456789", as catalogues of CRCs have it."""
    assert 0xE306_9283 == crc_of(b"123456789")


@given(BYTES, BYTES)
def test_parts_and_wholes(head: bytes, tail: bytes) -> None:
    """Put together, taken off in front, taken off behind."""
    whole = crc_of(head + tail)
    assert whole == of_both(crc_of(head), crc_of(tail), len(tail))
    assert crc_of(tail) == of_tail(whole, crc_of(head), len(tail))
    assert crc_of(head) == of_head(whole, crc_of(tail), len(tail))


@given(st.integers(0, (1 << 32) - 1), st.integers(0, 1 << 40))
def test_moving_back_is_the_inverse(crc: int, count: int) -> None:
    """As far as one likes, where no bytes could be tried."""
    assert crc == moved(moved(crc, count), -count)


@given(BYTES, BYTES, BYTES, BYTES, BYTES)
def test_a_piece_of_a_run(context: bytes, before: bytes, piece: bytes, after: bytes, own: bytes) -> None:
    """Its tag, under a context of its own, without its data."""
    make = ALGORITHMS["crc32c"].make
    tag = make(b"", 0, context + before + piece + after)
    assert make(b"", 0, own + piece) == tag_of_piece(tag, context, before, after, len(piece), own)


@given(BYTES, st.binary(min_size=1, max_size=50), BYTES, st.integers(0, 399))
def test_what_was_wrong_in_what_is_overwritten_is_told_of_the_piece(
    before: bytes, old: bytes, piece: bytes, bit: int
) -> None:
    """A bit that flipped in the old contents: the good piece gets a checksum that it does not have."""
    make = ALGORITHMS["crc32c"].make
    tag = make(b"", 0, before + old + piece)
    bit %= 8 * len(old)
    flipped = bytearray(old)
    flipped[bit // 8] ^= 1 << bit % 8
    assert make(b"", 0, piece) != tag_of_piece(tag, b"", before + bytes(flipped), b"", len(piece), b"")
