"""Who goes first: the cache against a list of single pages, and the kernel's rules by hand."""

from __future__ import annotations

from math import isqrt

from hypothesis import given, settings
from hypothesis import strategies as st

from sim.cache.page_cache import PageCache, active_pages, inactive_ratio
from sim.cache.pages import ABSENT, LISTED, UPTODATE, Mapping
from sim.cache.workingset import CHUNK

GIB_PAGES = 1 << 18


class OnePageAtATime:
    """The rules of mm/vmscan.c and mm/workingset.c on plain lists, oldest first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.inactive: list[int] = []
        self.active: list[int] = []
        self.referenced: set[int] = set()
        self.shadows: dict[int, int] = {}
        self.age = 0
        self.misses = 0

    def read(self, page: int) -> None:
        """Read a page through the cache."""
        if page not in self.inactive and page not in self.active:
            self.misses += 1
            if len(self.inactive) + len(self.active) == self.limit:
                self.evict()
            self.referenced.discard(page)
            went = self.shadows.pop(page, None)
            if went is not None and self.age - went <= len(self.active):
                self.age += 1
                self.active.append(page)
            else:
                self.inactive.append(page)
        if page in self.inactive and page in self.referenced:
            self.inactive.remove(page)
            self.referenced.remove(page)
            self.active.append(page)
            self.age += 1
        else:
            self.referenced.add(page)

    def evict(self) -> None:
        """Let the oldest inactive page go, of enough inactive ones."""
        while len(self.active) > len(self.inactive):
            self.inactive.append(self.active.pop(0))
        gone = self.inactive.pop(0)
        self.shadows[gone] = self.age
        self.age += 1


def read(cache: PageCache, mapping: Mapping, page: int) -> None:
    """Read a page through our cache."""
    if mapping.state[page] == ABSENT:
        cache.insert(mapping, page, page + 1)
        mapping.set_uptodate(page, page + 1)
    cache.mark_accessed(mapping, page, page + 1)


@settings(max_examples=300)
@given(st.integers(1, 8), st.lists(st.integers(0, 15), max_size=200))
def test_pages_go_as_on_the_kernels_lists(limit: int, pages: list[int]) -> None:
    """After every read the same pages are cached, and the same are active."""
    cache, mapping, model = PageCache(limit), Mapping(16, False), OnePageAtATime(limit)
    for page in pages:
        read(cache, mapping, page)
        model.read(page)
        assert {at for at in range(16) if mapping.state[at]} == {*model.active, *model.inactive}
        assert {at for at in range(16) if active_pages(mapping, at, at + 1)} == set(model.active)
    cache.check([mapping])


@settings(max_examples=100)
@given(st.integers(4, 12), st.lists(st.tuples(st.integers(0, 20), st.integers(1, 4)), max_size=60))
def test_runs_keep_the_books(limit: int, reads: list[tuple[int, int]]) -> None:
    """Windows of pages instead of single ones: the limit holds, the counters agree with the pages."""
    cache, mapping = PageCache(limit), Mapping(24, False)
    for start, count in reads:
        end = start + count
        while start < end:
            missing = mapping.next_miss(start, end - start)
            if missing == start:
                stop = next((at for at in range(start, end) if mapping.state[at]), end)
                cache.insert(mapping, start, stop)
                mapping.set_uptodate(start, stop)
                missing = stop
            cache.mark_accessed(mapping, start, missing)
            start = missing
        cache.check([mapping])
        assert cache.cached <= limit


def test_active_pages_go_in_the_order_in_which_they_became_active() -> None:
    """Pages 0 to 7 are read, then 7 to 0 again: the next four to go are 7, 6, 5, 4."""
    cache, mapping = PageCache(8), Mapping(16, False)
    for page in (*range(8), *reversed(range(8))):
        read(cache, mapping, page)
    gone = []
    for page in range(8, 12):
        read(cache, mapping, page)
        gone += [at for at in range(8) if mapping.state[at] == ABSENT and at not in gone]
    assert [7, 6, 5, 4] == gone


def test_a_large_cache_keeps_more_of_its_pages_active() -> None:
    """inactive_ratio: int_sqrt(10 x GiB), 1 below one GiB; 3 at 1 GiB, 10 at 10, 31 at 100, 101 at 1 TiB."""
    sizes = (GIB_PAGES - 1, GIB_PAGES, 10 * GIB_PAGES, 100 * GIB_PAGES, 1024 * GIB_PAGES)
    assert [1, 3, 10, 31, 101] == [inactive_ratio(pages) for pages in sizes]
    assert all(inactive_ratio(gib * GIB_PAGES) == isqrt(10 * gib) for gib in range(1, 200))


def test_a_file_that_fits_gets_in_after_another() -> None:
    """
    One file fills the cache and is read often; then another, half as large, is read twenty times.

    Its pages come back before as many went as are active, so that from its third pass on it is in memory:
    a share of 0.9 of its reads. Without refaults it would push out itself for ever.
    """
    cache = PageCache(1000)
    first, second = Mapping(1000, False), Mapping(500, False)
    for _ in range(3):
        for page in range(1000):
            read(cache, first, page)
    hits = 0
    for _ in range(20):
        for page in range(500):
            hits += second.state[page] != ABSENT
            read(cache, second, page)
    assert hits / 10_000 >= 0.85
    cache.check([first, second])


def test_what_is_too_old_to_matter_is_forgotten() -> None:
    """
    A file of 100,000 pages read once through a cache of 1,000 leaves the ages of the last 2,000, and of fewer
    than twice as many, for a chunk waits its turn.
    """
    cache, mapping = PageCache(1000), Mapping(100_000, False)
    for page in range(0, 100_000, 32):
        cache.insert(mapping, page, page + 32)
        mapping.set_uptodate(page, page + 32)
    assert 2000 <= len(mapping.shadows) * CHUNK < 4000
    assert mapping.shadows.keys() == mapping.last_eviction.keys()


def test_a_place_of_before_is_no_place() -> None:
    """A page that was made active and given back is at the end of the list, not where it was inserted."""
    cache, mapping = PageCache(4), Mapping(8, False)
    cache.insert(mapping, 0, 4)
    mapping.set_uptodate(0, 4)
    for page in (0, 0, 1, 2, 3):  # page 0 becomes active
        cache.mark_accessed(mapping, page, page + 1)
    cache._age_active()
    assert mapping.access[0] & LISTED
    assert {0: 1} == mapping.stale
    for page, gone in ((4, 1), (5, 2), (6, 3), (7, 0)):
        read(cache, mapping, page)
        assert mapping.state[gone] == ABSENT
        assert mapping.state[page] == UPTODATE
    assert not mapping.stale


def test_pages_that_become_active_make_others_older() -> None:
    """
    workingset_activation(): page 0 goes, 1 and 2 become active, 3 goes: the distance of 0 is 4 pages, and two
    are active. If 1 and 2 were active before, it is 2, and page 0 enters as active.
    """
    for before, active in ((False, 0), (True, 1)):
        cache, mapping = PageCache(4), Mapping(8, False)
        for page in (0, 1, 2, 3, *((1, 2, 4) if before else (4, 1, 2)), 0):
            read(cache, mapping, page)
        assert mapping.state[3] == ABSENT
        assert 2 + active == active_pages(mapping, 0, 8)
        assert active == active_pages(mapping, 0, 1)


def test_a_page_that_comes_back_as_active_makes_others_older() -> None:
    """
    Of six pages 1, 2 and 3 are active, 0 and 4 go. Page 0 comes back at a distance of 3: active, and of four
    such page 1 is given back. So page 4 is at a distance of 4, its own eviction, 5's, the return of 0 and
    6's, with three active pages: it stays inactive.
    """
    cache, mapping = PageCache(6), Mapping(8, False)
    for page in (0, 1, 2, 3, 4, 5, 1, 2, 3, 6, 7, 0):
        read(cache, mapping, page)
    assert [0, 1, 2, 3] == [at for at in range(8) if active_pages(mapping, at, at + 1)]
    read(cache, mapping, 4)
    assert [0, 2, 3] == [at for at in range(8) if active_pages(mapping, at, at + 1)]
    assert [5, 6] == [at for at in range(8) if mapping.state[at] == ABSENT]


def test_a_page_that_cannot_go_is_put_behind_the_others() -> None:
    """Page 0 is held when its turn comes (or under I/O): 1 goes instead, and 0 only after 2 and 3."""
    for held in (True, False):
        cache, mapping = PageCache(4), Mapping(16, False)
        for page in range(4):
            cache.insert(mapping, page, page + 1)
        mapping.set_uptodate(0 if held else 1, 4)
        mapping.held += [(0, 1)] if held else []
        gone = []
        for page in range(4, 9):
            cache.insert(mapping, page, page + 1)
            mapping.set_uptodate(page, page + 1)
            gone += [at for at in range(4) if mapping.state[at] == ABSENT and at not in gone]
            if page == 4:
                mapping.held.clear()
                mapping.set_uptodate(0, 1)
        assert [1, 2, 3, 0] == gone
        assert mapping.state[4] == ABSENT


def test_only_the_last_place_of_a_page_counts() -> None:
    """Page 0 becomes active and is given back twice: it has three places in the list, goes at the third."""
    cache, mapping = PageCache(6), Mapping(16, False)
    cache.insert(mapping, 0, 4)
    for page in (4, 5):
        for _ in range(2):
            cache.mark_accessed(mapping, 0, 1)
        cache._age_active()
        cache.insert(mapping, page, page + 1)
    mapping.set_uptodate(0, 6)
    assert {0: 2} == mapping.stale
    gone: list[int] = []
    for page in range(6, 12):
        cache.insert(mapping, page, page + 1)
        mapping.set_uptodate(page, page + 1)
        gone += [at for at in range(6) if mapping.state[at] == ABSENT and at not in gone]
    assert [1, 2, 3, 4, 0, 5] == gone
