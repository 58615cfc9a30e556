"""
Page state and the page cache: which pages are cached, locked, up to date, marked; and who goes first.

State is one byte a page in a bytearray per file, never an object per page: scans and updates of a window
are slice operations. LRU lists hold runs of pages.

Reclaim follows mm/vmscan.c in outline: new pages enter the inactive list, a page read twice moves to the
active list, reclaim takes clean, unlocked inactive pages in order and ages the active list when the inactive
one runs out. Left out: kswapd (reclaim is direct, by the task that needs the page), refaults, memory cgroups.
"""

from __future__ import annotations

import mmap
from collections import deque
from contextlib import suppress
from typing import Any

from sim.errors import InvariantError
from sim.units import PAGE_BYTES

ABSENT, LOCKED, UPTODATE = 0, 1, 2
MARKED = 4
"""Added to LOCKED or UPTODATE: the page carries PG_readahead."""

CONTENT_SLACK_BYTES = 64
"""Room behind the contents of a mapping, for ciphers that ask for more than they write."""

_MAP_NORESERVE = 0x4000  # mmap.MAP_NORESERVE, which Python knows from 3.13 on
_PLAIN = bytes((UPTODATE,))
_ACCESS = bytes((1, 2, 3, 3)) + bytes(range(4, 256))
_DEACTIVATE = bytes((0, 1, 0, 1)) + bytes(range(4, 256))


class Mapping:
    """
    The cached pages of one file (struct address_space).

    state: one byte a page. access: 0 new, 1 referenced, 2 active, 3 active and referenced. parts: blocks
    still to come, for pages that are read in parts (a page of which all blocks are read needs an entry only
    between its parts). waiters: events of tasks that wait for a page. held: ranges that a reader holds a
    reference on and has not copied yet; they are not reclaimed. heads: 1 for each page with buffer heads,
    once any has some; they go when the page goes, and all such pages have heads_per_page. content: with real
    data, the bytes of the file as far as cached, zeros elsewhere (anonymous memory, as large as the file,
    present where it was written).
    """

    __slots__ = (
        "_memory",
        "access",
        "content",
        "heads",
        "heads_per_page",
        "held",
        "pages",
        "parts",
        "state",
        "waiters",
    )

    def __init__(self, pages: int, keep_content: bool) -> None:
        self.pages = pages
        self.state = bytearray(pages)
        self.access = bytearray(pages)
        self.parts: dict[int, int] = {}
        self.waiters: dict[int, Any] = {}
        self.held: list[tuple[int, int]] = []
        self.heads = bytearray()
        self.heads_per_page = 0
        self._memory: mmap.mmap | None = None
        self.content: memoryview | None = None
        if keep_content:
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
            self._memory = mmap.mmap(-1, pages * PAGE_BYTES + CONTENT_SLACK_BYTES, flags=flags)
            # A fault per 4 KiB costs half as much as its AES, per 2 MiB nothing; a kernel may have none.
            with suppress(OSError):
                self._memory.madvise(mmap.MADV_HUGEPAGE)
            self.content = memoryview(self._memory)

    def attach_heads(self, start: int, end: int, per_page: int) -> None:
        """Note that the pages [start, end) have `per_page` buffer heads each, as all others that have."""
        if not self.heads:
            self.heads = bytearray(self.pages)
            self.heads_per_page = per_page
        self.heads[start:end] = b"\1" * (end - start)

    def free_heads(self, start: int, end: int) -> int:
        """Take the buffer heads off the pages [start, end); return how many pages had some."""
        pages = self.heads.count(1, start, end)
        if pages:
            self.heads[start:end] = bytes(end - start)
        return pages

    def holds(self, start: int, end: int) -> bool:
        """Return whether a reader holds any page of [start, end)."""
        return any(first < end and start < last for first, last in self.held)

    def has_locked(self, start: int, end: int) -> bool:
        """Return whether any page of [start, end) is under I/O."""
        return self.state.find(LOCKED, start, end) >= 0 or self.state.find(LOCKED | MARKED, start, end) >= 0

    @property
    def locked(self) -> int:
        """Pages under I/O."""
        return self.state.count(LOCKED) + self.state.count(LOCKED | MARKED)

    def forget(self, start: int, end: int) -> None:
        """Give the contents of pages back to the system; they read as zeros from now on."""
        if self._memory is not None:
            self._memory.madvise(mmap.MADV_DONTNEED, start * PAGE_BYTES, (end - start) * PAGE_BYTES)

    def plain_run(self, start: int, end: int) -> int:
        """Return how many pages from `start` (before `end`) are up to date and not marked."""
        run = self.state[start:end]
        return len(run) - len(run.lstrip(_PLAIN))

    def next_miss(self, index: int, max_scan: int) -> int:
        """Return the first uncached page from `index`, or `index + max_scan`; past EOF all are."""
        end = index + max_scan
        found = self.state.find(ABSENT, index, end)
        if found >= 0:
            return found
        return min(max(index, self.pages), end)

    def prev_miss(self, index: int, max_scan: int) -> int:
        """Return the last uncached page up to `index`, -1 before the file, or `index - max_scan`."""
        first = max(index - max_scan + 1, 0)
        found = self.state.rfind(ABSENT, first, index + 1)
        if found >= 0:
            return found
        return first - 1

    def set_uptodate(self, start: int, end: int) -> None:
        """Unlock pages whose data has come, and wake who waits for them."""
        state, waiters = self.state, self.waiters
        if end - start == 1:
            state[start] = (state[start] & MARKED) | UPTODATE
            if start in waiters:
                waiters.pop(start).succeed()
            return
        if state.find(LOCKED | MARKED, start, end) < 0:
            state[start:end] = _PLAIN * (end - start)
        else:
            for page in range(start, end):
                state[page] = (state[page] & MARKED) | UPTODATE
        if waiters:
            for page in [page for page in waiters if start <= page < end]:
                waiters.pop(page).succeed()

    def blocks_done(self, page: int, blocks: int, blocks_per_page: int) -> None:
        """Count `blocks` of a page as read; unlock it when they were the last."""
        left = self.parts.get(page, blocks_per_page) - blocks
        if left:
            self.parts[page] = left
        else:
            self.parts.pop(page, None)
            self.set_uptodate(page, page + 1)

    def waiter(self, page: int, new_event: Any) -> Any:
        """Return the event on which to wait for `page`, made by `new_event()` if there is none."""
        event = self.waiters.get(page)
        if event is None:
            event = self.waiters[page] = new_event()
        return event


