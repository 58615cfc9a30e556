"""
I/O schedulers: in which order waiting requests reach the hardware.

`Fifo` is "none". `MqDeadline` follows block/mq-deadline.c of 6.1 for reads: one list by sector, one by age;
after a request comes the one that lay next above it when it was issued; without one, or when a batch is
over and the oldest request too old, the oldest. Left out: writes, priorities, zones, merging of whole
requests on insertion.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Protocol

from sim.block.bio import Request
from sim.units import NS_PER_MS


class Scheduler(Protocol):
    """Waiting requests of one queue."""

    elevator: bool
    """Whether requests wait here even when the hardware is free (RQF_ELV)."""

    def add(self, request: Request, now_ns: int) -> None:
        """Take a request."""
        ...

    def next(self, now_ns: int) -> Request | None:
        """Give the request to issue next, or None."""
        ...

    def neighbour(self, sector: int, sectors: int) -> Request | None:
        """Return a waiting request that ends at `sector` or starts at `sector + sectors`."""
        ...

    def moved(self, request: Request, old_sector: int) -> None:
        """Learn that a waiting request has grown; its start was `old_sector`."""
        ...


class Fifo:
    """No scheduler ("none"): first come, first served, no merging after the plug."""

    elevator = False

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque()

    def add(self, request: Request, now_ns: int) -> None:
        """Queue `request` last."""
        del now_ns
        self._waiting.append(request)

    def next(self, now_ns: int) -> Request | None:
        """Return the oldest request."""
        del now_ns
        return self._waiting.popleft() if self._waiting else None

    def neighbour(self, sector: int, sectors: int) -> Request | None:
        """Return None: nothing merges here."""
        del sector, sectors
        return None

    def moved(self, request: Request, old_sector: int) -> None:
        """Do nothing: there is no order by sector."""
        del request, old_sector


class MqDeadline:
    """
    mq-deadline for reads: fifo_batch = 16 requests a batch, read_expire = 500 ms (the kernel's defaults).
    """

    elevator = True
    fifo_batch = 16
    read_expire_ns = 500 * NS_PER_MS

    def __init__(self) -> None:
        self._by_sector: list[tuple[int, int]] = []
        self._requests: dict[int, Request] = {}
        self._ids: dict[int, int] = {}
        self._by_end: dict[int, int] = {}
        self._serial = 0
        self._following: int | None = None
        self._batching = 0

    def add(self, request: Request, now_ns: int) -> None:
        """Queue `request`, merging is the queue's business."""
        request.deadline_ns = now_ns + self.read_expire_ns
        serial = self._serial
        self._serial += 1
        self._requests[serial] = request
        self._ids[id(request)] = serial
        self._by_end[request.end] = serial
        insort(self._by_sector, (request.sector, serial))

    def next(self, now_ns: int) -> Request | None:
        """
        Return the request that followed the last one when that was issued; start a batch if there is none.

        A batch starts with the oldest request if that is too old or nothing followed, else it goes on.
        """
        if not self._requests:
            return None
        serial = self._following if self._following in self._requests else None
        if serial is None or self._batching >= self.fifo_batch:
            oldest = next(iter(self._requests))
            if serial is None or self._requests[oldest].deadline_ns <= now_ns:
                serial = oldest
            self._batching = 0
        self._batching += 1
        request = self._requests.pop(serial)
        at = bisect_left(self._by_sector, (request.sector, serial))
        self._by_sector.pop(at)
        self._following = self._by_sector[at][1] if at < len(self._by_sector) else None
        del self._ids[id(request)]
        if self._by_end.get(request.end) == serial:
            del self._by_end[request.end]
        return request

    def neighbour(self, sector: int, sectors: int) -> Request | None:
        """Return a request to merge with: one that ends where the new one starts, else the other way."""
        serial = self._by_end.get(sector)
        if serial is not None:
            return self._requests[serial]
        at = bisect_left(self._by_sector, (sector + sectors, -1))
        if at < len(self._by_sector) and self._by_sector[at][0] == sector + sectors:
            return self._requests[self._by_sector[at][1]]
        return None

    def moved(self, request: Request, old_sector: int) -> None:
        """Sort a grown request anew."""
        serial = self._ids[id(request)]
        if request.sector != old_sector:
            self._by_sector.remove((old_sector, serial))
            insort(self._by_sector, (request.sector, serial))
        for end in [end for end, number in self._by_end.items() if number == serial]:
            del self._by_end[end]
        self._by_end[request.end] = serial
