"""
Flushes: what REQ_PREFLUSH and REQ_FUA become on a device with a volatile write cache (block/blk-flush.c of
Linux 6.1).

A request with either flag is taken apart into steps: flush before, its data, flush after (that only where
FUA is asked for and the device has none). Steps wait for one another; requests do not. One flush command is
at the device at a time and serves every request that waited when it was issued. While the data of such a
request is under way no flush is issued, so that more requests can share the next one.

Left out: the 5 s after which a flush goes all the same, one flush queue per hardware queue.
"""

from __future__ import annotations

from typing import Final, Protocol

from sim.block.bio import Request
from sim.block.opf import REQ_FUA, REQ_PREFLUSH

FLUSH: Final = "flush"
DATA: Final = "data"


class FlushBelow(Protocol):
    """What lies below: the hardware's side of the queue."""

    def issue_past_scheduler(self, request: Request) -> None:
        """Start the data of a request; `FlushQueue.written` follows if it is sequenced."""
        ...

    def issue_flush(self, token: list[Request]) -> None:
        """Start a flush; `FlushQueue.flushed(token)` follows."""
        ...

    def end_sequenced(self, request: Request) -> None:
        """End the bio of a request."""
        ...


class FlushQueue:
    """
    The flush machinery of one device.

    fua: whether the device can write past its cache.
    """

    def __init__(self, below: FlushBelow, fua: bool) -> None:
        self._below = below
        self._fua = fua
        self._pending: list[Request] = []
        self._flushing = False
        self._data_in_flight = 0

    def insert(self, request: Request) -> None:
        """Take a request with REQ_PREFLUSH or REQ_FUA, at the time its task has come to."""
        steps = [FLUSH] if request.opf & REQ_PREFLUSH else []
        if request.sectors:
            steps.append(DATA)
        if request.opf & REQ_FUA and not self._fua:
            steps.append(FLUSH)
        if steps == [DATA]:  # FUA alone, on a device that has it: a write like any other
            self._below.issue_past_scheduler(request)
            return
        request.sequenced = steps
        self._next(request)

    def written(self, request: Request) -> None:
        """The data of a request is with the device."""
        self._data_in_flight -= 1
        self._next(request)
        self._kick()

    def flushed(self, served: list[Request]) -> None:
        """A flush is over: those it served take their next step."""
        self._flushing = False
        for request in served:
            self._next(request)
        self._kick()

    def _next(self, request: Request) -> None:
        """Take the next step of a request (blk_flush_complete_seq())."""
        steps = request.sequenced
        assert steps is not None
        if not steps:
            self._below.end_sequenced(request)
        elif steps.pop(0) == DATA:
            self._data_in_flight += 1
            self._below.issue_past_scheduler(request)
        else:
            self._pending.append(request)
            self._kick()

    def _kick(self) -> None:
        """Issue a flush for all that wait, unless one is under way or data is (blk_kick_flush())."""
        if self._pending and not self._flushing and not self._data_in_flight:
            self._flushing = True
            served, self._pending = self._pending, []
            self._below.issue_flush(served)
