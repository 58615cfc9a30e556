"""What is read is compared: a verifier is not content with a part, with nothing, or with one wrong byte."""

from __future__ import annotations

import hashlib

import pytest

from sim.cache.pages import Mapping
from sim.machine.verify import PieceVerifier, StreamVerifier

PLAIN = bytes(range(256)) * 16


def holding(data: bytes) -> Mapping:
    """Return the mapping of a file of one page that holds `data`."""
    mapping = Mapping(1, True)
    assert mapping.content is not None
    mapping.content[: len(data)] = data
    return mapping


@pytest.mark.parametrize(
    ("pieces", "good"),
    [
        ([(0, 4096)], True),
        ([(0, 1000), (1000, 3096)], True),
        ([(0, 1000)], False),  # a part
        ([], False),
        ([(0, 1000), (2000, 2096)], False),  # one piece is missing
        ([(1000, 3096), (0, 1000)], False),  # not in order
    ],
)
def test_a_stream_is_the_whole_file_in_order(pieces: list[tuple[int, int]], good: bool) -> None:
    """Its digest is that of the plaintext, and all of it came."""
    verifier, mapping = StreamVerifier(4096, hashlib.sha256(PLAIN).hexdigest()), holding(PLAIN)
    for offset, length in pieces:
        verifier.take(mapping, offset, length)
    assert good == verifier.good()


def test_a_stream_that_ends_early_is_not_good_by_its_digest() -> None:
    """1,000 bytes came, with the digest of 1,000 bytes; the file has 4,096."""
    verifier = StreamVerifier(4096, hashlib.sha256(PLAIN[:1000]).hexdigest())
    verifier.take(holding(PLAIN), 0, 1000)
    assert not verifier.good()


@pytest.mark.parametrize(("at", "good"), [(None, True), (0, False), (4095, False)])
def test_pieces_are_compared_byte_by_byte(at: int | None, good: bool) -> None:
    """One wrong byte is found, also the last; pieces come in any order."""
    wrong = bytearray(PLAIN)
    if at is not None:
        wrong[at] ^= 1
    verifier, mapping = PieceVerifier(PLAIN), holding(bytes(wrong))
    for offset, length in ((3000, 1096), (0, 3000)):
        verifier.take(mapping, offset, length)
    assert good == verifier.good()


def test_nothing_is_not_right() -> None:
    """A reader that took nothing has not been shown to read right."""
    assert not PieceVerifier(PLAIN).good()
