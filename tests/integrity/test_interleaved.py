"""dm-integrity's places, as a recorded kernel (Linux 6.1.192) had them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import ConfigError
from sim.integrity.interleaved import BUFFER_SECTORS, Interleaved

SMALL, LARGE, TIGHT = Interleaved(512, 4), Interleaved(4096, 4), Interleaved(4096, 4, interleave=256)


@pytest.mark.parametrize(
    ("device", "sector", "data", "tags"),
    [
        (SMALL, 2048, 4248, 1944),
        (SMALL, 24528, 26728, 2072),
        (SMALL, 65408, 67864, 35096),
        (LARGE, 2048, 4272, 1968),
        (LARGE, 36792, 39272, 34992),
        (TIGHT, 2048, 6320, 6064),
        (TIGHT, 65408, 132912, 132528),
        (Interleaved(4096, 28), 2048, 4160, 1856),
    ],
)
def test_places_as_recorded(device: Interleaved, sector: int, data: int, tags: int) -> None:
    """Where a sector's data was read, and the buffer with its tag."""
    assert (data, tags) == (device.data_sector(sector), device.buffer_of(sector))


def test_the_journals_sections_as_recorded() -> None:
    """Sections, their sectors, and the blocks that one takes."""
    found = [
        (d.sections, d.section_sectors, d.section_entries) for d in (SMALL, LARGE, Interleaved(4096, 28))
    ]
    assert [(11, 176, 168), (5, 392, 48), (7, 264, 32)] == found


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
    buffer = device.buffer_of(one)
    assert buffer * 512 <= device.tag_byte(one) < (buffer + BUFFER_SECTORS) * 512
    assert device.run_sectors * 512 >= interleave // step * tag


@given(
    st.sampled_from([512, 1024, 4096]),
    st.sampled_from([4, 28]),
    st.sampled_from([256, 4096]),
    st.integers(0, 40_000),
)
def test_places_as_one_walks_there(block: int, tag: int, interleave: int, number: int) -> None:
    """The same places, by going along the disk from its start, block after block."""
    device = Interleaved(block, tag, interleave)
    per_area, step = interleave // device.block_sectors, device.block_sectors
    at, left = device.start, number
    while left >= per_area:
        at, left = at + device.run_sectors + interleave, left - per_area
    assert at + device.run_sectors + left * step == device.data_sector(number * step)
    assert at * 512 + left * tag == device.tag_byte(number * step)
    assert number * step // interleave == device.area_of(number * step)
    assert number * step == device.mapped_sector(device.data_sector(number * step))


def test_what_cannot_be() -> None:
    """One line."""
    with pytest.raises(ConfigError, match="mode 'X'; allowed: D, J, B"):
        Interleaved(512, 4, mode="X")
    with pytest.raises(ConfigError, match="blocks of 100 bytes"):
        Interleaved(100, 4)
