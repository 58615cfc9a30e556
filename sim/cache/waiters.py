"""
Who waits for the pages of one file: wait queues, of which most have one sleeper, and most files have one.
"""

from __future__ import annotations

from typing import Any, Final, final

from mypy_extensions import i64

from sim.engine.clock import Clock, Event

_NOBODY: Final = -1


@final
class Waiters:
    """
    Events on which tasks wait, one a page, in the order in which the first of each came.

    count: how many pages are waited for. The one that came when there was none is by itself: in a file that
    one task reads there is no other, and a dict takes longer to ask than all that is asked of it.
    """

    __slots__ = ("_event", "_more", "_page", "count")

    def __init__(self) -> None:
        self.count: i64 = 0
        self._page: i64 = _NOBODY
        self._event: Event | None = None
        self._more: dict[int, Event] = {}

    def event(self, page: i64, clock: Clock) -> Event:
        """Return the event on which to wait for `page`, a new one of the clock's if there is none."""
        event = self._event if self._page == page else self._more.get(page) if self._more else None
        if event is None:
            event = clock.event()
            if self.count:
                self._more[page] = event
            else:
                self._page, self._event = page, event
            self.count += 1
        return event

    def wake(self, page: i64, brought: Any) -> None:
        """Wake who waits for `page`, if anyone does; they are given `brought`."""
        if self._page == page:
            event, self._event, self._page = self._event, None, _NOBODY
        else:
            event = self._more.pop(page, None) if self._more else None
        if event is not None:
            self.count -= 1
            event.succeed(brought)

    def wake_within(self, start: i64, end: i64, brought: Any) -> None:
        """Wake who waits for any of the pages [start, end), in the order in which they came."""
        if start <= self._page < end:
            self.wake(self._page, brought)
        if self._more:
            for page in [page for page in self._more if start <= page < end]:
                self.wake(page, brought)
