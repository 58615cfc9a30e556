"""The blocks of a log: how much goes into one, and what they are summed with."""

from __future__ import annotations

import pytest
from logs import FORMS

from sim.errors import ImageError
from sim.ext4.format.journal_blocks import LogFormat, LogIncompat, crc32_be


def test_a_descriptor_tells_of_as_many_blocks_as_the_kernel_writes() -> None:
    """Recorded, Linux 6.1.192: 122, 250 and 506 tags of 8 bytes, 61, 125 and 253 of 16."""
    for bits, expected in ((LogIncompat(0), [122, 250, 506]), (LogIncompat.CSUM_V3, [61, 125, 253])):
        assert expected == [
            LogFormat(size, bytes(16), bits).tags_per_descriptor for size in (1024, 2048, 4096)
        ]
    assert 404 == LogFormat(4096, bytes(16), LogIncompat.CSUM_V2).tags_per_descriptor
    lengths = {form: LogFormat(1024, bytes(16), *kinds).tag_bytes for form, kinds in FORMS.items()}
    assert {
        "plain": 8,
        "64bit": 12,
        "v1": 8,
        "v1-async": 12,
        "v2": 10,
        "v2-64bit": 14,
        "v3": 16,
        "v3-64bit": 16,
        "v3-async": 16,
    } == lengths


def test_the_check_values_of_the_checksums() -> None:
    """CRC-32/BZIP2 of "123456789" is FC891918."""
    assert 0xFC891918 ^ 0xFFFF_FFFF == crc32_be(0xFFFF_FFFF, b"123456789")


def test_blocks_above_32_bits_need_the_feature() -> None:
    """And are told whole with it."""
    with pytest.raises(ImageError, match="block 4294967296 in a log without 64BIT"):
        LogFormat(1024, bytes(16)).descriptor(1, [(1 << 32, bytes(1024))])
    wide = LogFormat(1024, bytes(16), LogIncompat.BIT64)
    assert [1 << 32] == [tag.block for tag in wide.tags(wide.descriptor(1, [(1 << 32, bytes(1024))])[0])]
    assert [5 << 32] == wide.revoked(wide.revocations(1, [5 << 32])[0])
