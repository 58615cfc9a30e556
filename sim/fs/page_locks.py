"""
PG_locked of the pages of a file that is written: held by write_begin() to write_end() of a page, and by
write-back from the look at a page until that is in a bio. Pages that are being read are LOCKED in their
mapping, which is the same lock. Readers of pages that are up to date take none.

Who waits asks again when any page is let go (a kernel: woken in turn). Charged is nothing: a free lock is in
what its callers cost, a sleep of a writer or of write-back on a page's lock is left out.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sim.cache.pages import Mapping
from sim.engine.clock import Clock
from sim.engine.cpu import Task


class LockedPages:
    """Pages [first, next) of one holder, which may let them go one by one."""

    __slots__ = ("first", "next")

    def __init__(self, first: int, next_page: int) -> None:
        self.first = first
        self.next = next_page


class PageLocks:
    """The locks of one mapping's pages. holders: of some."""

    __slots__ = ("_mapping", "_waiters", "holders")

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._waiters: list[Any] = []
        self.holders: list[LockedPages] = []

    def busy(self, page: int, mine: LockedPages | None = None) -> bool:
        """Tell whether a page is locked by another than `mine`."""
        if self._mapping.has_locked(page, page + 1):
            return True
        holders = self.holders
        return bool(holders) and any(held.first <= page < held.next and held is not mine for held in holders)

    def wait(
        self, task: Task, page: int, clock: Clock, mine: LockedPages | None = None
    ) -> Generator[Any, Any, None]:
        """Sleep until a page is not locked by another than `mine`."""
        while self.busy(page, mine):
            if self._mapping.has_locked(page, page + 1):
                event = self._mapping.waiter(page, clock)
            else:
                event = clock.event()
                self._waiters.append(event)
            yield from task.wait(event)

    def hold(self, pages: LockedPages) -> None:
        """Know a holder, whose pages nobody else has."""
        self.holders.append(pages)

    def drop(self, pages: LockedPages) -> None:
        """A holder has let its last page go."""
        self.holders.remove(pages)
        self.woken()

    def woken(self) -> None:
        """Pages were let go: wake who waits."""
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for event in waiters:
                event.succeed()
