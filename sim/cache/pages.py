"""
Page state: which pages of a file are cached, locked, up to date, marked.

State is one byte a page in an array per file (PageBytes), never an object per page: scans and updates of a
window are one operation each.
"""

from __future__ import annotations

import mmap
from array import array
from contextlib import suppress
from typing import Any, Final

from sim.cache.make_bytes import page_bytes
from sim.cache.waiters import Waiters
from sim.cache.write_tags import WriteTags
from sim.engine.clock import Clock, Event
from sim.errors import InvariantError
from sim.units import PAGE_BYTES

ABSENT: Final = 0
LOCKED: Final = 1
UPTODATE: Final = 2
MARKED: Final = 4
"""Added to LOCKED or UPTODATE: the page carries PG_readahead."""
PRESENT: Final = 8
"""Cached, unlocked and not up to date: a page that got buffer heads (or iomap's state) before it was read."""

REFERENCED: Final = 1
ACTIVE: Final = 2
LISTED: Final = 4
"""What Mapping.access says of a cached page: read once; of the active list; in a run of the inactive list."""

CONTENT_SLACK_BYTES: Final = 64
"""Room behind the contents of a mapping, for ciphers that ask for more than they write."""

_MAP_NORESERVE: Final = 0x4000  # mmap.MAP_NORESERVE, which Python knows from 3.13 on


