"""Large folios: how windows grow and are cut, and what is charged by the folio instead of by the page."""

from __future__ import annotations

from typing import Any

import pytest
from core_kit import ALL_PATHS, Rig, sequential
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.cache.address_space import Sink
from sim.cache.folios import FolioMapping, more_slots, split_window, window_order
from sim.cache.readahead import Cached, RaState, Window
from sim.cache.readahead_612 import Linux612
from sim.errors import ConfigError
from sim.ext4.store import MemoryStore
from sim.units import KIB, MIB, PAGE_BYTES

CONTIGUOUS = [(0, 1000, 4096)]


class _Pages(Cached):
    """The cached pages of a test; `order` of every folio."""

    def __init__(self, cached: set[int], order: int = 0) -> None:
        self.cached, self.order = cached, order

    def next_miss(self, index: int, max_scan: int) -> int:
        return next((i for i in range(index, index + max_scan) if i not in self.cached), index + max_scan)

    def prev_miss(self, index: int, max_scan: int) -> int:
        return next((i for i in range(index, index - max_scan, -1) if i not in self.cached), index - max_scan)

    def folio_pages(self, _index: int) -> int:
        return 1 << self.order


def decide(ra: RaState, index: int, req: int, marker: bool, cached: _Pages) -> tuple[Any, ...] | None:
    """Ask the 6.12 policy with 128 KiB of readahead."""
    return Linux612().ondemand(ra, index, req, marker, 32, 32, cached)


def test_a_first_window_that_the_request_fills_has_its_mark_in_the_middle() -> None:
    """32 pages asked for: async size 16, where 6.1 marks the first page; 1 asked for: 4 with 3 ahead."""
    assert Window(0, 32, 16, True) == decide(RaState(), 0, 32, False, _Pages(set()))
    assert Window(0, 4, 3, True) == decide(RaState(), 0, 1, False, _Pages(set()))


def test_a_mark_is_expected_at_the_planned_page_rounded_down_to_its_folio() -> None:
    """Window [32, 64), 6 ahead: the mark is planned for page 58; in a folio of 4 pages it is found at 56."""
    rounded = RaState(start=32, size=32, async_size=6)
    assert Window(64, 32, 32, True) == decide(rounded, 56, 8, True, _Pages(set(range(64)), order=2))
    single = RaState(start=32, size=32, async_size=6)
    assert Window(64, 32, 32, True) == decide(single, 58, 6, True, _Pages(set(range(64))))


def test_a_mark_elsewhere_starts_at_the_next_hole() -> None:
    """No window state there: 8 pages left of the old window and 4 asked for, doubled; none found: nothing."""
    stray = RaState(start=1000, size=32, async_size=32)
    assert Window(108, 24, 24, True) == decide(stray, 100, 4, True, _Pages(set(range(100, 108))))
    stray = RaState(start=1000, size=32, async_size=32)
    assert decide(stray, 100, 4, True, _Pages(set(range(100, 200)))) is None


def test_a_miss_at_the_end_of_a_window_starts_a_new_one() -> None:
    """6.1 carries the stream on there; from 6.11 on only a mark does, so history decides: one page ahead."""
    ra = RaState(start=32, size=32, async_size=32, prev_page=10)
    assert Window(64, 32, 1, True) == decide(ra, 64, 1, False, _Pages(set(range(64))))


@pytest.mark.parametrize(
    ("start", "end", "order", "folios"),
    [
        (0, 32, 2, [(i, 2) for i in range(0, 32, 4)]),
        (32, 64, 5, [(32, 5)]),
        (5, 16, 3, [(5, 0), (6, 1), (8, 3)]),
        (32, 57, 5, [(32, 4), (48, 3), (56, 0)]),
        (7, 8, 4, [(7, 0)]),
        (8, 8, 4, []),
    ],
)
def test_windows_are_cut_as_described(
    start: int, end: int, order: int, folios: list[tuple[int, int]]
) -> None:
    """Aligned folios of the order asked for; smaller where the index or the end of the file forces it."""
    assert folios == list(split_window(start, end, order))


