"""NVMe's virt boundary: what does not merge, and where a bio is cut, by hand."""

from __future__ import annotations

from typing import Any

import pytest
from core_kit import Rig, sequential

from sim.block.bio import Bio, EndIo, Request
from sim.block.queue.gaps import gap_before, gap_behind, gap_between, has_gap
from sim.block.queue.limits import QueueLimits
from sim.block.queue.split import cuts_of
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


def of_1k(*blocks: tuple[int, int]) -> Bio:
    """Return a bio of these runs of 1 KiB blocks."""
    sectors = 2 * sum(count for _, count in blocks)
    return Bio(0, sectors, 1, 1, EndIo(), None, list(blocks), True)


@pytest.mark.parametrize(
    ("last", "first", "gap"),
    [
        (3, 4, False),  # neighbours, at a page's border
        (4, 5, False),  # neighbours inside a page
        (3, 8, False),  # a page ends, another begins
        (2, 8, True),  # ends inside its page
        (3, 9, True),  # begins inside its page
    ],
)
def test_a_gap_is_where_memory_neither_goes_on_nor_begins_with_a_page(
    last: int, first: int, gap: bool
) -> None:
    """Blocks of 1 KiB, four a page: between two runs of one bio, between a request and a bio behind it."""
    assert gap == gap_between(last, first, 4)
    assert gap == has_gap(of_1k((0, last + 1), (first, 2)))
    request = Request(0, 8, 1)
    request.bios.append(of_1k((0, last + 1)))
    assert gap == gap_behind(request, of_1k((first, 2)), first)


@pytest.mark.parametrize(
    ("first", "last", "gap"),
    [
        (4, 7, False),
        (5, 7, True),  # would make the request begin inside a page
        (4, 6, True),  # and the bio ends inside one
    ],
)
def test_a_bio_goes_before_a_request_if_it_begins_with_a_page(first: int, last: int, gap: bool) -> None:
    """The request begins with block 12, and so with a page."""
    request = Request(24, 8, 1)
    request.bios.append(of_1k((12, 4)))
    assert gap == gap_before(request, of_1k((first, last + 1 - first)), first, last)


def test_a_bio_is_cut_where_it_has_a_gap() -> None:
    """Blocks 0 and 1, then 8 to 11: 4 and 8 sectors on NVMe, one piece elsewhere. Pages need no cut."""
    assert [(4, 1), (8, 1)] == cuts_of(of_1k((0, 2), (8, 4)), 1280, 127, True)
    assert [(12, 2)] == cuts_of(of_1k((0, 2), (8, 4)), 1280, 127, False)
    assert [(16, 2)] == cuts_of(of_1k((0, 4), (8, 4)), 1280, 127, True)


def test_a_bio_with_a_gap_is_two_commands() -> None:
    """
    The extent walk makes one bio of blocks 2 to 4 and 9, which are neighbours on the disk: block 4 ends
    inside its page, 9 begins inside its own.
    """
    extents = [(2, 1000, 3), (9, 1003, 1)]
    assert [(2000, 8)] == requests("page_io_pure", AHCI, extents, 3)
    assert [(2000, 6), (2006, 2)] == requests("page_io_pure", NVME, extents, 3)
