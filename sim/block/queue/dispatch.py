"""
From the plug to the hardware and back: scheduler, queue depth, interrupt (block/blk-mq.c, blk-mq-sched.c).

Requests arrive at the time their task has come to. They wait while the hardware has no room, or always pass
the scheduler if there is one. A completion runs as interrupt work on the core that issued the request.

Left out: what a driver calls on the way down for what passes the scheduler, flushes and what waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from sim.block.bio import Bio, Request
from sim.block.drivers.modules import DRIVERS
from sim.block.drivers.sites import DriverSites
from sim.block.hardware import Hardware, WritableHardware
from sim.block.opf import REQ_OP_WRITE, action
from sim.block.queue.flush import FlushQueue
from sim.block.queue.limits import BlockStats, BlockTracer, QueueLimits, count_size
from sim.block.queue.schedulers import Fifo, MqDeadline, Scheduler
from sim.engine.clock import Clock
from sim.engine.cpu import Core, Cpu
from sim.engine.ledger import IRQ, TASK, Ledger, Site
from sim.errors import InvariantError


class Dispatcher:
    """
    The lower half of one block device's queue.

    endio: the site of ending a bio, by context. flushes: the machinery of flushes above the device.
    """

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
        self._writer = device if isinstance(device, WritableHardware) else None
        self.flushes = FlushQueue(self, limits.fua)
        self._in_flight = 0
        self._busy_since = 0
        self._waiting = 0
        ended = "bio_endio bio_put bio_put;bio_free"
        driver = DRIVERS[limits.driver]
        self._driver_end = driver.end
        self.endio = {
            IRQ: ledger.site(IRQ, driver.end, ended),
            TASK: ledger.site(TASK, driver.queue_rq, ended),
        }
        self._done = DriverSites(ledger, IRQ, "", driver.complete)
        self._handled_ns = [0] * len(cpu.cores)
        self._ledger = ledger

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

    @cached_property
    def _s_flush_end(self) -> Site:
        """Declared when it is first passed: a machine that only reads needs no costs of writing."""
        return self._ledger.site(IRQ, self._driver_end, "flush_end_io")

    def issue_past_scheduler(self, request: Request) -> None:
        """Hand a request to the hardware, whatever waits (blk_mq_request_bypass_insert())."""
        self._issue(request)

    def issue_flush(self, token: list[Request]) -> None:
        """Let the hardware empty its cache; `flushes` is told when it has."""
        self._begin()
        self.stats.flushes += 1
        if self._tracer is not None:
            self._tracer("D FF", self._clock.now, 0, 0)
        self._written().flush(token, self._flushed)

    def _flushed(self, token: Any) -> None:
        """The interrupt of a flush: its work, then what waited for it goes on."""
        self._rest()
        if self._tracer is not None:
            self._tracer("C FF", self._clock.now, 0, 0)
        ps = self._done.request.charge(1) + self._s_flush_end.charge(1)  # it carries no data
        self._interrupt(token[0].core, ps, self.flushes.flushed, token)
        if self._waiting:
            self._run()

    def _written(self) -> WritableHardware:
        if self._writer is None:
            raise InvariantError(f"{type(self._device).__name__} cannot be written to")
        return self._writer

    def _begin(self) -> None:
        """A command goes to the hardware."""
        if not self._in_flight:
            self._busy_since = self._clock.now
        self._in_flight += 1

    def _rest(self) -> None:
        """A command has completed."""
        self._in_flight -= 1
        if not self._in_flight:
            self.stats.busy_ns += self._clock.now - self._busy_since

    def _issue(self, request: Request) -> None:
        """Hand a request to the hardware."""
        stats, sectors = self.stats, request.sectors
        self._begin()
        stats.issued += 1
        count_size(stats.request_sectors, sectors, 1)
        if self._tracer is not None:
            self._tracer(action("D", request.opf), self._clock.now, request.sector, sectors)
        if self._recording:
            for bio in request.bios:
                if bio.record is not None:
                    bio.record.issued_ns = self._clock.now
        if request.opf & REQ_OP_WRITE:
            stats.write_requests += 1
            self._written().write(request.sector, sectors, request, self._complete)
        else:
            self._device.submit(request.sector, sectors, request, self._complete)

    def _complete(self, token: Any) -> None:
        """The device's interrupt: end the request and its bios on the core that issued it."""
        request: Request = token
        self._rest()
        self.stats.completed += 1
        if self._tracer is not None:
            self._tracer(action("C", request.opf), self._clock.now, request.sector, request.sectors)
        bios = request.bios
        if request.sequenced is not None:
            ps = self._done.of_request(request) + self._s_flush_end.charge(1)
            self._interrupt(request.core, ps, self.flushes.written, request)
            if self._waiting:
                self._run()
            return
        if self._recording:
            for bio in bios:
                if bio.record is not None:
                    bio.record.completed_ns = self._clock.now
        ps, bios = self._done.of_request(request), []
        for bio in request.bios:
            bio.parts -= 1
            if bio.parts > 0:
                ps += self.endio[IRQ].charge(1)  # the end of a piece, which the rest waits for
            else:
                bios.append(bio)
                ps += self.endio[IRQ].charge(bio.count) + bio.end_io.charge(bio, IRQ)
        self._interrupt(request.core, ps, self.end, bios)
        if self._waiting:
            self._run()

    def _interrupt(self, core: Core, ps: int, then: Callable[[Any], None], argument: Any) -> None:
        """
        Run `ps` of the driver's handler for one command; then do `then`.

        A handler that is still at work finds the command too: there is no interrupt of its own.
        """
        if self._handled_ns[core.index] <= self._clock.now:
            ps += self._done.once.charge(1)
        self._cpu.interrupt(core, ps, then, argument)
        self._handled_ns[core.index] = core.irq_free_at

    def end_sequenced(self, request: Request) -> None:
        """A flush sequence is over: end its bio, in the interrupt that is running."""
        bio = request.bios[0]
        if bio.record is not None:
            bio.record.issued_ns = max(bio.record.issued_ns, bio.record.flushed_ns)
            bio.record.completed_ns = self._clock.now
        ps = self.endio[IRQ].charge(1) + bio.end_io.charge(bio, IRQ)
        self._cpu.interrupt(request.core, ps, self.end, [bio])

    def end(self, bios: list[Bio]) -> None:
        """The interrupt's work is done."""
        for bio in bios:
            self.stats.pending -= bio.count
            if self.stats.pending < 0:
                raise InvariantError("a bio completed more often than it was submitted")
            if bio.record is not None:
                bio.record.interrupted_ns = self._clock.now
            bio.end_io.done(bio)