def test_6_1_has_no_folios_of_two_pages() -> None:
    """Where 6.12 takes an order of 1, 6.1 takes single pages."""
    assert [(5, 0), (6, 1), (8, 2), (12, 1)] == list(split_window(5, 14, 2))
    assert [(5, 0), (6, 0), (7, 0), (8, 2), (12, 0), (13, 0)] == list(split_window(5, 14, 2, pairs=False))


def naive_split(start: int, end: int, order: int) -> list[tuple[int, int]]:
    """For each folio try all orders from the largest down: the first that is aligned and fits."""
    found = []
    while start < end:
        this = next(o for o in range(order, -1, -1) if start % 2**o == 0 and start + 2**o <= end)
        found.append((start, this))
        start += 2**this
    return found


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 5000), st.integers(0, 600), st.integers(0, 9))
def test_the_cut_is_the_naive_one(start: int, pages: int, order: int) -> None:
    """Any window: the largest folio that is aligned and fits, one after another, nothing left over."""
    folios = list(split_window(start, start + pages, order))
    assert naive_split(start, start + pages, order) == folios
    assert pages == sum(1 << this for _, this in folios)


def test_slots_of_a_folio() -> None:
    """In nodes of 64 slots a folio of 32 pages fills 31 more than a page, one of 64 none, one of 512 7."""
    assert [0, 1, 3, 7, 15, 31, 0, 1, 3, 7] == [more_slots(order) for order in range(10)]


def test_the_order_grows_by_two_up_to_the_window() -> None:
    """Windows of 32 pages: orders 2, 4, 5, 5; of 2,048: 2, 4, 6, 8, 9; one of 4 pages takes 2 at most."""
    assert [2, 4, 5, 5] == [window_order(previous, 32, 9) for previous in (0, 2, 4, 5)]
    assert [2, 4, 6, 8, 9] == [window_order(previous, 2048, 9) for previous in (0, 2, 4, 6, 8)]
    assert 2 == window_order(4, 4, 9)


def folios_of(rig: Rig) -> list[int]:
    """Return the orders of the cached folios of the file, first to last."""
    mapping, orders, page = rig.mapping, [], 0
    assert isinstance(mapping, FolioMapping)
    while page < mapping.pages:
        orders.append(mapping.orders[page])
        page += mapping.folio_pages(page)
    return orders


def test_a_sequential_reader_gets_larger_and_larger_folios() -> None:
    """
    128 KiB calls over 640 KiB, as recorded: 32 single pages, 8 folios of 4, 2 of 16, then one of 32 a window;
    one bio each.
    """
    rig = Rig("page_io", CONTIGUOUS, 640 * KIB, kernel="7.3")
    calls = rig.run(sequential(640 * KIB, 128 * KIB))
    assert [0] * 32 + [2] * 8 + [4] * 2 + [5] * 2 == folios_of(rig)
    assert [("Q", 8000 + 256 * i, 256) for i in range(5)] == rig.letters("Q")
    by_folio = ("filemap_alloc_folio_noprof", "__filemap_add_folio", "folio_add_lru", "folio_mark_accessed")
    assert [44] * 5 == [calls[name] for name in (*by_folio, "bio_add_folio")]
    assert (160, 5, 5) == (calls["clear_page_erms"], calls["ext4_map_blocks"], calls["submit_bio"])
    assert "ondemand_readahead" not in calls


def units(rig: Rig) -> dict[str, int]:
    """Return how many units of each symbol were charged."""
    found: dict[str, int] = {}
    for charge in rig.machine.ledger.charges():
        found[charge.symbol] = found.get(charge.symbol, 0) + charge.units
    return found


@pytest.mark.parametrize(("path", "loop"), [("page_io", "ext4_block_loop"), ("mpage", "mpage_block_loop")])
def test_what_only_large_folios_cost(path: str, loop: str) -> None:
    """
    640 KiB in blocks of 1 KiB: of 12 large folios, the slots beyond the first, 8 of 3, 2 of 15 and 2 of 31;
    the blocks beyond those of a page, 8 of 12, 2 of 60 and 2 of 124. Single pages have neither.
    """
    for large, slots, blocks in ((True, 116, 464), (False, 0, 0)):
        rig = Rig(path, [(0, 4000, 640)], 640 * KIB, 1024, kernel="7.3", large_folios=large)
        rig.run(sequential(640 * KIB, 128 * KIB))
        assert (slots, blocks) == (units(rig).get("xas_store", 0), units(rig).get(loop, 0))


