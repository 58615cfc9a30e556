"""Stamps: what a sector says, and what is found of it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.units import SECTOR_BYTES
from sim.workload.stamps import stamped, writes_found


def test_a_stamped_sector() -> None:
    """16 times: "readpath", the file, the sector's number in it, the write."""
    data = stamped(12, 1024, 1024, 7)
    assert data == b"".join(16 * (b"readpath" + struct.pack("<3Q", 12, at, 7)) for at in (2, 3))


@given(st.integers(0, 3000), st.integers(1, 3000))
def test_any_part_of_it(offset: int, length: int) -> None:
    """Bytes from anywhere are those of the whole."""
    assert stamped(5, offset, length, 3) == stamped(5, 0, 6000, 3)[offset : offset + length]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_each_sector_has_its_write(writes: list[int]) -> None:
    """Sectors of several writes: each is found as what was written there; zeros (0) are none."""
    data = b"".join(
        stamped(5, at * SECTOR_BYTES, SECTOR_BYTES, write) if write else bytes(SECTOR_BYTES)
        for at, write in enumerate(writes)
    )
    assert writes_found(data, 5).tolist() == [write or -1 for write in writes]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (stamped(6, 0, 512, 3), "another file's"),
        (stamped(5, 512, 512, 3), "of another place"),
        (stamped(5, 0, 256, 3) + stamped(5, 256, 256, 4), "half of one write, half of another"),
        (stamped(5, 0, 511, 3) + b"\1", "its last byte is another"),
        (b"\1" + stamped(5, 0, 512, 3)[1:], "its first byte is another"),
        (b"\1" + 511 * b"\0", "nobody's"),
    ],
)
def test_what_is_no_stamp(data: bytes, why: str) -> None:
    """Whatever is not a whole stamp of this file and place."""
    assert writes_found(data, 5).tolist() == [-1], why