class PageCache:
    """
    All mappings under one memory limit.

    limit_pages: how many pages may be cached; pages under I/O or held by a reader may exceed it, for reclaim
    does not wait. inserted, evicted: pages so far. peak: most ever cached.
    """

    def __init__(self, limit_pages: int) -> None:
        self.limit_pages = limit_pages
        self.cached = 0
        self.inserted = 0
        self.evicted = 0
        self.peak = 0
        self._freed = (0, 0)
        self._inactive: deque[tuple[Mapping, int, int]] = deque()
        self._active: deque[tuple[Mapping, int, int]] = deque()
        self._active_pages = 0

    def insert(self, mapping: Mapping, start: int, end: int, mark: int = -1) -> int:
        """
        Add the locked pages [start, end), `mark` with PG_readahead; return how many pages were reclaimed.

        The pages must be absent.
        """
        count = end - start
        reclaimed = 0
        excess = self.cached + count - self.limit_pages
        if excess > 0:
            reclaimed = self._reclaim(excess)
        inactive = self._inactive
        if count == 1:
            mapping.state[start] = LOCKED | MARKED if mark == start else LOCKED
            mapping.access[start] = 0
        else:
            mapping.state[start:end] = b"\x01" * count
            mapping.access[start:end] = bytes(count)
            if start <= mark < end:
                mapping.state[mark] = LOCKED | MARKED
        inactive.append((mapping, start, end))
        self.inserted += count
        self.cached += count
        if self.cached > self.peak:
            self.peak = self.cached
        return reclaimed

    def mark_accessed(self, mapping: Mapping, start: int, end: int) -> None:
        """Tell of a read of [start, end): first referenced, then active (folio_mark_accessed)."""
        access = mapping.access
        if end - start == 1:
            was = access[start]
            access[start] = _ACCESS[was]
            if was == 1:
                self._active_pages += 1
                self._active.append((mapping, start, end))
            return
        before = access[start:end]
        access[start:end] = before.translate(_ACCESS)
        activated = before.count(1)
        if activated:
            self._active_pages += activated
            if activated == end - start:
                self._active.append((mapping, start, end))
            else:
                self._active.extend(
                    (mapping, page, page + 1) for page in range(start, end) if before[page - start] == 1
                )

    def take_freed_buffers(self) -> tuple[int, int]:
        """Return how many pages with buffer heads went since the last call, and how many heads."""
        freed, self._freed = self._freed, (0, 0)
        return freed

    def drop(self, mapping: Mapping) -> int:
        """Forget all up-to-date pages of a mapping (POSIX_FADV_DONTNEED); return how many."""
        dropped = 0
        for run in list(self._inactive) + list(self._active):
            if run[0] is mapping:
                dropped += self._evict_run(mapping, run[1], run[2], include_active=True)
        self._inactive = deque(run for run in self._inactive if run[0] is not mapping or _present(run))
        self._active = deque(run for run in self._active if run[0] is not mapping or _present(run))
        return dropped

    def check(self, mappings: list[Mapping]) -> None:
        """Raise InvariantError unless the books agree with the pages; `mappings`: all there are."""
        present = sum(mapping.pages - mapping.state.count(ABSENT) for mapping in mappings)
        active = sum(mapping.access.count(2) + mapping.access.count(3) for mapping in mappings)
        if present != self.cached or active != self._active_pages:
            raise InvariantError(
                f"{present} pages present and {active} active, {self.cached} and {self._active_pages} counted"
            )
        for mapping in mappings:
            if mapping.held:
                raise InvariantError(f"pages {mapping.held} are still held")

    def _reclaim(self, wanted: int) -> int:
        """Evict at least `wanted` pages if that many can go; return how many went."""
        freed = 0
        patience = len(self._inactive) + len(self._active) + 1
        while freed < wanted and patience > 0:
            patience -= 1
            if not self._inactive or self._active_pages > self.cached - self._active_pages:
                self._age_active()
                if not self._inactive:
                    break
            mapping, start, end = self._inactive.popleft()
            if wanted - freed < end - start:
                cut = start + wanted - freed
                self._inactive.appendleft((mapping, cut, end))
                end = cut
            freed += self._evict_run(mapping, start, end, include_active=False)
            if mapping.holds(start, end) or mapping.has_locked(start, end):
                self._inactive.append((mapping, start, end))
        self.evicted += freed
        return freed

    def _free_heads(self, mapping: Mapping, start: int, end: int) -> None:
        if mapping.heads:
            pages = mapping.free_heads(start, end)
            freed, heads = self._freed
            self._freed = (freed + pages, heads + pages * mapping.heads_per_page)

    def _age_active(self) -> None:
        """Move the oldest active run back to the inactive list."""
        if self._active:
            mapping, start, end = self._active.popleft()
            run = mapping.access[start:end]
            self._active_pages -= run.count(2) + run.count(3)
            mapping.access[start:end] = run.translate(_DEACTIVATE)
            self._inactive.append((mapping, start, end))

    def _evict_run(self, mapping: Mapping, start: int, end: int, include_active: bool) -> int:
        """Evict the clean, unlocked (and unless asked, inactive) pages of a run."""
        state, access, count = mapping.state, mapping.access, end - start
        pages: range | list[int]
        active = access.count(2, start, end) + access.count(3, start, end)
        if state.count(UPTODATE, start, end) == count and not active and not mapping.holds(start, end):
            pages = range(start, end)
            state[start:end] = bytes(count)
            self._free_heads(mapping, start, end)
        else:
            pages = [
                page
                for page in range(start, end)
                if state[page] & UPTODATE
                and (include_active or access[page] < 2)
                and not mapping.holds(page, page + 1)
            ]
            for page in pages:
                if access[page] > 1:
                    self._active_pages -= 1
                state[page] = ABSENT
                access[page] = 0
                self._free_heads(mapping, page, page + 1)
        if mapping.content is not None:
            if isinstance(pages, range):
                mapping.forget(start, end)
            else:
                for page in pages:
                    mapping.forget(page, page + 1)
        self.cached -= len(pages)
        return len(pages)


def _present(run: tuple[Mapping, int, int]) -> bool:
    """Return whether any page of a run is cached."""
    mapping, start, end = run
    return mapping.state.count(ABSENT, start, end) < end - start
