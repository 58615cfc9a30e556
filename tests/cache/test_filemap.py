"""The buffered read loop by hand: what a read costs, what it marks, what it holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core_kit import Rig, priced

from sim.cache.address_space import OpenFile, ReadPath
from sim.cache.page_cache import active_pages
from sim.engine.cpu import Task
from sim.machine.initial_cache import cache_pages
from sim.units import KIB


def cached(pages: int, **options: Any) -> Rig:
    """Return a machine that has all pages of a file in memory."""
    rig = Rig("page_io", [(0, 1000, pages)], pages * 4 * KIB, **options)
    cache_pages(rig.machine, rig.mapping, rig.inode, [(0, pages)])
    return rig


def test_every_byte_is_copied_and_paid_for() -> None:
    """
    Copying costs 1 ns a byte and nothing else anything: reads of 1,000 bytes of one page, the next of which
    find it as the last page of the read before, and one of 3,000 bytes over its end.
    """
    rig = cached(4, costs=priced(copy_page_to_iter=(0, 1)))
    returned = rig.start([(0, 1000), (1000, 1000), (2000, 1000), (3000, 3000), (6000, 10)])
    rig.finish()
    assert [1000, 2000, 3000, 6000, 6010] == returned


def test_a_page_read_piece_by_piece_is_accessed_once() -> None:
    """folio_mark_accessed(): not again for the page that the read before ended in, but for the next."""
    rig = cached(4)
    rig.mapping.access.fill(0, 4, 0)
    calls = rig.run([(0, 1000), (1000, 1000), (2000, 3000)])
    assert 2 == calls["folio_mark_accessed"]
    assert 0 == active_pages(rig.mapping, 0, 4)
    calls = rig.run([(0, 10)])
    assert 3 == calls["folio_mark_accessed"]
    assert 1 == active_pages(rig.mapping, 0, 1) == active_pages(rig.mapping, 0, 4)


def test_a_batch_has_fifteen_folios() -> None:
    """PAGEVEC_SIZE: 32 cached pages are looked up in batches of 15, 15 and 2."""
    calls = cached(32).run([(0, 128 * KIB)])
    assert (3, 3) == (calls["filemap_get_pages"], calls["filemap_get_read_batch"])


def test_the_position_of_before_is_behind_its_last_byte() -> None:
    """
    A read of page 40 to its end stops at page 41: one of 42, the next, is a stream, which begins with a
    window of 4; one of 50 is not.
    """
    rig = Rig("page_io", [(0, 1000, 100)], 400 * KIB)
    for page, window in ((42, (42, 4)), (50, (0, 0))):
        rig.mapping = rig.machine.mapping(rig.inode)
        opened = rig.open()
        rig.start([(40 * 4 * KIB, 4 * KIB), (page * 4 * KIB, 4 * KIB)], opened)
        rig.machine.clock.run()
        assert window == (opened.ra.start, opened.ra.size)


class Holding(ReadPath):
    """Brings a page at once, and notes which pages are held meanwhile."""

    def __init__(self) -> None:
        self.held: list[tuple[int, int]] = []

    def read_pages(self, task: Task, file: OpenFile, ranges: list[tuple[int, int]]) -> Iterable[Any]:
        """Bring them."""
        del task
        for start, end in ranges:
            file.mapping.set_uptodate(start, end)
        return ()

    def read_folio(self, task: Task, file: OpenFile, page: int) -> Iterable[Any]:
        """Note what is held."""
        del task
        self.held += file.mapping.held
        file.mapping.set_uptodate(page, page + 1)
        return ()


def test_a_page_that_is_created_alone_is_held_until_it_is_copied() -> None:
    """Readahead does not bring page 1: its reader holds it, so that reclaim cannot take it again."""
    rig = Rig("page_io", [(0, 1000, 64)], 256 * KIB)
    path = Holding()
    opened = rig.open()
    rig.start([(0, 4096)], opened)
    rig.finish()
    rig.mapping.state[1] = 0
    rig.machine.cache.cached -= 1
    rig.machine.filemap._path = path
    rig.start([(4096, 4096)], opened)
    rig.finish()
    assert [(1, 2)] == path.held


def test_7_3_notes_the_position_when_the_read_returns() -> None:
    """
    A read of 8 pages, the first 4 cached, of a stream that stood elsewhere: the miss at page 4 follows the
    batch before it, which 6.1 has noted by then (a window), and 7.3 has not (history: 4 pages, fewer than 5).
    """
    windows = {}
    for kernel in ("6.1", "7.3"):
        rig = Rig("page_io", [(0, 1000, 100)], 400 * KIB, kernel=kernel, large_folios=False)
        cache_pages(rig.machine, rig.mapping, rig.inode, [(10, 14)])
        opened = rig.open()
        rig.start([(10 * 4 * KIB, 9 * 4 * KIB)], opened)
        rig.finish()
        windows[kernel] = (opened.ra.start, opened.ra.size)
        assert 19 == opened.ra.prev_page
    assert {"6.1": (14, 16), "7.3": (0, 0)} == windows
