"""
I/O schedulers: in which order waiting requests reach the hardware.

`Fifo` is "none". `MqDeadline` follows block/mq-deadline.c for reads: one list by sector, one by age; batches
go up the disk from the last position; a request that is too old starts a new batch. Left out: writes,
priorities, zones.
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
        self._position = 0
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
        """Return the next request of the batch, or start a batch from the oldest or the next sector."""
        if not self._requests:
            return None
        at = bisect_left(self._by_sector, (self._position, -1))
        if at == len(self._by_sector) or self._batching >= self.fifo_batch:
            oldest = next(iter(self._requests.values()))
            if at == len(self._by_sector) or oldest.deadline_ns <= now_ns:
                at = self._by_sector.index((oldest.sector, self._ids[id(oldest)]))
            self._batching = 0
        self._batching += 1
        _, serial = self._by_sector.pop(at)
        request = self._requests.pop(serial)
        del self._ids[id(request)]
        if self._by_end.get(request.end) == serial:
            del self._by_end[request.end]
        self._position = request.end
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
