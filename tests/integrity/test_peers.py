"""dm-integrity's places and btrfs' leaves, as a recorded kernel (Linux 6.1.192) had them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import ConfigError
from sim.integrity.csum_tree import ReadCounts, csums_per_item, leaf_of, leaves, read_counts, stored_bytes
from sim.integrity.interleaved import BUFFER_SECTORS, Interleaved

SMALL, LARGE = Interleaved(512, 4), Interleaved(4096, 4)
TIGHT = Interleaved(4096, 4, interleave=256)


@pytest.mark.parametrize(
    ("device", "reads", "bios"),
    [
        (SMALL, [(2048, 8)], [(4248, 8), (1944, 128)]),
        (SMALL, [(2048, 256)], [(4248, 256), (1944, 128)]),
        (LARGE, [(2048, 8)], [(4272, 8), (1968, 128)]),
        (LARGE, [(4088, 8), (8176, 8), (12264, 8)], [(6312, 8), (1968, 128), (10400, 8), (14488, 8)]),
        (TIGHT, [(2048, 256)], [(6320, 256), (6064, 128)]),
        (
            TIGHT,
            [(4088, 8), (8176, 8), (12264, 8), (16352, 8)],
            [
                (10152, 8), (9648, 128), (18336, 8), (17840, 128),
                (26520, 8), (26032, 128), (34704, 8), (34224, 128),
            ],
        ),
        (TIGHT, [(4096, 8), (4104, 8), (4112, 8)], [(10416, 8), (10160, 128), (10424, 8), (10432, 8)]),
    ],
)  # fmt: skip
def test_reads_as_recorded(device: Interleaved, reads, bios) -> None:
    """Data where it was read, a buffer of tags of 128 sectors the first time one in it is needed."""
    assert bios == device.read_bios(reads)


def test_writes_as_recorded() -> None:
    """What a flush writes of the tags after 4 KiB at sector 2048, and the journal's sections."""
    assert (1960, 8) == SMALL.flushed(2048)
    assert (11, 176) == (SMALL.sections, SMALL.section_sectors)
    assert (5, 392) == (LARGE.sections, LARGE.section_sectors)
    assert [176, 392] == [SMALL.journalled_sectors(8), LARGE.journalled_sectors(1)]
    assert [8, 256, 1, 32] == [d.checksums(s) for d in (SMALL, LARGE) for s in (8, 256)]
    assert 6 * 392 == LARGE.journalled_sectors(256)  # of 1 MiB: four at once and two at the flush


@given(
    st.sampled_from([512, 1024, 4096]),
    st.sampled_from([4, 16, 28, 32]),
    st.sampled_from([256, 4096, 32768]),
    st.integers(0, 1 << 24),
    st.integers(0, 1 << 24),
)
def test_nothing_lies_on_anything_else(block: int, tag: int, interleave: int, one: int, other: int) -> None:
    """Two blocks have two places for data and for tags, and no tag lies in data."""
    device = Interleaved(block, tag, interleave)
    step = device.block_sectors
    one, other = one // step * step, other // step * step
    spans = {(device.data_sector(s) * 512, device.data_sector(s) * 512 + block) for s in (one, other)}
    spans |= {(device.tag_byte(s), device.tag_byte(s) + tag) for s in (one, other)}
    ordered = sorted(spans)
    assert (4 if one != other else 2) == len(ordered)
    assert all(end <= start for (_s, end), (start, _e) in pairwise(ordered))
    assert (
        device.buffer_of(one) * 512 <= device.tag_byte(one) < (device.buffer_of(one) + BUFFER_SECTORS) * 512
    )
    assert device.run_sectors * 512 >= interleave // step * tag


def test_what_cannot_be() -> None:
    """One line."""
    with pytest.raises(ConfigError, match="mode 'X'; allowed: D, J, B"):
        Interleaved(512, 4, mode="X")
    with pytest.raises(ConfigError, match="blocks of 100 bytes"):
        Interleaved(100, 4)
    with pytest.raises(ConfigError, match="'md5'; allowed: crc32c"):
        csums_per_item(4096, "md5")


def test_btrfs_leaves_as_recorded() -> None:
    """16 MiB read cold: 2 leaves of 16 KiB, 5 of 4 KiB; every checksum is in one of them."""
    assert [2, 5] == [leaves(16 << 20, node, "crc32c") for node in (16384, 4096)]
    assert [0, 0, 1, 4] == [
        leaf_of(at, node, "crc32c")
        for at, node in ((0, 16384), (4056 << 12, 16384), (4057 << 12, 16384), ((16 << 20) - 1, 4096))
    ]
    assert 16384 == stored_bytes(1 << 20, 16384, "sha256")
    assert csums_per_item(16384, "sha256") == (16384 - 101 - 50) // 32 - 1


KIB, MIB = 1 << 10, 1 << 20
RANDOM = [(20_480 + 151_552 * number, 4096) for number in range(32)]
IN_PIECES = [(number * 16 * KIB, 16 * KIB) for number in range(64)]
LONG = [
    (0, 512 * KIB),
    *((512 * KIB + number * MIB, MIB) for number in range(15)),
    (15 * MIB + 512 * KIB, 512 * KIB),
]
GROWING = [(0, 16), (16, 64), (80, 256), (336, 512), (848, 176)]


@pytest.mark.parametrize(
    ("bios", "extents", "node", "counts"),
    [
        (LONG, [(0, 16 * MIB)], 16384, ReadCounts(17, 18, 4096, 19, 2)),
        (RANDOM, [(0, 16 * MIB)], 16384, ReadCounts(32, 32, 32, 33, 1)),
        (IN_PIECES, IN_PIECES, 16384, ReadCounts(64, 64, 256, 128, 0)),
        ([(at % MIB, size) for at, size in RANDOM], IN_PIECES, 4096, ReadCounts(32, 32, 32, 58, 0)),
        (
            [(at % (512 * KIB), size) for at, size in RANDOM],
            [(number * 4096, 4096) for number in range(128)],
            16384,
            ReadCounts(32, 32, 32, 64, 0),
        ),
        ([(0, 16 * KIB), (16 * KIB, 48 * KIB)], [(0, 64 * KIB)], 4096, ReadCounts(2, 2, 16, 3, 0)),
        ([(at * KIB, size * KIB) for at, size in GROWING], [(0, MIB)], 4096, ReadCounts(5, 5, 256, 6, 0)),
    ],
)
def test_btrfs_reads_as_recorded(bios, extents, node, counts) -> None:
    """
    Contiguous in order and at random, extents of one and of four blocks: calls by name, leaves read.
    A csum tree of one leaf is its root, and in memory.
    """
    assert counts == read_counts(bios, extents, node, "crc32c", in_root=counts.leaves == 0)