class Mapping(WriteTags):
    """
    The cached pages of one file (struct address_space).

    state: one byte a page. access: one byte a page, REFERENCED, ACTIVE, LISTED. shadows: what evicted pages
    leave behind, by chunk, and last_eviction, the age of the newest in each (workingset.py). stale: of pages
    with a later place in the inactive list, how many earlier ones there are. parts: blocks still to come, for
    pages that are read in parts (a page of which all blocks are read needs an entry only between its parts).
    failed: of pages under I/O of which a block did not come, which of their blocks are up to date once they
    are unlocked; mapped: PRESENT pages whose blocks are mapped, for they were read in vain; unmapped: pages
    under I/O of which a block has no map. waiters: the tasks that wait for a page. known_blocks: of
    each PRESENT page, which of its blocks are up to date: bit n for block n. buffered: one byte a page, 1 if
    it has buffer heads; None as long as no page had. held: ranges that a reader holds a reference on and has
    not copied yet; they are not reclaimed. content: with real data, the bytes of the file as far as cached,
    zeros elsewhere (anonymous memory, as large as the file, present where it was written). large: it may hold
    folios of up to max_order, and of none below min_order, whose size is then that of a block; then it is a
    FolioMapping.
    """

    __slots__ = (
        "_memory",
        "access",
        "buffered",
        "content",
        "failed",
        "held",
        "known_blocks",
        "large",
        "last_eviction",
        "mapped",
        "max_order",
        "min_order",
        "parts",
        "shadows",
        "stale",
        "state",
        "unmapped",
        "waiters",
    )

    def __init__(self, pages: int, keep_content: bool) -> None:
        super().__init__(pages)
        self.large = False
        self.max_order = 0
        self.min_order = 0
        self.state = page_bytes(pages)
        self.access = page_bytes(pages)
        self.shadows: dict[int, array[int]] = {}
        self.last_eviction: dict[int, int] = {}
        self.stale: dict[int, int] = {}
        self.parts: dict[int, int] = {}
        self.known_blocks: dict[int, int] = {}
        self.failed: dict[int, int] = {}
        self.unmapped: set[int] = set()
        self.mapped: set[int] = set()
        self.buffered: bytearray | None = None
        self.waiters = Waiters()
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

    def grow(self, pages: int) -> None:
        """Have room for more pages: the file has become longer."""
        more = pages - self.pages
        if more <= 0:
            return
        self.state.grow(more)
        self.access.grow(more)
        for kept in (self.buffered, self.dirty, self.writeback, self.journalled):
            if kept is not None:
                kept.extend(bytes(more))
        self.pages = pages
        if self._memory is not None and self.content is not None:
            self.content.release()
            self._memory.resize(pages * PAGE_BYTES + CONTENT_SLACK_BYTES)
            self.content = memoryview(self._memory)

    def holds(self, start: int, end: int) -> bool:
        """
        Return whether any page of [start, end) may not go: a reader or the journal holds it, or it is to be
        written.
        """
        for tags in (self.dirty, self.writeback, self.journalled):
            if tags is not None and tags.find(1, start, end) >= 0:
                return True
        return any(first < end and start < last for first, last in self.held)

    def has_locked(self, start: int, end: int) -> bool:
        """Return whether any page of [start, end) is under I/O."""
        return self.state.find(LOCKED, start, end) >= 0 or self.state.find(LOCKED | MARKED, start, end) >= 0

    @property
    def present(self) -> int:
        """Pages that are cached."""
        pages = len(self.state)
        return pages - self.state.count(ABSENT, 0, pages)

    @property
    def locked(self) -> int:
        """Pages under I/O."""
        state, pages = self.state, len(self.state)
        return state.count(LOCKED, 0, pages) + state.count(LOCKED | MARKED, 0, pages)

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

    def page_of(self, lblk: int, blocks_per_page: int) -> int:
        """Return the first page of a block of the file."""
        return lblk // blocks_per_page

    def blocks_in(self, pages: int, blocks_per_page: int) -> int:
        """Return how many blocks so many pages, whole folios, have."""
        return pages * blocks_per_page

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

    def blocks_come(self, lblk: int, blocks: int, blocks_per_page: int, brought: Any = None) -> int:
        """
        Count blocks as read; unlock the pages of which they were the last (set_uptodate); return how many.
        """
        end, ended = lblk + blocks, 0
        if lblk % blocks_per_page:
            part = min(end, (lblk // blocks_per_page + 1) * blocks_per_page) - lblk
            ended += self.blocks_done(lblk // blocks_per_page, part, blocks_per_page, brought)
            lblk += part
        if lblk < end and end % blocks_per_page:
            last = end // blocks_per_page
            ended += self.blocks_done(last, end % blocks_per_page, blocks_per_page, brought)
            end -= end % blocks_per_page
        if lblk < end:
            ended += end // blocks_per_page - lblk // blocks_per_page
            self.set_uptodate(lblk // blocks_per_page, end // blocks_per_page, brought)
        return ended

    def batch_end(self, index: int, limit: int, folios: int) -> int:
        """Return the page after up to `folios` plain folios from `index` (below `limit`) on."""
        return index + self.plain_run(index, min(limit, index + folios))

    def plain_run(self, start: int, end: int) -> int:
        """Return how many pages from `start` (before `end`) are up to date and not marked."""
        return self.state.run(start, end, UPTODATE) if start < end else 0

    def all_absent(self, start: int, end: int) -> bool:
        """Return whether none of [start, end) is cached."""
        return self.state.run(start, end, ABSENT) == end - start

    def next_miss(self, index: int, max_scan: int) -> int:
        """Return the first uncached page from `index`, or `index + max_scan`; past EOF all are."""
        end = index + max_scan
        found = self.state.find(ABSENT, index, end)
        if found >= 0:
            return found
        return min(max(index, self.pages), end)

    def prev_miss(self, index: int, max_scan: int) -> int:
        """Return the last uncached page up to `index`, -1 before the file, or `index - max_scan`."""
        if 0 <= index < self.pages and self.state[index] == ABSENT:
            return index
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
        if self.failed:
            self._end_each(start, end, brought)
            return
        if end - start == 1:
            state[start] = (state[start] & MARKED) | UPTODATE
            if waiters.count:
                waiters.wake(start, brought)
            return
        if state.run(start, end, LOCKED) == end - start:
            state.fill(start, end, UPTODATE)
        else:
            for page in range(start, end):
                state[page] = (state[page] & MARKED) | UPTODATE
        if waiters.count:
            waiters.wake_within(start, end, brought)

    def lock(self, page: int) -> bool:
        """Lock a page that is to be filled by who writes it; False: it is up to date, nobody waits for it."""
        if self.state[page] & UPTODATE:
            return False
        self.state[page] = LOCKED
        return True

    def unlock(self, page: int, known: int, every: int) -> None:
        """Unlock it: up to date, or with `known` blocks, a bit each, if these are not `every` one."""
        if known == every:
            self.known_blocks.pop(page, None)
            self.set_uptodate(page, page + 1)
            return
        self.known_blocks[page] = known
        self.state[page] = PRESENT
        self.waiters.wake(page, None)

    def map_failed(self, page: int) -> None:
        """Unlock a page that is not read, for it could not be mapped: it stays, not up to date."""
        self.known_blocks[page] = 0
        self.state[page] = (self.state[page] & MARKED) | PRESENT
        self.waiters.wake(page, None)

    def block_unmapped(self, lblk: int, blocks_per_page: int) -> None:
        """Note a block of a locked page with buffer heads that could not be mapped: it will not come."""
        self.unmapped.add(lblk // blocks_per_page)
        self.blocks_fail(lblk, 1, blocks_per_page, True)

    def blocks_fail(self, lblk: int, blocks: int, blocks_per_page: int, keeps: bool) -> None:
        """
        Note blocks that did not come, of locked pages. keeps: a page has state for each of its blocks; else
        none of it is up to date.
        """
        for block in range(lblk, lblk + blocks):
            page, bit = divmod(block, blocks_per_page)
            known = self.failed.get(page, (1 << blocks_per_page) - 1) if keeps else 0
            self.failed[page] = known & ~(1 << bit)

    def _end_each(self, start: int, end: int, brought: Any) -> None:
        """Unlock pages of which some failed: these stay, not up to date (PRESENT)."""
        for page in range(start, end):
            known = self.failed.pop(page, -1)
            self.state[page] = (self.state[page] & MARKED) | (UPTODATE if known < 0 else PRESENT)
            if known >= 0:
                self.known_blocks[page] = known
                if page in self.unmapped:
                    self.unmapped.discard(page)
                else:
                    self.mapped.add(page)
            self.waiters.wake(page, brought)

    def blocks_done(self, page: int, blocks: int, blocks_per_page: int, brought: Any = None) -> bool:
        """
        Count `blocks` of a page as read; unlock it when they were the last (see set_uptodate), and tell so.
        """
        left = self.parts.get(page, blocks_per_page) - blocks
        if left:
            self.parts[page] = left
        else:
            self.parts.pop(page, None)
            self.set_uptodate(page, page + 1, brought)
        return not left

    def waiter(self, page: int, clock: Clock) -> Event:
        """Return the event on which to wait for `page`, a new one of the clock's if there is none."""
        return self.waiters.event(page, clock)
