"""btrfs' leaves of checksums, as a recorded kernel (Linux 6.1.192) had them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import ConfigError
from sim.integrity.csum_tree import CSUM_BYTES, csums_per_item, leaf_of, leaves


def test_leaves_as_recorded() -> None:
    """16 MiB read cold: 2 leaves of 16 KiB, 5 of 4 KiB; every checksum is in one of them."""
    assert [2, 5] == [leaves(16 << 20, node, "crc32c") for node in (16384, 4096)]
    assert [0, 0, 1, 4] == [
        leaf_of(at, node, "crc32c")
        for at, node in ((0, 16384), (4056 << 12, 16384), (4057 << 12, 16384), ((16 << 20) - 1, 4096))
    ]
    assert 1 == leaves(1 << 20, 16384, "sha256")
    assert csums_per_item(16384, "sha256") == (16384 - 101 - 50) // 32 - 1


@given(st.integers(1, 1 << 27), st.sampled_from([4096, 16384, 65536]), st.sampled_from(sorted(CSUM_BYTES)))
def test_the_last_byte_lies_in_the_last_leaf(size: int, node: int, algorithm: str) -> None:
    """Leaves are counted from 0 to the one with the last checksum, and one holds no more than it has room."""
    assert leaves(size, node, algorithm) - 1 == leaf_of(size - 1, node, algorithm)
    assert csums_per_item(node, algorithm) * CSUM_BYTES[algorithm] <= node - 101 - 25


def test_an_algorithm_that_btrfs_has_not() -> None:
    """One line."""
    with pytest.raises(ConfigError, match="'md5'; allowed: crc32c"):
        csums_per_item(4096, "md5")
