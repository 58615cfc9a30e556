"""CRC-32C, against the division bit by bit; of one piece, and of many rows at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.ext4.format.crc32c import crc32c, crc32c_rows


def divided(register: int, data: bytes) -> int:
    """Return the register after `data`: polynomial 0x1EDC6F41, the low bit of a byte first."""
    for byte in data:
        register ^= byte
        for _bit in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register


@given(st.integers(0, 0xFFFF_FFFF), st.binary(max_size=200))
def test_short_pieces(seed: int, data: bytes) -> None:
    """From any register on."""
    assert divided(seed, data) == crc32c(seed, data)


@pytest.mark.parametrize("length", [63, 64, 1023, 1024, 1025, 1027, 1028, 2051, 4096])
def test_pieces_of_many_words_and_some_bytes(length: int) -> None:
    """The CPU's instruction takes words; the last bytes are taken one by one. Any view will do."""
    data = bytes(number * 7 % 251 for number in range(length))
    assert divided(0x12345678, data) == crc32c(0x12345678, memoryview(data))


def test_the_check_value() -> None:
    """Of "123456789": E3069283 (RFC 3720)."""
    assert 0xE3069283 == crc32c(0xFFFF_FFFF, b"123456789") ^ 0xFFFF_FFFF


def test_rows() -> None:
    """Each row from its own seed, as if it were alone."""
    rows = np.arange(5 * 33, dtype=np.uint8).reshape(5, 33)
    seeds = np.array([0, 1, 0xFFFF_FFFF, 7, 9], dtype=np.uint32)
    alone = [crc32c(int(seed), row.tobytes()) for seed, row in zip(seeds, rows, strict=True)]
    assert alone == crc32c_rows(seeds, rows).tolist()
