"""
I/O schedulers: in which order waiting requests reach the hardware.

`Fifo` is "none". `MqDeadline` follows block/mq-deadline.c of 6.1: for each of reads and writes one list by
sector, one by age; after a request comes the one that lay next above it when it was issued; without one, or
when a batch is over and the oldest request too old, the oldest. A batch is of reads, unless there are none or
writes were passed over twice. Left out: priorities, zones, merging of whole requests on insertion.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import ClassVar

from mypy_extensions import mypyc_attr

from sim.block.bio import Request
from sim.block.opf import REQ_OP_WRITE
from sim.units import NS_PER_MS, NS_PER_S


@mypyc_attr(allow_interpreted_subclasses=True)
class Scheduler:
    """Waiting requests of one queue."""

    elevator: ClassVar[bool] = False
    """Whether requests wait here even when the hardware is free (RQF_ELV)."""

    def add(self, request: Request, now_ns: int) -> None:
        """Take a request."""
        raise NotImplementedError

    def next(self, now_ns: int) -> Request | None:
        """Give the request to issue next, or None."""
        raise NotImplementedError

    def neighbour(self, sector: int, sectors: int, write: bool = False) -> Request | None:
        """Return a waiting read, or write, that ends at `sector` or starts at `sector + sectors`."""
        raise NotImplementedError

    def moved(self, request: Request, old_sector: int) -> None:
        """Learn that a waiting request has grown; its start was `old_sector`."""
        raise NotImplementedError


class Fifo(Scheduler):
    """No scheduler ("none"): first come, first served, no merging after the plug."""

    elevator: ClassVar[bool] = False

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

    def neighbour(self, sector: int, sectors: int, write: bool = False) -> Request | None:
        """Return None: nothing merges here."""
        del sector, sectors, write
        return None

    def moved(self, request: Request, old_sector: int) -> None:
        """Do nothing: there is no order by sector."""
        del request, old_sector


class MqDeadline(Scheduler):
    """
    mq-deadline with the kernel's defaults: fifo_batch = 16 requests a batch, read_expire = 500 ms,
    write_expire = 5 s, writes_starved = 2.
    """

    elevator: ClassVar[bool] = True
    fifo_batch: ClassVar[int] = 16
    read_expire_ns: ClassVar[int] = 500 * NS_PER_MS
    write_expire_ns: ClassVar[int] = 5 * NS_PER_S
    writes_starved: ClassVar[int] = 2

    def __init__(self) -> None:
        self._reads = _Direction(self.read_expire_ns)
        self._writes = _Direction(self.write_expire_ns)
        self._last = self._reads
        self._batching = 0
        self._starved = 0

    def add(self, request: Request, now_ns: int) -> None:
        """Queue `request`, merging is the queue's business."""
        self._of(request).add(request, now_ns)

    def next(self, now_ns: int) -> Request | None:
        """Return what follows the last request in its batch; start one if nothing does or it is over."""
        request = self._last.take_following() if self._batching < self.fifo_batch else None
        if request is None:
            chosen = self._choose()
            if chosen is None:
                return None
            self._last = chosen
            self._batching = 0
            request = chosen.take_first(now_ns)
        self._batching += 1
        return request

    def _choose(self) -> _Direction | None:
        """Return what the next batch is of: reads, unless there are none or writes were passed over."""
        if self._reads.waiting:
            if self._writes.waiting:
                self._starved += 1
                if self._starved > self.writes_starved:
                    self._starved = 0
                    return self._writes
            return self._reads
        self._starved = 0
        return self._writes if self._writes.waiting else None

    def neighbour(self, sector: int, sectors: int, write: bool = False) -> Request | None:
        """Return a request to merge with: one that ends where the new one starts, else the other way."""
        return (self._writes if write else self._reads).neighbour(sector, sectors)

    def moved(self, request: Request, old_sector: int) -> None:
        """Sort a grown request anew."""
        self._of(request).moved(request, old_sector)

    def _of(self, request: Request) -> _Direction:
        return self._writes if request.opf & REQ_OP_WRITE else self._reads


class _Direction:
    """The waiting reads, or writes: by sector, by age, by where they end."""

    def __init__(self, expire_ns: int) -> None:
        self._expire_ns = expire_ns
        self._by_sector: list[tuple[int, int]] = []
        self._requests: dict[int, Request] = {}
        self._ids: dict[int, int] = {}
        self._by_end: dict[int, int] = {}
        self._serial = 0
        self._following: int | None = None

    @property
    def waiting(self) -> bool:
        """Whether there is a request."""
        return bool(self._requests)

    def add(self, request: Request, now_ns: int) -> None:
        """Queue a request."""
        request.deadline_ns = now_ns + self._expire_ns
        serial = self._serial
        self._serial += 1
        self._requests[serial] = request
        self._ids[id(request)] = serial
        self._by_end[request.end] = serial
        insort(self._by_sector, (request.sector, serial))

    def take_following(self) -> Request | None:
        """Return the request that lay behind the last one when that was taken, if it still waits."""
        return self._take(self._following) if self._following in self._requests else None

    def take_first(self, now_ns: int) -> Request:
        """Return the first request of a batch: the oldest if that is too old or nothing follows."""
        serial = self._following if self._following in self._requests else None
        oldest = next(iter(self._requests))
        if serial is None or self._requests[oldest].deadline_ns <= now_ns:
            serial = oldest
        return self._take(serial)

    def _take(self, serial: int) -> Request:
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
