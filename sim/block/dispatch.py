"""
From the plug to the hardware and back: scheduler, queue depth, interrupt (block/blk-mq.c, blk-mq-sched.c).

Requests arrive at the time their task has come to. They wait while the hardware has no room, or always pass
the scheduler if there is one. A completion runs as interrupt work on the core that issued the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim.block.bio import Bio, Request
from sim.block.limits import BlockStats, BlockTracer, Hardware, QueueLimits
from sim.block.schedulers import Fifo, MqDeadline, Scheduler
from sim.engine.clock import Clock
from sim.engine.cpu import Core, Cpu
from sim.engine.ledger import IRQ, TASK, Ledger
from sim.errors import InvariantError


class Dispatcher:
    """The lower half of one block device's queue. endio: the site of ending a bio, by context."""

    def __init__(
        self,
        clock: Clock,
        cpu: Cpu,
        ledger: Ledger,
        limits: QueueLimits,
        device: Hardware,
        stats: BlockStats,
        tracer: BlockTracer | None,
        recording: bool,
    ) -> None:
        self.stats = stats
        self.scheduler: Scheduler = MqDeadline() if limits.scheduler == "mq-deadline" else Fifo()
        self._clock = clock
        self._cpu = cpu
        self._limits = limits
        self._device = device
        self._tracer = tracer
        self._recording = recording
        self._in_flight = 0
        self._busy_since = 0
        self._waiting = 0
        ended = "bio_endio bio_put bio_put;bio_free"
        self.endio = {
            IRQ: ledger.site(IRQ, "blk_mq_end_request", ended),
            TASK: ledger.site(TASK, limits.driver, ended),
        }
        self._s_complete = ledger.site(IRQ, "", "blk_mq_complete_request blk_mq_end_request")
        self._s_complete_one = ledger.fuse(self._s_complete, self.endio[IRQ])

    def arrive(self, batch: tuple[Sequence[Request], Core]) -> None:
        """The task has come to where it hands its requests over."""
        requests, core = batch
        depth, straight = self._limits.queue_depth, not self.scheduler.elevator
        for request in requests:
            request.core = core
            if self._recording:
                for bio in request.bios:
                    if bio.record is not None:
                        bio.record.flushed_ns = self._clock.now
            if straight and self._in_flight < depth and not self._waiting:
                self._issue(request)
            else:
                self._waiting += 1
                self.scheduler.add(request, self._clock.now)
        if self._waiting:
            self._run()

    def _run(self) -> None:
        """Issue waiting requests while the hardware has room."""
        while self._waiting and self._in_flight < self._limits.queue_depth:
            request = self.scheduler.next(self._clock.now)
            if request is None:
                raise InvariantError("the scheduler lost a request")
            self._waiting -= 1
            self._issue(request)

    def _issue(self, request: Request) -> None:
        """Hand a request to the hardware."""
        stats, sectors = self.stats, request.sectors
        if not self._in_flight:
            self._busy_since = self._clock.now
        self._in_flight += 1
        stats.issued += 1
        stats.request_sectors[sectors] += 1
        if self._tracer is not None:
            self._tracer("D", self._clock.now, request.sector, sectors)
        if self._recording:
            for bio in request.bios:
                if bio.record is not None:
                    bio.record.issued_ns = self._clock.now
        self._device.submit(request.sector, sectors, request, self._complete)

    def _complete(self, token: Any) -> None:
        """The device's interrupt: end the request and its bios on the core that issued it."""
        request: Request = token
        self._in_flight -= 1
        if not self._in_flight:
            self.stats.busy_ns += self._clock.now - self._busy_since
        self.stats.completed += 1
        if self._tracer is not None:
            self._tracer("C", self._clock.now, request.sector, request.sectors)
        bios = request.bios
        if self._recording:
            for bio in bios:
                if bio.record is not None:
                    bio.record.completed_ns = self._clock.now
        if len(bios) == 1 and bios[0].pieces == 1:
            bio = bios[0]
            one = self._s_complete_one
            one.passes += 1
            ps = one.ps + bio.end_io.charge(bio, IRQ)
            if bio.count > 1:
                ps += self.endio[IRQ].charge(bio.count - 1)
        else:
            ps = self._s_complete.charge(1)
            bios = []
            for bio in request.bios:
                bio.parts -= 1
                if bio.parts:
                    ps += self.endio[IRQ].charge(1)  # the end of a piece, which the rest waits for
                else:
                    bios.append(bio)
                    ps += self.endio[IRQ].charge(bio.count) + bio.end_io.charge(bio, IRQ)
        self._cpu.interrupt(request.core, ps, self.end, bios)
        if self._waiting:
            self._run()

    def end(self, bios: list[Bio]) -> None:
        """The interrupt's work is done."""
        for bio in bios:
            self.stats.pending -= bio.count
            if self.stats.pending < 0:
                raise InvariantError("a bio completed more often than it was submitted")
            if bio.record is not None:
                bio.record.interrupted_ns = max(self._clock.now, bio.ended_ns)
            bio.end_io.done(bio)