def test_slots_of_blocks_above_a_page() -> None:
    """Blocks of 16 KiB are folios of four pages, read alone, too: three slots more of each."""
    rig = Rig("page_io", [(0, 1000, 16)], 256 * KIB, 16 * KIB, kernel="7.3")
    rig.run([(0, 4 * KIB), (128 * KIB, 4 * KIB)], random=True)
    assert 2 * 3 == units(rig)["xas_store"]


def test_reading_nothing_goes_folio_by_folio() -> None:
    """`nop` unlocks the 44 folios of 160 pages, and read_pages() takes as many turns."""
    rig = Rig("nop", CONTIGUOUS, 640 * KIB, kernel="7.3")
    calls = rig.run(sequential(640 * KIB, 128 * KIB))
    assert (44, 44) == (calls["folio_unlock"], units(rig)["read_pages"])


def test_small_reads_touch_a_folio_once() -> None:
    """4 KiB calls inside one folio copy by the call, and mark the folio accessed once."""
    rig = Rig("page_io", CONTIGUOUS, 640 * KIB, kernel="7.3")
    calls = rig.run(sequential(640 * KIB, 4 * KIB))
    assert (160, len(folios_of(rig))) == (calls["copy_folio_to_iter"], calls["folio_mark_accessed"])


@pytest.mark.parametrize("path", ALL_PATHS)
def test_folios_of_one_page_cost_what_pages_cost(path: str) -> None:
    """The loops over folios, given folios of order 0: call for call what the loops over pages make."""
    extents = [(0, 1000, 40), (44, 2000, 7), (60, 3000, 100)]
    # Sizes of whole windows: at EOF, page_cache_ra_order() counts the mark from the window's planned end. It
    # adds its folios itself, and calls read_pages() for nothing when a window lies beyond EOF.
    for kib, step in ((640, 128 * KIB), (608, 12 * KIB)):
        seen = []
        for large in (False, True):
            rig = Rig(path, extents, kib * KIB, 2048, kernel="7.3", large_folios=False)
            if large:
                rig.mapping = FolioMapping(rig.mapping.pages, False, max_order=0)
            calls = rig.run(sequential(kib * KIB, step))
            for name in ("page_cache_ra_unbounded", "read_pages"):
                calls.pop(name, 0)
            seen.append((calls, rig.letters("QD"), bytes(rig.mapping.state)))
        plain, folios = seen
        differ = {k: (plain[0].get(k), folios[0].get(k)) for k in {**plain[0], **folios[0]}}
        assert {} == {name: pair for name, pair in differ.items() if pair[0] != pair[1]}
        assert plain == folios


def test_a_folio_across_two_extents_confuses_ext4_and_not_iomap() -> None:
    """Extents of 16 KiB, folios of 128 KiB: ext4 reads them through buffer heads, block by block."""
    extents = [(4 * i, 1000 + 8 * i, 4) for i in range(64)]
    calls = {}
    for path in ("page_io", "iomap"):
        rig = Rig(path, extents, MIB, kernel="7.3")
        calls[path] = rig.run(sequential(MIB, 128 * KIB))
        assert [0] * 32 + [2] * 8 + [4] * 2 + [5] * 5 == folios_of(rig)
    assert 0 == calls["iomap"].get("alloc_buffer_head", 0)
    assert 64 == calls["iomap"]["ext4_map_blocks"]
    # 192 pages in folios of more than an extent; two calls a folio find it out
    assert 192 == calls["page_io"]["alloc_buffer_head"]
    assert 8 + 8 + 192 + 2 * 7 == calls["page_io"]["ext4_map_blocks"]


