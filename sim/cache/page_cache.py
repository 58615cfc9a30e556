"""
The page cache: what is cached under one limit, and who goes first.

Reclaim follows mm/vmscan.c in outline: new pages enter the inactive list, a page read twice moves to the
active list, reclaim takes clean, unlocked inactive pages in order. The active list gives its oldest back
while the inactive one is short (inactive_is_low()); a page that comes back soon enters as active
(workingset.py). Lists hold runs of pages. Left out: kswapd (reclaim is direct, by the task that needs the
page), its batches, memory cgroups.
"""

from __future__ import annotations

from collections import deque
from math import isqrt
from typing import Final

from sim.cache.page_runs import filled, runs_of
from sim.cache.pages import ABSENT, ACTIVE, LISTED, LOCKED, MARKED, PRESENT, REFERENCED, UPTODATE, Mapping
from sim.cache.workingset import Workingset
from sim.errors import InvariantError
from sim.units import GIB, PAGE_BYTES

HEADS_PER_SLAB_PAGE: Final = 39
"""Buffer heads in a 4 KiB page of their slab: sizeof(struct buffer_head) is 104 on x86-64 (Linux 6.1)."""
SPARE_HEADS: Final = 12 * HEADS_PER_SLAB_PAGE
"""
Free heads that their slab keeps: 5 pages of its node (min_partial) and 7 of a CPU (cpu_partial, 120 objects
below 256 bytes, pages half full; mm/slub.c). Recorded reads, whose heads are dropped before, take 6 to 10
pages fewer than they have.
"""
FRESH_HEAD: Final = "alloc_buffer_head alloc_buffer_head:fresh"
"""A head, and its share of a new page of the slab."""

PRELOAD_PAGES: Final = 32
"""How many pages of before the run enter the lists together: a window of 128 KiB."""

Run = tuple[Mapping, int, int]


def inactive_ratio(pages: int) -> int:
    """Return how many times the inactive pages the active ones may be, of so many (inactive_is_low())."""
    gib = pages * PAGE_BYTES // GIB
    return isqrt(10 * gib) if gib else 1


def _accessed(value: int) -> int:
    """Return Mapping.access of a page after a read: first referenced, then active."""
    flags = value & (REFERENCED | ACTIVE)
    return (value & LISTED) | (ACTIVE if flags == REFERENCED else flags | REFERENCED)


_ACCESSED: Final = bytes(map(_accessed, range(256)))
_DEACTIVATED: Final = bytes((value & ~ACTIVE) | LISTED for value in range(256))
_UNLISTED: Final = bytes(value & ~LISTED for value in range(256))
_ACTIVE: Final = tuple(value for value in range(8) if value & ACTIVE)


def active_pages(mapping: Mapping, start: int, end: int) -> int:
    """Return how many of [start, end) are active."""
    access = mapping.access
    return sum([access.count(value, start, end) for value in _ACTIVE])


