"""
The request queue: submit_bio(), the plug and merging (block/blk-core.c, blk-mq.c, blk-merge.c).

A bio first tries to merge with the plug's newest request (back, then front), then with what waits in the
elevator, else it takes a request. The plug is flushed when it is full, when its newest request is large,
when the task sleeps and at the end of the window. A flushed request goes to the scheduler or straight to the
hardware, at the time the task has come to. Limits: max_sectors, max_segments (every page its own segment,
for page memory is taken as scattered), queue depth.

Reads and writes go the same way and never merge with each other. A bio with REQ_PREFLUSH or REQ_FUA passes
neither plug nor scheduler (see flush.py); the flags are dropped where the device has no cache to empty.

Left out: multiple hardware queues, tag waits (a task never sleeps for a tag; its requests wait in line),
cgroups, polling, requeues, errors, throttling of writeback (blk-wbt), discards.
"""

from __future__ import annotations

from functools import cached_property
from operator import attrgetter

from sim.block.bio import Bio, Plug, Request
from sim.block.drivers.calls import Driver
from sim.block.drivers.modules import DRIVERS
from sim.block.drivers.sites import DriverSites
from sim.block.hardware import Hardware
from sim.block.io_record import IoRecord
from sim.block.opf import FLUSH_FLAGS, REQ_OP_MASK, action
from sim.block.protocols import BioQueue
from sim.block.queue.dispatch import Dispatcher
from sim.block.queue.gaps import blocks_between, gap_before, gap_behind, has_gap
from sim.block.queue.limits import BlockStats, BlockTracer, QueueLimits, count_size
from sim.block.queue.split import copies, cuts_of
from sim.engine.clock import Clock
from sim.engine.cpu import Cpu, Task
from sim.engine.ledger import TASK, Ledger, Site


