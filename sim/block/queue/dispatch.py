"""
From the plug to the hardware and back: scheduler, queue depth, interrupt (block/blk-mq.c, blk-mq-sched.c).

Requests arrive at the time their task has come to. Without an elevator they go straight to the driver. Else,
and when the plug is flushed because its task sleeps, they are inserted, and the queue is run: by the task,
but by a worker of kblockd where the task is about to sleep, and when a completion makes room at the hardware.

A device with a queue per core interrupts the core that issued a request. One with a single queue interrupts
core 0, which completes what it shares a last-level cache with, and sends the rest on (QUEUE_FLAG_SAME_COMP).

Left out: what a driver calls on the way down for what passes the scheduler, flushes and what waits for them;
moving the interrupt of a single queue (irqbalance); more cores than hardware queues.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

from sim.block.bio import Bio, Request
from sim.block.drivers.modules import DRIVERS
from sim.block.drivers.sites import DriverSites
from sim.block.hardware import Hardware, WritableHardware
from sim.block.media import NO_BAD_SECTORS, BadSectors
from sim.block.opf import REQ_FUA, REQ_OP_WRITE, action
from sim.block.queue.flush import FlushQueue
from sim.block.queue.limits import BlockStats, BlockTracer, QueueLimits
from sim.block.queue.schedulers import Fifo, MqDeadline, Scheduler
from sim.block.queue.sites import RunSites, SubmitSites, kickers
from sim.block.queue.tags import Tags
from sim.engine.clock import Clock
from sim.engine.cpu import Core, Cpu
from sim.engine.ledger import IRQ, TASK, Ledger, Site
from sim.engine.workqueue import Item, Waker, WorkQueue
from sim.errors import InvariantError


class Arrived(NamedTuple):
    """Requests to insert, of which core; whether their task is about to sleep; whether without a plug."""

    requests: list[Request]
    core: Core
    from_schedule: bool
    alone: bool


class Dispatcher:
    """
    The lower half of one block device's queue.

    endio: the site of ending a bio, by context; endio_kept: of one on its submitter's stack, a bare flush.
    flushes: the machinery of flushes above the device. media: which sectors cannot be read.
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
        sites: SubmitSites,
        media: BadSectors = NO_BAD_SECTORS,
    ) -> None:
        self.media = media
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
        self.endio_kept = {
            IRQ: ledger.site(IRQ, driver.end, "bio_endio"),
            TASK: ledger.site(TASK, driver.queue_rq, "bio_endio"),
        }
        self._done = DriverSites(ledger, IRQ, "", driver.complete)
        self._handled_ns = [0] * len(cpu.cores)
        self._ledger = ledger
        self._one_vector = bool(driver.complete.once) and not driver.queue_per_cpu
        self._run_sites = RunSites(ledger, limits, driver.end, sites)
        self._kblockd = WorkQueue(cpu, ledger, "bound-highpri")
        self._waker = Waker(ledger, kickers(driver.end), "mod_delayed_work_on")
        self._kicked = False
        # A bound method is an object, made whenever it is asked for.
        self._on_complete: Callable[[Any], None] = self._complete
        self._on_ended: Callable[[Any], None] = self._ended

    def arrive(self, batch: tuple[list[Request], Core]) -> None:
        """The task has come to where it hands its requests over."""
        requests, core = batch
        for request in requests:
            self._came(request, core)
            self._begin()
            self._issue(request)

    def inserted(self, arrived: Arrived) -> None:
        """The task has come to where it inserts its requests, and runs the queue or has it run."""
        for request in arrived.requests:
            self._came(request, arrived.core)
            self._waiting += 1
            self.scheduler.add(request, self._clock.now)
        if arrived.from_schedule:
            self._kick()
        elif requests := self._taken():
            sites = self._run_sites.alone if arrived.alone else self._run_sites.each
            self._cpu.do(sites.charge(requests), self._issue_all, requests)

    def _came(self, request: Request, core: Core) -> None:
        request.core = core
        if self._recording:
            for bio in request.bios:
                if bio.record is not None:
                    bio.record.flushed_ns = self._clock.now

    def _taken(self) -> list[Request]:
        """Return the requests for which the hardware has room, in the scheduler's order."""
        requests = []
        while self._waiting and self._in_flight < self._limits.queue_depth:
            request = self.scheduler.next(self._clock.now)
            if request is None:
                raise InvariantError("the scheduler lost a request")
            self._waiting -= 1
            self._begin()
            requests.append(request)
        return requests

    def _issue_all(self, requests: list[Request]) -> None:
        for request in requests:
            self._issue(request)

    def _kick(self) -> None:
        """blk_mq_run_hw_queue(), async: have kblockd run the queue, unless it is about to."""
        cpu, sites = self._cpu, self._run_sites
        cpu.spend(sites.kick[cpu.context].charge(1))
        if not self._kicked:
            self._kicked = True
            self._kblockd.queue(self._waker, [Item(1, sites.run.charge(1), self._run_by_worker, None)])

    def _run_by_worker(self, nothing: None) -> None:
        """A worker of kblockd runs the queue."""
        del nothing
        self._kicked = False
        if requests := self._taken():
            sites = self._run_sites
            ps = sites.dispatch.charge_units(1, len(requests)) + sites.by_worker.charge(requests)
            self._cpu.do(ps, self._issue_all, requests)

    @cached_property
    def _s_flush_end(self) -> Site:
        """Declared when it is first passed: a machine that only reads needs no costs of writing."""
        return self._ledger.site(IRQ, self._driver_end, "flush_end_io flush_end_io;blk_flush_complete_seq")

    @cached_property
    def _s_waited(self) -> Site:
        """What each request more that a flush served takes."""
        return self._ledger.site(IRQ, f"{self._driver_end};flush_end_io", "blk_flush_complete_seq")

    @cached_property
    def _s_sequence_end(self) -> Site:
        """The end of a request whose steps are over."""
        stack = f"{self._driver_end};flush_end_io;blk_flush_complete_seq"
        return self._ledger.site(IRQ, stack, "blk_mq_end_request")

    def issue_past_scheduler(self, request: Request) -> None:
        """Hand a request to the hardware, whatever waits (blk_mq_request_bypass_insert())."""
        self._begin()
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
        ps += self._s_waited.charge(len(token) - 1)
        self._interrupt(token[0].core, ps, self._flush_ended, token)

    def _flush_ended(self, token: Any) -> None:
        self.flushes.flushed(token)
        if self._waiting:
            self._kick()

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
        stats.issued += 1
        stats.request_sizes.add(sectors, 1)
        if self._tracer is not None:
            self._tracer(action("D", request.opf), self._clock.now, request.sector, sectors)
        if self._recording:
            for bio in request.bios:
                if bio.record is not None:
                    bio.record.issued_ns = self._clock.now
        if request.opf & REQ_OP_WRITE:
            stats.write_requests += 1
            writer = self._written()
            write = writer.write_fua if self._limits.fua and request.opf & REQ_FUA else writer.write
            write(request.sector, sectors, request, self._on_complete)
        else:
            self._device.submit(request.sector, sectors, request, self._on_complete)

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
            self._interrupt(request.core, ps, self._written_in_sequence, request)
            return
        if self._recording:
            for bio in bios:
                if bio.record is not None:
                    bio.record.completed_ns = self._clock.now
        ps, endio = self._done.of_request(request), self.endio[IRQ]
        whole = True
        failed = self.media.fail(request.sector, request.sectors, request.opf)
        for bio in bios:
            bio.failed |= failed
            bio.parts -= 1
            if bio.parts > 0:
                whole = False
                ps += endio.charge(1)  # the end of a piece, which the rest waits for
            else:
                ps += endio.charge(bio.count) + bio.end_io.charge(bio, IRQ)
        if not whole:
            request.bios = [bio for bio in bios if bio.parts <= 0]
        self._interrupt(request.core, ps, self._on_ended, request)

    def _written_in_sequence(self, request: Request) -> None:
        self.flushes.written(request)
        if self._waiting:
            self._kick()

    def _ended(self, request: Request) -> None:
        """
        The interrupt of a request is over: its bios end, its tag is free, what waits for room is issued.
        """
        self.end(request.bios)
        tags: Tags | None = request.tags
        if tags is not None:
            for sleeper in tags.put():
                self._cpu.spend(self._run_sites.tag_wake.charge(1))
                sleeper.succeed()
        if self._waiting:
            self._kick()

    def _interrupt(self, core: Core, ps: int, then: Callable[[Any], None], argument: Any) -> None:
        """
        Run `ps` of the driver's handler for one command that `core` issued; then do `then`.

        A handler that is still at work finds the command too: there is no interrupt of its own.
        """
        here = self._cpu.cores[0] if self._one_vector else core
        found = self._handled_ns[here.index] > self._clock.now
        handler_ps = 0 if found else self._done.once.charge(1)
        if here is core or self._cpu.shares_cache(here, core):
            self._cpu.interrupt(here, handler_ps + ps, then, argument)
        else:
            sent = core, ps + self._run_sites.ipi.charge(1), then, argument
            self._cpu.interrupt(here, handler_ps, self._sent_on, sent)
        self._handled_ns[here.index] = here.irq_free_at

    def _sent_on(self, sent: tuple[Core, int, Callable[[Any], None], Any]) -> None:
        """blk_mq_complete_send_ipi(): the core that issued a request completes it."""
        core, ps, then, argument = sent
        self._cpu.interrupt(core, ps, then, argument)

    def end_sequenced(self, request: Request) -> None:
        """A flush sequence is over: end its bio, in the interrupt that is running."""
        bio = request.bios[0]
        if bio.record is not None:
            bio.record.issued_ns = max(bio.record.issued_ns, bio.record.flushed_ns)
            bio.record.completed_ns = self._clock.now
        ps = self._s_sequence_end.charge(1) + self._end_of(bio, IRQ).charge(1) + bio.end_io.charge(bio, IRQ)
        self._cpu.interrupt(request.core, ps, self.end, [bio])

    def _end_of(self, bio: Bio, context: str) -> Site:
        """Return the site of a bio's end: a flush without data was not allocated."""
        return (self.endio if bio.unit_sectors else self.endio_kept)[context]

    def end(self, bios: list[Bio]) -> None:
        """The interrupt's work is done."""
        for bio in bios:
            self.stats.pending -= bio.count
            if self.stats.pending < 0:
                raise InvariantError("a bio completed more often than it was submitted")
            if bio.record is not None:
                bio.record.interrupted_ns = self._clock.now
            bio.end_io.done(bio)
