"""page_cache_ra_order() of 7.3: what a window becomes in folios, and what is marked."""

from __future__ import annotations

import pytest
from core_kit import Rig, sequential

from sim.cache.folios import FolioMapping, split_window
from sim.cache.pages import MARKED
from sim.cache.ra_log import RaLog
from sim.units import KIB, MIB

CONTIGUOUS = [(0, 4096, 4096)]


def logged(size: int, reads: list[tuple[int, int]], **options: object) -> tuple[Rig, RaLog]:
    """Return a machine that has read a contiguous file under 7.3, and what its readahead did."""
    log = RaLog()
    spec = {"path": "page_io", "block_size": 4096, "kernel": "7.3"} | options
    rig = Rig(extents=CONTIGUOUS, size_bytes=size, ra_log=log, **spec)  # type: ignore[arg-type]
    rig.run(reads)
    return rig, log


def test_windows_and_folios_are_as_recorded() -> None:
    """128 KiB reads: the windows of 7.3.4 with the order at entry, 7 from the fifth on, and their folios."""
    _, log = logged(640 * KIB, sequential(640 * KIB, 128 * KIB))
    first = [[0, 32, 16, 0], [32, 32, 32, 2], [64, 32, 32, 4], [96, 32, 32, 6], [128, 32, 32, 7]]
    assert first == log.windows
    assert [[page, 0] for page in range(32)] == log.folios[:32]
    assert [*[[page, 2] for page in range(32, 64, 4)], [64, 4], [80, 4], [96, 5], [128, 5]] == log.folios[32:]


def test_a_window_of_two_pages_is_a_folio_of_two() -> None:
    """8 KiB of readahead, as the order allows: no least window, and folios of two pages."""
    rig, _ = logged(64 * KIB, sequential(64 * KIB, 4 * KIB), ra_pages=2)
    assert isinstance(rig.mapping, FolioMapping)
    assert [0, 0, *[1] * 14] == list(rig.mapping.orders)


def test_the_last_window_has_no_mark() -> None:
    """A file of 64 pages: the window [32, 64) reaches its end, and no folio of it is marked."""
    rig, log = logged(256 * KIB, [(0, 128 * KIB)])
    assert [[0, 32, 16, 0], [32, 32, 32, 2]] == log.windows
    assert not any(value & MARKED for value in list(rig.mapping.state)[32:])
    rig, log = logged(260 * KIB, [(0, 128 * KIB)])
    assert [MARKED] * 4 == [value & MARKED for value in rig.mapping.state.part(32, 36)]


def test_behind_a_cached_page_the_rest_of_the_window_is_read() -> None:
    """Page 70 of the window [64, 96): a folio of 16 in vain, then do_page_cache_ra() of all 32, around it."""
    log = RaLog()
    rig = Rig("page_io", CONTIGUOUS, MIB, kernel="7.3", ra_log=log)
    rig.machine.cache.insert(rig.mapping, 70, 71)
    rig.mapping.set_uptodate(70, 71)
    rig.run(sequential(256 * KIB, 128 * KIB))
    assert [[64, 32, 32, 4], [64, 32, 32]] == log.windows[2:4]
    singles = [[page, 0] for page in range(64, 96) if page != 70]
    assert [[64, 4], *singles] == log.folios[40:]
    log = RaLog()
    rig = Rig("page_io", CONTIGUOUS, MIB, kernel="7.3", ra_log=log)
    rig.machine.cache.insert(rig.mapping, 90, 91)
    rig.mapping.set_uptodate(90, 91)
    rig.run(sequential(256 * KIB, 128 * KIB))
    assert [[64, 32, 32, 4], [80, 16, 32]] == log.windows[2:4]
    assert [[64, 4], [80, 4]] == log.folios[40:42]
    assert [256, 256, 128, 80, 40] == [sectors for _, _, sectors in rig.letters("Q")]


def test_where_files_have_single_pages_the_call_hands_on() -> None:
    """large_folios = false: page_cache_ra_order() is called for every window, of order 0 or the step."""
    rig, log = logged(384 * KIB, sequential(384 * KIB, 128 * KIB), large_folios=False)
    assert [
        [0, 32, 16, 0],
        [0, 32, 16],
        [32, 32, 32, 2],
        [32, 32, 32],
        [64, 32, 32, 2],
        [64, 32, 0],
    ] == log.windows
    assert not rig.mapping.large


@pytest.mark.parametrize(
    ("block_kib", "orders"), [(8, [1] * 32), (16, [2] * 32), (64, [4] * 32)], ids=["8", "16", "64"]
)
def test_a_block_larger_than_a_page_has_a_folio(block_kib: int, orders: list[int]) -> None:
    """The first window of 32 pages, in folios of a block each; through buffer heads a head and a bio each."""
    rig, _ = logged(128 * KIB, [(0, 128 * KIB)], block_size=block_kib * KIB, path="buffer_head")
    assert isinstance(rig.mapping, FolioMapping)
    assert orders == list(rig.mapping.orders)
    calls, folios = rig.finish(), 128 // block_kib
    assert [folios] * 3 == [calls[name] for name in ("alloc_buffer_head", "submit_bio", "folio_end_read")]
    assert (folios, folios) == (calls["filemap_add_folio"], rig.machine.cache.buffer_heads)


def test_a_folio_of_a_block_may_reach_beyond_the_file() -> None:
    """A file of 5 pages in blocks of 16 KiB: folios [0, 4) and [4, 8); 20 KiB are read, and nothing more."""
    rig = Rig("page_io", [(0, 4096, 2)], 20 * KIB, 16 * KIB, kernel="7.3")
    returned = rig.start([(0, 64 * KIB)])
    rig.finish()
    assert 1 == len(returned)
    assert (5, 8) == (rig.mapping.pages, len(rig.mapping.state))
    assert [("Q", 4096 * 32, 64)] == rig.letters("Q")


def test_the_cut_keeps_to_the_smallest_order() -> None:
    """Smallest order 2: [0, 10) is 8 pages and a folio that reaches to page 12; never one of 2."""
    assert [(0, 3), (8, 2)] == list(split_window(0, 10, 3, least=2))
    assert [(0, 3), (8, 1)] == list(split_window(0, 10, 3))


def test_a_cached_block_is_stepped_over_as_one() -> None:
    """Blocks of 16 KiB, the second cached, read with POSIX_FADV_RANDOM: two batches, of 1 and 2 folios."""
    rig = Rig("page_io", [(0, 4096, 16)], 256 * KIB, 16 * KIB, kernel="7.3")
    rig.machine.cache.insert(rig.mapping, 4, 8)
    rig.mapping.set_uptodate(4, 8)
    calls = rig.run([(0, 64 * KIB)], random=True)
    counted = ("read_pages", "force_page_cache_ra", "filemap_add_folio")
    assert [2, 1, 3] == [calls[name] for name in counted]
    assert [32, 64] == [sectors for _, _, sectors in rig.letters("Q")]