class BlockQueue(BioQueue):
    """One block device's queue, down to the plug; `dispatcher` is what lies below."""

    def __init__(
        self,
        clock: Clock,
        cpu: Cpu,
        ledger: Ledger,
        limits: QueueLimits,
        device: Hardware,
        tracer: BlockTracer | None = None,
        records: list[IoRecord] | None = None,
        below: str = "",
    ) -> None:
        """
        `tracer` sees every event; `records` takes one entry a bio. With neither, nothing is kept.

        below: the folded stack of a stacked device's driver that hands bios down (it enters at
        submit_bio_noacct()); empty for a queue that file systems submit to.
        """
        self.limits = limits
        self.stats = BlockStats()
        self.dispatcher = Dispatcher(
            clock, cpu, ledger, limits, device, self.stats, tracer, records is not None
        )
        self._scheduler = self.dispatcher.scheduler
        self._arrive = self.dispatcher.arrive
        self._cpu = cpu
        self._tracer = tracer
        self._records = records
        driver = DRIVERS[limits.driver]
        self._boundary = driver.virt_boundary
        entry = below or "submit_bio"
        again = f"{entry};submit_bio_noacct"
        submit = f"{again};submit_bio_noacct_nocheck;__submit_bio"
        chain = f"{'' if below else entry} {again} {again};submit_bio_noacct_nocheck"
        if limits.bio_based:
            self._s_submit = ledger.site(TASK, "", f"{chain} {submit} {submit};{driver.queue_rq}")
        else:
            mq = f"{submit};blk_mq_submit_bio"
            words = f"{chain} {submit} {mq} {mq};blk_attempt_plug_merge"
            self._s_submit = ledger.site(TASK, "", words, unit="blk_mq_submit_bio")
        site = ledger.site
        self._s_split = site(
            TASK,
            "",
            f"{submit};blk_mq_submit_bio;bio_alloc_bioset {again} {again};submit_bio_noacct_nocheck {submit}"
            f" {submit};blk_mq_submit_bio",
        )
        self._s_getrq = site(TASK, f"{submit};blk_mq_submit_bio", "__blk_mq_alloc_requests")
        self._s_keyslot = site(TASK, f"{submit};blk_mq_submit_bio", "__blk_crypto_rq_get_keyslot")
        self._submit_stack, self._ledger = f"{submit};blk_mq_submit_bio", ledger
        self._s_copy = site(TASK, driver.queue_rq, limits.copies, unit=limits.copies)
        self._declare_flush(ledger, driver, f"{submit};blk_mq_submit_bio")

    def _declare_flush(self, ledger: Ledger, driver: Driver, alone: str) -> None:
        """Declare what flushing a plug calls, and handing requests to the driver; `alone`: without a plug."""
        site, listed = ledger.site, self.limits.lists
        flush = "blk_finish_plug;__blk_flush_plug"
        self._s_flush = site(TASK, "", f"{flush} {flush};blk_mq_flush_plug_list")
        self._s_sleep_flush = site(TASK, "", f"{flush}*2 {flush};blk_mq_flush_plug_list*2")
        self._s_early = site(TASK, alone, "blk_mq_flush_plug_list")
        flushed = f"{flush};blk_mq_flush_plug_list"
        self._s_request = site(TASK, "", f"{flushed}:request")
        self._s_insert = site(TASK, flushed, "blk_mq_insert_requests")
        self._s_insert_one = site(TASK, alone, "blk_mq_sched_insert_request")
        self._issue_list = DriverSites(ledger, TASK, flushed, driver.issue_calls(listed))
        self._issue_each = DriverSites(ledger, TASK, flushed, driver.issue_calls(listed=False))
        self._issue_alone = DriverSites(ledger, TASK, alone, driver.issue_calls(listed=False))

    def submit(self, task: Task, bio: Bio, plug: Plug) -> None:
        """
        submit_bio(): merge, or take a request; never sleeps.

        Without a plug each bio is sent on before the next comes: neighbours merge in an elevator only. Where
        bios end at once, and that queues work, each does before the next comes.
        """
        count, sectors = bio.count, bio.unit_sectors
        if bio.opf & FLUSH_FLAGS:
            self._submit_flush(task, bio)
            return
        if count > 1 and (not plug.holds or (self.limits.bio_based and bio.end_io.queues_work(bio))):
            for number in range(count):
                self.submit(task, bio.row(number, 1), plug)
            return
        if bio.opf:
            self.stats.write_bios += count
            self.stats.write_sectors += bio.sectors
        task.ps += self._s_submit.charge_units(count, bio.segments)
        stats, limits = self.stats, self.limits
        stats.queued += count
        count_size(stats.bio_sectors, sectors, count)
        stats.pending += count
        if self._tracer is not None:
            for i in range(count):
                self._tracer(action("Q", bio.opf), task.time_ns, bio.sector + i * sectors, sectors)
        if self._records is not None:
            # Merges so far are taken off here and added again below: what is left are its own.
            bio.record = IoRecord(bio.sector, bio.sectors, count, task.time_ns, -stats.merges)
            bio.record.flushed_ns = bio.record.queued_ns  # until it leaves a plug
            self._records.append(bio.record)
        if limits.bio_based:
            self._complete_inline(task, bio)
        elif count == 1:
            fits = sectors <= limits.max_sectors and bio.segments <= limits.max_segments
            if fits and not (self._boundary and len(bio.blocks) > 1 and has_gap(bio)):
                self._join(self._merge_or_get(task, bio, bio.sector, sectors, bio.segments, plug), bio)
            else:
                self._submit_split(task, bio, plug)
            if not plug.holds and plug.requests:
                self._dispatch(task, plug, from_schedule=False)
        else:
            self._submit_row(task, bio, plug)
        if bio.record is not None:
            bio.record.merges += stats.merges

    def finish_plug(self, task: Task, plug: Plug) -> None:
        """blk_finish_plug(): flush what is left."""
        task.ps += self._s_flush.charge(1)
        if plug.requests:
            self._dispatch(task, plug, from_schedule=False)

    def flush_for_sleep(self, task: Task, plug: Plug) -> None:
        """
        The task is about to sleep: its plug goes to the scheduler.

        io_schedule_prepare() flushes it, and so does schedule() itself, which then finds nothing.
        """
        if plug.holds:
            task.ps += self._s_sleep_flush.charge(1)
            if plug.requests:
                self._dispatch(task, plug, from_schedule=True)

    @cached_property
    def _s_insert_flush(self) -> Site:
        """Declared when it is first passed: a machine that only reads needs no costs of writing."""
        return self._ledger.site(TASK, self._submit_stack, "blk_insert_flush")

    def _submit_flush(self, task: Task, bio: Bio) -> None:
        """
        A bio with REQ_PREFLUSH or REQ_FUA: alone, past plug and scheduler (blk_insert_flush()).

        Without a cache to empty it is the write that is left, or, without sectors, ends where it is.
        """
        stats, limits = self.stats, self.limits
        if not limits.write_cache and bio.unit_sectors:
            bio.opf &= ~FLUSH_FLAGS
            self.submit(task, bio, Plug(holds=False))
            return
        task.ps += self._s_submit.charge_units(1, bio.segments)
        stats.queued += 1
        count_size(stats.bio_sectors, bio.sectors, 1)
        stats.pending += 1
        stats.flush_bios += 1
        if bio.sectors:
            stats.write_bios += 1
            stats.write_sectors += bio.sectors
        if self._tracer is not None:
            self._tracer(action("Q", bio.opf), task.time_ns, bio.sector, bio.sectors)
        if self._records is not None:
            bio.record = IoRecord(bio.sector, bio.sectors, 1, task.time_ns)
            bio.record.flushed_ns = bio.record.queued_ns
            self._records.append(bio.record)
        if not limits.write_cache:
            self._end_at_once(task, bio, task.time_ns, task.time_ns)
            return
        task.ps += self._s_getrq.charge(1) + self._s_insert_flush.charge(1)
        stats.getrq += 1
        if self._tracer is not None:
            self._tracer(action("G", bio.opf), task.time_ns, bio.sector, bio.sectors)
        request = Request(bio.sector, bio.sectors, bio.segments, bio.opf)
        request.closed = True
        request.bios.append(bio)
        request.core = task.core
        self._cpu.when_done(task, self.dispatcher.flushes.insert, request)

    def _submit_split(self, task: Task, bio: Bio, plug: Plug) -> None:
        """
        One bio beyond the limits: cut off as much as one request takes, submit the rest again, and so on.

        A cut may lie inside a page. What is cut off merges with nothing (REQ_NOMERGE); only the last piece,
        which is the bio itself, may.
        """
        cuts = cuts_of(bio, self.limits.max_sectors, self.limits.max_segments, self._boundary)
        task.ps += self._s_split.charge(len(cuts) - 1)
        self.stats.splits += len(cuts) - 1
        sector = bio.sector
        for sectors, segments in cuts[:-1]:
            if self._tracer is not None:
                self._tracer(action("X", bio.opf), task.time_ns, sector, sectors)
            piece = self._get_request(task, bio, sector, sectors, segments, plug)
            piece.closed = True
            piece.bios.append(bio)
            sector += sectors
        self._join(self._merge_or_get(task, bio, sector, *cuts[-1], plug), bio)
        bio.parts = bio.pieces = len(cuts)

    def _submit_row(self, task: Task, bio: Bio, plug: Plug) -> None:
        """One-block bios in a row: the first merges or takes a request, the others join from behind."""
        limits, unit = self.limits, bio.unit_sectors
        done = 0
        while done < bio.count:
            sector = bio.sector + done * unit
            request = self._merge_or_get(task, bio, sector, unit, 1, plug)
            joined = 1
            if request.end == sector + unit:
                room = min(
                    (limits.max_sectors - request.sectors) // unit, limits.max_segments - request.segments
                )
                if self._boundary and self._begins_in_a_page(request, bio, done):
                    room = 0
                more = max(min(bio.count - done - 1, room), 0)
                request.sectors += more * unit
                request.segments += more
                self.stats.back_merges += more
                joined += more
                if self._tracer is not None:
                    for i in range(1, joined):
                        self._tracer(action("M", bio.opf), task.time_ns, sector + i * unit, unit)
            self._join(request, bio if joined == bio.count else bio.row(done, joined))
            done += joined

    @staticmethod
    def _join(request: Request, bio: Bio) -> None:
        """Keep a request's bios in disk order: a front merge goes first."""
        if request.bios and bio.sector < request.bios[0].sector:
            request.bios.insert(0, bio)
        else:
            request.bios.append(bio)

    def _merge_or_get(
        self, task: Task, bio: Bio, sector: int, sectors: int, segments: int, plug: Plug
    ) -> Request:
        """Return the request that now holds [sector, sector + sectors) of a bio: merged into or new."""
        requests, crypt, write = plug.requests, bio.crypt, bio.opf & REQ_OP_MASK
        for request in reversed(requests) if self.limits.plug_sorted else requests[-1:]:
            if (
                request.crypt == crypt
                and request.opf & REQ_OP_MASK == write
                and self._try_merge(task, request, bio, sector, sectors, segments)
            ):
                return request
        if self._scheduler.elevator:
            waiting = self._scheduler.neighbour(sector, sectors, bool(write))
            if waiting is not None and waiting.crypt == crypt:
                old = waiting.sector
                if self._try_merge(task, waiting, bio, sector, sectors, segments):
                    self._scheduler.moved(waiting, old)
                    return waiting
        return self._get_request(task, bio, sector, sectors, segments, plug)

    def _get_request(
        self, task: Task, bio: Bio, sector: int, sectors: int, segments: int, plug: Plug
    ) -> Request:
        """Put a new request into the plug, flushing it first if it is full."""
        requests, crypt = plug.requests, bio.crypt
        task.ps += self._s_getrq.charge(1)
        self.stats.getrq += 1
        if self._tracer is not None:
            self._tracer(action("G", bio.opf), task.time_ns, sector, sectors)
        request = Request(sector, sectors, segments, bio.opf)
        if crypt is not None:
            request.crypt = crypt
            task.ps += self._s_keyslot.charge(1)
        limits = self.limits
        if not plug.holds:
            pass
        elif not requests:
            self._count_plug(task)
        elif len(requests) >= limits.plug_requests or (
            limits.plug_flush_sectors and requests[-1].sectors >= limits.plug_flush_sectors
        ):
            task.ps += self._s_early.charge(1)
            self._dispatch(task, plug, from_schedule=False)
            self._count_plug(task)
        plug.requests.append(request)
        return request

    def _count_plug(self, task: Task) -> None:
        """A request is the first in a plug."""
        self.stats.plugs += 1
        if self._tracer is not None:
            self._tracer("P", task.time_ns, 0, 0)

    @staticmethod
    def _begins_in_a_page(request: Request, bio: Bio, done: int) -> bool:
        """Tell whether a request, the row's own from its block `done` on if it is new, begins in a page."""
        first = request.bios[0].blocks[0][0] if request.bios else bio.blocks[0][0] + done
        return first % bio.blocks_per_page > 0

    def _try_merge(
        self, task: Task, request: Request, bio: Bio, sector: int, sectors: int, segments: int
    ) -> bool:
        """Merge [sector, sector + sectors) of a bio behind or before a request, within the limits."""
        behind = request.end == sector
        if request.closed or (not behind and request.sector != sector + sectors):
            return False
        if self._boundary:
            first, last = blocks_between(bio, sector, sectors)
            if gap_behind(request, bio, first) if behind else gap_before(request, bio, first, last):
                return False
        limits = self.limits
        if (
            request.sectors + sectors > limits.max_sectors
            or request.segments + segments > limits.max_segments
        ):
            request.closed = True
            return False
        request.sectors += sectors
        request.segments += segments
        if behind:
            self.stats.back_merges += 1
        else:
            request.sector = sector
            self.stats.front_merges += 1
        if self._tracer is not None:
            self._tracer(action("M" if behind else "F", request.opf), task.time_ns, sector, sectors)
        return True

    def _dispatch(self, task: Task, plug: Plug, from_schedule: bool) -> None:
        """Send a plug's requests on their way, at the time the task has come to."""
        requests, plug.requests = plug.requests, []
        via_insert = from_schedule or self._scheduler.elevator
        if self.limits.plug_sorted:
            requests.sort(key=attrgetter("sector"))
        elif not via_insert:
            requests.reverse()  # the plug's list is a stack, and 6.1 issues from its top
        if via_insert:
            insert = self._s_insert if plug.holds else self._s_insert_one
            task.ps += insert.charge(len(requests))
            self.stats.inserted += len(requests)
            self.stats.unplugs += plug.holds
            if self._tracer is not None:
                for request in requests:
                    self._tracer(action("I", request.opf), task.time_ns, request.sector, request.sectors)
        if plug.holds:
            task.ps += self._s_request.charge(len(requests))
            task.ps += (self._issue_each if via_insert else self._issue_list).charge(requests)
        else:
            task.ps += self._issue_alone.charge(requests)
        if self.limits.copies:
            sectors = sum(request.sectors for request in requests)
            task.ps += self._s_copy.charge_units(len(requests), sectors)
        self._cpu.when_done(task, self._arrive, (requests, task.core))

    def _complete_inline(self, task: Task, bio: Bio) -> None:
        """A bio-based device that is memory: copy and complete in the caller."""
        issued_ns = task.time_ns
        if self.limits.copies:
            task.ps += self._s_copy.charge_units(copies(bio), bio.sectors)
        self._end_at_once(task, bio, issued_ns, task.time_ns)

    def _end_at_once(self, task: Task, bio: Bio, issued_ns: int, copied_ns: int) -> None:
        """End a bio in the caller, when it has come to that."""
        task.ps += self.dispatcher.endio[TASK].charge(bio.count) + bio.end_io.charge(bio, TASK)
        if bio.record is not None:
            bio.record.issued_ns, bio.record.completed_ns = issued_ns, copied_ns
        self._cpu.when_done(task, self.dispatcher.end, [bio])
