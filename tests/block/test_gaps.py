"""NVMe's virt boundary: what does not merge, and where a bio is cut, by hand."""

from __future__ import annotations

from typing import Any

import pytest
from core_kit import Rig, sequential

from sim.block.queue.limits import QueueLimits
from sim.stack.dm_crypt import CryptTable

NVME = QueueLimits(1280, 127, 64, driver="nvme")
AHCI = QueueLimits(1280, 127, 64, driver="ahci")
KIB = 1024


def requests(
    path: str, limits: QueueLimits, extents: list[tuple[int, int, int]], pages: int, **spec: Any
) -> list[tuple[int, int]]:
    """Return (sector, sectors) of the commands that a file of 1 KiB blocks is read with."""
    rig = Rig(path, extents, pages * 4 * KIB, block_size=KIB, limits=limits, **spec)
    rig.run(sequential(pages * 4 * KIB, 128 * KIB))
    return sorted((sector, sectors) for _, sector, sectors in rig.letters("D"))


def test_bios_that_begin_inside_a_page_never_merge_on_nvme() -> None:
    """
    Extents of 3 blocks, a page of 4: [0-2][3 4 5][6 7 8][9 10 11].

    Buffer heads, a bio a block: 4 and 5 are one request, for 4 begins a page. 3, 6, 7 and 9 to 11 begin
    inside one, so that nothing follows them in a request, not even 8, which is next on the disk and begins a
    page. Without the boundary an extent is a request.
    """
    extents = [(3 * k, 1000 + 10 * k, 3) for k in range(4)]
    per_extent = [(2 * (1000 + 10 * k), 6) for k in range(4)]
    assert per_extent == requests("buffer_head", AHCI, extents, 3)
    assert requests("buffer_head", NVME, extents, 3) == [
        (2000, 6),
        (2020, 2),
        (2022, 4),
        (2040, 2),
        (2042, 2),
        (2044, 2),
        (2060, 2),
        (2062, 2),
        (2064, 2),
    ]


@pytest.mark.parametrize("path", ["buffer_head", "page_io", "mpage", "iomap"])
@pytest.mark.parametrize("limits", [NVME, AHCI])
def test_whole_pages_merge_as_ever(path: str, limits: QueueLimits) -> None:
    """A contiguous file has no gaps: 32 pages, at most 127 segments a request."""
    found = requests(path, limits, [(0, 1000, 128)], 32)
    assert found == ([(2000, 254), (2254, 2)] if path == "buffer_head" else [(2000, 256)])


@pytest.mark.parametrize("path", ["buffer_head", "page_io"])
def test_a_stacked_device_hands_down_the_same_memory(path: str) -> None:
    """dm-crypt's clones are of its bios' pages: they merge as those would."""
    for extents in ([(0, 1000, 128)], [(3 * k, 1000 + 10 * k, 3) for k in range(40)]):
        plain = requests(path, NVME, extents, 30)
        assert plain == requests(path, NVME, extents, 30, dm_crypt=CryptTable())