@pytest.mark.parametrize("path", ALL_PATHS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_what_is_read_is_what_is_on_the_device(path: str, data: st.DataObject) -> None:
    """Any extents and reads, with large folios: what comes are the blocks' bytes, zeros in holes."""
    block_size = data.draw(st.sampled_from([1024, 4096]))
    blocks = data.draw(st.integers(1, 96)) * 4096 // block_size
    lengths = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=6))
    extents, logical, physical = [], 0, 64
    for number, length in enumerate(lengths):
        length = min(length, blocks - logical)
        if length > 0 and number % 3 != 2:
            extents.append((logical, physical, length))
            physical += length + number % 2
        logical += length
    size = blocks * block_size - data.draw(st.integers(0, block_size - 1))
    image = bytearray((physical + 8) * block_size)
    expected = bytearray(blocks * block_size)
    for start, at, length in extents:
        for i in range(length):
            fill = bytes(((start + i) % 251 + 1,)) * block_size
            image[(at + i) * block_size : (at + i + 1) * block_size] = fill
            expected[(start + i) * block_size : (start + i + 1) * block_size] = fill
    rig = Rig(path, extents, size, block_size, store=MemoryStore(bytes(image)), kernel="7.3")
    file = rig.open(random=data.draw(st.booleans()))
    got: list[tuple[int, bytes]] = []

    class Kept(Sink):
        """Keep what is copied."""

        def take(self, mapping: Any, offset: int, length: int) -> None:
            got.append((offset, bytes(mapping.content[offset : offset + length])))

    file.sink = Kept()
    reads = data.draw(
        st.lists(
            st.tuples(st.integers(0, size - 1), st.sampled_from([1, 4096, 20000, 131072])),
            min_size=1,
            max_size=8,
        )
    )
    rig.start([*reads, *sequential(size, 65536)], file)
    rig.finish()
    for offset, piece in got:
        assert bytes(expected[offset : offset + len(piece)]) == piece
    asked = sum(max(min(offset + length, size) - offset, 0) for offset, length in reads) + size
    assert asked == sum(len(piece) for _, piece in got)


def test_under_memory_pressure_folios_go_as_a_whole() -> None:
    """A cache of 64 pages under a file of 1,024: reclaim keeps the books, and no folio is cut."""
    rig = Rig("page_io", CONTIGUOUS, 4 * MIB, kernel="7.3", memory_pages=64)
    rig.run([*sequential(4 * MIB, 64 * KIB), *sequential(4 * MIB, 4 * KIB)])
    mapping = rig.mapping
    assert isinstance(mapping, FolioMapping)
    page = 0
    while page < mapping.pages:
        first, end = mapping.bounds(page) if mapping.state[page] else (page, page + 1)
        assert 1 == len(set(mapping.state.part(first, end)))
        page = end
    assert rig.machine.cache.evicted > 0


def test_encrypted_files_and_older_kernels_have_none() -> None:
    """fscrypt files stay at single pages; asking 6.1 for large folios is a mistake, but on iomap."""
    rig = Rig("page_io", CONTIGUOUS, 128 * KIB, kernel="7.3", encrypted=True)
    assert not rig.mapping.large
    rig.run(sequential(128 * KIB, 128 * KIB))
    with pytest.raises(ConfigError, match="has none"):
        Rig("page_io", CONTIGUOUS, 128 * KIB, kernel="6.1", large_folios=True)
    assert not Rig("iomap", CONTIGUOUS, 128 * KIB, kernel="6.1").mapping.large
    assert Rig("iomap", CONTIGUOUS, 128 * KIB, kernel="6.1", large_folios=True).mapping.large


def test_a_cached_page_ends_the_folios_of_a_window() -> None:
    """Page 10 is cached: folios up to page 8, the rest of the window as single pages around it."""
    rig = Rig("iomap", CONTIGUOUS, 128 * KIB, kernel="6.12", large_folios=True)
    mapping = rig.mapping
    assert isinstance(mapping, FolioMapping)
    rig.machine.cache.insert(mapping, 10, 11)
    mapping.set_uptodate(10, 11)
    rig.run([(0, 128 * KIB)])
    assert [2, 2] + [0] * 24 == folios_of(rig)
    assert PAGE_BYTES * 31 == 512 * sum(sectors for _, _, sectors in rig.letters("D"))