class PageCache:
    """
    All mappings, and the buffer heads of their pages, under one memory limit.

    limit_pages: how many pages the cache and the slab of buffer heads may take; pages under I/O or held by a
    reader may exceed it, for reclaim does not wait. buffer_heads: those there are; freed_heads: those that
    went with their pages, for who pays for it. Left out: slab pages that stay because some of their heads do.
    inserted, evicted: pages so far. updated: PRESENT pages that were read. peak: most ever cached.
    """

    def __init__(self, limit_pages: int, heads_per_page: int = 1, pages_per_head: int = 1) -> None:
        """
        heads_per_page: blocks in a page of the file system; pages_per_head: pages in one of its blocks, where
        that is larger.
        """
        self.limit_pages = limit_pages
        self._pages_per_head = pages_per_head
        self.heads_per_page = heads_per_page
        self.buffer_heads = 0
        self.freed_heads = self.spare_heads = 0
        self.cached = 0
        self.inserted = 0
        self.evicted = 0
        self.updated = 0
        self.peak = 0
        self._inactive: deque[Run] = deque()
        self._active: deque[Run] = deque()
        self._active_pages = 0
        self._workingset = Workingset(limit_pages)

    def insert(self, mapping: Mapping, start: int, end: int, mark: int = -1) -> int:
        """
        Add the locked pages [start, end), `mark` with PG_readahead; return how many pages were reclaimed.

        The pages must be absent.
        """
        count = end - start
        reclaimed = 0
        excess = self.cached + count - self.limit_pages
        if self.buffer_heads:
            reclaimed = self._reclaim_with_heads(count)
        elif excess > 0:
            reclaimed = self._reclaim(excess)
        if count == 1:
            mapping.state[start] = LOCKED | MARKED if mark == start else LOCKED
            mapping.access[start] = LISTED
        else:
            mapping.state.fill(start, end, LOCKED)
            mapping.access.fill(start, end, LISTED)
            if start <= mark < end:
                mapping.state[mark] = LOCKED | MARKED
        self._inactive.append((mapping, start, end))
        if mapping.shadows:
            for first, last in self._workingset.refaulted(mapping, start, end, self._active_pages):
                mapping.access.fill(first, last, ACTIVE | LISTED)
                self._activate(mapping, first, last)
        self.inserted += count
        self.cached += count
        if self.cached > self.peak:
            self.peak = self.cached
        return reclaimed

    def has_room(self, pages: int) -> bool:
        """Tell whether pages and their buffer heads can be added one by one, and none has to go."""
        heads = -(-(self.buffer_heads + pages * self.heads_per_page) // HEADS_PER_SLAB_PAGE)
        return self.cached + pages + heads <= self.limit_pages

    def attach_buffers(self, mapping: Mapping, start: int, end: int) -> int:
        """
        Give pages their buffer heads (create_empty_buffers), those that have none.

        Return how many heads are fresh: the others are of slab pages that are there since heads were freed.
        """
        buffered = mapping.buffered
        if buffered is None:
            buffered = mapping.buffered = bytearray(len(mapping.state))
        count = end - start
        made = self._heads(count - buffered.count(1, start, end))
        self.buffer_heads += made
        buffered[start:end] = filled(1, count)
        kept = min(made, self.spare_heads)
        self.spare_heads -= kept
        return made - kept

    @property
    def head_pages(self) -> int:
        """Pages that the slab of buffer heads takes."""
        return -(-self.buffer_heads // HEADS_PER_SLAB_PAGE)

    def preload(
        self, mapping: Mapping, start: int, end: int, known_blocks: int | None, buffers: bool
    ) -> None:
        """
        Have pages of before the run: read once, or PRESENT with `known_blocks` (bits) up to date. Not
        counted.

        buffers: they have buffer heads.

        They come in order and push out what came before, as one read after another would.
        """
        inserted, evicted = self.inserted, self.evicted
        step = min(PRELOAD_PAGES, self.limit_pages)
        for first in range(start, end, step):
            last = min(first + step, end)
            self.insert(mapping, first, last)
            mapping.access.fill(first, last, REFERENCED | LISTED)
            if known_blocks is None:
                mapping.state.fill(first, last, UPTODATE)
            else:
                mapping.state.fill(first, last, PRESENT)
                mapping.known_blocks.update(dict.fromkeys(range(first, last), known_blocks))
            if buffers:
                self.attach_buffers(mapping, first, last)
                self._reclaim_with_heads(0)
        self.inserted, self.evicted, self.freed_heads = inserted, evicted, 0

    def mark_accessed(self, mapping: Mapping, start: int, end: int) -> None:
        """Tell of a read of [start, end): first referenced, then active (folio_mark_accessed)."""
        access, count = mapping.access, end - start
        was = access[start]
        if count == 1:
            access[start] = _ACCESSED[was]
        elif access.run(start, end, was) == count:
            access.fill(start, end, _ACCESSED[was])
        else:
            self._mark_unlike(mapping, start, end)
            return
        if was & (REFERENCED | ACTIVE) == REFERENCED:
            self._activated(mapping, start, end)

    def _mark_unlike(self, mapping: Mapping, start: int, end: int) -> None:
        """The same for pages that were not all accessed alike before."""
        access = mapping.access
        before = access.part(start, end)
        access.turn(start, end, _ACCESSED)
        activated = before.count(REFERENCED) + before.count(REFERENCED | LISTED)
        if activated == end - start:
            self._activated(mapping, start, end)
        elif activated:
            for page in range(start, end):
                if before[page - start] & (REFERENCED | ACTIVE) == REFERENCED:
                    self._activated(mapping, page, page + 1)

    def _activated(self, mapping: Mapping, start: int, end: int) -> None:
        """Pages were made active by their readers, which ages the cache (workingset_activation())."""
        self._workingset.age += end - start
        self._activate(mapping, start, end)

    def _activate(self, mapping: Mapping, start: int, end: int) -> None:
        self._active_pages += end - start
        self._active.append((mapping, start, end))

    def drop(self, mapping: Mapping) -> int:
        """Forget all up-to-date pages of a mapping (POSIX_FADV_DONTNEED); return how many."""
        dropped = 0
        for run in list(self._inactive) + list(self._active):
            if run[0] is mapping:
                dropped += self._evict_run(mapping, run[1], run[2], include_active=True)
        self._inactive = deque(left for run in self._inactive for left in _left_of(run, mapping))
        self._active = deque(left for run in self._active for left in _left_of(run, mapping))
        mapping.stale.clear()
        self.freed_heads = 0  # dropping is not charged either
        return dropped

    def check(self, mappings: list[Mapping]) -> None:
        """Raise InvariantError unless the books agree with the pages; `mappings`: all there are."""
        present = sum(mapping.present for mapping in mappings)
        active = sum(active_pages(mapping, 0, len(mapping.state)) for mapping in mappings)
        heads = sum(mapping.buffered.count(1) for mapping in mappings if mapping.buffered is not None)
        if self._heads(heads) != self.buffer_heads:
            raise InvariantError(f"{heads} pages have buffer heads, {self.buffer_heads} heads counted")
        if present != self.cached or active != self._active_pages:
            raise InvariantError(
                f"{present} pages present and {active} active, {self.cached} and {self._active_pages} counted"
            )
        for mapping in mappings:
            if mapping.held:
                raise InvariantError(f"pages {mapping.held} are still held")

    def _reclaim_with_heads(self, count: int) -> int:
        """
        Evict until `count` pages more fit, buffer heads counting with their pages; return how many went.

        The heads that those pages will get count at the next insertion.
        """
        freed = 0
        while (excess := self.cached + count + self.head_pages - self.limit_pages) > 0:
            both = HEADS_PER_SLAB_PAGE + self.heads_per_page
            gone = self._reclaim(-(-excess * HEADS_PER_SLAB_PAGE // both))
            if not gone:
                break
            freed += gone
        return freed

    def _reclaim(self, wanted: int) -> int:
        """Evict at least `wanted` pages if that many can go; return how many went."""
        freed = 0
        patience = len(self._inactive) + len(self._active) + 1
        while freed < wanted and patience > 0:
            patience -= 1
            while self._active and self._inactive_is_low():
                self._age_active()
            if not self._inactive:
                break
            mapping, start, end = self._inactive.popleft()
            if wanted - freed < end - start:
                cut = start + wanted - freed
                if mapping.large:  # folios go as a whole
                    cut = mapping.whole(start, cut)[1]
                self._inactive.appendleft((mapping, cut, end))
                end = cut
            freed += self._take(mapping, start, end)
        self.evicted += freed
        return freed

    def _take(self, mapping: Mapping, start: int, end: int) -> int:
        """Evict what can go of a run of the inactive list; return how many pages went."""
        if mapping.holds(start, end) or mapping.has_locked(start, end):
            gone = self._evict_run(mapping, start, end, include_active=False)
            self._inactive.append((mapping, start, end))
            return gone
        if mapping.stale:
            kept = [page for page in range(start, end) if page in mapping.stale]
            if kept:
                return self._take_around(mapping, start, end, kept)
        gone = self._evict_run(mapping, start, end, include_active=False)
        if gone < end - start:
            mapping.access.turn(start, end, _UNLISTED)
        return gone

    def _take_around(self, mapping: Mapping, start: int, end: int, kept: list[int]) -> int:
        """Evict what can go of a run but for pages that have a later place in the list."""
        gone, first = 0, start
        for page in [*kept, end]:
            if first < page:
                gone += self._evict_run(mapping, first, page, include_active=False)
                mapping.access.turn(first, page, _UNLISTED)
            first = page + 1
        for page in kept:
            left = mapping.stale.pop(page) - 1
            if left:
                mapping.stale[page] = left
        return gone

    def _inactive_is_low(self) -> bool:
        """Tell whether the active list has to give pages back (inactive_is_low())."""
        inactive = self.cached - self._active_pages
        return self._active_pages > inactive * inactive_ratio(self.cached)

    def _age_active(self) -> None:
        """Move the oldest active run to the end of the inactive list (shrink_active_list())."""
        mapping, start, end = self._active.popleft()
        access = mapping.access
        for first, last in runs_of([page for page in range(start, end) if access[page] & ACTIVE]):
            for page in range(first, last):
                if access[page] & LISTED:  # its place of before is not its place now
                    mapping.stale[page] = mapping.stale.get(page, 0) + 1
            self._active_pages -= last - first
            access.turn(first, last, _DEACTIVATED)
            self._inactive.append((mapping, first, last))

    def _evict_run(self, mapping: Mapping, start: int, end: int, include_active: bool) -> int:
        """Evict the clean, unlocked (and unless asked, inactive) pages of a run."""
        state, access, count = mapping.state, mapping.access, end - start
        pages: range | list[int]
        none_active = not active_pages(mapping, start, end)
        if state.count(UPTODATE, start, end) == count and none_active and not mapping.holds(start, end):
            pages = range(start, end)
            state.fill(start, end, ABSENT)
            access.fill(start, end, 0)
            if not include_active:
                self._workingset.evicted(mapping, start, end)
        else:
            pages = [
                page
                for page in range(start, end)
                if state[page] & (UPTODATE | PRESENT)
                and (include_active or not access[page] & ACTIVE)
                and not mapping.holds(page, page + 1)
            ]
            for page in pages:
                if access[page] & ACTIVE:
                    self._active_pages -= 1
                if state[page] & PRESENT:
                    del mapping.known_blocks[page]
                state[page] = ABSENT
                access[page] = 0
                if not include_active:
                    self._workingset.evicted(mapping, page, page + 1)
        if mapping.buffered is not None:
            self._drop_buffers(mapping.buffered, pages)
        if mapping.content is not None:
            if isinstance(pages, range):
                mapping.forget(start, end)
            else:
                for page in pages:
                    mapping.forget(page, page + 1)
        self.cached -= len(pages)
        return len(pages)

    def _drop_buffers(self, buffered: bytearray, pages: range | list[int]) -> None:
        """Free the buffer heads of evicted pages (try_to_free_buffers)."""
        if isinstance(pages, range):
            with_heads = buffered.count(1, pages.start, pages.stop)
            buffered[pages.start : pages.stop] = filled(0, len(pages))
        else:
            with_heads = sum(buffered[page] for page in pages)
            for page in pages:
                buffered[page] = 0
        freed = self._heads(with_heads)
        self.buffer_heads -= freed
        self.freed_heads += freed
        self.spare_heads = min(self.spare_heads + freed, SPARE_HEADS)

    def _heads(self, pages: int) -> int:
        """Return how many buffer heads so many pages with buffers have."""
        return pages * self.heads_per_page // self._pages_per_head


def _left_of(run: Run, dropped: Mapping) -> list[Run]:
    """Return a run without the pages of a dropped mapping that are gone."""
    mapping, start, end = run
    if mapping is not dropped:
        return [run]
    left = runs_of([page for page in range(start, end) if mapping.state[page] != ABSENT])
    return [(mapping, first, last) for first, last in left]
