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
from typing import Any, Final

from sim.errors import InvariantError
from sim.units import PAGE_BYTES

ABSENT: Final = 0
LOCKED: Final = 1
UPTODATE: Final = 2
MARKED: Final = 4
"""Added to LOCKED or UPTODATE: the page carries PG_readahead."""
PRESENT: Final = 8
"""Cached, unlocked and not up to date: a page that got buffer heads (or iomap's state) before it was read."""

CONTENT_SLACK_BYTES: Final = 64
"""Room behind the contents of a mapping, for ciphers that ask for more than they write."""

HEADS_PER_SLAB_PAGE: Final = 39
"""Buffer heads in a 4 KiB page of their slab: sizeof(struct buffer_head) is 104 on x86-64 (Linux 6.1)."""

PRELOAD_PAGES: Final = 32
"""How many pages of before the run enter the lists together: a window of 128 KiB."""

_MAP_NORESERVE: Final = 0x4000  # mmap.MAP_NORESERVE, which Python knows from 3.13 on
_PLAIN: Final = bytes((UPTODATE,))
_ACCESS: Final = bytes((1, 2, 3, 3)) + bytes(range(4, 256))
_DEACTIVATE: Final = bytes((0, 1, 0, 1)) + bytes(range(4, 256))


class Mapping:
    """
    The cached pages of one file (struct address_space).

    state: one byte a page. access: 0 new, 1 referenced, 2 active, 3 active and referenced. parts: blocks
    still to come, for pages that are read in parts (a page of which all blocks are read needs an entry only
    between its parts). waiters: events of tasks that wait for a page. known_bytes: of each
    PRESENT page, how many bytes from its start are up to date. buffered: one byte a page, 1 if it has buffer
    heads; None as long as no page had. held: ranges that a reader holds a
    reference on and has not copied yet; they are not reclaimed. content: with real data, the bytes of the
    file as far as cached, zeros elsewhere (anonymous memory, as large as the file, present where it was
    written). large: it may hold folios of up to max_order; then it is a FolioMapping.
    """

    __slots__ = (
        "_memory",
        "access",
        "buffered",
        "content",
        "held",
        "known_bytes",
        "large",
        "max_order",
        "pages",
        "parts",
        "state",
        "waiters",
    )

    def __init__(self, pages: int, keep_content: bool) -> None:
        self.pages = pages
        self.large = False
        self.max_order = 0
        self.state = bytearray(pages)
        self.access = bytearray(pages)
        self.parts: dict[int, int] = {}
        self.known_bytes: dict[int, int] = {}
        self.buffered: bytearray | None = None
        self.waiters: dict[int, Any] = {}
        self.held: list[tuple[int, int]] = []
        self._memory: mmap.mmap | None = None
        self.content: memoryview | None = None
        if keep_content:
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
            self._memory = mmap.mmap(-1, pages * PAGE_BYTES + CONTENT_SLACK_BYTES, flags=flags)
            # A fault per 4 KiB costs half as much as its AES, per 2 MiB nothing; a kernel may have none.
            with suppress(OSError):
                self._memory.madvise(mmap.MADV_HUGEPAGE)
            self.content = memoryview(self._memory)

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

    def whole(self, start: int, end: int) -> tuple[int, int]:
        """Return [start, end) widened to whole folios."""
        return start, end

    def folio_pages(self, _index: int) -> int:
        """Return how many pages the folio at an index has."""
        return 1

    def order(self, page: int) -> int:  # noqa: ARG002  # a page is a folio of order 0
        """Return the order of the folio that holds `page`."""
        return 0

    def bounds(self, page: int) -> tuple[int, int]:
        """Return the first page of the folio that holds `page`, and the page after its last."""
        return page, page + 1

    def folios(self, start: int, end: int) -> int:
        """Return how many folios the cached pages [start, end) are of."""
        return end - start

    def make_single(self, start: int, end: int) -> None:
        """Let [start, end), which are being inserted, be folios of one page; here they are."""

    def set_folio(self, first: int, order: int, marked: bool) -> None:
        """Make the locked pages from `first` on one folio, with PG_readahead or without."""
        raise InvariantError(f"a folio of order {order} at {first} (marked: {marked}): single pages only")

    def clear_mark(self, page: int) -> None:
        """Take PG_readahead from the folio that holds `page`."""
        self.state[page] &= ~MARKED

    def blocks_come(self, lblk: int, blocks: int, blocks_per_page: int, brought: Any = None) -> None:
        """Count blocks as read; unlock the pages of which they were the last (see set_uptodate)."""
        end = lblk + blocks
        if lblk % blocks_per_page:
            part = min(end, (lblk // blocks_per_page + 1) * blocks_per_page) - lblk
            self.blocks_done(lblk // blocks_per_page, part, blocks_per_page, brought)
            lblk += part
        if lblk < end and end % blocks_per_page:
            self.blocks_done(end // blocks_per_page, end % blocks_per_page, blocks_per_page, brought)
            end -= end % blocks_per_page
        if lblk < end:
            self.set_uptodate(lblk // blocks_per_page, end // blocks_per_page, brought)

    def batch_end(self, index: int, limit: int, folios: int) -> int:
        """Return the page after up to `folios` plain folios from `index` (below `limit`) on."""
        return index + self.plain_run(index, min(limit, index + folios))

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

    def set_uptodate(self, start: int, end: int, brought: Any = None) -> None:
        """
        Unlock pages whose data has come, and wake who waits for them.

        brought: the record of the I/O, which those who wait are given; None unless there is a trace.
        """
        state, waiters = self.state, self.waiters
        if end - start == 1:
            state[start] = (state[start] & MARKED) | UPTODATE
            if start in waiters:
                waiters.pop(start).succeed(brought)
            return
        if state.find(LOCKED | MARKED, start, end) < 0:
            state[start:end] = _PLAIN * (end - start)
        else:
            for page in range(start, end):
                state[page] = (state[page] & MARKED) | UPTODATE
        if waiters:
            for page in [page for page in waiters if start <= page < end]:
                waiters.pop(page).succeed(brought)

    def blocks_done(self, page: int, blocks: int, blocks_per_page: int, brought: Any = None) -> None:
        """Count `blocks` of a page as read; unlock it when they were the last (see set_uptodate)."""
        left = self.parts.get(page, blocks_per_page) - blocks
        if left:
            self.parts[page] = left
        else:
            self.parts.pop(page, None)
            self.set_uptodate(page, page + 1, brought)

    def waiter(self, page: int, new_event: Any) -> Any:
        """Return the event on which to wait for `page`, made by `new_event()` if there is none."""
        event = self.waiters.get(page)
        if event is None:
            event = self.waiters[page] = new_event()
        return event


class PageCache:
    """
    All mappings, and the buffer heads of their pages, under one memory limit.

    limit_pages: how many pages the cache and the slab of buffer heads may take; pages under I/O or held by a
    reader may exceed it, for reclaim does not wait. buffer_heads: those there are; freed_heads: those that
    went with their pages, for who pays for it. Left out: slab pages that stay because some of their heads do.
    inserted, evicted: pages so far. updated: PRESENT pages that were read. peak: most ever cached.
    """

    def __init__(self, limit_pages: int, heads_per_page: int = 1) -> None:
        """heads_per_page: blocks in a page of the file system."""
        self.limit_pages = limit_pages
        self.heads_per_page = heads_per_page
        self.buffer_heads = 0
        self.freed_heads = 0
        self.cached = 0
        self.inserted = 0
        self.evicted = 0
        self.updated = 0
        self.peak = 0
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
        if self.buffer_heads:
            reclaimed = self._reclaim_with_heads(count)
        elif excess > 0:
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

    def attach_buffers(self, mapping: Mapping, start: int, end: int) -> None:
        """Give pages their buffer heads (create_empty_buffers), those that have none."""
        buffered = mapping.buffered
        if buffered is None:
            buffered = mapping.buffered = bytearray(mapping.pages)
        count = end - start
        self.buffer_heads += (count - buffered.count(1, start, end)) * self.heads_per_page
        buffered[start:end] = b"\x01" * count

    @property
    def head_pages(self) -> int:
        """Pages that the slab of buffer heads takes."""
        return -(-self.buffer_heads // HEADS_PER_SLAB_PAGE)

    def preload(self, mapping: Mapping, start: int, end: int, known_bytes: int | None, buffers: bool) -> None:
        """
        Have pages of before the run: read once, or PRESENT with `known_bytes` up to date. Not counted.

        buffers: they have buffer heads.

        They come in order and push out what came before, as one read after another would.
        """
        inserted, evicted = self.inserted, self.evicted
        step = min(PRELOAD_PAGES, self.limit_pages)
        for first in range(start, end, step):
            last = min(first + step, end)
            self.insert(mapping, first, last)
            count = last - first
            mapping.access[first:last] = b"\x01" * count
            if known_bytes is None:
                mapping.state[first:last] = _PLAIN * count
            else:
                mapping.state[first:last] = bytes((PRESENT,)) * count
                mapping.known_bytes.update(dict.fromkeys(range(first, last), known_bytes))
            if buffers:
                self.attach_buffers(mapping, first, last)
                self._reclaim_with_heads(0)
        self.inserted, self.evicted, self.freed_heads = inserted, evicted, 0

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

    def drop(self, mapping: Mapping) -> int:
        """Forget all up-to-date pages of a mapping (POSIX_FADV_DONTNEED); return how many."""
        dropped = 0
        for run in list(self._inactive) + list(self._active):
            if run[0] is mapping:
                dropped += self._evict_run(mapping, run[1], run[2], include_active=True)
        self._inactive = deque(run for run in self._inactive if run[0] is not mapping or _present(run))
        self._active = deque(run for run in self._active if run[0] is not mapping or _present(run))
        self.freed_heads = 0  # dropping is not charged either
        return dropped

    def check(self, mappings: list[Mapping]) -> None:
        """Raise InvariantError unless the books agree with the pages; `mappings`: all there are."""
        present = sum(mapping.pages - mapping.state.count(ABSENT) for mapping in mappings)
        active = sum(mapping.access.count(2) + mapping.access.count(3) for mapping in mappings)
        heads = sum(mapping.buffered.count(1) for mapping in mappings if mapping.buffered is not None)
        if heads * self.heads_per_page != self.buffer_heads:
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
            if not self._inactive or self._active_pages > self.cached - self._active_pages:
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
            freed += self._evict_run(mapping, start, end, include_active=False)
            if mapping.holds(start, end) or mapping.has_locked(start, end):
                self._inactive.append((mapping, start, end))
        self.evicted += freed
        return freed

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
        else:
            pages = [
                page
                for page in range(start, end)
                if state[page] & (UPTODATE | PRESENT)
                and (include_active or access[page] < 2)
                and not mapping.holds(page, page + 1)
            ]
            for page in pages:
                if access[page] > 1:
                    self._active_pages -= 1
                if state[page] == PRESENT:
                    del mapping.known_bytes[page]
                state[page] = ABSENT
                access[page] = 0
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
            buffered[pages.start : pages.stop] = bytes(len(pages))
        else:
            with_heads = sum(buffered[page] for page in pages)
            for page in pages:
                buffered[page] = 0
        self.buffer_heads -= with_heads * self.heads_per_page
        self.freed_heads += with_heads * self.heads_per_page


def _present(run: tuple[Mapping, int, int]) -> bool:
    """Return whether any page of a run is cached."""
    mapping, start, end = run
    return mapping.state.count(ABSENT, start, end) < end - start