def test_behind_a_cached_page_as_many_pages_as_a_window_has_are_read() -> None:
    """
    Page 10 of a window of 32 is cached. The kernels allocate the folio of 4 pages that does not fit at 8 in
    vain; then they read the 32 from page 8 on.
    """
    for kernel, end in (("6.1", 40), ("6.12", 40)):
        rig = Rig("iomap", CONTIGUOUS, 512 * KIB, kernel=kernel, large_folios=True)
        rig.machine.cache.insert(rig.mapping, 10, 11)
        rig.mapping.set_uptodate(10, 11)
        calls = rig.run([(0, 64 * KIB)])
        brought = [page for page in range(128) if rig.mapping.state[page]]
        assert [*range(end)] == brought, kernel
        # one that failed, and the inserted: two of 4 pages, the others single
        allocated = "filemap_alloc_folio" + ("_noprof" if kernel == "6.12" else "")
        assert 1 + 2 + end - 8 - 1 == calls[allocated], kernel
        assert 2 + end - 8 - 1 == calls["folio_add_lru"], kernel


def test_the_largest_folio_is_a_huge_page() -> None:
    """2 MiB: order 9, however large the window."""
    assert 9 == window_order(8, 4096, FolioMapping(1, False).max_order)


@pytest.mark.parametrize(("window", "orders"), [(2, [0, 0, 0, 0]), (4, [2, 2, 2, 2])])
def test_windows_of_less_than_four_pages_are_of_single_pages(window: int, orders: list[int]) -> None:
    """page_cache_ra_order(): min_ra_size."""
    rig = Rig("iomap", [(0, 1000, 4)], 16 * KIB, kernel="6.12", large_folios=True, ra_pages=window)
    rig.run(sequential(16 * KIB, window * 4 * KIB))
    assert orders == list(rig.mapping.orders)


@pytest.mark.parametrize(
    ("path", "kernel", "orders"),
    [("iomap", "6.1", [2, 2, 2, 2, 0, 0]), ("iomap", "6.12", [2, 2, 2, 2, 1, 1])],
)
def test_the_end_of_a_file_of_six_pages(path: str, kernel: str, orders: list[int]) -> None:
    """A folio of four; what is left is one of two, and on 6.1 single pages."""
    rig = Rig(path, [(0, 1000, 6)], 24 * KIB, kernel=kernel, large_folios=True)
    rig.run([(0, 16 * KIB)])
    assert orders == list(rig.mapping.orders)


def test_a_batch_of_7_3_has_31_folios() -> None:
    """PAGEVEC_SIZE since 6.9: 64 single pages are looked up as 31, 31 and 2."""
    rig = Rig("page_io", [(0, 1000, 64)], 256 * KIB, kernel="7.3")
    rig.machine.cache.preload(rig.mapping, 0, 64, None, False)
    calls = rig.run([(0, 256 * KIB)])
    assert 3 == calls["filemap_get_read_batch"]


def test_a_marked_folio_asks_from_its_first_page_on() -> None:
    """Page 6 is read, of a marked folio [4, 8): readahead is asked for pages 4 to 6 (filemap_readahead())."""
    asked: list[tuple[int, int, bool]] = []

    class Asked(Linux612):
        def ondemand(self, ra: RaState, index: int, req: int, marker: bool, *rest: Any) -> Any:
            asked.append((index, req, marker))
            return super().ondemand(ra, index, req, marker, *rest)

    rig = Rig("page_io", [(0, 1000, 64)], 256 * KIB, kernel="7.3")
    rig.machine.filemap._ra._policy = Asked()
    rig.machine.cache.insert(rig.mapping, 4, 8)
    rig.mapping.set_folio(4, 2, True)
    rig.mapping.set_uptodate(4, 8)
    rig.run([(6 * PAGE_BYTES, PAGE_BYTES)])
    assert [(4, 3, True)] == asked


def test_the_last_block_of_a_folio_looks_at_all_its_buffers() -> None:
    """
    Folios of 4 pages in 1 KiB blocks, through buffer heads: 2 visits each, and 14 more for the last.

    The first window is of 32 single pages, 4 blocks each, the second of 8 such folios.
    """
    rig = Rig("buffer_head", [(0, 1000, 256)], 256 * KIB, KIB, kernel="7.3", large_folios=True)
    rig.run(sequential(256 * KIB, 128 * KIB))
    assert [0] * 32 + [2] * 32 == list(rig.mapping.orders)
    visits = [charge for charge in rig.machine.ledger.charges() if charge.symbol == "end_buffer_async_read"]
    assert [(256, 32 * (2 * 4 + 2) + 8 * (2 * 16 + 14))] == [(c.calls, c.units) for c in visits]
