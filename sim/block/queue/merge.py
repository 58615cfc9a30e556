"""
Merging: a bio joins a request (block/blk-merge.c).

It tries the plug's newest request (back, then front), then what waits in the elevator, within the limits of
the queue. Left out: merging of whole requests with each other.
"""

from __future__ import annotations

from sim.block.bio import Bio, Plug, Request
from sim.block.drivers.modules import DRIVERS
from sim.block.opf import REQ_OP_MASK, action
from sim.block.queue.gaps import blocks_between, gap_before, gap_behind
from sim.block.queue.limits import BlockStats, BlockTracer, QueueLimits
from sim.block.queue.schedulers import Scheduler
from sim.engine.cpu import Task


class Merger:
    """What joins the requests of one queue."""

    def __init__(
        self, limits: QueueLimits, stats: BlockStats, scheduler: Scheduler, tracer: BlockTracer | None
    ) -> None:
        self._limits = limits
        self._stats = stats
        self._scheduler = scheduler
        self._elevator = scheduler.elevator
        self._tracer = tracer
        self._boundary = DRIVERS[limits.driver].virt_boundary

    def merge(
        self, task: Task, bio: Bio, sector: int, sectors: int, segments: int, plug: Plug
    ) -> Request | None:
        """
        Merge [sector, sector + sectors) of a bio; return the request that now holds it, None if none does.
        """
        requests, crypt, write = plug.requests, bio.crypt, bio.opf & REQ_OP_MASK
        at = len(requests)
        last = 0 if self._limits.plug_sorted else at - 1
        while at and at > last:
            at -= 1
            request = requests[at]
            if (
                request.crypt == crypt
                and request.opf & REQ_OP_MASK == write
                and self._try(task, request, bio, sector, sectors, segments)
            ):
                return request
        if self._elevator:
            waiting = self._scheduler.neighbour(sector, sectors, bool(write))
            if waiting is not None and waiting.crypt == crypt:
                old = waiting.sector
                if self._try(task, waiting, bio, sector, sectors, segments):
                    self._scheduler.moved(waiting, old)
                    return waiting
        return None

    def _try(self, task: Task, request: Request, bio: Bio, sector: int, sectors: int, segments: int) -> bool:
        """Merge [sector, sector + sectors) of a bio behind or before a request, within the limits."""
        behind = request.end == sector
        if request.closed or (not behind and request.sector != sector + sectors):
            return False
        if self._has_gap(request, bio, sector, sectors, behind):
            return False
        limits = self._limits
        if (
            request.sectors + sectors > limits.max_sectors
            or request.segments + segments > limits.max_segments
        ):
            request.closed = True
            return False
        request.sectors += sectors
        request.segments += segments
        if behind:
            self._stats.back_merges += 1
        else:
            request.sector = sector
            self._stats.front_merges += 1
        if self._tracer is not None:
            self._tracer(action("M" if behind else "F", request.opf), task.time_ns, sector, sectors)
        return True

    def _has_gap(self, request: Request, bio: Bio, sector: int, sectors: int, behind: bool) -> bool:
        """Tell whether a gap comes between a request and [sector, sector + sectors) of a bio."""
        if not self._boundary:
            return False
        first, last = blocks_between(bio, sector, sectors)
        return gap_behind(request, bio, first) if behind else gap_before(request, bio, first, last)

    def _room(self, request: Request, unit: int) -> int:
        """Return how many bios of `unit` sectors, a segment each, a request has room for."""
        limits = self._limits
        return min((limits.max_sectors - request.sectors) // unit, limits.max_segments - request.segments)

    def joining(self, bio: Bio, plug: Plug) -> int:
        """Return how many bios of a row would merge with the plug's newest request from behind."""
        request, unit = plug.requests[-1], bio.unit_sectors
        if request.end != bio.sector or request.closed or request.crypt != bio.crypt:
            return 0
        if (request.opf ^ bio.opf) & REQ_OP_MASK or self._has_gap(request, bio, bio.sector, unit, True):
            return 0
        return max(min(bio.count, self._room(request, unit)), 0)

    def row_behind(self, task: Task, request: Request, bio: Bio, done: int) -> int:
        """
        Merge what follows block `done` of a row, which ends the request, from behind; return how many bios.
        """
        unit = bio.unit_sectors
        sector = bio.sector + done * unit
        if request.end != sector + unit:
            return 0
        room = self._room(request, unit)
        if self._boundary and _begins_in_a_page(request, bio, done):
            room = 0
        more = max(min(bio.count - done - 1, room), 0)
        request.sectors += more * unit
        request.segments += more
        self._stats.back_merges += more
        if self._tracer is not None:
            for i in range(1, 1 + more):
                self._tracer(action("M", bio.opf), task.time_ns, sector + i * unit, unit)
        return more


def join(request: Request, bio: Bio) -> None:
    """Keep a request's bios in disk order: a front merge goes first."""
    if not request.bios:
        request.bios = [bio]  # a list that is made with what it holds is made once
    elif bio.sector < request.bios[0].sector:
        request.bios.insert(0, bio)
    else:
        request.bios.append(bio)


def _begins_in_a_page(request: Request, bio: Bio, done: int) -> bool:
    """Tell whether a request, the row's own from its block `done` on if it is new, begins in a page."""
    first = request.bios[0].blocks[0][0] if request.bios else bio.blocks[0][0] + done
    return first % bio.blocks_per_page > 0
