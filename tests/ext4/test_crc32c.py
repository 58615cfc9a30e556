"""CRC-32C by tables and by weights, against the division bit by bit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.ext4.format.crc32c import crc32c


def divided(register: int, data: bytes) -> int:
    """Return the register after `data`: polynomial 0x1EDC6F41, the low bit of a byte first."""
    for byte in data:
        register ^= byte
        for _bit in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register


@given(st.integers(0, 0xFFFF_FFFF), st.binary(max_size=200))
def test_short_pieces(seed: int, data: bytes) -> None:
    """Both ways of doing it: below 64 bytes and from there on."""
    assert divided(seed, data) == crc32c(seed, data)


@pytest.mark.parametrize("length", [63, 64, 1023, 1024, 1025, 1027, 1028, 2051, 4096])
def test_pieces_at_the_borders_of_chunks(length: int) -> None:
    """The last chunk may have fewer than four bytes."""
    data = bytes(number * 7 % 251 for number in range(length))
    assert divided(0x12345678, data) == crc32c(0x12345678, memoryview(data))


def test_the_check_value() -> None:
    """Of "123456789": E3069283 (RFC 3720)."""
    assert 0xE3069283 == crc32c(0xFFFF_FFFF, b"123456789") ^ 0xFFFF_FFFF
